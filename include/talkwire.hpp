// Talkwire for C++17: the C library behind objects that free themselves.
//
// Header-only, no cost beyond the calls of talkwire.h, which is the manual: threads, blocking, errors
// and promises are as it says. What differs:
//
// - Objects move and do not copy. Their destructors are the *_free() functions.
// - A failure throws talkwire::Error. Waiting in vain and the end of events are answers, not failures.
// - Texts are std::string_view of the object they were asked from, and have a NUL behind them.
// - Callbacks are std::function; what they throw stays with them and breaks the session off.
#ifndef TALKWIRE_HPP
#define TALKWIRE_HPP

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "talkwire.h"

namespace talkwire {

/// Times; what is negative counts as none, and what is longer than `forever` as that.
using milliseconds = std::chrono::milliseconds;

/// Wait without end.
inline constexpr milliseconds forever{TW_FOREVER};

namespace detail {

inline constexpr std::uint32_t bounded(milliseconds time) noexcept {
  if (time <= milliseconds::zero()) return 0;
  return time < forever ? static_cast<std::uint32_t>(time.count()) : TW_FOREVER;
}

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T *handle) const noexcept {
    Free(handle);
  }
};

template <typename T, auto Free>
using Handle = std::unique_ptr<T, Deleter<Free>>;

inline std::string_view view(tw_str text) noexcept { return {text.ptr, text.len}; }

}  // namespace detail

/// Decoded audio of an event, which it belongs to.
struct Bytes {
  const std::uint8_t *data = nullptr;
  std::size_t size = 0;

  /// The bytes as 16-bit samples, for sessions whose output is PCM16.
  const std::int16_t *samples() const noexcept {
    return reinterpret_cast<const std::int16_t *>(data);
  }
  std::size_t sample_count() const noexcept { return size / 2; }
};

/// An error as a value, for errors that belong to an event or an end.
class ErrorView {
 public:
  explicit ErrorView(const tw_error *error) noexcept : error_(error) {}

  tw_status code() const noexcept { return tw_error_code(error_); }
  const char *name() const noexcept { return tw_error_name(error_); }
  std::string_view message() const noexcept { return detail::view(tw_error_message(error_)); }
  std::int32_t who() const noexcept { return tw_error_who(error_); }
  bool is_retryable() const noexcept { return tw_error_is_retryable(error_); }
  std::int32_t http_status() const noexcept { return tw_error_http_status(error_); }
  std::int32_t close_code() const noexcept { return tw_error_close_code(error_); }
  std::string_view provider_code() const noexcept {
    return detail::view(tw_error_provider_code(error_));
  }
  std::string_view provider_type() const noexcept {
    return detail::view(tw_error_provider_type(error_));
  }
  std::string_view provider_param() const noexcept {
    return detail::view(tw_error_provider_param(error_));
  }
  std::string_view event_id() const noexcept { return detail::view(tw_error_event_id(error_)); }
  std::string_view body() const noexcept { return detail::view(tw_error_body(error_)); }

 private:
  const tw_error *error_;
};

/// What is thrown when a call fails.
class Error : public std::runtime_error {
 public:
  /// Takes the error over.
  explicit Error(tw_error *error)
      : std::runtime_error(std::string(tw_error_name(error)) + ": " + tw_error_message(error).ptr),
        error_(error, tw_error_free) {}

  tw_status code() const noexcept { return tw_error_code(error_.get()); }
  /// All of it.
  ErrorView view() const noexcept { return ErrorView(error_.get()); }

 private:
  // Shared because an exception must be copyable without throwing.
  std::shared_ptr<tw_error> error_;
};

namespace detail {

/// Receives the error of a call and throws it.
class Check {
 public:
  operator tw_error **() noexcept { return &error_; }

  tw_status operator()(tw_status status) {
    if (status < 0) throw Error(std::exchange(error_, nullptr));
    return status;
  }

 private:
  tw_error *error_ = nullptr;
};

}  // namespace detail

