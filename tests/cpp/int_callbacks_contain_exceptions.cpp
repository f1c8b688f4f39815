// A text turn by callbacks; an exception in one stays there and breaks the session off.
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "support.hpp"

namespace {

struct Heard {
  std::string text;
  int events = 0;
  int closed = 0;
  std::promise<talkwire::End> end;
};

/// Callbacks that call `act` for each event and keep the end.
template <typename Act>
talkwire::Callbacks callbacks(std::shared_ptr<Heard> heard, Act act) {
  talkwire::Callbacks callbacks;
  callbacks.on_event = [heard, act](talkwire::SessionRef session, const talkwire::Event &event) {
    heard->events++;
    act(*heard, session, event);
  };
  callbacks.on_closed = [heard](talkwire::SessionRef, const talkwire::End &end) {
    if (heard->closed++ == 0) heard->end.set_value(talkwire::End::retained(end.get()));
    throw std::runtime_error("not even this gets out");
  };
  return callbacks;
}

void text_turn(const talkwire::Config &config, const talkwire::Runtime &runtime) {
  auto heard = std::make_shared<Heard>();
  auto act = [](Heard &heard, talkwire::SessionRef session, const talkwire::Event &event) {
    if (event.type() == TW_EVENT_SESSION_CREATED) {
      session.send_text("over and out");
      session.respond();
    }
    if (event.type() == TW_EVENT_RESPONSE_OUTPUT_TEXT_DELTA) heard.text += event.text();
    if (event.type() == TW_EVENT_RESPONSE_DONE) session.close(patience);
  };
  talkwire::Session session(config, callbacks(heard, act), &runtime);
  CHECK(heard->end.get_future().get().expected());
  session.close_wait(patience);
  CHECK(heard->closed == 1);
  CHECK(heard->text.find("over and out") != std::string::npos);
  // Nothing is called any more, so the functions are gone with what they held.
  CHECK(heard.use_count() == 1);
}

void exception(const talkwire::Config &config, const talkwire::Runtime &runtime) {
  auto heard = std::make_shared<Heard>();
  auto act = [](Heard &, talkwire::SessionRef, const talkwire::Event &) { throw 7; };
  talkwire::Session session(config, callbacks(heard, act), &runtime);
  heard->end.get_future().wait();
  session.close_wait(patience);
  CHECK(heard->events >= 1 && heard->closed == 1);
  CHECK(heard.use_count() == 1);
}

void destroyed(const talkwire::Config &config, const talkwire::Runtime &runtime) {
  auto heard = std::make_shared<Heard>();
  auto act = [](Heard &, talkwire::SessionRef, const talkwire::Event &) {};
  auto end = heard->end.get_future();
  { talkwire::Session session(config, callbacks(heard, act), &runtime); }
  CHECK(end.get().expected());
}

void failed() {
  auto heard = std::make_shared<Heard>();
  auto act = [](Heard &, talkwire::SessionRef, const talkwire::Event &) {};
  talkwire::Config without_key;
  CHECK(thrown([&] { talkwire::Session session(without_key, callbacks(heard, act)); }) ==
        TW_ERR_AUTH);
  CHECK(heard.use_count() == 1 && heard->closed == 0);
}

}  // namespace

int main() {
  talkwire::LocalServer server;
  talkwire::Config config = configure(server);
  talkwire::Runtime runtime(1, 1);
  text_turn(config, runtime);
  exception(config, runtime);
  destroyed(config, runtime);
  failed();
  runtime.shutdown(patience);
}
