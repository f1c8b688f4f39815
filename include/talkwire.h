/**
 * @file talkwire.h
 * @brief Realtime voice agents: sessions that take speech or text and give speech, text and calls.
 *
 * This header is the manual: first the rules, then every function. Sentences that begin with P and a
 * number are promises; each has a test that carries its number.
 *
 * @section quick In short
 *
 *     tw_config *config = NULL;  tw_session *session = NULL;  tw_event *event = NULL;
 *     tw_config_new(&config, NULL);
 *     tw_config_set_url(config, "ws://127.0.0.1:8080/v1/realtime", TW_NTS, NULL);
 *     tw_session_open(NULL, config, NULL, &session, NULL);
 *     tw_session_send_text(session, "hello", TW_NTS, NULL);
 *     tw_session_respond(session, NULL, 0, NULL);
 *     while (tw_session_next_event(session, TW_FOREVER, &event, NULL) == TW_OK) {
 *       if (tw_event_type(event) == TW_EVENT_RESPONSE_OUTPUT_TEXT_DELTA)
 *         fputs(tw_event_text(event).ptr, stdout);
 *       if (tw_event_type(event) == TW_EVENT_RESPONSE_DONE) tw_session_close(session, 3000, NULL);
 *       tw_event_free(event);
 *     }
 *     tw_session_free(session);
 *     tw_config_free(config);
 *
 * @section ownership Ownership
 *
 * Objects are opaque. What a function gives through an out-parameter, or a *_retain() returns, is
 * yours until its *_free(). What a callback receives, and what an accessor returns, belongs to the
 * library or to the object it was asked from, and lives as long as that.
 *
 * P1. NULL is harmless everywhere: *_free(NULL) does nothing, accessors answer with nothing, and
 *     everything else answers with TW_ERR_ARGUMENT.
 *
 * P2. Outputs are written on success only.
 *
 * In debug builds of the library, the use of a freed object stops the program with a message.
 *
 * @section threads Threads
 *
 * Every function may be called from any thread at any time, also on the same object, except that
 * nobody may use an object after, or while, its last reference is freed. Each function says so
 * again, with whether it may be called in a callback and whether it blocks. None is safe in a signal
 * handler. No thread belongs to a session.
 *
 * @section callbacks Events by callback
 *
 * With callbacks (push), a session's events come on one callback thread of its runtime, or with
 * TW_DELIVERY_DIRECT on its I/O threads. Each has a stack of 2 MiB.
 *
 * P3. on_closed comes exactly once, and no on_event after it.
 *
 * P4. drop comes exactly once, after on_closed, and nothing after it; also when opening fails (then
 *     without on_closed) and when the session is freed without a close.
 *
 * P5. The callbacks of a session never run at the same time, and never under a lock of the library:
 *     all functions that do not block may be called in them, tw_session_free() included.
 *
 * P6. A call that would wait inside a callback returns TW_ERR_WOULD_DEADLOCK at once.
 *
 * @section pull Events by asking
 *
 * Without callbacks (pull), tw_session_next_event() takes them, and tw_session_wakeup_fd() fits a
 * session into a loop of poll(), epoll, libuv, GLib and the like.
 *
 * P7. The descriptor is readable whenever an event or the end waits.
 *
 * A reader that is too slow never stops the connection: beyond `mailbox_bytes`, text deltas are
 * joined and the oldest audio is dropped, which TW_EVENT_AUDIO_GAP tells; beyond `mailbox_events`,
 * the session ends with TW_ERR_SLOW_READER.
 * Parts of a program that want only audio, words, control events or the frames of the wire have a
 * subscription each, tw_subscription_open(). `topics` of tw_config_set_json() says what the session's
 * own reader is told.
 *
 * @section media Media port
 *
 * A host with a clock of its own (a PBX, a sound card) attaches a port to a session. Its media thread
 * then does, for each packet and however long it is:
 *
 *     tw_call_push(call, TW_TRACK_CUSTOMER, packet, len, NULL);
 *     tw_call_pull(call, packet, len, NULL);
 *
 * Formats are the host's; the session converts. When packets stop, call tw_call_pull() by another
 * clock; silence goes to the server by itself.
 *
 * P18. tw_call_push(), tw_call_pull() and tw_call_played() take no lock and no memory, make no system
 *     call and wait for nobody.
 *
 * P19. tw_call_pull() fills the whole buffer, also when it fails: sound first, then silence. Without a
 *     port, whose format is unknown, that is zeros.
 *
 * One thread at a time may be in a push of a track, one in a pull; a second one gets TW_ERR_BUSY.
 * tw_recorder_start() records what is pushed and pulled; no media thread waits for a disk.
 *
 * @section errors Errors
 *
 * A call returns TW_OK, TW_AGAIN, TW_CLOSED, or a negative TW_ERR_*. The last parameter, which may be
 * NULL, receives an error object that says more; it is written on failure only, so let it begin as
 * NULL. What fails later comes as an event: TW_EVENT_ERROR is the server's word, while
 * TW_EVENT_PROTOCOL_FAULT is this library's, for example about a command that the dialect forbids.
 *
 * P8. Every session ends with exactly one tw_end that says who, why, whether it was expected and what
 *     was never sent; a server that cannot be reached, or that vanishes, is no exception.
 *
 * P9. After a close, and after the end, what would send returns TW_ERR_CLOSED.
 *
 * P10. A bug in the library does not pass this boundary: the call returns TW_ERR_PANIC, or an empty
 *     answer, and the process lives.
 *
 * @section log Log
 *
 * The library writes nothing to stdout or stderr. tw_runtime_set_log() sends what the sessions of a
 * runtime do to a function of yours, without a word of what anybody said and without a credential.
 *
 * P20. When tw_runtime_set_log() has returned TW_OK, the function before it is not called any more,
 *     and its `drop` has been.
 *
 * @section strings Strings
 *
 * Texts go in as a pointer and a length in bytes; TW_NTS, which is (size_t)-1, means: up to the NUL.
 * NULL is no text, and an empty text is a text: where one may be left out, only NULL leaves it out.
 *
 * P11. A text that is not UTF-8 is refused with TW_ERR_ARGUMENT.
 *
 * P12. A tw_str is never NULL and always has a NUL behind it.
 *
 * Whatever is passed in is copied before the call returns. Times are in milliseconds.
 *
 * @section shutdown Shutdown
 *
 * tw_session_close() ends a session properly; tw_session_free() without it breaks the session off.
 *
 * P13. After tw_session_close_wait() has returned TW_OK, nothing of the session is called any more. (A
 *     key callback is the configuration's: its `drop` says when nothing asks any more.)
 *
 * P14. After tw_runtime_shutdown() has returned TW_OK, no thread of that runtime is left; a callback
 *     that does not return, of a key too, makes it TW_ERR_TIMEOUT. The order in which sessions,
 *     configurations and runtimes are freed does not matter.
 *
 * In atexit() handlers and destructors of C++ statics, closing, stopping and freeing work; what would
 * start threads, and tw_recorder_wait(), returns TW_ERR_CLOSED.
 *
 * Two runtimes in one process do not know of each other.
 *
 * @section fork Fork
 *
 * P15. In a child that was forked after the library started threads, every call that can fail returns
 *     TW_ERR_FORKED and calls no `drop`, and *_free() leaks on purpose. Start the library after the fork, or exec.
 *
 * @section signals Signals
 *
 * P16. The library changes no signal handler, and all signals are blocked in its threads. A connection
 *     that breaks raises no SIGPIPE in the host. (A local server whose script runs commands handles
 *     SIGCHLD where the kernel has no descriptors for processes, which Linux has since 5.3. Its commands
 *     start with none blocked; a callback that forks and execs has to unblock them itself.)
 *
 * A signal that the host handles does not end a wait in a function of this library: the wait goes on.
 *
 * @section versions Versions
 *
 * P17. TW_VERSION_NUMBER is the header's version, tw_version_number() the library's:
 *     major * 1000000 + minor * 1000 + patch. Before 1.0 a minor version may change the interface, a
 *     patch never does. The soname, libtalkwire.so.0, counts changes of the interface: a function, a
 *     struct or a constant that changes or goes raises its number, and what only comes does not.
 *
 * Ignore what you do not know: new events and statuses may come at any time, and structs that begin
 * with their size may grow at their end. The library cannot be unmapped: dlclose() keeps it.
 */

#ifndef TALKWIRE_H
#define TALKWIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#ifndef TW_API
#define TW_API extern
#endif

/** First part of the version of this header. */
#define TW_VERSION_MAJOR 0
/** Second part. */
#define TW_VERSION_MINOR 1
/** Third part. */
#define TW_VERSION_PATCH 0
/** The version of this header as one number, see P17. */
#define TW_VERSION_NUMBER (TW_VERSION_MAJOR * 1000000 + TW_VERSION_MINOR * 1000 + TW_VERSION_PATCH)

/** As the length of a text: it ends with a NUL. */
#define TW_NTS SIZE_MAX

/** As a time in milliseconds: without end. */
#define TW_FOREVER UINT32_MAX

/** First value of a `struct tw_callbacks`: knows its size, calls nothing. */
#define TW_CALLBACKS_INIT {sizeof(struct tw_callbacks), NULL, NULL, NULL, NULL, 0}

/** First value of a `struct tw_stats`: knows its size. */
#define TW_STATS_INIT {sizeof(struct tw_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

/** First value of a `struct tw_counts`: knows its size. */
#define TW_COUNTS_INIT {sizeof(struct tw_counts), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

/** First value of a `struct tw_usage`: knows its size. */
#define TW_USAGE_INIT {sizeof(struct tw_usage), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

/** First value of a `struct tw_segment`: knows its size. */
#define TW_SEGMENT_INIT {sizeof(struct tw_segment), 0, false, {NULL, 0}, {NULL, 0}, {NULL, 0}, 0, 0, 0, 0}

/** The customer, or both in turn where tracks are interleaved. */
#define TW_TRACK_CUSTOMER 0

/** The human agent, where tracks are pushed apart. */
#define TW_TRACK_AGENT 1

/** Nobody is known to blame. */
#define TW_WHO_NOBODY 0
/** The application that uses this library. */
#define TW_WHO_APP 1
/** This library. */
#define TW_WHO_LIBRARY 2
/** The server at the other end. */
#define TW_WHO_SERVER 3
/** Whatever lies between us and the server. */
#define TW_WHO_NETWORK 4

/** `audio.gap`, made by this library: audio was dropped because events were not read. */
#define TW_EVENT_AUDIO_GAP 1001

/**
 * `protocol.fault`, made by this library: the server sent something that is no event, or a command
 * that was accepted has failed. The session goes on; tw_event_error() says more.
 */
#define TW_EVENT_PROTOCOL_FAULT 1002

/**
 * `barge_in.held`, made by this library: the customer speaks over the agent; what sounds is quiet
 * until it is decided.
 */
