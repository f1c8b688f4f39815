// A subscription through the objects of talkwire.hpp.
#include <atomic>

#include "support.hpp"

int main() {
  talkwire::LocalServer server;
  talkwire::Runtime runtime(1, 1);
  talkwire::Config config = configure(server);
  talkwire::Session session(config, &runtime);
  std::atomic<int> closed{0};
  talkwire::Callbacks callbacks;
  callbacks.on_closed = [&](talkwire::SessionRef, const talkwire::End &) { closed++; };
  CHECK(thrown([&] { talkwire::Subscription(session, "{\"topics\":[]}"); }) == TW_ERR_ARGUMENT);
  talkwire::Subscription words(session, "{\"topics\":[\"transcript\"]}");
  talkwire::Subscription pushed(session, "{\"topics\":[\"control\"]}", callbacks);
  CHECK(thrown([&] { pushed.next_event(0ms); }) == TW_ERR_ARGUMENT);
  session.send_text("good day");
  session.respond();
  await_event(session, TW_EVENT_RESPONSE_DONE);
  CHECK(words.backlog().events > 0 && words.wakeup_fd() >= 0);
  CHECK(words.next_event(patience)->type() == TW_EVENT_RESPONSE_OUTPUT_TEXT_DELTA);
  session.close_wait(patience);
  while (words.next_event(patience)) {
  }
  runtime.shutdown(patience);
  CHECK(closed == 1);
}
