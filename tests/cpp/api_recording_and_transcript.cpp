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
  CHECK(thrown([&] { session.transcript("doc"); }) == TW_ERR_ARGUMENT);
  CHECK(session.transcript("srt").text().find("customer: good day\n") != std::string::npos);
  const talkwire::Transcript transcript = session.transcript();
  CHECK(transcript.size() == 2 && transcript[0].role == TW_ROLE_CUSTOMER);
  CHECK(std::string_view(transcript[0].text.ptr) == "good day");
  CHECK(thrown([&] { transcript[2]; }) == TW_ERR_ARGUMENT);
  CHECK(session.usage().responses == 1 && session.stats().links == 1);
  recorder.stop();
  recorder.wait(patience);
  CHECK(std::filesystem::remove(path) && std::filesystem::remove(notes));
  session.close_wait(patience);
  runtime.shutdown(patience);
}