#define TW_EVENT_BARGE_IN_HELD 1003

/**
 * `barge_in.resumed`, made by this library: it was no interruption; the agent goes on where it
 * was.
 */
#define TW_EVENT_BARGE_IN_RESUMED 1004

/**
 * `barge_in.confirmed`, made by this library: the agent is interrupted; what was not heard is
 * dropped everywhere.
 */
#define TW_EVENT_BARGE_IN_CONFIRMED 1005

/**
 * `playout.cut`, made by this library: audio of an item that was received will not be heard to its
 * end.
 */
#define TW_EVENT_PLAYOUT_CUT 1006

/**
 * `turn.timeline`, made by this library: when what happened between the customer's last word and
 * the agent's first.
 */
#define TW_EVENT_TURN_TIMELINE 1007
/** `tool.call`, made by this library: a registered tool is to be run; exactly one result is owed. */
#define TW_EVENT_TOOL_CALL 1008
/** `tool.overdue`, made by this library: a tool takes longer than a caller waits in silence. */
#define TW_EVENT_TOOL_OVERDUE 1009
/** `tool.cancelled`, made by this library: nobody waits for the result of a tool any more. */
#define TW_EVENT_TOOL_CANCELLED 1010
/** `context.warning`, made by this library: the conversation nears the context of the model. */
#define TW_EVENT_CONTEXT_WARNING 1011
/** `watch.silence`, made by this library: somebody is silent for longer than was allowed. */
#define TW_EVENT_WATCH_SILENCE 1012

/**
 * `session.rolled`, made by this library: the session goes on over a new link, by plan and with
 * nothing lost.
 */
#define TW_EVENT_SESSION_ROLLED 1013
/** `session.lost`, made by this library: the link is lost, and a new one is being made. */
#define TW_EVENT_SESSION_LOST 1014
/** `session.recovered`, made by this library: the session goes on over a new link after a loss. */
#define TW_EVENT_SESSION_RECOVERED 1015

/**
 * `wire.frame`, made by this library for subscriptions to "raw": a frame as it went over the wire,
 * which is the event's text; its JSON says which way and over which link.
 */
#define TW_EVENT_WIRE_FRAME 1016

/**
 * `link.round_trip`, made by this library: how long a ping, which is sent after a silence of
 * `ping_ms`, took there and back; its JSON has `ms`.
 */
#define TW_EVENT_LINK_ROUND_TRIP 1017

/**
 * `uplink.gap`, made by this library: captured audio was dropped, because the network or the opening
 * took longer than `uplink_max_ms`; its JSON has `dropped_ms`.
 */
#define TW_EVENT_UPLINK_GAP 1018
/** An event this version has no name for; its JSON is reachable. */
#define TW_EVENT_UNKNOWN 0
/** `error`. */
#define TW_EVENT_ERROR 1
/** `session.created`. */
#define TW_EVENT_SESSION_CREATED 2
/** `session.updated`. */
#define TW_EVENT_SESSION_UPDATED 3
/** `conversation.created`. */
#define TW_EVENT_CONVERSATION_CREATED 4
/** `conversation.item.added`. */
#define TW_EVENT_CONVERSATION_ITEM_ADDED 5
/** `conversation.item.created`. */
#define TW_EVENT_CONVERSATION_ITEM_CREATED 6
/** `conversation.item.deleted`. */
#define TW_EVENT_CONVERSATION_ITEM_DELETED 7
/** `conversation.item.done`. */
#define TW_EVENT_CONVERSATION_ITEM_DONE 8
/** `conversation.item.input_audio_transcription.completed`. */
#define TW_EVENT_CONVERSATION_ITEM_INPUT_AUDIO_TRANSCRIPTION_COMPLETED 9
/** `conversation.item.input_audio_transcription.delta`. */
#define TW_EVENT_CONVERSATION_ITEM_INPUT_AUDIO_TRANSCRIPTION_DELTA 10
/** `conversation.item.input_audio_transcription.failed`. */
#define TW_EVENT_CONVERSATION_ITEM_INPUT_AUDIO_TRANSCRIPTION_FAILED 11
/** `conversation.item.input_audio_transcription.segment`. */
#define TW_EVENT_CONVERSATION_ITEM_INPUT_AUDIO_TRANSCRIPTION_SEGMENT 12
/** `conversation.item.retrieved`. */
#define TW_EVENT_CONVERSATION_ITEM_RETRIEVED 13
/** `conversation.item.truncated`. */
#define TW_EVENT_CONVERSATION_ITEM_TRUNCATED 14
/** `input_audio_buffer.cleared`. */
#define TW_EVENT_INPUT_AUDIO_BUFFER_CLEARED 15
/** `input_audio_buffer.committed`. */
#define TW_EVENT_INPUT_AUDIO_BUFFER_COMMITTED 16
/** `input_audio_buffer.dtmf_event_received`. */
#define TW_EVENT_INPUT_AUDIO_BUFFER_DTMF_EVENT_RECEIVED 17
/** `input_audio_buffer.speech_started`. */
#define TW_EVENT_INPUT_AUDIO_BUFFER_SPEECH_STARTED 18
/** `input_audio_buffer.speech_stopped`. */
#define TW_EVENT_INPUT_AUDIO_BUFFER_SPEECH_STOPPED 19
/** `input_audio_buffer.timeout_triggered`. */
#define TW_EVENT_INPUT_AUDIO_BUFFER_TIMEOUT_TRIGGERED 20
/** `mcp_list_tools.completed`. */
#define TW_EVENT_MCP_LIST_TOOLS_COMPLETED 21
/** `mcp_list_tools.failed`. */
#define TW_EVENT_MCP_LIST_TOOLS_FAILED 22
/** `mcp_list_tools.in_progress`. */
#define TW_EVENT_MCP_LIST_TOOLS_IN_PROGRESS 23
/** `output_audio_buffer.cleared`. */
#define TW_EVENT_OUTPUT_AUDIO_BUFFER_CLEARED 24
/** `output_audio_buffer.started`. */
#define TW_EVENT_OUTPUT_AUDIO_BUFFER_STARTED 25
/** `output_audio_buffer.stopped`. */
#define TW_EVENT_OUTPUT_AUDIO_BUFFER_STOPPED 26
/** `rate_limits.updated`. */
#define TW_EVENT_RATE_LIMITS_UPDATED 27
/** `response.content_part.added`. */
#define TW_EVENT_RESPONSE_CONTENT_PART_ADDED 28
/** `response.content_part.done`. */
#define TW_EVENT_RESPONSE_CONTENT_PART_DONE 29
/** `response.created`. */
#define TW_EVENT_RESPONSE_CREATED 30
/** `response.done`. */
#define TW_EVENT_RESPONSE_DONE 31
/** `response.function_call_arguments.delta`. */
#define TW_EVENT_RESPONSE_FUNCTION_CALL_ARGUMENTS_DELTA 32
/** `response.function_call_arguments.done`. */
#define TW_EVENT_RESPONSE_FUNCTION_CALL_ARGUMENTS_DONE 33
/** `response.mcp_call.completed`. */
#define TW_EVENT_RESPONSE_MCP_CALL_COMPLETED 34
/** `response.mcp_call.failed`. */
#define TW_EVENT_RESPONSE_MCP_CALL_FAILED 35
/** `response.mcp_call.in_progress`. */
#define TW_EVENT_RESPONSE_MCP_CALL_IN_PROGRESS 36
/** `response.mcp_call_arguments.delta`. */
#define TW_EVENT_RESPONSE_MCP_CALL_ARGUMENTS_DELTA 37
/** `response.mcp_call_arguments.done`. */
#define TW_EVENT_RESPONSE_MCP_CALL_ARGUMENTS_DONE 38
/** `response.output_audio.delta`. */
#define TW_EVENT_RESPONSE_OUTPUT_AUDIO_DELTA 39
/** `response.output_audio.done`. */
#define TW_EVENT_RESPONSE_OUTPUT_AUDIO_DONE 40
/** `response.output_audio_transcript.delta`. */
#define TW_EVENT_RESPONSE_OUTPUT_AUDIO_TRANSCRIPT_DELTA 41
/** `response.output_audio_transcript.done`. */
#define TW_EVENT_RESPONSE_OUTPUT_AUDIO_TRANSCRIPT_DONE 42
/** `response.output_item.added`. */
#define TW_EVENT_RESPONSE_OUTPUT_ITEM_ADDED 43
/** `response.output_item.done`. */
#define TW_EVENT_RESPONSE_OUTPUT_ITEM_DONE 44
/** `response.output_text.delta`. */
#define TW_EVENT_RESPONSE_OUTPUT_TEXT_DELTA 45
/** `response.output_text.done`. */
#define TW_EVENT_RESPONSE_OUTPUT_TEXT_DONE 46
/** `transcription_session.updated`. */
#define TW_EVENT_TRANSCRIPTION_SESSION_UPDATED 47
/** `session.closed` of a translation session. */
#define TW_EVENT_SESSION_CLOSED 48
/** `session.input_transcript.delta` of a translation session. */
#define TW_EVENT_SESSION_INPUT_TRANSCRIPT_DELTA 49
/** `session.output_audio.delta` of a translation session. */
#define TW_EVENT_SESSION_OUTPUT_AUDIO_DELTA 50
/** `session.output_transcript.delta` of a translation session. */
#define TW_EVENT_SESSION_OUTPUT_TRANSCRIPT_DELTA 51

/** No log. */
#define TW_LOG_OFF 0
/** A session ended by a fault of this library. */
#define TW_LOG_ERROR 1

/**
 * What somebody should look at: losses, errors of the server, audio that was dropped, an end that
 * nobody asked for.
 */
#define TW_LOG_WARN 2
/** The life of sessions and links. */
#define TW_LOG_INFO 3
/** Each step that is not one of a stream: events, frames, commands, decisions. */
#define TW_LOG_DEBUG 4
/** Pieces of streams as well. */
#define TW_LOG_TRACE 5

/** On a callback thread `tw-cb-N`, always the same one; the default. */
#define TW_DELIVERY_PINNED 0

/**
 * On an I/O thread `tw-io-N`, which saves a change of threads. For callbacks that never wait: they hold
 * up every session of that thread. When the runtime is shut down or freed, what is left comes on one of
 * its threads or on the one that does so.
 */
#define TW_DELIVERY_DIRECT 1

/** The wish waits for its turn. */
#define TW_WHEN_BUSY_QUEUE 0

/** It waits, and wishes for the same get one response together. What tw_session_respond() does. */
#define TW_WHEN_BUSY_MERGE 1

/** What runs is cancelled, what waits is dropped, and the wish comes next. */
#define TW_WHEN_BUSY_REPLACE 2

/** It is refused. */
#define TW_WHEN_BUSY_REFUSE 3

/** The caller. */
#define TW_ROLE_CUSTOMER 1
/** The model. */
#define TW_ROLE_AGENT 2
/** Instructions among the items. */
#define TW_ROLE_SYSTEM 3

