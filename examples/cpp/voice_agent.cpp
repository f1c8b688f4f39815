// A voice agent with a tool, by callbacks: the customer speaks, the agent looks an order up and answers
// with what it found.
//
//     voice_agent [--url URL] [FILE.wav]
//
// The file is PCM16, mono, 24 kHz; by default examples/audio/caller.wav, of which the first sentence is
// said. Without a URL it talks to a server of its own, whose script calls the tool; another server may
// or may not. For a server elsewhere, put the credential into TALKWIRE_KEY.
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

#include "talkwire.hpp"

using namespace std::chrono_literals;

namespace {

// 20 ms at 24 kHz, and the first sentence of the file, which has a header of 44 bytes.
constexpr std::size_t frame_bytes = 960, header = 44, said = 250;
constexpr talkwire::milliseconds patience = 60s;

constexpr auto script = R"({"script":{"turns":[
  {"when":{"tool":"order_status"},"say":"Your order is on its way."},
  {"say":"One moment.","call":{"name":"order_status","arguments":{"order":"4217"}}}]}})";
constexpr auto tool = R"({"name":"order_status","description":"Where an order is","parameters":{
  "type":"object","properties":{"order":{"type":"string"}},"required":["order"]}})";
constexpr auto session_json = R"({"instructions":"You take calls about orders.",
  "output_modalities":["audio"],"audio":{"input":{"format":{"type":"audio/pcm","rate":24000},
  "turn_detection":null}}})";

// What the callbacks tell the main thread.
class Agent {
 public:
  talkwire::Callbacks callbacks() {
    talkwire::Callbacks callbacks;
    callbacks.on_event = [this](talkwire::SessionRef session, const talkwire::Event &event) {
      const std::lock_guard<std::mutex> guard(lock_);
      hear(session, event);
      changed_.notify_all();
    };
    callbacks.on_closed = [this](talkwire::SessionRef, const talkwire::End &end) {
      if (!end.expected()) std::cerr << "the call ended: " << end.message() << '\n';
      const std::lock_guard<std::mutex> guard(lock_);
      is_closed_ = true;
      changed_.notify_all();
    };
    return callbacks;
  }

  // Waits for the end of the answer; returns whether the call goes on.
  bool hear_out() {
    std::unique_lock<std::mutex> guard(lock_);
    const auto is_over = [this] { return is_answered_ || is_closed_; };
    if (!changed_.wait_for(guard, patience, is_over)) std::cerr << "no answer in time\n";
    return is_answered_ && !is_closed_;
  }

  std::uint64_t spoken_ms() {
    const std::lock_guard<std::mutex> guard(lock_);
    return spoken_ms_;
  }

 private:
  void hear(talkwire::SessionRef session, const talkwire::Event &event) {
    switch (event.type()) {
      case TW_EVENT_TOOL_CALL:
        // It is quick and may so answer where it was called; one that waits for a database is run on a
        // thread of the host, which answers later by the same call.
        std::cout << "tool: " << event.call_name() << ' ' << event.text() << '\n';
        has_called_ = true;
        session.answer_tool(event.call_id(), R"({"status":"on its way"})");
        break;
      case TW_EVENT_RESPONSE_OUTPUT_AUDIO_DELTA:
        // event.audio() has the samples to be played.
        spoken_ms_ += event.audio_ms();
        break;
      case TW_EVENT_RESPONSE_OUTPUT_AUDIO_TRANSCRIPT_DONE:
      case TW_EVENT_RESPONSE_OUTPUT_TEXT_DONE:
        std::cout << "agent: " << event.text() << '\n';
        break;
      case TW_EVENT_RESPONSE_DONE:
        // After tools another one follows, which the library asks for when all have their results.
        is_answered_ = !std::exchange(has_called_, false);
        break;
      case TW_EVENT_ERROR:
      case TW_EVENT_PROTOCOL_FAULT:
        std::cerr << "error: " << event.text() << '\n';
        break;
    }
  }

  std::mutex lock_;
  std::condition_variable changed_;
  std::uint64_t spoken_ms_ = 0;
  bool has_called_ = false, is_answered_ = false, is_closed_ = false;
};

// Sends the sound frame by frame, each at its own time, so that delays do not add up.
void speak(talkwire::Session &session, const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  if (!file.seekg(header)) throw std::runtime_error(path + ": cannot be read");
  char frame[frame_bytes];
  auto next = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < said && file.read(frame, sizeof frame); i++) {
    session.append(frame, sizeof frame);
    std::this_thread::sleep_until(next += 20ms);
  }
}

bool hold(talkwire::Session &session, Agent &agent, const std::string &path) {
  try {
    session.register_tool(tool);
    speak(session, path);
    session.commit();
    session.respond();
  } catch (const talkwire::Error &error) {
    // A call that has ended meanwhile says so by on_closed.
    if (error.code() != TW_ERR_CLOSED) throw;
  }
  const bool is_good = agent.hear_out();
  session.close_wait(patience);
  std::cout << static_cast<double>(agent.spoken_ms()) / 1000 << " s were spoken\n";
  return is_good && agent.spoken_ms() > 0;
}

}  // namespace

int main(int argc, char **argv) try {
  std::string url, path = "examples/audio/caller.wav";
  for (int i = 1; i < argc; i++) {
    if (std::string_view(argv[i]) == "--url" && i + 1 < argc)
      url = argv[++i];
    else
      path = argv[i];
  }
  std::optional<talkwire::LocalServer> server;
  talkwire::Config config;
  config.url(url.empty() ? std::string(server.emplace(script).url()) : url);
  if (const char *key = std::getenv("TALKWIRE_KEY")) config.key(key);
  config.session_json(session_json);
  Agent agent;
  talkwire::Session session(config, agent.callbacks());
  return hold(session, agent, path) ? 0 : 1;
} catch (const std::exception &error) {
  std::cerr << error.what() << '\n';
  return 1;
}
