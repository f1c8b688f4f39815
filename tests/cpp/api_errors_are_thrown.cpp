// Failures are exceptions with all that the error object says; waiting in vain is none.
#include <string>
#include <utility>

#include "support.hpp"

// A deadline that has passed, and one that is far away, are no surprise.
static_assert(talkwire::detail::bounded(-1ms) == 0);
static_assert(talkwire::detail::bounded(20ms) == 20);
static_assert(talkwire::detail::bounded(50 * 24h) == TW_FOREVER);
static_assert(talkwire::detail::bounded(talkwire::forever) == TW_FOREVER);

int main() {
  try {
    talkwire::Config().dialect("klingon");
    CHECK(false);
  } catch (const std::exception &error) {
    CHECK(std::string(error.what()).find("config: no dialect is named `klingon`") == 0);
  }
  CHECK(thrown([] { talkwire::Config().url("ab\xff"); }) == TW_ERR_ARGUMENT);
  CHECK(thrown([] { talkwire::Session session((talkwire::Config())); }) == TW_ERR_AUTH);
  CHECK(thrown([] { talkwire::LocalServer server(R"({"colour":1})"); }) == TW_ERR_ARGUMENT);

  talkwire::LocalServer server;
  talkwire::Runtime runtime(1, 1);
  talkwire::Session session(configure(server), &runtime);
  await_event(session, TW_EVENT_SESSION_UPDATED);
  CHECK(!session.next_event(0s) && !session.next_event(-5ms) && !session.end());
  CHECK(thrown([&] { session.update("["); }) == TW_ERR_ARGUMENT);
  session.send_json(R"({"type":"no.such.event","event_id":"bad"})");
  talkwire::Event event = await_event(session, TW_EVENT_ERROR);
  CHECK(event.error() && event.error()->event_id() == "bad");
  CHECK(event.error()->who() == TW_WHO_SERVER && event.text() == event.error()->message());

  const std::string can(session.capabilities());
  CHECK(can.find(R"("dialect":"yandex")") != std::string::npos);

  // A moved session is the same one; the old object is empty and harmless.
  talkwire::Session moved(std::move(session));
  CHECK(thrown([&] { session.commit(); }) == TW_ERR_ARGUMENT);
  CHECK(session.capabilities().empty() && moved.capabilities() == can);
  moved.close_wait(patience);
  CHECK(moved.end() && moved.end()->expected() && !moved.end()->error());
  CHECK(thrown([&] { moved.send_text("late"); }) == TW_ERR_CLOSED);
  runtime.shutdown(patience);
}