/** The media port of a session: sound in, sound out, by the clock of the host. */
typedef struct tw_call tw_call;

/** What a session is opened with. Opening copies it, so it may be changed, used again or freed. */
typedef struct tw_config tw_config;

/** How a session ended: who, why, whether it was expected, and what was never sent. */
typedef struct tw_end tw_end;

/** What went wrong, whose fault it is, and the server's own words. */
typedef struct tw_error tw_error;

/** Something that happened in a session. Never changes; belongs to whoever holds a reference. */
typedef struct tw_event tw_event;

/** The last steps of a session as they were when they were read. */
typedef struct tw_flight tw_flight;

/** Where a callback puts the credential that it was asked for. */
typedef struct tw_key tw_key;

/** A realtime server in this process, on threads of its own. */
typedef struct tw_local_server tw_local_server;

/** A recording: a WAV file, and notes in JSON beside it. */
typedef struct tw_recorder tw_recorder;

/** Threads for sessions: some that do I/O and some that run callbacks; none belongs to a session. */
typedef struct tw_runtime tw_runtime;

/** One conversation. */
typedef struct tw_session tw_session;

/** A reader of some topics of a session, with bounds of its own. */
typedef struct tw_subscription tw_subscription;

/** A conversation as it was when it was taken. */
typedef struct tw_transcript tw_transcript;

/** What a call returns: TW_OK, another positive answer, or a negative TW_ERR_*. */
typedef int32_t tw_status;

/**
 * What went through a media port, in samples of the host where nothing else is said. Begin with
 * TW_STATS_INIT.
 */
typedef struct tw_stats {
  /** Bytes of this struct, as the caller knows it; set by TW_STATS_INIT. */
  size_t struct_size;
  /** Taken from pushes, both tracks. */
  uint64_t pushed;
  /** Pushed and dropped, because the session did not keep up. */
  uint64_t overrun;
  /** Pushes of which something was dropped. */
  uint64_t overruns;
  /** Given to pulls as sound. */
  uint64_t pulled;
  /** Given to pulls as silence. */
  uint64_t silence;
  /** How often speech ran dry in its middle. */
  uint64_t underruns;
  /** Waits in the ring to be pulled. */
  uint64_t depth;
  /** Waits to get into the ring, in milliseconds. */
  uint64_t queued_ms;
  /** Speech of the agent that was dropped because too much of it waited, in milliseconds. */
  uint64_t play_dropped_ms;
  /** Dropped because it was too old when the session opened. */
  uint64_t preroll_dropped;
  /** Silence sent because nothing was pushed. */
  uint64_t inserted;
  /** Loudness of the customer in dBFS, -100 for silence. */
  float customer_dbfs;
  /** Loudness of the human agent in dBFS, -100 for silence. */
  float agent_dbfs;
} tw_stats;

/**
 * A text that belongs to the object it was asked from: UTF-8, `len` bytes, followed by a NUL that
 * `len` does not count. Never NULL; what does not exist is the empty text.
 */
typedef struct tw_str {
  /** First byte. */
  const char *ptr;
  /** Bytes, without the NUL at the end. */
  size_t len;
} tw_str;

/** Bytes that belong to the object they were asked from. What does not exist has no bytes. */
typedef struct tw_bytes {
  /** First byte, aligned for 16-bit samples; NULL if there is none. */
  const uint8_t *ptr;
  /** Bytes. */
  size_t len;
} tw_bytes;

/**
 * Gives a credential: calls tw_key_set() and returns TW_OK, or returns why there is none.
 * TW_ERR_AUTH is final; after TW_ERR_UNREACHABLE, TW_ERR_TIMEOUT and the like it is asked again, as a
 * dial that failed is made again.
 */
typedef tw_status (*tw_key_callback)(void *user_data, struct tw_key *key);

/**
 * Gets one line of the log, without a line break: TW_LOG_*, milliseconds since 1970, and the text,
 * which is there for the call. Lines have names, numbers and identifiers: nothing of what anybody
 * said, no audio, no credential.
 */
typedef void (*tw_log_callback)(void *user_data,
                                int32_t level,
                                uint64_t unix_ms,
                                struct tw_str message);

/**
 * Where the events of a session go. Begin with TW_CALLBACKS_INIT; every function may be NULL.
 *
 * Calls come one at a time, on a thread of the runtime, and must return soon: other sessions wait.
 * They must not throw or jump out.
 */
typedef struct tw_callbacks {
  /** Bytes of this struct, as the caller knows it; set by TW_CALLBACKS_INIT. */
  size_t struct_size;
  /** An event. It belongs to the library: tw_event_retain() keeps it beyond the call. */
  void (*on_event)(void *user_data, struct tw_session *session, const struct tw_event *event);
  /** The end; the last call for this session. It belongs to the library: tw_end_retain() keeps it. */
  void (*on_closed)(void *user_data, struct tw_session *session, const struct tw_end *end);
  /** Nothing will be called any more: free what user_data points to. */
  void (*drop)(void *user_data);
  /** Passed to all three. */
  void *user_data;
  /** On which thread they are called, TW_DELIVERY_*. */
  int32_t delivery;
} tw_callbacks;

/**
 * What a session did so far. Times are in milliseconds; all numbers but those of what waits, of the
 * last turn and of the last ping only grow. Begin with TW_COUNTS_INIT.
 */
typedef struct tw_counts {
  /** Bytes of this struct, as the caller knows it; set by TW_COUNTS_INIT. */
  size_t struct_size;
  /** How long the session has been open, until its last step. */
  uint64_t age_ms;
  /** Links that were opened. */
  uint64_t links;
  /** Links that were lost. */
  uint64_t losses;
  /** Changes to a new link by plan. */
  uint64_t rollovers;
  /** Changes to a new link after a loss. */
  uint64_t recoveries;
  /** Frames given to links to be sent. */
  uint64_t frames_sent;
  /** Frames that came. */
  uint64_t frames_received;
  /** Audio given to links to be sent. */
  uint64_t audio_sent_ms;
  /** Captured audio that was dropped because it could not be sent, as TW_EVENT_UPLINK_GAP told. */
  uint64_t audio_dropped_ms;
  /** Audio of answers that came. */
  uint64_t audio_received_ms;
  /** Interruptions by the customer. */
  uint64_t barge_ins;
  /** Calls of registered tools. */
  uint64_t tool_calls;
  /** Errors that the server told. */
  uint64_t server_errors;
  /** Broken frames, and commands that failed with nobody waiting for them. */
  uint64_t faults;
  /** Turns whose answer was heard; the three below are about these. */
  uint64_t answers;
  /**
   * From the customer's last word, or what is known of it, to the first sound of the answer: of the
   * last turn.
   */
  uint64_t answer_ms;
  /** Of the slowest turn. */
  uint64_t answer_max_ms;
  /** Of all turns together. */
  uint64_t answer_sum_ms;
  /** Pings that were answered. */
  uint64_t round_trips;
  /** How long the last one took there and back. */
  uint64_t round_trip_ms;
  /** Events that wait to be read by the session's own reader. */
  uint64_t unread_events;
  /** Bytes that they hold in memory, roughly. */
  uint64_t unread_bytes;
  /** Audio that was dropped because it was not read. */
  uint64_t unread_dropped_ms;
  /** Commands that wait to be looked at. */
  uint64_t waiting_commands;
} tw_counts;

/** Tokens of a session so far, cancelled responses included. Begin with TW_USAGE_INIT. */
typedef struct tw_usage {
  /** Bytes of this struct, as the caller knows it; set by TW_USAGE_INIT. */
  size_t struct_size;
  /** Responses counted. */
  uint64_t responses;
  /** Tokens read. */
  uint64_t input_tokens;
  /** Tokens written. */
  uint64_t output_tokens;
  /** Text tokens read. */
  uint64_t input_text_tokens;
  /** Audio tokens read. */
  uint64_t input_audio_tokens;
  /** Tokens read from the provider's cache. */
  uint64_t cached_tokens;
  /** Text tokens written. */
  uint64_t output_text_tokens;
  /** Audio tokens written. */
  uint64_t output_audio_tokens;
  /** Tokens of the conversation after the last response. */
  uint64_t context_tokens;
  /** Tokens that the model can hold; 0 where the dialect does not say. */
  uint64_t context_limit_tokens;
} tw_usage;

/** What waits for a reader, and what was dropped because it was not read. */
typedef struct tw_backlog {
  /** Events that wait. */
  uint64_t events;
  /** Bytes that they hold in memory, roughly. */
  uint64_t bytes;
  /** Audio that was dropped so far, in milliseconds; TW_EVENT_AUDIO_GAP tells where. */
  uint64_t dropped_ms;
  /** Frames that were dropped so far; `missed` of TW_EVENT_WIRE_FRAME tells where. */
  uint64_t dropped_frames;
} tw_backlog;

/** One utterance of a transcript, which its texts belong to. Begin with TW_SEGMENT_INIT. */
typedef struct tw_segment {
  /** Bytes of this struct, as the caller knows it; set by TW_SEGMENT_INIT. */
  size_t struct_size;
  /** Who said it, TW_ROLE_*. */
  int32_t role;
  /** Whether the words will not change. */
  bool is_final;
  /** The words, as far as they are known. */
  struct tw_str text;
  /**
   * The words that were heard: all of them, or of an answer that was cut about those of the part of
   * its sound that was.
   */
  struct tw_str heard;
  /** The item it belongs to. */
  struct tw_str item_id;
  /** Start in milliseconds, of session audio for speech, of the session for the rest; -1 unknown. */
  int64_t start_ms;
  /** End, likewise. */
  int64_t end_ms;
  /** Of an answer that was cut, how much of its sound was heard; -1 for all else. */
  int64_t heard_ms;
  /** Of an answer that was cut, how much of its sound had been received; -1 for all else. */
  int64_t received_ms;
} tw_segment;

/** It is done. */
#define TW_OK 0

/** No event yet: not an error. */
#define TW_AGAIN 1

/** No event any more, the session has ended: not an error. */
#define TW_CLOSED 2

