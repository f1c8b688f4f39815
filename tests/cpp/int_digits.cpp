// Ten digits as tones arrive once and in order, and come back once and in order from the server's
// voice: at 24 kHz, through the objects of talkwire.hpp.
#include <cstdint>
#include <string>
#include <vector>

#include "../c/tones.h"
#include "support.hpp"

namespace {

constexpr std::size_t PIECE = RATE / 50;

/// Appends the digits in pieces of 20 ms, as fast as it goes.
void speak(talkwire::Session &session, const std::string &digits) {
  std::size_t samples = 0;
  std::int16_t *sound = dial(digits.c_str(), &samples);
  for (std::size_t at = 0; at < samples; at += PIECE) {
    std::size_t count = samples - at < PIECE ? samples - at : PIECE;
    session.append(sound + at, count * sizeof *sound);
  }
  std::free(sound);
}

struct Answer {
  std::vector<std::int16_t> sound;
  std::uint64_t told_ms = 0;
  std::vector<std::string> heard;
  std::string said;
};

/// All that comes until the response is done.
Answer answer(talkwire::Session &session) {
  Answer answer;
  for (;;) {
    auto event = session.next_event(patience);
    CHECK(event && !event->error());
    talkwire::Bytes audio = event->audio();
    answer.sound.insert(answer.sound.end(), audio.samples(),
                        audio.samples() + audio.sample_count());
    answer.told_ms += event->audio_ms();
    switch (event->type()) {
      case TW_EVENT_CONVERSATION_ITEM_INPUT_AUDIO_TRANSCRIPTION_COMPLETED:
        answer.heard.emplace_back(event->text());
        break;
      // The default dialect tells the words of spoken answers by this name.
      case TW_EVENT_RESPONSE_OUTPUT_TEXT_DELTA:
        answer.said += event->text();
        break;
      case TW_EVENT_RESPONSE_DONE:
        return answer;
      default:
        break;
    }
  }
}

std::string keys_in(const std::vector<std::int16_t> &sound) {
  char digits[64];
  listen_keys(sound.data(), sound.size(), digits, sizeof digits);
  return digits;
}

}  // namespace

int main() {
  talkwire::LocalServer server(R"({"brain":"echo","ears":"dtmf","voice":"dtmf"})");
  talkwire::Config config = configure(server);
  config.session_json(R"({
    "output_modalities": ["audio"],
    "audio": {
      "input": {"format": {"type": "audio/pcm", "rate": 24000},
                "transcription": {"model": "general"}},
      "output": {"format": {"type": "audio/pcm", "rate": 24000}}}})");
  talkwire::Runtime runtime(1, 1);
  talkwire::Session session(config, &runtime);
  speak(session, "4071596823");
  session.commit();
  session.respond();
  Answer back = answer(session);
  const std::string transcript = "4 0 7 1 5 9 6 8 2 3";
  CHECK(back.heard.size() == 1 && back.heard[0] == transcript);
  CHECK(back.said == transcript);
  CHECK(back.told_ms == back.sound.size() * 1000 / RATE);
  CHECK(keys_in(back.sound) == "4071596823");
  session.close_wait(patience);
  CHECK(session.end()->expected());
  runtime.shutdown(patience);
}
