// A live call as a sound card makes it: a thread with a clock of its own gives 20 ms of sound and
// takes 20 ms, while the main thread reads events.
//
//     live_call [--url URL]
//
// The customer is examples/audio/caller.wav. Without a URL it talks to a server of its own, which echoes. For a server elsewhere, put the
// credential into TALKWIRE_KEY.
#include <array>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "talkwire.hpp"

using namespace std::chrono_literals;

namespace {

// 20 ms at 24 kHz, and the first sentence of the file, which has a header of 44 bytes.
constexpr std::size_t frame_bytes = 960, said_bytes = 250 * frame_bytes, header_bytes = 44;
constexpr auto session_json = R"({"output_modalities":["audio"],"audio":{"input":{)"
                              R"("turn_detection":{"type":"server_vad","silence_duration_ms":500}}}})";

std::vector<char> load(const char *path) {
  std::vector<char> said(said_bytes);
  std::ifstream file(path, std::ios::binary);
  if (!file.seekg(header_bytes).read(said.data(), said_bytes))
    throw std::runtime_error(std::string(path) + ": not the recording of this example");
  return said;
}

// By its own clock, never waiting; returns the samples that were heard.
std::uint64_t line(talkwire::Call &call, const std::vector<char> &said,
                   const std::atomic<bool> &hung_up) {
  std::array<std::int16_t, frame_bytes / 2> played;
  std::uint64_t heard = 0;
  auto due = std::chrono::steady_clock::now();
  for (std::size_t at = 0; !hung_up; at += frame_bytes) {
    if (at < said.size()) call.push(&said[at], frame_bytes);
    std::size_t real = 0;
    call.pull(played.data(), sizeof played, &real);
    heard += real;
    std::this_thread::sleep_until(due += 20ms);
  }
  return heard;
}

// Takes events until the answer is complete.
bool answered(talkwire::Session &session) {
  while (auto event = session.next_event()) {
    switch (event->type()) {
      case TW_EVENT_BARGE_IN_CONFIRMED:
        std::cout << "the customer interrupts" << std::endl;
        break;
      case TW_EVENT_TURN_TIMELINE:
        std::cout << "the turn: " << event->json() << std::endl;
        break;
      case TW_EVENT_ERROR:
        std::cerr << "error: " << event->text() << '\n';
        break;
      case TW_EVENT_RESPONSE_DONE:
        return true;
    }
  }
  return false;
}

}  // namespace

int main(int argc, char **argv) try {
  std::string url = argc > 2 && std::string(argv[1]) == "--url" ? argv[2] : "";
  std::optional<talkwire::LocalServer> server;
  if (url.empty()) url = server.emplace().url();
  talkwire::Config config;
  config.url(url).session_json(session_json);
  if (const char *key = std::getenv("TALKWIRE_KEY")) config.key(key);
  talkwire::Session session(config);
  const std::vector<char> said = load("examples/audio/caller.wav");
  talkwire::Call call = session.attach();
  std::atomic<bool> hung_up = false;
  std::uint64_t heard = 0;
  std::thread clock([&] { heard = line(call, said, hung_up); });
  const bool is_answered = answered(session);
  while (is_answered && call.stats().depth + call.stats().queued_ms > 0)
    std::this_thread::sleep_for(20ms);
  hung_up = true;
  clock.join();
  std::cout << static_cast<double>(heard) / 24000 << " s were heard" << std::endl;
  session.close_wait(60s);
  return is_answered && heard > 0 ? 0 : 1;
} catch (const std::exception &error) {
  std::cerr << error.what() << '\n';
  return 1;
}