namespace detail {

using Log = std::function<void(std::int32_t level, std::uint64_t unix_ms, std::string_view line)>;

/// From the library to a function that gets the log. What it throws is dropped: nobody waits for it.
inline void write_log(void *data, std::int32_t level, std::uint64_t unix_ms,
                      tw_str line) noexcept {
  try {
    (*static_cast<Log *>(data))(level, unix_ms, view(line));
  } catch (...) {
  }
}

inline void drop_log(void *data) noexcept { delete static_cast<Log *>(data); }

}  // namespace detail

/// Threads for sessions.
class Runtime {
 public:
  /// Zero threads of a kind means the default number.
  explicit Runtime(std::uint32_t io_threads = 0, std::uint32_t callback_threads = 0) {
    detail::Check check;
    tw_runtime *runtime = nullptr;
    check(tw_runtime_new(io_threads, callback_threads, &runtime, check));
    handle_.reset(runtime);
  }

  /// Closes all sessions and stops the threads.
  void shutdown(milliseconds timeout) {
    detail::Check check;
    check(tw_runtime_shutdown(handle_.get(), detail::bounded(timeout), check));
  }

  /// Sends the log to a function, instead of the one before; a level is one of TW_LOG_*.
  void log_to(std::int32_t level,
              std::function<void(std::int32_t, std::uint64_t, std::string_view)> log) {
    detail::Check check;
    auto *owned = new detail::Log(std::move(log));
    check(tw_runtime_set_log(get(), level, detail::write_log, owned, detail::drop_log, check));
  }
  /// Ends the log; the function is not called any more.
  void close_log() {
    detail::Check check;
    check(tw_runtime_set_log(get(), TW_LOG_OFF, nullptr, nullptr, nullptr, check));
  }

  tw_runtime *get() const noexcept { return handle_.get(); }

 private:
  detail::Handle<tw_runtime, tw_runtime_free> handle_{};
};

namespace detail {

/// From the library to a function that returns a credential.
inline tw_status ask_for_key(void *data, tw_key *key) noexcept {
  try {
    const std::string text = (*static_cast<std::function<std::string()> *>(data))();
    return tw_key_set(key, text.data(), text.size(), nullptr);
  } catch (const Error &error) {
    return error.code();
  } catch (...) {
    return TW_ERR_AUTH;
  }
}

inline void drop_ask(void *data) noexcept {
  delete static_cast<std::function<std::string()> *>(data);
}

}  // namespace detail

/// What a session is opened with.
class Config {
 public:
  Config() {
    detail::Check check;
    tw_config *config = nullptr;
    check(tw_config_new(&config, check));
    handle_.reset(config);
  }

  Config &url(std::string_view url) { return set(tw_config_set_url, url); }
  Config &dialect(std::string_view name_or_json) {
    return set(tw_config_set_dialect, name_or_json);
  }
  Config &key(std::string_view key) { return set(tw_config_set_key, key); }
  /// A credential that is asked for before each dial, on a thread of the library: a function that
  /// returns it, or throws why there is none (an Error with its status; any other one is final).
  Config &key_from(std::function<std::string()> ask) {
    detail::Check check;
    auto *owned = new std::function<std::string()>(std::move(ask));
    check(tw_config_set_key_callback(get(), detail::ask_for_key, owned, detail::drop_ask, check));
    return *this;
  }
  /// One more endpoint, tried when those before it fail; its configuration is copied.
  Config &fallback(const Config &other) {
    detail::Check check;
    check(tw_config_add_fallback(get(), other.get(), check));
    return *this;
  }
  Config &model(std::string_view model) { return set(tw_config_set_model, model); }
  Config &folder(std::string_view folder) { return set(tw_config_set_folder, folder); }
  Config &instructions(std::string_view text) { return set(tw_config_set_instructions, text); }
  Config &voice(std::string_view voice) { return set(tw_config_set_voice, voice); }
  Config &role(std::string_view role) { return set(tw_config_set_role, role); }
  Config &session_json(std::string_view json) { return set(tw_config_set_session_json, json); }
  Config &extra_ca(std::string_view pem) { return set(tw_config_set_extra_ca, pem); }
  Config &json(std::string_view options) { return set(tw_config_set_json, options); }
  Config &header(std::string_view name, std::string_view value) {
    detail::Check check;
    check(tw_config_set_header(get(), name.data(), name.size(), value.data(), value.size(), check));
    return *this;
  }

