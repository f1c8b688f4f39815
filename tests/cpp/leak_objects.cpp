// Objects free what they hold, also when they are moved, assigned and thrown.
#include <thread>
#include <utility>
#include <vector>

#include "support.hpp"

static void run() {
  talkwire::LocalServer server;
  talkwire::Runtime runtime(1, 1);
  talkwire::Config config = configure(server);
  config.header("x-test", "1").voice("jane");
  std::vector<talkwire::Event> kept;
  for (int i = 0; i < 3; i++) {
    talkwire::Session session(config, &runtime);
    session.send_text("hello");
    session.respond();
    kept.push_back(await_event(session, TW_EVENT_RESPONSE_OUTPUT_TEXT_DONE));
    talkwire::Session other(config, &runtime);
    session = std::move(other);
    CHECK(thrown([&] { session.send_json("{}"); }) == TW_ERR_ARGUMENT);
    session.close_wait(patience);
    CHECK(session.end()->json().size() > 0);
  }
  for (const auto &event : kept) CHECK(event.text().find("hello") != std::string_view::npos);
  runtime.shutdown(patience);
}

int main() {
  // In a thread that ends: see tests/c/leak_pull.c.
  std::thread(run).join();
}