/** An argument is missing, out of range or not valid UTF-8. */
#define TW_ERR_ARGUMENT (-1)
/** The session is closed or closing; as the reason of an end: the normal one. */
#define TW_ERR_CLOSED (-2)
/** The call would wait for itself: a blocking call inside a callback. */
#define TW_ERR_WOULD_DEADLOCK (-3)
/** The process forked after the library started its threads. */
#define TW_ERR_FORKED (-4)
/** A queue is full; nothing was taken. */
#define TW_ERR_QUEUE_FULL (-5)
/** A deadline passed. */
#define TW_ERR_TIMEOUT (-6)
/** The dialect of this endpoint cannot do that. */
#define TW_ERR_UNSUPPORTED (-7)
/** The dialect's table knows the value to be wrong; nothing was sent. */
#define TW_ERR_REFUSED (-8)
/** A configuration, dialect table or script has an error. */
#define TW_ERR_CONFIG (-9)
/** No connection could be made. */
#define TW_ERR_UNREACHABLE (-10)
/** The TLS certificate or handshake failed. */
#define TW_ERR_TLS (-11)
/** The server answered the WebSocket upgrade with something else. */
#define TW_ERR_HANDSHAKE (-12)
/** The credential is missing, wrong or without the needed role. */
#define TW_ERR_AUTH (-13)
/** The endpoint, folder or model does not exist. */
#define TW_ERR_NOT_FOUND (-14)
/** A quota or rate limit was hit. */
#define TW_ERR_RATE_LIMITED (-15)
/** The peer broke the protocol. */
#define TW_ERR_PROTOCOL (-16)
/** The server reported an error event. */
#define TW_ERR_SERVER (-17)
/** The session reached its maximum duration. */
#define TW_ERR_EXPIRED (-18)
/** The connection was lost without a closing handshake. */
#define TW_ERR_LOST (-19)
/** The server closed the connection although nobody asked. */
#define TW_ERR_SERVER_CLOSED (-20)
/** The server closed for a reason that will not go away: policy, bad model, withdrawn API. */
#define TW_ERR_FATAL (-21)
/** The server is overloaded or shutting down. */
#define TW_ERR_OVERLOADED (-22)
/** Events were not read and the hard bound of the mailbox was reached. */
#define TW_ERR_SLOW_READER (-23)
/** The call was cancelled before it had an answer. */
#define TW_ERR_CANCELLED (-24)
/** A file could not be read or written. */
#define TW_ERR_IO (-25)
/** A bug in this library; it was contained. */
#define TW_ERR_PANIC (-26)
/** Two threads called a function that is for one thread at a time; nothing was done. */
#define TW_ERR_BUSY (-27)

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/* ---- Versions ---------------------------------------------------------------------------------- */

/**
 * The version of the library that runs: major * 1000000 + minor * 1000 + patch.
 *
 * Compare it with TW_VERSION_NUMBER, the version of the header that was compiled in.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API uint32_t tw_version_number(void);

/**
 * The same version as text, for example "0.1.0". Static; never freed.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API const char *tw_version_string(void);

/**
 * One line about how the library was built, for bug reports. Static; never freed.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API const char *tw_build_info(void);

/* ---- Statuses and errors ----------------------------------------------------------------------- */

/**
 * The lower-case name of a status, for example "queue_full"; "unknown" for a number that is none.
 * Static; never freed.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API const char *tw_status_name(tw_status status);

/**
 * The lower-case name of a TW_WHO_*: "app", "library", "server", "network", else "nobody".
 * Static; never freed.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API const char *tw_who_name(int32_t who);

/**
 * The status of an error, always negative; TW_OK for NULL.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_error_code(const struct tw_error *error);

/**
 * tw_status_name() of its status. Static; never freed.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API const char *tw_error_name(const struct tw_error *error);

/**
 * A sentence for people, without the name of the status. Belongs to the error.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API struct tw_str tw_error_message(const struct tw_error *error);

/**
 * Whose fault it is: a TW_WHO_*.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API int32_t tw_error_who(const struct tw_error *error);

/**
 * Whether the same call may succeed later.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API bool tw_error_is_retryable(const struct tw_error *error);

/**
 * The server's own code, for example "invalid_value". Belongs to the error.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API struct tw_str tw_error_provider_code(const struct tw_error *error);

/**
 * The server's own class, for example "invalid_request_error". Belongs to the error.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API struct tw_str tw_error_provider_type(const struct tw_error *error);

/**
 * The path of the field that the server complains about. Belongs to the error.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API struct tw_str tw_error_provider_param(const struct tw_error *error);

/**
 * The `event_id` of the client event that caused it. Belongs to the error.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API struct tw_str tw_error_event_id(const struct tw_error *error);

/**
 * The body of a refused upgrade, at most 4 KiB. Belongs to the error.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API struct tw_str tw_error_body(const struct tw_error *error);

/**
 * The HTTP status of a refused upgrade, or 0.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API int32_t tw_error_http_status(const struct tw_error *error);

/**
 * The code of the WebSocket close frame, or 0.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API int32_t tw_error_close_code(const struct tw_error *error);

/**
 * Gives an error back. NULL is allowed.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API void tw_error_free(struct tw_error *error);

/* ---- Runtime ----------------------------------------------------------------------------------- */

/**
 * Sends the log of a runtime to a function, from now on and instead of the one before. What sessions
 * do is logged that were opened since this was called first. The function is called on a thread
 * `tw-log` of the runtime, one line at a time, and holds up nobody: when it is slow, the oldest lines
 * go, which a line tells. It counts as a callback: a call that would wait fails in it.
 *
 * @param runtime    the runtime, or NULL for the shared one
 * @param level      how much is logged, TW_LOG_*; TW_LOG_OFF ends the log
 * @param log        the function; NULL ends the log
 * @param user_data  passed to both functions
 * @param drop       called once when nothing will be logged any more: by another call, a shutdown or
 *                   the end of the runtime, or because this call failed; may be NULL
 * @param err        receives the error, may be NULL
 * @return TW_OK: the function before is not called any more; TW_ERR_TIMEOUT (the one before did not
 *         return within 3 seconds: it gets the lines that wait and no later ones; try again),
 *         TW_ERR_CLOSED (the runtime is shut down), TW_ERR_WOULD_DEADLOCK, TW_ERR_IO (no thread to be
 *         had), TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: no, TW_ERR_WOULD_DEADLOCK. Blocks: while the function before runs.
 */
TW_API tw_status tw_runtime_set_log(struct tw_runtime *runtime,
                             int32_t level,
                             tw_log_callback log,
                             void *user_data,
                             void (*drop)(void *user_data),
                             struct tw_error **err);

/**
 * Starts threads of your own.
 *
 * You need this only to choose their number, or to stop them at a time you know: where a
 * `tw_runtime *` is asked for, NULL means threads that all such callers share and that live as long
 * as the process.
 * Beside those of the two numbers, key callbacks and recordings have threads `tw-job-N`, which come
 * and go.
 *
 * @param io_threads        threads `tw-io-N`, 1024 at most; 0 for the default, 1
 * @param callback_threads  threads `tw-cb-N`, 1024 at most, started with the first callback; 0 for the
 *                          default, 2
 * @param runtime           receives the runtime; give it back with tw_runtime_free()
 * @param err               receives the error, may be NULL
 * @return TW_OK, TW_ERR_IO (no threads or descriptors to be had), TW_ERR_ARGUMENT (too many),
 *         TW_ERR_CLOSED (the process ends), TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_runtime_new(uint32_t io_threads,
                         uint32_t callback_threads,
                         struct tw_runtime **runtime,
                         struct tw_error **err);

/**
 * Closes all sessions of a runtime, delivers their last events and ends to their callbacks, and
 * stops the threads. After it, opening a session on this runtime fails with TW_ERR_CLOSED.
 *
 * @param runtime     the runtime
 * @param timeout_ms  milliseconds for all of it
 * @param err         receives the error, may be NULL
 * @return TW_OK when no thread of the runtime is left; TW_ERR_TIMEOUT (what was left is dropped; the
 *         message says how many sessions or that a callback, of a key too, did not return; call it
 *         again to wait on),
 *         TW_ERR_WOULD_DEADLOCK, TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: no, TW_ERR_WOULD_DEADLOCK. Blocks: up to timeout_ms.
 */
TW_API tw_status tw_runtime_shutdown(struct tw_runtime *runtime,
                              uint32_t timeout_ms,
                              struct tw_error **err);

/**
 * Gives a runtime back. NULL is allowed. Sessions keep the threads they need, so the order of
 * freeing does not matter; without tw_runtime_shutdown() the threads end some time after the last
 * session.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API void tw_runtime_free(struct tw_runtime *runtime);

/* ---- Configuration ----------------------------------------------------------------------------- */

/**
 * A configuration with all defaults: the default dialect's own endpoint, no credential.
 *
 * @param config  receives it; give it back with tw_config_free()
 * @param err     receives the error, may be NULL
 * @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_config_new(struct tw_config **config, struct tw_error **err);

/**
 * Another endpoint: `ws://` or `wss://`, path included, query allowed.
 *
 * @param config  the configuration
 * @param url     the URL
 * @param len     its bytes, or TW_NTS
 * @param err     receives the error, may be NULL
 * @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED; a wrong URL is reported when a session is opened
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_config_set_url(struct tw_config *config,
                            const char *url,
                            size_t len,
                            struct tw_error **err);

/**
 * The dialect that the server speaks: the name of a built-in one, the JSON text of a table, or the
 * path of a file that holds one.
 *
 * @param config   the configuration
 * @param dialect  name, JSON or path
 * @param len      its bytes, or TW_NTS
 * @param err      receives the error, may be NULL
 * @return TW_OK, TW_ERR_CONFIG (no such dialect, or an error in the table), TW_ERR_IO (the file
 *         cannot be read), TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no, but for reading a file.
 */
TW_API tw_status tw_config_set_dialect(struct tw_config *config,
                                const char *dialect,
                                size_t len,
                                struct tw_error **err);

