// The script that is told in every language: a text turn, a spoken turn, a tool call, settings
// changed mid-call, an error, and the close.
//
//     e2e --url URL --pcm FILE
//
// FILE is raw 16-bit little-endian mono audio of 24 kHz. Prints one line of canonical JSON for each
// event received, in order, and then END with the end as JSON. Each step waits for the event that
// proves it.
#include <fstream>
#include <iostream>
#include <string>

#include "talkwire.hpp"

namespace {

using namespace std::chrono_literals;

constexpr auto session_json =
    R"({"type":"realtime","output_modalities":["text"],"instructions":"Be brief.",)"
    R"("audio":{"input":{"turn_detection":null}}})";
constexpr auto speak = R"({"type":"realtime","output_modalities":["audio"]})";
constexpr auto change =
    R"({"type":"realtime","instructions":"Be kind.","audio":{"output":{"voice":"jane"}}})";

// 20 ms of audio.
constexpr std::size_t chunk_bytes = 960;
constexpr talkwire::milliseconds patience = 30s;

// Prints events up to and including the first of one of two types. Returns the call that was asked
// for.
std::string until(talkwire::Session &session, std::int32_t type, std::int32_t other = -1) {
  std::string call_id;
  for (;;) {
    auto event = session.next_event(patience);
    if (!event) throw std::runtime_error("no event " + std::to_string(type));
    std::cout << event->json() << '\n';
    if (event->type() == TW_EVENT_RESPONSE_FUNCTION_CALL_ARGUMENTS_DONE) call_id = event->call_id();
    if (event->type() == type || event->type() == other) return call_id;
  }
}

std::string ask(talkwire::Session &session, std::string_view text) {
  session.send_text(text);
  session.respond();
  return until(session, TW_EVENT_RESPONSE_DONE);
}

void spoken_turn(talkwire::Session &session, const std::string &path) {
  session.update(speak);
  until(session, TW_EVENT_SESSION_UPDATED);
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  char chunk[chunk_bytes];
  while (file.read(chunk, sizeof chunk), file.gcount() > 0)
    session.append(chunk, static_cast<std::size_t>(file.gcount()));
  session.commit();
  until(session, TW_EVENT_INPUT_AUDIO_BUFFER_COMMITTED);
  session.respond();
  until(session, TW_EVENT_RESPONSE_DONE);
}

void tool_call(talkwire::Session &session) {
  std::string call_id = ask(session, "order");
  session.answer_call(call_id, R"({"ok":true})");
  session.respond();
  until(session, TW_EVENT_RESPONSE_DONE);
}

void run(const std::string &url, const std::string &pcm) {
  talkwire::Config config;
  config.url(url).session_json(session_json).json(R"({"seed":1})");
  talkwire::Session session(config);
  until(session, TW_EVENT_SESSION_UPDATED);
  ask(session, "hello");
  spoken_turn(session, pcm);
  tool_call(session);
  session.update(change);
  // Where the voice is fixed once it was heard, the answer is an error.
  until(session, TW_EVENT_SESSION_UPDATED, TW_EVENT_ERROR);
  session.send_json(R"({"type":"no.such.event","event_id":"bad"})");
  until(session, TW_EVENT_ERROR);
  session.close(patience);
  // What came after the last proof.
  while (auto event = session.next_event(patience)) std::cout << event->json() << '\n';
  std::cout << "END " << session.end().value().json() << '\n';
}

}  // namespace

int main(int argc, char **argv) {
  std::string url, pcm;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::string(argv[i]) == "--url") url = argv[i + 1];
    if (std::string(argv[i]) == "--pcm") pcm = argv[i + 1];
  }
  if (url.empty() || pcm.empty()) {
    std::cerr << "usage: e2e --url URL --pcm FILE\n";
    return 2;
  }
  try {
    run(url, pcm);
  } catch (const std::exception &error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
