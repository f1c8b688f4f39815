// A text chat by callbacks: says what is given on the command line and prints the answers.
//
//     text_chat [--url URL] [TEXT...]
//
// Without a URL it talks to a server of its own, which echoes. For a server elsewhere, put the
// credential into TALKWIRE_KEY.
#include <cstdlib>
#include <deque>
#include <future>
#include <iostream>
#include <optional>
#include <string>

#include "talkwire.hpp"

using namespace std::chrono_literals;

// What is still to be said; touched only in callbacks, which come one at a time.
class Chat {
 public:
  explicit Chat(std::deque<std::string> texts) : texts_(std::move(texts)) {}

  void on_event(talkwire::SessionRef session, const talkwire::Event &event) {
    switch (event.type()) {
      case TW_EVENT_SESSION_UPDATED:
        say_next(session);
        break;
      case TW_EVENT_RESPONSE_OUTPUT_TEXT_DELTA:
        std::cout << event.text() << std::flush;
        break;
      case TW_EVENT_RESPONSE_DONE:
        std::cout << '\n';
        say_next(session);
        break;
      case TW_EVENT_ERROR:
        std::cerr << "error: " << event.text() << '\n';
        break;
    }
  }

 private:
  void say_next(talkwire::SessionRef session) {
    if (texts_.empty()) return session.close(10s);
    std::cout << "customer: " << texts_.front() << "\nagent: " << std::flush;
    session.send_text(texts_.front());
    session.respond();
    texts_.pop_front();
  }

  std::deque<std::string> texts_;
};

int main(int argc, char **argv) try {
  std::deque<std::string> texts(argv + 1, argv + argc);
  std::optional<talkwire::LocalServer> server;
  std::string url;
  if (texts.size() >= 2 && texts[0] == "--url") {
    url = texts[1];
    texts.erase(texts.begin(), texts.begin() + 2);
  } else {
    url = server.emplace().url();
  }
  if (texts.empty()) texts.push_back("Hello, can you hear me?");

  talkwire::Config config;
  config.url(url).session_json(R"({"output_modalities":["text"]})");
  if (const char *key = std::getenv("TALKWIRE_KEY")) config.key(key);

  Chat chat(std::move(texts));
  std::promise<talkwire::End> ended;
  talkwire::Callbacks callbacks;
  callbacks.on_event = [&](talkwire::SessionRef session, const talkwire::Event &event) {
    chat.on_event(session, event);
  };
  callbacks.on_closed = [&](talkwire::SessionRef, const talkwire::End &end) {
    ended.set_value(talkwire::End::retained(end.get()));
  };
  talkwire::Session session(config, std::move(callbacks));
  talkwire::End end = ended.get_future().get();
  session.close_wait(10s);
  if (end.expected()) return 0;
  std::cerr << end.message() << '\n';
  return 1;
} catch (const std::exception &error) {
  std::cerr << error.what() << '\n';
  return 1;
}