  tw_config *get() const noexcept { return handle_.get(); }

 private:
  using Setter = tw_status (*)(tw_config *, const char *, std::size_t, tw_error **);

  Config &set(Setter setter, std::string_view value) {
    detail::Check check;
    check(setter(get(), value.data(), value.size(), check));
    return *this;
  }

  detail::Handle<tw_config, tw_config_free> handle_{};
};

/// Something that happened in a session.
class Event {
 public:
  /// Takes a reference over.
  explicit Event(tw_event *event) noexcept : handle_(event) {}

  /// One more reference to an event that a callback was lent.
  static Event retained(const tw_event *event) noexcept { return Event(tw_event_retain(event)); }

  std::int32_t type() const noexcept { return tw_event_type(get()); }
  std::string_view name() const noexcept { return detail::view(tw_event_name(get())); }
  std::string_view text() const noexcept { return detail::view(tw_event_text(get())); }
  std::string_view json() const noexcept { return detail::view(tw_event_json(get())); }
  std::string_view raw() const noexcept { return detail::view(tw_event_raw(get())); }
  std::string_view item_id() const noexcept { return detail::view(tw_event_item_id(get())); }
  std::string_view response_id() const noexcept {
    return detail::view(tw_event_response_id(get()));
  }
  std::string_view call_id() const noexcept { return detail::view(tw_event_call_id(get())); }
  std::string_view call_name() const noexcept { return detail::view(tw_event_call_name(get())); }
  std::uint64_t at_ms() const noexcept { return tw_event_at_ms(get()); }
  std::uint64_t audio_ms() const noexcept { return tw_event_audio_ms(get()); }
  Bytes audio() const noexcept {
    tw_bytes audio = tw_event_audio(get());
    return {audio.ptr, audio.len};
  }
  /// The error that it reports, if it reports one.
  std::optional<ErrorView> error() const noexcept {
    const tw_error *error = tw_event_error(get());
    return error ? std::optional<ErrorView>(ErrorView(error)) : std::nullopt;
  }

  const tw_event *get() const noexcept { return handle_.get(); }

 private:
  detail::Handle<tw_event, tw_event_free> handle_{};
};

/// How a session ended.
class End {
 public:
  /// Takes a reference over.
  explicit End(tw_end *end) noexcept : handle_(end) {}

  /// One more reference to an end that a callback was lent.
  static End retained(const tw_end *end) noexcept { return End(tw_end_retain(end)); }

  std::int32_t who() const noexcept { return tw_end_who(get()); }
  tw_status why() const noexcept { return tw_end_why(get()); }
  std::int32_t code() const noexcept { return tw_end_code(get()); }
  std::int32_t http_status() const noexcept { return tw_end_http_status(get()); }
  bool expected() const noexcept { return tw_end_expected(get()); }
  bool mid_turn() const noexcept { return tw_end_mid_turn(get()); }
  std::uint64_t unsent_audio_ms() const noexcept { return tw_end_unsent_audio_ms(get()); }
  std::uint64_t unsent_commands() const noexcept { return tw_end_unsent_commands(get()); }
  std::string_view message() const noexcept { return detail::view(tw_end_message(get())); }
  std::string_view json() const noexcept { return detail::view(tw_end_json(get())); }
  std::optional<ErrorView> error() const noexcept {
    const tw_error *error = tw_end_error(get());
    return error ? std::optional<ErrorView>(ErrorView(error)) : std::nullopt;
  }

