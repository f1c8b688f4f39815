// A text chat in a host's own poll() loop: the session is one descriptor, standard input another, and
// one thread serves both.
//
//     poll_loop [--url URL]
//
// Each line of standard input is a turn, the end of it ends the program; without any line it says one
// sentence. Without a URL it talks to a server of its own, which echoes. For a server elsewhere, put
// the credential into TALKWIRE_KEY.
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "talkwire.hpp"

using namespace std::chrono_literals;

namespace {

constexpr int patience_ms = 30'000;
constexpr talkwire::milliseconds patience{patience_ms};

class Chat {
 public:
  explicit Chat(const talkwire::Config &config) : session_(config) {}

  // While the agent answers, nobody waits at standard input: poll() skips a negative descriptor, and
  // what is typed meanwhile stays where it is.
  bool run() {
    const int session_fd = session_.wakeup_fd();
    while (!session_.end()) {
      const bool waits_for_input = !is_answering_ && !is_input_over_;
      pollfd fds[] = {{session_fd, POLLIN, 0}, {waits_for_input ? STDIN_FILENO : -1, POLLIN, 0}};
      const int ready = poll(fds, 2, waits_for_input ? -1 : patience_ms);
      if (ready < 0 && errno == EINTR) continue;
      if (ready <= 0) throw std::runtime_error("nothing came in time");
      if (fds[0].revents) take_events();
      if (fds[1].revents) take_input();
      next_turn();
    }
    const talkwire::End end = *session_.end();
    if (!end.expected()) std::cerr << "the session ended: " << end.message() << '\n';
    return end.expected();
  }

 private:
  // The descriptor says that something waits, not how much: takes all there is.
  void take_events() {
    while (auto event = session_.next_event(0ms)) {
      switch (event->type()) {
        case TW_EVENT_RESPONSE_OUTPUT_TEXT_DELTA:
          std::cout << event->text() << std::flush;
          break;
        case TW_EVENT_RESPONSE_DONE:
          std::cout << '\n';
          is_answering_ = false;
          break;
        case TW_EVENT_ERROR:
        case TW_EVENT_PROTOCOL_FAULT:
          std::cerr << "error: " << event->text() << '\n';
          break;
      }
    }
  }

  // Read by read() and not by a stream, whose buffer poll() does not know of.
  void take_input() {
    char bytes[4096];
    const ssize_t got = read(STDIN_FILENO, bytes, sizeof bytes);
    if (got < 0 && errno == EINTR) return;
    is_input_over_ = got <= 0;
    if (got > 0) typed_.append(bytes, static_cast<std::size_t>(got));
  }

  // Says the first typed line that is not empty.
  void next_turn() {
    while (!is_answering_ && !typed_.empty()) {
      const auto end = typed_.find('\n');
      if (end == std::string::npos && !is_input_over_) return;
      const std::string line = typed_.substr(0, end);
      typed_.erase(0, end == std::string::npos ? end : end + 1);
      if (!line.empty()) say(line);
    }
    if (!is_input_over_ || is_answering_ || is_closing_) return;
    if (turns_ == 0) return say("Hello, can you hear me?");
    is_closing_ = true;
    session_.close(patience);
  }

  void say(std::string_view text) try {
    std::cout << "customer: " << text << "\nagent: " << std::flush;
    session_.send_text(text);
    session_.respond();
    is_answering_ = true;
    turns_++;
  } catch (const talkwire::Error &error) {
    // That a session has ended meanwhile is told by its end, which knows why.
    if (error.code() != TW_ERR_CLOSED) throw;
  }

  talkwire::Session session_;
  std::string typed_;
  int turns_ = 0;
  bool is_answering_ = false, is_input_over_ = false, is_closing_ = false;
};

}  // namespace

int main(int argc, char **argv) try {
  std::optional<talkwire::LocalServer> server;
  talkwire::Config config;
  if (argc > 2 && std::string_view(argv[1]) == "--url")
    config.url(argv[2]);
  else
    config.url(server.emplace().url());
  if (const char *key = std::getenv("TALKWIRE_KEY")) config.key(key);
  config.session_json(R"({"output_modalities":["text"]})");
  return Chat(config).run() ? 0 : 1;
} catch (const std::exception &error) {
  std::cerr << error.what() << '\n';
  return 1;
}
