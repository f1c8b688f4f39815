// A tool in C++: registered, called, answered once; the library asks for what follows.
#include <string>

#include "support.hpp"

int main() {
  talkwire::LocalServer server(R"({"script":{"brain":"script","turns":[
      {"when":{"tool":"price"},"say":"That is all."},
      {"when":{"user":"much"},"call":{"name":"price","arguments":{"dish":"soup"}}}]}})");
  talkwire::Runtime runtime(1, 1);
  talkwire::Session session(configure(server), &runtime);
  CHECK(thrown([&] { session.register_tool("{}"); }) == TW_ERR_ARGUMENT);
  session.register_tool(R"({"name":"price","parameters":{"type":"object"}})");
  session.send_text("How much?");
  session.respond_when(TW_WHEN_BUSY_QUEUE);
  talkwire::Event called = await_event(session, TW_EVENT_TOOL_CALL);
  const std::string call_id(called.call_id());
  CHECK(called.call_name() == "price" && called.text() == R"({"dish":"soup"})");
  session.answer_tool(call_id, R"({"rub":3})");
  session.fail_tool(call_id, "too late");
  await_event(session, TW_EVENT_PROTOCOL_FAULT);
  CHECK(await_event(session, TW_EVENT_RESPONSE_OUTPUT_TEXT_DONE).text() == "That is all.");
  session.played("item", 0, talkwire::milliseconds(20));
  session.interrupt();
  session.close_wait(patience);
  runtime.shutdown(patience);
}