  const tw_end *get() const noexcept { return handle_.get(); }

 private:
  detail::Handle<tw_end, tw_end_free> handle_{};
};

/// The media port of a session. push(), pull() and played() are for real-time threads and never
/// throw; they return TW_OK or what went wrong.
class Call {
 public:
  /// Lets go of the session; no other call may run or follow.
  Call(Call &&other) noexcept = default;
  Call &operator=(Call &&other) noexcept = default;

  /// Gives whole samples to the session.
  tw_status push(const void *data, std::size_t bytes, std::int32_t track = TW_TRACK_CUSTOMER,
                 std::size_t *taken = nullptr) noexcept {
    return tw_call_push(call_.get(), track, data, bytes, taken);
  }
  /// Fills the buffer: sound first, then silence.
  tw_status pull(void *out, std::size_t bytes, std::size_t *real = nullptr) noexcept {
    return tw_call_pull(call_.get(), out, bytes, real);
  }
  /// Tells how many pulled samples have arrived, with the option `confirm`.
  tw_status played(std::uint64_t samples) noexcept { return tw_call_played(call_.get(), samples); }
  void set_latency(milliseconds latency) noexcept {
    tw_call_set_latency_ms(call_.get(), detail::bounded(latency));
  }
  void flush() noexcept { tw_call_flush(call_.get()); }
  struct tw_stats stats() const noexcept {
    struct tw_stats stats = TW_STATS_INIT;
    tw_call_stats(call_.get(), &stats);
    return stats;
  }
  /// The part of the agent's speech that was heard last, and how far.
  std::optional<std::pair<std::uint64_t, milliseconds>> position() const noexcept {
    std::uint64_t part = 0, ms = 0;
    if (tw_call_position(call_.get(), &part, &ms) != TW_OK) return std::nullopt;
    return std::pair(part, milliseconds(static_cast<milliseconds::rep>(ms)));
  }

 private:
  friend class SessionRef;
  explicit Call(tw_call *call) noexcept : call_(call) {}
  detail::Handle<tw_call, tw_call_detach> call_;
};

/// A conversation as it was when it was taken. Its segments, and their texts, belong to it.
class Transcript {
 public:
  std::string_view text() const noexcept { return detail::view(tw_transcript_text(get())); }
  std::size_t size() const noexcept { return tw_transcript_count(get()); }
  /// One utterance, in the order of the conversation.
  tw_segment operator[](std::size_t index) const {
    detail::Check check;
    tw_segment segment = TW_SEGMENT_INIT;
    check(tw_transcript_segment(get(), index, &segment, check));
    return segment;
  }

  const tw_transcript *get() const noexcept { return handle_.get(); }

 private:
  friend class SessionRef;
  explicit Transcript(tw_transcript *transcript) noexcept : handle_(transcript) {}
  detail::Handle<tw_transcript, tw_transcript_free> handle_{};
};

/// The recording of a call; it goes on without this, to the end of its session.
class Recorder {
 public:
  /// Ends it before its session.
  void stop() {
    detail::Check check;
    check(tw_recorder_stop(recorder_.get(), check));
  }
  /// Waits until it has ended and the files are complete; throws what ended it otherwise.
  void wait(milliseconds within) {
    detail::Check check;
    check(tw_recorder_wait(recorder_.get(), detail::bounded(within), check));
  }
  /// What a reader of the file finds, whatever becomes of this process.
  std::uint64_t written_ms() const noexcept { return tw_recorder_written_ms(recorder_.get()); }

 private:
  friend class SessionRef;
  explicit Recorder(tw_recorder *recorder) noexcept : recorder_(recorder) {}
  detail::Handle<tw_recorder, tw_recorder_free> recorder_;
};

/// A session that somebody else frees: what callbacks are given, and the verbs of every session.
class SessionRef {
 public:
  explicit SessionRef(tw_session *session) noexcept : session_(session) {}

