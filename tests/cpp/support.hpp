// What the programs of this directory share.
#ifndef TALKWIRE_TESTS_SUPPORT_HPP
#define TALKWIRE_TESTS_SUPPORT_HPP

#include <cstdio>
#include <cstdlib>

#include "talkwire.hpp"

#define CHECK(condition)                                                                   \
  do {                                                                                     \
    if (!(condition)) {                                                                    \
      std::fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
      std::exit(1);                                                                        \
    }                                                                                      \
  } while (0)

using namespace std::chrono_literals;

inline constexpr talkwire::milliseconds patience = 30s;

/// A session of texts whose turns are ours.
inline talkwire::Config configure(const talkwire::LocalServer &server) {
  talkwire::Config config;
  config.url(server.url());
  config.json(R"({"rollover":{"enabled":false},"recovery":{"budget_ms":0}})");
  config.session_json(R"({"output_modalities":["text"],"audio":{"input":{"turn_detection":null}}})");
  return config;
}

/// Reads on to an event of this type.
inline talkwire::Event await_event(talkwire::Session &session, std::int32_t type) {
  for (;;) {
    auto event = session.next_event(patience);
    CHECK(event.has_value());
    if (event->type() == type) return std::move(*event);
  }
}

/// The status that a call throws.
template <typename Call>
tw_status thrown(Call call) {
  try {
    call();
  } catch (const talkwire::Error &error) {
    return error.code();
  }
  return TW_OK;
}

#endif
