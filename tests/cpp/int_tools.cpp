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
  // The refusal of the second output and the text that follows the first keep no order.
  int refused = 0;
  int told = 0;
  while (refused == 0 || told == 0) {
    auto event = session.next_event(patience);
    CHECK(event.has_value());
    if (event->type() == TW_EVENT_PROTOCOL_FAULT) refused++;
    if (event->type() == TW_EVENT_RESPONSE_OUTPUT_TEXT_DONE) {
      CHECK(event->text() == "That is all.");
      told++;
    }
  }
  session.played("item", 0, talkwire::milliseconds(20));
  session.interrupt();
  session.close_wait(patience);
  runtime.shutdown(patience);
}