  void update(std::string_view patch) { call(tw_session_update, patch); }
  void append(const void *audio, std::size_t bytes) {
    detail::Check check;
    check(tw_session_append(session_, audio, bytes, check));
  }
  /// Attaches a media port; the options are a JSON object.
  Call attach(std::string_view options = "{}") {
    detail::Check check;
    tw_call *call = nullptr;
    check(tw_call_attach(session_, options.data(), options.size(), &call, check));
    return Call(call);
  }
  /// Records the call into a WAV file, with notes in JSON beside it; the options are a JSON object.
  Recorder record(std::string_view path, std::string_view options = "{}") {
    detail::Check check;
    tw_recorder *recorder = nullptr;
    check(tw_recorder_start(session_, path.data(), path.size(), options.data(), options.size(),
                            &recorder, check));
    return Recorder(recorder);
  }
  /// The conversation so far; its text is written as "json", "vtt" or "srt".
  Transcript transcript(std::string_view form = "json") const {
    detail::Check check;
    tw_transcript *transcript = nullptr;
    check(tw_transcript_write(session_, form.data(), form.size(), &transcript, check));
    return Transcript(transcript);
  }
  /// What the session did so far.
  struct tw_counts stats() const {
    detail::Check check;
    struct tw_counts counts = TW_COUNTS_INIT;
    check(tw_session_stats(session_, &counts, check));
    return counts;
  }
  /// Tokens used so far.
  struct tw_usage usage() const {
    detail::Check check;
    struct tw_usage usage = TW_USAGE_INIT;
    check(tw_session_usage(session_, &usage, check));
    return usage;
  }
  void commit() { call(tw_session_commit); }
  void clear() { call(tw_session_clear); }
  void send_text(std::string_view text) { call(tw_session_send_text, text); }
  void send_json(std::string_view json) { call(tw_session_send_json, json); }
  /// Fields of the wire's `response` may be overridden for this one.
  void respond() { call(tw_session_respond, {}); }
  void respond(std::string_view overrides) { call(tw_session_respond, overrides); }
  /// Stops the response that runs, or the one with this id.
  void cancel() { call(tw_session_cancel, {}); }
  void cancel(std::string_view response_id) { call(tw_session_cancel, response_id); }
  void answer_call(std::string_view call_id, std::string_view output) {
    detail::Check check;
    check(tw_session_answer_call(session_, call_id.data(), call_id.size(), output.data(),
                                 output.size(), check));
  }
  /// As respond(), with one of TW_WHEN_BUSY_* for a conversation that has a response already.
  void respond_when(int when_busy, std::string_view overrides = {}) {
    detail::Check check;
    const char *text = overrides.empty() ? nullptr : overrides.data();
    check(tw_session_respond_when(session_, text, overrides.size(), when_busy, check));
  }
  /// Decides an interruption that is held, or interrupts the agent.
  void interrupt(bool is_one = true) {
    detail::Check check;
    check(tw_session_interrupt(session_, is_one ? 1 : 0, check));
  }
  /// What was heard of an agent's audio that the host plays by itself.
  void played(std::string_view item_id, std::uint32_t content_index, milliseconds heard) {
    detail::Check check;
    const auto ms = heard < milliseconds::zero() ? 0 : static_cast<std::uint64_t>(heard.count());
    check(tw_session_played(session_, item_id.data(), item_id.size(), content_index, ms, check));
  }
  /// Lets the model call a tool, given as JSON; each call is owed one answer_tool() or fail_tool().
  void register_tool(std::string_view tool) { call(tw_tool_register, tool); }
  void answer_tool(std::string_view call_id, std::string_view output) {
    detail::Check check;
    check(tw_tool_answer(session_, call_id.data(), call_id.size(), output.data(), output.size(),
                         check));
  }
  void fail_tool(std::string_view call_id, std::string_view message) {
    detail::Check check;
    check(tw_tool_fail(session_, call_id.data(), call_id.size(), message.data(), message.size(),
                       check));
  }
  /// Asks for the end and returns at once.
  void close(milliseconds timeout) {
    detail::Check check;
    check(tw_session_close(session_, detail::bounded(timeout), check));
  }
  /// The end, once there is one.
  std::optional<End> end() const {
    detail::Check check;
    tw_end *end = nullptr;
    tw_status status = check(tw_session_end(session_, &end, check));
    return status == TW_OK ? std::optional<End>(End(end)) : std::nullopt;
  }

