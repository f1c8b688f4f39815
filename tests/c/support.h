/* What the programs of this directory share: checks, waiting for events. */
#ifndef TALKWIRE_TESTS_SUPPORT_H
#define TALKWIRE_TESTS_SUPPORT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "talkwire.h"

#define CHECK(condition)                                                            \
  do {                                                                              \
    if (!(condition)) {                                                             \
      fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                                      \
    }                                                                               \
  } while (0)

#define PATIENCE_MS 30000u

/* Fails with the library's own words. */
static inline void ok_at(tw_status status, tw_error *error, const char *file, int line) {
  if (status != TW_OK) {
    fprintf(stderr, "%s:%d: %s: %s\n", file, line, tw_status_name(status),
            tw_error_message(error).ptr);
    exit(1);
  }
}

#define OK(call)                                    \
  do {                                              \
    tw_error *err = NULL;                           \
    tw_status status_ = (call);                     \
    ok_at(status_, err, __FILE__, __LINE__);        \
  } while (0)

/* The call must fail with this status and an error object that agrees. */
#define FAILS(wanted, call)                         \
  do {                                              \
    tw_error *err = NULL;                           \
    tw_status status_ = (call);                     \
    if (status_ != (wanted))                        \
      fprintf(stderr, "%s, not %s\n", tw_status_name(status_), tw_status_name(wanted)); \
    CHECK(status_ == (wanted));                     \
    CHECK(tw_error_code(err) == (wanted));          \
    CHECK(tw_error_message(err).len > 0);           \
    tw_error_free(err);                             \
  } while (0)

static inline int is(tw_str text, const char *wanted) {
  return text.len == strlen(wanted) && memcmp(text.ptr, wanted, text.len) == 0;
}

static inline tw_local_server *serve(const char *json) {
  tw_local_server *server = NULL;
  OK(tw_local_server_start(json, TW_NTS, &server, &err));
  return server;
}

/* A session that ends with its link. */
#define ONE_LINK "{\"rollover\":{\"enabled\":false},\"recovery\":{\"budget_ms\":0}}"

/* A text-only session by default: no voice detection, so that turns are ours. */
static inline tw_config *configure(tw_local_server *server) {
  tw_config *config = NULL;
  OK(tw_config_new(&config, &err));
  tw_str url = tw_local_server_url(server);
  OK(tw_config_set_url(config, url.ptr, url.len, &err));
  OK(tw_config_set_json(config, ONE_LINK, TW_NTS, &err));
  OK(tw_config_set_session_json(
      config, "{\"output_modalities\":[\"text\"],\"audio\":{\"input\":{\"turn_detection\":null}}}",
      TW_NTS, &err));
  return config;
}

static inline tw_runtime *threads(void) {
  tw_runtime *runtime = NULL;
  OK(tw_runtime_new(1, 1, &runtime, &err));
  return runtime;
}

/* No thread of the runtime is left after this. */
static inline void finish(tw_runtime *runtime) {
  OK(tw_runtime_shutdown(runtime, PATIENCE_MS, &err));
  tw_runtime_free(runtime);
}

/* The next event, which the caller frees. */
static inline tw_event *await_any(tw_session *session) {
  tw_event *event = NULL;
  tw_error *err = NULL;
  tw_status status = tw_session_next_event(session, PATIENCE_MS, &event, &err);
  if (status != TW_OK) {
    tw_end *end = NULL;
    tw_session_end(session, &end, NULL);
    fprintf(stderr, "no event: %s; end: %s\n", tw_status_name(status), tw_end_json(end).ptr);
    exit(1);
  }
  return event;
}

/* Reads on to an event of this type, which the caller frees. */
static inline tw_event *await_event(tw_session *session, int32_t type) {
  for (;;) {
    tw_event *event = await_any(session);
    if (tw_event_type(event) == type) return event;
    fprintf(stderr, "waiting for %d: passed %d %s\n", (int)type, (int)tw_event_type(event),
            tw_event_error(event) ? tw_error_message(tw_event_error(event)).ptr : "");
    tw_event_free(event);
  }
}

static inline void skip_to(tw_session *session, int32_t type) {
  tw_event_free(await_event(session, type));
}

/* Reads on to the end, which the caller frees. */
static inline tw_end *await_end(tw_session *session) {
  tw_event *event = NULL;
  tw_status status;
  while ((status = tw_session_next_event(session, PATIENCE_MS, &event, NULL)) == TW_OK)
    tw_event_free(event);
  CHECK(status == TW_CLOSED);
  tw_end *end = NULL;
  OK(tw_session_end(session, &end, &err));
  return end;
}

#endif