/**
 * The credential, without control characters. It is sent as the dialect says, and never logged. A
 * server on this machine (a loopback address) needs none.
 *
 * @param config  the configuration
 * @param key     the credential
 * @param len     its bytes, or TW_NTS
 * @param err     receives the error, may be NULL
 * @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_config_set_key(struct tw_config *config,
                            const char *key,
                            size_t len,
                            struct tw_error **err);

/**
 * The model; a short name is completed by the folder where the dialect builds full names.
 *
 * @param config  the configuration
 * @param model   the model
 * @param len     its bytes, or TW_NTS
 * @param err     receives the error, may be NULL
 * @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED; a wrong name is reported when a session is opened
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_config_set_model(struct tw_config *config,
                              const char *model,
                              size_t len,
                              struct tw_error **err);

/**
 * The folder that a short model name belongs to.
 *
 * @param config  the configuration
 * @param folder  the folder
 * @param len     its bytes, or TW_NTS
 * @param err     receives the error, may be NULL
 * @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_config_set_folder(struct tw_config *config,
                               const char *folder,
                               size_t len,
                               struct tw_error **err);

/**
 * The system prompt.
 *
 * @param config        the configuration
 * @param instructions  the prompt
 * @param len           its bytes, or TW_NTS
 * @param err           receives the error, may be NULL
 * @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_config_set_instructions(struct tw_config *config,
                                     const char *instructions,
                                     size_t len,
                                     struct tw_error **err);

/**
 * The voice, by its name.
 *
 * @param config  the configuration
 * @param voice   the name
 * @param len     its bytes, or TW_NTS
 * @param err     receives the error, may be NULL
 * @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_config_set_voice(struct tw_config *config,
                              const char *voice,
                              size_t len,
                              struct tw_error **err);

/**
 * The role (manner) of the voice, where the dialect has roles.
 *
 * @param config  the configuration
 * @param role    the role
 * @param len     its bytes, or TW_NTS
 * @param err     receives the error, may be NULL
 * @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_config_set_role(struct tw_config *config,
                             const char *role,
                             size_t len,
                             struct tw_error **err);

/**
 * The first settings of the session as a JSON object in the shape of `session.update`, merged into
 * what was set before.
 *
 * @param config   the configuration
 * @param session  the object
 * @param len      its bytes, or TW_NTS
 * @param err      receives the error, may be NULL
 * @return TW_OK, TW_ERR_ARGUMENT (also for text that is no JSON object), TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_config_set_session_json(struct tw_config *config,
                                     const char *session,
                                     size_t len,
                                     struct tw_error **err);

/**
 * Certificates to trust beside those of the system.
 *
 * @param config  the configuration
 * @param pem     certificates in PEM form
 * @param len     their bytes, or TW_NTS
 * @param err     receives the error, may be NULL
 * @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED; wrong certificates are reported when a session is
 *         opened
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_config_set_extra_ca(struct tw_config *config,
                                 const char *pem,
                                 size_t len,
                                 struct tw_error **err);

/**
 * One more header of the upgrade request, without control characters. The same name again replaces it.
 *
 * @param config     the configuration
 * @param name       name of the header
 * @param name_len   its bytes, or TW_NTS
 * @param value      its value
 * @param value_len  its bytes, or TW_NTS
 * @param err        receives the error, may be NULL
 * @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_config_set_header(struct tw_config *config,
                               const char *name,
                               size_t name_len,
                               const char *value,
                               size_t value_len,
                               struct tw_error **err);

/**
 * Options as a JSON object; each key replaces what was set before. All keys, with defaults:
 * `model`, `folder` (none), `session` {}, `query` [], `headers` [] (lists of [name, value]),
 * `waive` [] (checks to switch off), `connect_timeout_ms` 10000, `handshake_timeout_ms` 10000,
 * `greeting_timeout_ms` 10000, `reply_timeout_ms` 10000, `close_timeout_ms` 3000, `uplink_max_ms`
 * 30000 (audio kept while it cannot be sent), `topics` ["audio", "transcript", "control"] (what the
 * session's own reader is told; "raw" too, see tw_subscription_open()), `mailbox_bytes` 8388608 (unread events before text is
 * joined and audio dropped), `mailbox_events` 20000 (unread events at which the session ends with
 * TW_ERR_SLOW_READER), `flight_lines` 500 and `flight_dir` (none; see tw_flight_read()), `seed` (of
 * identifiers; random), `proxy` (`http://`, `https://` or
 * `socks5://`, user and password allowed; "" goes straight; absent asks HTTPS_PROXY, HTTP_PROXY,
 * ALL_PROXY and NO_PROXY when dialling, never for this machine), `only_ca` (PEM certificates to
 * trust and no other ones), `client_cert` and `client_key` (PEM, shown to servers that ask),
 * `rollover` {"enabled": true, "margin_ms": 30000, "overlap_ms": 1000, "replay_tokens": 8000} (the
 * change to a new link before the server's session is too old), `recovery` {"budget_ms": 30000,
 * "delay_ms": 250, "delay_max_ms": 8000, "audio_ms": 5000, "answer": "go_on" or "silent"} (what
 * follows a lost link; a budget of 0 ends the session with it), `ping_ms` 15000 (silence after which
 * the server and the system are asked for a sign of life, 0 never), `pong_timeout_ms` 10000 (time for
 * it; a server of a dialect whose servers may leave pings unanswered is only held to them once it has
 * answered one).
 *
 * @param config   the configuration
 * @param options  the object
 * @param len      its bytes, or TW_NTS
 * @param err      receives the error, may be NULL
 * @return TW_OK, TW_ERR_CONFIG (an unknown key or a wrong value; nothing was changed),
 *         TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_config_set_json(struct tw_config *config,
                             const char *options,
                             size_t len,
                             struct tw_error **err);

/**
 * One more endpoint, tried when those before it fail: at the opening, and after a loss. A planned
 * change of link stays where the session is.
 *
 * Of the other configuration, which is copied, count its URL, dialect and credential, what reaching
 * it takes (model, folder, `query`, headers, proxy, certificates, times to connect) and its session:
 * a patch of the settings for this endpoint, such as a voice that it has. All else is as the session
 * was opened. TW_EVENT_SESSION_RECOVERED has the number of the endpoint, counted from 1, in
 * `endpoint`.
 *
 * @param config    the configuration
 * @param fallback  another one; may be freed afterwards
 * @param err       receives the error, may be NULL
 * @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED; what is wrong with it is reported when a session is
 *         opened
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_config_add_fallback(struct tw_config *config,
                                 const struct tw_config *fallback,
                                 struct tw_error **err);

/**
 * Gives a configuration back. NULL is allowed.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API void tw_config_free(struct tw_config *config);

/**
 * A credential that does not last, such as an IAM token: the callback is asked before each dial, also
 * when a session changes its link, so let it keep a token as long as it is good. It runs on a thread
 * of its own, for several sessions at the same time, may block, and has the time of
 * `connect_timeout_ms`. It counts as a callback: a call that would wait fails in it. It belongs to
 * the configuration: one that is slow may outlast its session, and tw_runtime_shutdown() waits for it.
 *
 * @param config     the configuration
 * @param ask        the callback
 * @param user_data  passed to both functions
 * @param drop       called once when nothing will ask any more: the configuration and all sessions
 *                   opened with it are gone, or this call failed; may be NULL
 * @param err        receives the error, may be NULL
 * @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_config_set_key_callback(struct tw_config *config,
                                     tw_key_callback ask,
                                     void *user_data,
                                     void (*drop)(void *user_data),
                                     struct tw_error **err);

/**
 * Puts the credential, without control characters, into its place; it is copied. Only in the
 * callback that was given the key.
 *
 * @param key   what the callback was given
 * @param text  the credential
 * @param len   its bytes, or TW_NTS
 * @param err   receives the error, may be NULL
 * @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_key_set(struct tw_key *key,
                     const char *text,
                     size_t len,
                     struct tw_error **err);

/* ---- Sessions ---------------------------------------------------------------------------------- */

/**
 * Opens a session and returns at once; connecting goes on behind it. What is sent meanwhile waits
 * for the connection. A connection that fails is told by the end of the session.
 *
 * With callbacks, events are pushed, possibly before this call returns: use the session that the
 * callback is given. Without (NULL), they are pulled by tw_session_next_event().
 *
 * @param runtime    threads to use, or NULL for shared ones
 * @param config     copied; may be changed or freed afterwards
 * @param callbacks  copied, or NULL; when the call fails, its `drop` was called before the return,
 *                   unless the struct itself was refused for its size
 * @param session    receives the session; give it back with tw_session_free()
 * @param err        receives the error, may be NULL
 * @return TW_OK; without having connected: TW_ERR_AUTH (no credential for another machine),
 *         TW_ERR_REFUSED (a model name known to be wrong), TW_ERR_CONFIG, TW_ERR_TLS (unreadable
 *         certificates), TW_ERR_CLOSED (the runtime is shut down), TW_ERR_IO, TW_ERR_ARGUMENT,
 *         TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_session_open(struct tw_runtime *runtime,
                          const struct tw_config *config,
                          const struct tw_callbacks *callbacks,
                          struct tw_session **session,
                          struct tw_error **err);

/**
 * Asks for the end and returns at once: what was sent before still goes out, then the connection is
 * closed properly; a session that is not open yet is broken off. From now on sending fails with
 * TW_ERR_CLOSED. Closing twice is one close.
 *
 * @param session     the session
 * @param timeout_ms  milliseconds for all of it; 0 breaks off
 * @param err         receives the error, may be NULL
 * @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_session_close(struct tw_session *session,
                           uint32_t timeout_ms,
                           struct tw_error **err);

/**
 * tw_session_close(), and waits until it is over: with callbacks until `drop` has returned, so that
 * nothing is called any more; without, until the end is known (events that wait can still be read).
 *
 * @param session     the session
 * @param timeout_ms  milliseconds for closing; then it is broken off, which has a second to be told
 * @param err         receives the error, may be NULL
 * @return TW_OK, TW_ERR_TIMEOUT (the close goes on), TW_ERR_WOULD_DEADLOCK, TW_ERR_ARGUMENT,
 *         TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: no, TW_ERR_WOULD_DEADLOCK. Blocks: up to timeout_ms + 1000.
 */
TW_API tw_status tw_session_close_wait(struct tw_session *session,
                                uint32_t timeout_ms,
                                struct tw_error **err);

/**
 * How the session ended, once it has.
 *
 * @param session  the session
 * @param end      receives the end; give it back with tw_end_free()
 * @param err      receives the error, may be NULL
 * @return TW_OK, TW_AGAIN (it goes on), TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_session_end(const struct tw_session *session,
                         struct tw_end **end,
                         struct tw_error **err);

/**
 * What the dialect of the session says it can do, as a JSON object with the keys `dialect`, `caps`,
 * `limits`, `voices` and `server_tools`. Known from the start, also without a connection, and the
 * same to the end. What it does not name may still work. Belongs to the session.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API struct tw_str tw_session_capabilities(const struct tw_session *session);

/**
 * Gives a session back. NULL is allowed. One that was not closed is broken off; its callbacks still
 * get their end, and `drop` comes after that. Legal in the session's own callbacks.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API void tw_session_free(struct tw_session *session);

/**
 * Takes the next event.
 *
 * @param session     a session without callbacks
 * @param timeout_ms  milliseconds to wait for one; 0 only looks, TW_FOREVER waits for ever
 * @param event       receives the event; give it back with tw_event_free()
 * @param err         receives the error, may be NULL
 * @return TW_OK; TW_AGAIN: no event in that time; TW_CLOSED: no event any more, see
 *         tw_session_end(); TW_ERR_WOULD_DEADLOCK, TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes, each event goes to one caller. In a callback: only with timeout_ms 0. Blocks: up to timeout_ms.
 */
TW_API tw_status tw_session_next_event(struct tw_session *session,
                                uint32_t timeout_ms,
                                struct tw_event **event,
                                struct tw_error **err);

