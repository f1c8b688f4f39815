// A small host: one thread and one epoll loop drive several sessions at once. Each asks one question,
// prints its answer and is closed.
//
//     epoll_host [--url URL] [SESSIONS]
//
// Without a URL it talks to a server of its own, which echoes. For a server elsewhere, put the
// credential into TALKWIRE_KEY.
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

#include "talkwire.hpp"

using namespace std::chrono_literals;

namespace {

constexpr int patience_ms = 30'000;
constexpr talkwire::milliseconds patience{patience_ms};
constexpr int usual = 8, most = 1000;

int checked(int result, const char *what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

// A descriptor that is closed with its object.
class Loop {
 public:
  ~Loop() { ::close(fd_); }
  Loop() = default;
  Loop(const Loop &) = delete;
  Loop &operator=(const Loop &) = delete;

  int fd() const { return fd_; }

 private:
  int fd_ = checked(epoll_create1(0), "epoll_create1");
};

class Guest {
 public:
  // The question waits in the library until there is a connection.
  Guest(int number, const talkwire::Config &config, int loop)
      : number_(number), session_(std::in_place, config) {
    session_->send_text("Question " + std::to_string(number) + ": what is your number?");
    session_->respond();
    epoll_event interest{};
    interest.events = EPOLLIN;
    interest.data.ptr = this;
    checked(epoll_ctl(loop, EPOLL_CTL_ADD, session_->wakeup_fd(), &interest), "epoll_ctl");
  }

  // Takes what waits; returns whether the session is over. The loop must forget the descriptor before
  // the session, which owns it, is freed.
  bool serve(int loop) {
    while (auto event = session_->next_event(0ms)) hear(*event);
    const auto end = session_->end();
    if (!end) return false;
    if (!end->expected())
      std::cerr << "session " << number_ << " ended: " << end->message() << '\n';
    is_answered_ = is_answered_ && end->expected();
    checked(epoll_ctl(loop, EPOLL_CTL_DEL, session_->wakeup_fd(), nullptr), "epoll_ctl");
    session_.reset();
    return true;
  }

  bool is_answered() const { return is_answered_; }

 private:
  void hear(const talkwire::Event &event) {
    switch (event.type()) {
      case TW_EVENT_RESPONSE_OUTPUT_TEXT_DELTA:
        answer_ += event.text();
        break;
      case TW_EVENT_ERROR:
      case TW_EVENT_PROTOCOL_FAULT:
        std::cerr << "session " << number_ << ": error: " << event.text() << '\n';
        break;
      case TW_EVENT_RESPONSE_DONE:
        std::cout << "session " << number_ << ": " << answer_ << '\n';
        is_answered_ = !answer_.empty();
        session_->close(patience);
        break;
    }
  }

  int number_;
  std::optional<talkwire::Session> session_;
  std::string answer_;
  bool is_answered_ = false;
};

// Returns how many sessions had their answer.
int run(int count, const talkwire::Config &config) {
  Loop loop;
  // A deque, because the loop has the addresses of what is in it.
  std::deque<Guest> guests;
  for (int i = 1; i <= count; i++) guests.emplace_back(i, config, loop.fd());
  for (int left = count; left > 0;) {
    std::array<epoll_event, 16> ready;
    const int n = epoll_wait(loop.fd(), ready.data(), ready.size(), patience_ms);
    if (n < 0 && errno == EINTR) continue;
    if (checked(n, "epoll_wait") == 0) {
      std::cerr << left << " sessions heard nothing in time\n";
      break;
    }
    for (int i = 0; i < n; i++)
      if (static_cast<Guest *>(ready[static_cast<std::size_t>(i)].data.ptr)->serve(loop.fd())) left--;
  }
  int answered = 0;
  for (const Guest &guest : guests) answered += guest.is_answered();
  return answered;
}

}  // namespace

int main(int argc, char **argv) try {
  std::optional<talkwire::LocalServer> server;
  talkwire::Config config;
  std::string url;
  int count = usual;
  for (int i = 1; i < argc; i++) {
    if (std::string_view(argv[i]) == "--url" && i + 1 < argc)
      url = argv[++i];
    else
      count = std::atoi(argv[i]);
  }
  if (count < 1 || count > most) {
    std::cerr << "sessions: 1 to " << most << '\n';
    return 2;
  }
  config.url(url.empty() ? std::string(server.emplace().url()) : url);
  if (const char *key = std::getenv("TALKWIRE_KEY")) config.key(key);
  config.session_json(R"({"output_modalities":["text"]})");
  const int answered = run(count, config);
  std::cout << answered << " of " << count << " sessions were answered\n";
  return answered == count ? 0 : 1;
} catch (const std::exception &error) {
  std::cerr << error.what() << '\n';
  return 1;
}
