// Recordings and transcripts through the objects of talkwire.hpp.
#include <cstdlib>
#include <filesystem>
#include <string>

#include "support.hpp"

int main() {
  talkwire::LocalServer server;
  talkwire::Runtime runtime(1, 1);
  talkwire::Config config = configure(server);
  talkwire::Session session(config, &runtime);
  const auto name = "talkwire-" + std::to_string(reinterpret_cast<std::uintptr_t>(&server));
  const auto path = std::filesystem::temp_directory_path() / (name + ".wav");
  const auto notes = std::filesystem::path(path).replace_extension("json");
  CHECK(thrown([&] { session.record("/nonexistent/a.wav"); }) == TW_ERR_IO);
  CHECK(thrown([&] { session.record(path.string(), "{\"rate\":1}"); }) == TW_ERR_CONFIG);
  talkwire::Recorder recorder = session.record(path.string());
  CHECK(recorder.written_ms() == 0);
  CHECK(thrown([&] { recorder.wait(1ms); }) == TW_ERR_TIMEOUT);
  session.send_text("good day");
  session.respond();
  await_event(session, TW_EVENT_RESPONSE_DONE);
  CHECK(thrown([&] { session.transcript("doc", patience); }) == TW_ERR_ARGUMENT);
  CHECK(session.transcript("srt", patience).find("customer: good day\n") != std::string::npos);
  recorder.stop();
  recorder.wait(patience);
  CHECK(std::filesystem::remove(path) && std::filesystem::remove(notes));
  session.close_wait(patience);
  runtime.shutdown(patience);
}
