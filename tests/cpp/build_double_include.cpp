// Both headers, twice and in either order, in every standard; what they define agrees.
#include "talkwire.hpp"
#include "talkwire.h"
#include "talkwire.hpp"

#include <string_view>
#include <type_traits>

static_assert(TW_VERSION_NUMBER ==
              TW_VERSION_MAJOR * 1000000 + TW_VERSION_MINOR * 1000 + TW_VERSION_PATCH);
static_assert(!std::is_copy_constructible_v<talkwire::Session> &&
              std::is_nothrow_move_constructible_v<talkwire::Session> &&
              std::is_nothrow_move_assignable_v<talkwire::Session>);
static_assert(!std::is_copy_constructible_v<talkwire::Event> &&
              std::is_nothrow_move_constructible_v<talkwire::Event>);
static_assert(sizeof(talkwire::Session) == sizeof(void *) &&
                  sizeof(talkwire::Event) == sizeof(void *) &&
                  sizeof(talkwire::Config) == sizeof(void *),
              "no cost beyond the handle");
// Exceptions must be copyable without throwing.
static_assert(std::is_nothrow_copy_constructible_v<talkwire::Error>);

int main() {
  struct tw_callbacks callbacks = TW_CALLBACKS_INIT;
  if (callbacks.struct_size != sizeof callbacks) return 1;
  if (tw_version_number() != TW_VERSION_NUMBER) return 2;
  talkwire::Config config;
  return config.get() ? 0 : 3;
}
