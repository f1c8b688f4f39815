// Credentials that are asked for, and an endpoint to fall back to, by the objects of talkwire.hpp.
#include <atomic>
#include <string>

#include "support.hpp"

int main() {
  talkwire::LocalServer server(R"({"api_key":"t1.good"})");
  talkwire::Runtime runtime(1, 1);
  std::atomic<int> asked{0};
  talkwire::Config good = configure(server);
  good.key_from([&] {
    asked++;
    return std::string("t1.good");
  });
  talkwire::Config config = configure(server);
  config.key_from([]() -> std::string { throw std::runtime_error("no token"); });
  config.fallback(good);
  talkwire::Session session(config, &runtime);
  CHECK(await_event(session, TW_EVENT_PROTOCOL_FAULT).error()->code() == TW_ERR_AUTH);
  await_event(session, TW_EVENT_SESSION_UPDATED);
  CHECK(asked == 1);
  CHECK(session.flight_record().find("endpoint 1") != std::string::npos);
  session.close_wait(patience);
  runtime.shutdown(patience);
}
