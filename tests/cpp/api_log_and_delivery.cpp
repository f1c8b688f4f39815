// The log of a runtime goes to a function, whatever that throws; callbacks may come directly.
#include <future>
#include <mutex>
#include <stdexcept>
#include <string>

#include "support.hpp"

int main() {
  talkwire::LocalServer server;
  talkwire::Runtime runtime(1, 1);
  talkwire::Config config = configure(server);
  std::mutex lock;
  std::string lines;
  runtime.log_to(TW_LOG_INFO, [&](std::int32_t level, std::uint64_t, std::string_view line) {
    const std::lock_guard<std::mutex> guard(lock);
    CHECK(level <= TW_LOG_INFO);
    lines.append(line).append("\n");
    throw std::runtime_error("nobody waits for it");
  });
  std::promise<talkwire::End> closed;
  talkwire::Callbacks callbacks;
  callbacks.on_event = [](talkwire::SessionRef session, const talkwire::Event &event) {
    if (event.type() == TW_EVENT_SESSION_UPDATED) session.close(patience);
  };
  callbacks.on_closed = [&](talkwire::SessionRef, const talkwire::End &end) {
    closed.set_value(talkwire::End::retained(end.get()));
  };
  callbacks.delivery = TW_DELIVERY_DIRECT;
  talkwire::Session session(config, std::move(callbacks), &runtime);
  CHECK(closed.get_future().get().expected());
  session.close_wait(patience);
  runtime.close_log();
  CHECK(lines.find("ready session") != std::string::npos);
  CHECK(thrown([&] { runtime.log_to(17, [](auto...) {}); }) == TW_ERR_ARGUMENT);
  runtime.shutdown(patience);
}