/**
 * A descriptor that is readable while an event, or the end, waits, for poll() and the like. It
 * belongs to the session: only poll it. After it became readable, call tw_session_next_event() with
 * timeout 0 until TW_AGAIN.
 *
 * @param session  a session without callbacks
 * @param fd       receives the descriptor
 * @param err      receives the error, may be NULL
 * @return TW_OK, TW_ERR_IO (no descriptor to be had), TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_session_wakeup_fd(struct tw_session *session, int *fd, struct tw_error **err);

/**
 * Changes settings: keys that are absent keep their values, null clears. The server answers with
 * TW_EVENT_SESSION_UPDATED.
 *
 * @param session  the session
 * @param patch    JSON object in the shape of `session.update`
 * @param len      its bytes, or TW_NTS
 * @param err      receives the error, may be NULL
 * @return TW_OK, TW_ERR_ARGUMENT (also for text that is no JSON object), TW_ERR_CLOSED,
 *         TW_ERR_QUEUE_FULL, TW_ERR_FORKED; what the dialect refuses comes as
 *         TW_EVENT_PROTOCOL_FAULT
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_session_update(struct tw_session *session,
                            const char *patch,
                            size_t len,
                            struct tw_error **err);

/**
 * Appends audio of the customer. The bytes are copied.
 *
 * @param session  the session
 * @param audio    whole samples, mono, in the input format of the session (PCM16: little-endian)
 * @param len      bytes
 * @param err      receives the error, may be NULL
 * @return TW_OK, TW_ERR_CLOSED, TW_ERR_QUEUE_FULL (nothing was taken), TW_ERR_ARGUMENT,
 *         TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_session_append(struct tw_session *session,
                            const void *audio,
                            size_t len,
                            struct tw_error **err);

/**
 * Makes a turn of the audio appended so far. Asks for no response.
 *
 * @param session  the session
 * @param err      receives the error, may be NULL
 * @return TW_OK, TW_ERR_CLOSED, TW_ERR_QUEUE_FULL, TW_ERR_ARGUMENT, TW_ERR_FORKED; an empty turn is
 *         refused by TW_EVENT_PROTOCOL_FAULT or TW_EVENT_ERROR
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_session_commit(struct tw_session *session, struct tw_error **err);

/**
 * Forgets the audio appended since the last turn.
 *
 * @param session  the session
 * @param err      receives the error, may be NULL
 * @return TW_OK, TW_ERR_CLOSED, TW_ERR_QUEUE_FULL, TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_session_clear(struct tw_session *session, struct tw_error **err);

/**
 * Puts a text of the customer into the conversation. Asks for no response.
 *
 * @param session  the session
 * @param text     the text
 * @param len      its bytes, or TW_NTS
 * @param err      receives the error, may be NULL
 * @return TW_OK, TW_ERR_CLOSED, TW_ERR_QUEUE_FULL, TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_session_send_text(struct tw_session *session,
                               const char *text,
                               size_t len,
                               struct tw_error **err);

/**
 * Sends any event of the protocol, by its current name; unknown types and fields pass as they are.
 *
 * @param session  the session
 * @param json     a JSON object with a `type`
 * @param len      its bytes, or TW_NTS
 * @param err      receives the error, may be NULL
 * @return TW_OK, TW_ERR_CLOSED, TW_ERR_QUEUE_FULL, TW_ERR_ARGUMENT (also for text that is no JSON
 *         object), TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_session_send_json(struct tw_session *session,
                               const char *json,
                               size_t len,
                               struct tw_error **err);

/**
 * Asks for a response.
 *
 * @param session    the session
 * @param overrides  NULL, or a JSON object with fields of the wire's `response`, for this one only
 * @param len        its bytes, or TW_NTS
 * @param err        receives the error, may be NULL
 * @return TW_OK, TW_ERR_CLOSED, TW_ERR_QUEUE_FULL, TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_session_respond(struct tw_session *session,
                             const char *overrides,
                             size_t len,
                             struct tw_error **err);

/**
 * Stops a response.
 *
 * @param session      the session
 * @param response_id  the response, or NULL for the one that runs
 * @param len          its bytes, or TW_NTS
 * @param err          receives the error, may be NULL
 * @return TW_OK, TW_ERR_CLOSED, TW_ERR_QUEUE_FULL, TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_session_cancel(struct tw_session *session,
                            const char *response_id,
                            size_t len,
                            struct tw_error **err);

/**
 * Answers a function call. Asks for no response.
 *
 * @param session      the session
 * @param call_id      the call, see tw_event_call_id()
 * @param call_id_len  its bytes, or TW_NTS
 * @param output       what the function returned, usually JSON text
 * @param output_len   its bytes, or TW_NTS
 * @param err          receives the error, may be NULL
 * @return TW_OK, TW_ERR_CLOSED, TW_ERR_QUEUE_FULL, TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_session_answer_call(struct tw_session *session,
                                 const char *call_id,
                                 size_t call_id_len,
                                 const char *output,
                                 size_t output_len,
                                 struct tw_error **err);

/**
 * Asks for a response, and says what becomes of the wish while the conversation has one that runs.
 * A wish that comes to nothing is told by TW_EVENT_PROTOCOL_FAULT.
 *
 * @param session    the session
 * @param overrides  NULL, or a JSON object with fields of the wire's `response`, for this one only
 * @param len        its bytes, or TW_NTS
 * @param when_busy  one of TW_WHEN_BUSY_QUEUE, _MERGE, _REPLACE, _REFUSE
 * @param err        receives the error, may be NULL
 * @return TW_OK, TW_ERR_CLOSED, TW_ERR_QUEUE_FULL, TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_session_respond_when(struct tw_session *session,
                                  const char *overrides,
                                  size_t len,
                                  int32_t when_busy,
                                  struct tw_error **err);

/**
 * Decides an interruption that TW_EVENT_BARGE_IN_HELD told of, or interrupts the agent by the
 * host's own judgement. What was not heard is dropped here and at the server.
 *
 * @param session  the session
 * @param is_one   not 0: it is an interruption; 0: it is none, and the agent goes on
 * @param err      receives the error, may be NULL
 * @return TW_OK, TW_ERR_CLOSED, TW_ERR_QUEUE_FULL, TW_ERR_ARGUMENT, TW_ERR_FORKED; that there is
 *         nothing to interrupt is told by TW_EVENT_PROTOCOL_FAULT
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_session_interrupt(struct tw_session *session,
                               int32_t is_one,
                               struct tw_error **err);

/**
 * Tells how much of an agent's audio was heard, for a host that plays the events' audio by itself
 * and owns the queue (a telephone server with marks). The first such call makes the session count
 * what is heard, so that an interruption cuts the answer there. With a media port (`tw_call_*`) it
 * is not needed.
 *
 * @param session        the session
 * @param item_id        the item, see tw_event_item_id()
 * @param len            its bytes, or TW_NTS
 * @param content_index  the part, 0 for the first
 * @param heard_ms       milliseconds from the beginning of the part
 * @param err            receives the error, may be NULL
 * @return TW_OK, TW_ERR_CLOSED, TW_ERR_QUEUE_FULL, TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_session_played(struct tw_session *session,
                            const char *item_id,
                            size_t len,
                            uint32_t content_index,
                            uint64_t heard_ms,
                            struct tw_error **err);

/**
 * What a session did so far. Also after its end.
 *
 * @param session  the session
 * @param counts   a struct that began with TW_COUNTS_INIT; receives the numbers
 * @param err      receives the error, may be NULL
 * @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_session_stats(const struct tw_session *session,
                           struct tw_counts *counts,
                           struct tw_error **err);

/**
 * Tokens used so far. Also after the end of the session.
 *
 * @param session  the session
 * @param usage    a struct that began with TW_USAGE_INIT; receives the numbers
 * @param err      receives the error, may be NULL
 * @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_session_usage(const struct tw_session *session,
                           struct tw_usage *usage,
                           struct tw_error **err);

/* ---- Tools ------------------------------------------------------------------------------------- */

/**
 * Lets the model call a tool. Each call comes as TW_EVENT_TOOL_CALL with its `call_id`, `name`,
 * `arguments` (the text of a JSON object with all that the schema requires; arguments that are no
 * such thing are answered to the model by the library) and `idempotency_key`, and is owed exactly
 * one tw_tool_answer() or tw_tool_fail(), from any thread. When all calls of a response have their
 * result, the next response is asked for by the library. Tools may also be given before the session
 * opens, as `tools` of tw_config_set_json().
 *
 * @param session  the session
 * @param tool     JSON object: `name`, and optionally `description`, `parameters` (JSON schema),
 *                 `timeout_ms` (30000; then the model is told, and TW_EVENT_TOOL_CANCELLED comes),
 *                 `overdue_ms` (4000; then TW_EVENT_TOOL_OVERDUE comes) and `filler` (what the
 *                 agent says when it is overdue)
 * @param len      its bytes, or TW_NTS
 * @param err      receives the error, may be NULL
 * @return TW_OK, TW_ERR_CLOSED, TW_ERR_QUEUE_FULL, TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_tool_register(struct tw_session *session,
                           const char *tool,
                           size_t len,
                           struct tw_error **err);

/**
 * Gives the result of a tool to the model. The first result of a call counts; another one, and one
 * that is too late, is refused by TW_EVENT_PROTOCOL_FAULT.
 *
 * @param session      the session
 * @param call_id      the call, see tw_event_call_id()
 * @param call_id_len  its bytes, or TW_NTS
 * @param output       what the tool gave, usually JSON text
 * @param output_len   its bytes, or TW_NTS
 * @param err          receives the error, may be NULL
 * @return TW_OK, TW_ERR_CLOSED, TW_ERR_QUEUE_FULL, TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_tool_answer(struct tw_session *session,
                         const char *call_id,
                         size_t call_id_len,
                         const char *output,
                         size_t output_len,
                         struct tw_error **err);

/**
 * Tells the model that a tool failed; counts as its result.
 *
 * @param session      the session
 * @param call_id      the call
 * @param call_id_len  its bytes, or TW_NTS
 * @param message      what went wrong, for the model
 * @param message_len  its bytes, or TW_NTS
 * @param err          receives the error, may be NULL
 * @return TW_OK, TW_ERR_CLOSED, TW_ERR_QUEUE_FULL, TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_tool_fail(struct tw_session *session,
                       const char *call_id,
                       size_t call_id_len,
                       const char *message,
                       size_t message_len,
                       struct tw_error **err);

/* ---- Media port -------------------------------------------------------------------------------- */

