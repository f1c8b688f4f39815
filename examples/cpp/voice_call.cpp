// A voice call: speaks a WAV file at the speed of speech while another thread takes the events, then
// prints what was understood and how much was answered.
//
//     voice_call [--url URL] [FILE.wav]
//
// The file is PCM16, mono, 24 kHz; by default examples/audio/caller.wav. Without a URL it talks to a
// server of its own, which echoes. For a server elsewhere, put the credential into TALKWIRE_KEY.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "talkwire.hpp"

using namespace std::chrono_literals;

namespace {

// 20 ms of 24 kHz.
constexpr std::size_t frame_bytes = 960;

// The turn is over when we say so: no voice detection.
constexpr auto session_json =
    R"({"output_modalities":["audio"],"audio":{)"
    R"("input":{"format":{"type":"audio/pcm","rate":24000},"turn_detection":null},)"
    R"("output":{"format":{"type":"audio/pcm","rate":24000}}}})";

// The samples of a file. Only the plain form with a 44-byte header is read here.
std::vector<char> read_wav(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  auto byte = [&](std::size_t at) { return static_cast<unsigned char>(bytes[at]); };
  bool is_good = bytes.size() > 44 && std::memcmp(bytes.data(), "RIFF", 4) == 0 && byte(22) == 1 &&
                 byte(34) == 16 && (byte(24) | byte(25) << 8) == 24000 &&
                 std::memcmp(&bytes[36], "data", 4) == 0;
  if (!is_good) throw std::runtime_error(path + ": not a WAV file of PCM16, mono, 24 kHz");
  bytes.erase(bytes.begin(), bytes.begin() + 44);
  return bytes;
}

// Sends the sound frame by frame, each at its own time, so that delays do not add up.
void speak(talkwire::Session &session, const std::vector<char> &sound) {
  auto next = std::chrono::steady_clock::now();
  for (std::size_t at = 0; at + 1 < sound.size(); at += frame_bytes) {
    std::size_t count = std::min(frame_bytes, sound.size() - at) & ~std::size_t{1};
    session.append(&sound[at], count);
    std::this_thread::sleep_until(next += 20ms);
  }
}

// Takes events until the answer is complete; returns how long it lasts.
std::uint64_t listen(talkwire::Session &session) {
  std::uint64_t answer_ms = 0;
  while (auto event = session.next_event()) {
    switch (event->type()) {
      case TW_EVENT_CONVERSATION_ITEM_INPUT_AUDIO_TRANSCRIPTION_COMPLETED:
        std::cout << "customer: " << event->text() << std::endl;
        break;
      case TW_EVENT_RESPONSE_OUTPUT_AUDIO_DELTA:
        // event->audio() holds the samples to be played.
        answer_ms += event->audio_ms();
        break;
      case TW_EVENT_RESPONSE_OUTPUT_AUDIO_TRANSCRIPT_DONE:
      case TW_EVENT_RESPONSE_OUTPUT_TEXT_DONE:
        std::cout << "agent: " << event->text() << std::endl;
        break;
      case TW_EVENT_ERROR:
        std::cerr << "error: " << event->text() << '\n';
        break;
      case TW_EVENT_RESPONSE_DONE:
        return answer_ms;
    }
  }
  return answer_ms;
}

}  // namespace

int main(int argc, char **argv) try {
  std::string url, path = "examples/audio/caller.wav";
  for (int i = 1; i < argc; i++) {
    if (std::string(argv[i]) == "--url" && i + 1 < argc)
      url = argv[++i];
    else
      path = argv[i];
  }
  std::optional<talkwire::LocalServer> server;
  if (url.empty()) url = server.emplace().url();
  std::vector<char> sound = read_wav(path);

  talkwire::Config config;
  config.url(url).session_json(session_json);
  if (const char *key = std::getenv("TALKWIRE_KEY")) config.key(key);
  talkwire::Session session(config);
  std::uint64_t answer_ms = 0;
  std::thread listener([&] { answer_ms = listen(session); });
  try {
    speak(session, sound);
    session.commit();
    session.respond();
  } catch (const talkwire::Error &error) {
    // The call ended in the middle of a word; the listener sees the same end.
    std::cerr << error.what() << '\n';
  }
  listener.join();
  session.close_wait(10s);
  std::cout << answer_ms / 1000.0 << " s of answer\n";
  talkwire::End end = session.end().value();
  if (!end.expected()) std::cerr << "the call ended: " << end.message() << '\n';
  return end.expected() && answer_ms > 0 ? 0 : 1;
} catch (const std::exception &error) {
  std::cerr << error.what() << '\n';
  return 1;
}