  /// The flight recorder: the last steps, a JSON object in each line, and nothing that was said.
  std::string flight_record() const {
    detail::Check check;
    tw_flight *flight = nullptr;
    check(tw_flight_read(session_, &flight, check));
    const detail::Handle<tw_flight, tw_flight_free> owned(flight);
    const tw_str text = tw_flight_text(flight);
    return std::string(text.ptr, text.len);
  }

  /// What the dialect says it can do: a JSON object.
  std::string_view capabilities() const noexcept {
    return detail::view(tw_session_capabilities(session_));
  }

  tw_session *get() const noexcept { return session_; }

 protected:
  tw_session *session_;

 private:
  void call(tw_status (*verb)(tw_session *, tw_error **)) {
    detail::Check check;
    check(verb(session_, check));
  }
  void call(tw_status (*verb)(tw_session *, const char *, std::size_t, tw_error **),
            std::string_view text) {
    detail::Check check;
    check(verb(session_, text.data(), text.size(), check));
  }
};

/// Where the events of a session go. Empty functions are not called.
struct Callbacks {
  std::function<void(SessionRef, const Event &)> on_event{};
  std::function<void(SessionRef, const End &)> on_closed{};
  /// On which thread they are called, TW_DELIVERY_*.
  std::int32_t delivery = TW_DELIVERY_PINNED;
};

namespace detail {

/// From the library to Callbacks.
struct Relay {
  static tw_callbacks to(Callbacks callbacks) {
    struct tw_callbacks c = TW_CALLBACKS_INIT;
    c.on_event = on_event;
    c.on_closed = on_closed;
    c.drop = drop;
    c.delivery = callbacks.delivery;
    // The library calls drop, also when opening fails.
    c.user_data = new Callbacks(std::move(callbacks));
    return c;
  }

  // An exception must not reach the library: it breaks the session off.
  template <typename Call>
  static void contain(tw_session *session, Call call) noexcept {
    try {
      call();
    } catch (...) {
      tw_session_close(session, 0, nullptr);
    }
  }
  static void on_event(void *data, tw_session *session, const tw_event *event) noexcept {
    contain(session, [&] {
      auto &call = static_cast<Callbacks *>(data)->on_event;
      if (call) call(SessionRef(session), Event::retained(event));
    });
  }
  static void on_closed(void *data, tw_session *session, const tw_end *end) noexcept {
    contain(session, [&] {
      auto &call = static_cast<Callbacks *>(data)->on_closed;
      if (call) call(SessionRef(session), End::retained(end));
    });
  }
  static void drop(void *data) noexcept { delete static_cast<Callbacks *>(data); }
};

}  // namespace detail

/// One conversation.
class Session : public SessionRef {
 public:
  /// Opens a session whose events are taken by next_event().
  explicit Session(const Config &config, const Runtime *runtime = nullptr) : SessionRef(nullptr) {
    open(config, nullptr, runtime);
  }

  /// Opens a session whose events go to callbacks, possibly before this returns.
  Session(const Config &config, Callbacks callbacks, const Runtime *runtime = nullptr)
      : SessionRef(nullptr) {
    const struct tw_callbacks c = detail::Relay::to(std::move(callbacks));
    open(config, &c, runtime);
  }

  ~Session() { tw_session_free(session_); }
  Session(Session &&other) noexcept : SessionRef(std::exchange(other.session_, nullptr)) {}
  Session &operator=(Session &&other) noexcept {
    std::swap(session_, other.session_);
    return *this;
  }
  Session(const Session &) = delete;
  Session &operator=(const Session &) = delete;