/**
 * Attaches a media port: sound goes to the server as it is pushed, and what the agent says is there
 * to be pulled. May be called right after tw_session_open(): what is pushed before the session is
 * open is kept and sent then. A session has one port at a time; events come as ever.
 *
 * The options are a JSON object; what it lacks has a value that suits a telephone call:
 * `uplink` and `downlink` (format of pushes and pulls, `{"type":"audio/pcm","rate":24000}`;
 * `audio/pcma` and `audio/pcmu` are A-law and mu-law, of 8000 Hz or the `rate`), `tracks` (`mono`, `stereo` interleaved, or
 * `two` pushed apart), `send` (`customer`, `agent` or `mix`), `prebuffer_ms` 80, `rebuffer_ms` 60,
 * `ring_ms` 250, `preroll_ms` 5000, `silence_after_ms` 60 and `silence_max_ms` 3000 (silence is sent
 * by the clock when pushes stop), `queue_max_ms` 600000, `latency_ms` 0, `confirm` false,
 * `hold_db` 18 (null: paused), `fade_ms` 5 (of what is cut or held), `comfort_noise_dbfs` null (-70
 * to -30: noise instead of silence), `echo_gate` null (`{"erl_db":12,"tail_ms":200,"mute":true}`:
 * what is weaker than the agent by so much is its echo, no interruption, and muted), `tick_ms` 20, `idle_tick_ms` 100.
 *
 * @param session  the session
 * @param options  JSON object, or NULL
 * @param len      its bytes, or TW_NTS
 * @param call     receives the port; give it back with tw_call_detach()
 * @param err      receives the error, may be NULL
 * @return TW_OK, TW_ERR_CONFIG (options that make no sense), TW_ERR_ARGUMENT (also when there is a
 *         port already), TW_ERR_CLOSED, TW_ERR_QUEUE_FULL, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_call_attach(struct tw_session *session,
                         const char *options,
                         size_t len,
                         struct tw_call **call,
                         struct tw_error **err);

/**
 * Gives sound to the session. What does not fit, because the session did not keep up, is dropped
 * and counted. For real-time threads.
 *
 * @param call   the port
 * @param track  TW_TRACK_CUSTOMER, or TW_TRACK_AGENT where tracks are pushed apart
 * @param data   whole samples in the format of the uplink, any number of them
 * @param len    bytes
 * @param taken  receives the samples taken, may be NULL
 * @return TW_OK, TW_ERR_CLOSED (the session is over), TW_ERR_BUSY (another thread is in a push of
 *         this track), TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: one thread per track at a time. In a callback: yes. Blocks: no, P18.
 */
TW_API tw_status tw_call_push(struct tw_call *call,
                       int32_t track,
                       const void *data,
                       size_t len,
                       size_t *taken);

/**
 * Fills a buffer with what the agent says; what is not sound, at its end, is silence or comfort
 * noise. For real-time threads. After the end of the session what was received still comes, if it is
 * pulled and the end was not asked for; else what is in the ring.
 *
 * @param call  the port
 * @param out   room for whole samples in the format of the downlink, any number of them
 * @param len   its bytes
 * @param real  receives the samples that are sound, may be NULL
 * @return TW_OK, TW_ERR_CLOSED (the session is over and all was pulled), TW_ERR_BUSY (another thread
 *         is in a pull), TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: one thread at a time, pushes beside it. In a callback: yes. Blocks: no, P18.
 */
TW_API tw_status tw_call_pull(struct tw_call *call,
                       void *out,
                       size_t len,
                       size_t *real);

/**
 * What was heard last, at most `tick_ms` ago.
 *
 * @param call  the port
 * @param part  receives the number of the part, counted from 1 in the order in which parts of the
 *              agent's items begin to sound; may be NULL
 * @param ms    receives the milliseconds of it; may be NULL
 * @return TW_OK, TW_AGAIN (nothing was heard yet), TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_call_position(const struct tw_call *call, uint64_t *part, uint64_t *ms);

/**
 * Tells how many of all samples that were pulled as sound have arrived at the listener: for a host
 * that queues what it pulls and knows by marks how far it is. With the option `confirm` this, and not
 * the pull, is what counts as heard. For real-time threads.
 *
 * @param call     the port
 * @param samples  in all, since the port was attached; fewer than before change nothing
 * @return TW_OK, TW_ERR_ARGUMENT (also without the option), TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no, P18.
 */
TW_API tw_status tw_call_played(struct tw_call *call,
                         uint64_t samples);

/**
 * Tells how long a pulled sample takes to the listener's ear, from now on.
 *
 * @param call  the port
 * @param ms    milliseconds
 * @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_call_set_latency_ms(struct tw_call *call, uint32_t ms);

/**
 * Wishes that what waits to be heard is dropped; it happens within `tick_ms`.
 *
 * @param call  the port
 * @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_call_flush(struct tw_call *call);

/**
 * The numbers so far.
 *
 * @param call   the port
 * @param stats  begun with TW_STATS_INIT; receives the numbers
 * @return TW_OK, TW_ERR_ARGUMENT (also for a struct without its size), TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_call_stats(const struct tw_call *call, struct tw_stats *stats);

/**
 * Lets go of the session and gives the port back; what was pushed is still sent. NULL is allowed. No
 * other call with this port may run or follow. It may outlive its session.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API void tw_call_detach(struct tw_call *call);

/* ---- Recordings and transcripts ---------------------------------------------------------------- */

/**
 * Records a call into a WAV file (PCM16), replacing what is there: the customer as pushed on the
 * left, the agent on the right as the host pulled it, with its cuts and silences. Beside it stands
 * NAME.json: `segments` (`role`, `text`, `start_ms`, `end_ms`, `item_id`, `is_final`), `barge_ins`,
 * `cuts` (`item_id`, `heard_ms`), `gaps`, `end`; all times are milliseconds of the recording. Both
 * files are readable at any time, also when this process is killed, and lack at most their last
 * second. The recording begins with the media port if one is attached, else when one is, and ends
 * with the session, which has one recording at a time. A full disk ends the recording, which
 * TW_EVENT_PROTOCOL_FAULT tells, and never the session.
 *
 * The options are a JSON object: `rate_hz`, 8000 to 48000; without it the higher rate of the media
 * port, or 24000 when none is attached yet.
 *
 * @param session      the session
 * @param path         the WAV file
 * @param path_len     bytes of the path, or TW_NTS
 * @param options      JSON object, or NULL
 * @param options_len  its bytes, or TW_NTS
 * @param recorder     receives the recording; give it back with tw_recorder_free()
 * @param err          receives the error, may be NULL
 * @return TW_OK, TW_ERR_IO (the file cannot be written, or is no regular one), TW_ERR_ARGUMENT
 *         (also when there is a recording already), TW_ERR_CONFIG, TW_ERR_CLOSED,
 *         TW_ERR_QUEUE_FULL, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: while the file is created.
 */
TW_API tw_status tw_recorder_start(struct tw_session *session,
                            const char *path,
                            size_t path_len,
                            const char *options,
                            size_t options_len,
                            struct tw_recorder **recorder,
                            struct tw_error **err);

/**
 * Ends the recording before its session and returns at once; tw_recorder_wait() says when the files
 * are complete.
 *
 * @param recorder  the recording
 * @param err       receives the error, may be NULL
 * @return TW_OK, TW_ERR_QUEUE_FULL, TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_recorder_stop(struct tw_recorder *recorder, struct tw_error **err);

/**
 * Waits until the recording has ended, by tw_recorder_stop() or with its session, and the files are
 * complete.
 *
 * @param recorder    the recording
 * @param timeout_ms  milliseconds to wait
 * @param err         receives the error, may be NULL
 * @return TW_OK, TW_ERR_TIMEOUT (it goes on), TW_ERR_IO (what ended it, such as a full disk),
 *         TW_ERR_WOULD_DEADLOCK (in a callback), TW_ERR_CLOSED (the process ends), TW_ERR_ARGUMENT,
 *         TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: no. Blocks: yes.
 */
TW_API tw_status tw_recorder_wait(struct tw_recorder *recorder,
                           uint32_t timeout_ms,
                           struct tw_error **err);

/**
 * Milliseconds that a reader of the file finds, whatever becomes of this process. 0 for NULL.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API uint64_t tw_recorder_written_ms(const struct tw_recorder *recorder);

/**
 * Gives the handle back. The recording goes on to the end of its session. NULL is allowed.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API void tw_recorder_free(struct tw_recorder *recorder);

/**
 * Takes the conversation so far, at least as new as the last event that was read: for
 * tw_transcript_segment(), and written down as JSON (`segments` with `role`, `text`, `start_ms`,
 * `end_ms`, `item_id`, `is_final`, and of an answer that was cut `heard`, `heard_ms`, `received_ms`),
 * or for players as WebVTT or SubRip. Also after the end of the session.
 *
 * @param session     the session
 * @param form        "json", "vtt" or "srt"
 * @param len         its bytes, or TW_NTS
 * @param transcript  receives the transcript; give it back with tw_transcript_free()
 * @param err         receives the error, may be NULL
 * @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_transcript_write(const struct tw_session *session,
                              const char *form,
                              size_t len,
                              struct tw_transcript **transcript,
                              struct tw_error **err);

/**
 * The text; it belongs to the transcript. Empty for NULL.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API struct tw_str tw_transcript_text(const struct tw_transcript *transcript);

/**
 * How many utterances a transcript has. 0 for NULL.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API size_t tw_transcript_count(const struct tw_transcript *transcript);

/**
 * One utterance, in the order of the conversation.
 *
 * @param transcript  the transcript
 * @param index       its place, from 0
 * @param segment     a struct that began with TW_SEGMENT_INIT; receives the utterance
 * @param err         receives the error, may be NULL
 * @return TW_OK, TW_ERR_ARGUMENT (no such place, or a struct without its size), TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_transcript_segment(const struct tw_transcript *transcript,
                                size_t index,
                                struct tw_segment *segment,
                                struct tw_error **err);

/**
 * Gives the transcript back. NULL is allowed.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API void tw_transcript_free(struct tw_transcript *transcript);

/* ---- Events ------------------------------------------------------------------------------------ */

