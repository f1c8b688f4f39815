// The media port through the objects of talkwire.hpp: real-time calls return, the others throw.
#include <array>
#include <cstdint>
#include <utility>

#include "support.hpp"

int main() {
  talkwire::LocalServer server;
  talkwire::Runtime runtime(1, 1);
  talkwire::Config config = configure(server);
  talkwire::Session session(config, &runtime);
  CHECK(thrown([&] { session.attach("{\"tick\":1}"); }) == TW_ERR_CONFIG);
  talkwire::Call first =
      session.attach("{\"uplink\":{\"type\":\"audio/pcmu\"},\"confirm\":true,\"tracks\":\"two\"}");
  CHECK(thrown([&] { session.attach(); }) == TW_ERR_ARGUMENT);
  talkwire::Call call = std::move(first);
  std::array<std::int16_t, 160> out;
  out.fill(1);
  std::size_t taken = 0, real = 9;
  CHECK(call.push("abcd", 4, TW_TRACK_AGENT, &taken) == TW_OK && taken == 4);
  CHECK(call.pull(out.data(), sizeof out, &real) == TW_OK && real == 0);
  for (auto sample : out) CHECK(sample == 0);
  CHECK(call.pull(out.data(), 3) == TW_ERR_ARGUMENT);
  CHECK(call.played(0) == TW_OK);
  call.set_latency(talkwire::milliseconds(20));
  call.flush();
  CHECK(!call.position());
  CHECK(call.stats().pushed == 4 && call.stats().silence == 160);
  session.close_wait(patience);
  CHECK(call.push("abcd", 4) == TW_ERR_CLOSED);
  runtime.shutdown(patience);
}