  /// The next event; nothing when none came in time or none will come any more, see end().
  std::optional<Event> next_event(milliseconds timeout = forever) {
    detail::Check check;
    tw_event *event = nullptr;
    tw_status status = check(tw_session_next_event(session_, detail::bounded(timeout), &event, check));
    return status == TW_OK ? std::optional<Event>(Event(event)) : std::nullopt;
  }
  /// A descriptor that is readable while an event or the end waits.
  int wakeup_fd() const {
    detail::Check check;
    int fd = -1;
    check(tw_session_wakeup_fd(session_, &fd, check));
    return fd;
  }
  /// Closes and waits until nothing is called any more.
  void close_wait(milliseconds timeout) {
    detail::Check check;
    check(tw_session_close_wait(session_, detail::bounded(timeout), check));
  }

 private:
  void open(const Config &config, const struct tw_callbacks *callbacks, const Runtime *runtime) {
    detail::Check check;
    check(tw_session_open(runtime ? runtime->get() : nullptr, config.get(), callbacks, &session_,
                          check));
  }
};

/// A reader of some topics of a session, with bounds of its own. It ends with the object.
class Subscription {
 public:
  /// One whose events are taken by next_event(). The options are a JSON object.
  Subscription(const SessionRef &session, std::string_view options) {
    open(session, options, nullptr);
  }
  /// One whose events go to callbacks, beside those of the session.
  Subscription(const SessionRef &session, std::string_view options, Callbacks callbacks) {
    const struct tw_callbacks c = detail::Relay::to(std::move(callbacks));
    open(session, options, &c);
  }

  /// The next event; nothing when none came in time or none will come any more. Throws
  /// TW_ERR_SLOW_READER when none will come because they were not read in time.
  std::optional<Event> next_event(milliseconds timeout = forever) {
    detail::Check check;
    tw_event *event = nullptr;
    tw_status status = check(tw_subscription_next_event(get(), detail::bounded(timeout), &event, check));
    return status == TW_OK ? std::optional<Event>(Event(event)) : std::nullopt;
  }
  /// A descriptor that is readable while an event or the end waits.
  int wakeup_fd() const {
    detail::Check check;
    int fd = -1;
    check(tw_subscription_wakeup_fd(get(), &fd, check));
    return fd;
  }
  /// What waits to be read, and what was dropped because it was not.
  tw_backlog backlog() const {
    detail::Check check;
    tw_backlog backlog{};
    check(tw_subscription_backlog(get(), &backlog, check));
    return backlog;
  }

  tw_subscription *get() const noexcept { return handle_.get(); }

 private:
  void open(const SessionRef &session, std::string_view options,
            const struct tw_callbacks *callbacks) {
    detail::Check check;
    tw_subscription *subscription = nullptr;
    check(tw_subscription_open(session.get(), options.data(), options.size(), callbacks,
                               &subscription, check));
    handle_.reset(subscription);
  }

  detail::Handle<tw_subscription, tw_subscription_free> handle_{};
};

/// A realtime server in this process, for tests and demonstrations.
class LocalServer {
 public:
  /// Without JSON, a server that echoes.
  explicit LocalServer(std::string_view json = {}) {
    detail::Check check;
    tw_local_server *server = nullptr;
    const char *text = json.empty() ? nullptr : json.data();
    check(tw_local_server_start(text, json.size(), &server, check));
    handle_.reset(server);
  }

  std::string_view url() const noexcept { return detail::view(tw_local_server_url(get())); }
  /// Where it is looked into and steered, with the option `control`.
  std::string_view control_url() const noexcept {
    return detail::view(tw_local_server_control_url(get()));
  }
  void stop() {
    detail::Check check;
    check(tw_local_server_stop(get(), check));
  }

  tw_local_server *get() const noexcept { return handle_.get(); }

 private:
  detail::Handle<tw_local_server, tw_local_server_free> handle_{};
};

}  // namespace talkwire

#endif