/**
 * What kind of event it is: a TW_EVENT_*; TW_EVENT_UNKNOWN for one that is newer than this library,
 * whose name and JSON are there all the same, and for NULL.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API int32_t tw_event_type(const struct tw_event *event);

/**
 * Its name on the wire, for example "response.output_text.delta"; the current name also when the
 * server uses an older one. Belongs to the event.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API struct tw_str tw_event_name(const struct tw_event *event);

/**
 * The text it carries: a delta, a whole text or transcript, the arguments of a call, the message of
 * an error. Belongs to the event.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API struct tw_str tw_event_text(const struct tw_event *event);

/**
 * The audio it carries, decoded: whole samples in the output format of the session, little-endian
 * and aligned for 16-bit samples where the format is PCM16. Belongs to the event.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API struct tw_bytes tw_event_audio(const struct tw_event *event);

/**
 * How long its audio lasts, in milliseconds.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API uint64_t tw_event_audio_ms(const struct tw_event *event);

/**
 * The event as one line of JSON in the current names of the protocol. Belongs to the event.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API struct tw_str tw_event_json(const struct tw_event *event);

/**
 * The frame as the server sent it; empty for an event of this library and for deltas that were
 * joined because nobody read them. Belongs to the event.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API struct tw_str tw_event_raw(const struct tw_event *event);

/**
 * The item it is about. Belongs to the event.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API struct tw_str tw_event_item_id(const struct tw_event *event);

/**
 * The response it belongs to. Belongs to the event.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API struct tw_str tw_event_response_id(const struct tw_event *event);

/**
 * The function call it is about, for tw_session_answer_call(). Set in
 * TW_EVENT_RESPONSE_FUNCTION_CALL_ARGUMENTS_DELTA and _DONE, and in
 * TW_EVENT_RESPONSE_OUTPUT_ITEM_ADDED and _DONE of a call. Belongs to the event.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API struct tw_str tw_event_call_id(const struct tw_event *event);

/**
 * The name of the function to be called. Not every server sends it with the arguments; the event
 * TW_EVENT_RESPONSE_OUTPUT_ITEM_ADDED of the call always has it. Belongs to the event.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API struct tw_str tw_event_call_name(const struct tw_event *event);

/**
 * The error that it reports: of TW_EVENT_ERROR and TW_EVENT_PROTOCOL_FAULT, else NULL. Belongs to
 * the event: do not free it.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API const struct tw_error *tw_event_error(const struct tw_event *event);

/**
 * When it arrived: milliseconds since the session was opened.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API uint64_t tw_event_at_ms(const struct tw_event *event);

/**
 * The TW_EVENT_* of a name on the wire; TW_EVENT_UNKNOWN if this library has none.
 *
 * @param name  for example "response.done"
 * @param len   its bytes, or TW_NTS
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API int32_t tw_event_type_named(const char *name, size_t len);

/**
 * Keeps an event beyond its callback; returns it. Needs one tw_event_free() more.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API struct tw_event *tw_event_retain(const struct tw_event *event);

/**
 * Gives an event back. NULL is allowed.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API void tw_event_free(struct tw_event *event);

/* ---- Subscriptions ----------------------------------------------------------------------------- */

/**
 * One more reader of a session, of some topics: it is told what happens from now on, and has bounds
 * of its own. Who is slow at reading one misses something in that one only.
 *
 * The options are a JSON object: `topics`, which must be there, a list of
 * "audio" (sound of the agent and gaps in it),
 * "transcript" (words of either party), "control" (everything else), "raw" (TW_EVENT_WIRE_FRAME: each
 * frame in both directions, audio included, so keep it to yourself); `max_bytes` 2097152 (unread
 * bytes beyond which text is joined and the oldest audio and frames are dropped); `max_events` 20000
 * (unread events, audio and frames apart, at which the subscription ends with TW_ERR_SLOW_READER,
 * while the session goes on). What the session's own reader is told is chosen by `topics` of
 * tw_config_set_json().
 *
 * With callbacks its events are pushed, as those of a session are; on_closed tells how it ended: with
 * its session, by tw_subscription_free(), or because it was too slow. Callbacks of two subscriptions,
 * or of one and its session, may run at the same time.
 *
 * @param session       the session, which need not be open yet
 * @param options       JSON object
 * @param options_len   its bytes, or TW_NTS
 * @param callbacks     copied, or NULL to pull; when the call fails, its `drop` was called before the
 *                      return, unless the struct itself was refused for its size
 * @param subscription  receives the subscription; give it back with tw_subscription_free()
 * @param err           receives the error, may be NULL
 * @return TW_OK, TW_ERR_CONFIG (no such topic or option), TW_ERR_REFUSED (more than 32),
 *         TW_ERR_ARGUMENT, TW_ERR_CLOSED (the runtime is shut down), TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_subscription_open(struct tw_session *session,
                               const char *options,
                               size_t options_len,
                               const struct tw_callbacks *callbacks,
                               struct tw_subscription **subscription,
                               struct tw_error **err);

/**
 * Takes the next event.
 *
 * @param subscription  a subscription without callbacks
 * @param timeout_ms    milliseconds to wait for one; 0 only looks, TW_FOREVER waits for ever
 * @param event         receives the event; give it back with tw_event_free()
 * @param err           receives the error, may be NULL
 * @return TW_OK; TW_AGAIN: no event in that time; TW_CLOSED: no event any more;
 *         TW_ERR_SLOW_READER: none any more, because they were not read in time;
 *         TW_ERR_WOULD_DEADLOCK, TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes, each event goes to one caller. In a callback: only with timeout_ms 0. Blocks: up to timeout_ms.
 */
TW_API tw_status tw_subscription_next_event(struct tw_subscription *subscription,
                                     uint32_t timeout_ms,
                                     struct tw_event **event,
                                     struct tw_error **err);

/**
 * A descriptor that is readable while an event, or the end, waits, for poll() and the like. It
 * belongs to the subscription: only poll it.
 *
 * @param subscription  a subscription without callbacks
 * @param fd            receives the descriptor
 * @param err           receives the error, may be NULL
 * @return TW_OK, TW_ERR_IO (no descriptor to be had), TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_subscription_wakeup_fd(struct tw_subscription *subscription,
                                    int *fd,
                                    struct tw_error **err);

/**
 * What waits to be read, and what was dropped because it was not.
 *
 * @param subscription  the subscription
 * @param backlog       receives the numbers
 * @param err           receives the error, may be NULL
 * @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_subscription_backlog(const struct tw_subscription *subscription,
                                  struct tw_backlog *backlog,
                                  struct tw_error **err);

/**
 * Ends a subscription and gives it back. NULL is allowed. The session goes on. Its callbacks still
 * get what waits and their end, and `drop` comes after that. Legal in its own callbacks.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API void tw_subscription_free(struct tw_subscription *subscription);

/* ---- The end of a session ---------------------------------------------------------------------- */

/**
 * Who ended the session: a TW_WHO_*.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API int32_t tw_end_who(const struct tw_end *end);

/**
 * Why: a TW_ERR_*, of which TW_ERR_CLOSED is the normal end.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_end_why(const struct tw_end *end);

/**
 * The code of the WebSocket close frame, or 0 if none was seen.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API int32_t tw_end_code(const struct tw_end *end);

/**
 * The HTTP status if the upgrade was refused, or 0.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API int32_t tw_end_http_status(const struct tw_end *end);

/**
 * Whether the application asked for it.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API bool tw_end_expected(const struct tw_end *end);

/**
 * Whether somebody was speaking, a response was running or a function call was unanswered.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API bool tw_end_mid_turn(const struct tw_end *end);

/**
 * Milliseconds of audio that were taken from the application and never sent.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API uint64_t tw_end_unsent_audio_ms(const struct tw_end *end);

/**
 * Commands that were taken from the application and never sent.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API uint64_t tw_end_unsent_commands(const struct tw_end *end);

/**
 * A sentence for people. Belongs to the end.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API struct tw_str tw_end_message(const struct tw_end *end);

/**
 * All of it as one line of JSON: who, why, code, http_status, expected, mid_turn, unsent, message.
 * Belongs to the end.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API struct tw_str tw_end_json(const struct tw_end *end);

/**
 * The error behind the end, with the server's own words, or NULL if it was a normal end. Belongs to
 * the end: do not free it.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API const struct tw_error *tw_end_error(const struct tw_end *end);

/**
 * Keeps an end beyond its callback; returns it. Needs one tw_end_free() more.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API struct tw_end *tw_end_retain(const struct tw_end *end);

/**
 * Gives an end back. NULL is allowed.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API void tw_end_free(struct tw_end *end);

/**
 * Reads the flight recorder: the last steps of the session, oldest first, a JSON object in each line
 * with `at_ms`, `what` and `name`, and with `id`, `count`, `bytes` where there are any. It says what
 * was sent, received and decided, and nothing of what anybody said, nor a credential; so it may be
 * passed on. Also after the end. `flight_lines` of tw_config_set_json() says how many steps are kept,
 * `flight_dir` where they are written when the session ends in a way that nobody asked for.
 *
 * @param session  the session
 * @param flight   receives the record; give it back with tw_flight_free()
 * @param err      receives the error, may be NULL
 * @return TW_OK, TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API tw_status tw_flight_read(const struct tw_session *session,
                         struct tw_flight **flight,
                         struct tw_error **err);

/**
 * The lines; they belong to the record. Empty for NULL.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API struct tw_str tw_flight_text(const struct tw_flight *flight);

/**
 * Gives the record back. NULL is allowed.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API void tw_flight_free(struct tw_flight *flight);

/* ---- Local server ------------------------------------------------------------------------------ */

/**
 * Starts a realtime server in this process, for tests and demonstrations, and returns when it
 * listens.
 *
 * Keys of the JSON object, all optional: `listen` ("127.0.0.1:0"), `allow_remote`, `profile` (name
 * of a dialect), `dialect` (a table), `script` (YAML text or an object), `script_base` (directory
 * of the script's WAV files), `script_file`, `brain`, `ears`, `voice` (names), `api_key` (the only
 * one accepted), `tls` {`cert`, `key`} (PEM files), `models`, `max_sessions`, `lifetime_ms`,
 * `pacing` ("instant" or "realtime"), `think_ms`, `seed`, `faults` (a list of what goes wrong, as in
 * a script), `journal` (directory for a file of each session), `control` (true: a port of this
 * machine for looking into it, see tw_local_server_control_url()).
 *
 * @param config  the object, or NULL for a server that echoes
 * @param len     its bytes, or TW_NTS
 * @param server  receives the server; give it back with tw_local_server_free()
 * @param err     receives the error, may be NULL
 * @return TW_OK, TW_ERR_CONFIG (a wrong script, name or file), TW_ERR_IO, TW_ERR_ARGUMENT (also for
 *         an unknown key), TW_ERR_CLOSED (the process ends), TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: yes. Blocks: while it reads its files.
 */
TW_API tw_status tw_local_server_start(const char *config,
                                size_t len,
                                struct tw_local_server **server,
                                struct tw_error **err);

/**
 * Its complete URL, for example "ws://127.0.0.1:40123/v1/realtime". Belongs to the server.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API struct tw_str tw_local_server_url(const struct tw_local_server *server);

/**
 * The URL for looking into it and steering it, for example "http://127.0.0.1:40124/": a page for
 * people, and endpoints for programs (journal, events, clock, faults). Empty unless `control` was
 * asked for. Belongs to the server.
 *
 * Thread-safe: yes. In a callback: yes. Blocks: no.
 */
TW_API struct tw_str tw_local_server_control_url(const struct tw_local_server *server);

/**
 * Stops a server: its sessions are closed with code 1001. Stopping twice is one stop.
 *
 * @param server  the server
 * @param err     receives the error, may be NULL
 * @return TW_OK, TW_ERR_WOULD_DEADLOCK, TW_ERR_ARGUMENT, TW_ERR_FORKED
 *
 * Thread-safe: yes. In a callback: no, TW_ERR_WOULD_DEADLOCK. Blocks: up to two seconds.
 */
TW_API tw_status tw_local_server_stop(struct tw_local_server *server, struct tw_error **err);

/**
 * Stops a server and gives it back. NULL is allowed.
 *
 * Thread-safe: yes. In a callback: better not. Blocks: up to two seconds, if it was not stopped.
 */
TW_API void tw_local_server_free(struct tw_local_server *server);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* TALKWIRE_H */
