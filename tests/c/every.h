/* A world to call every function in, and what holds wherever one is called. */
#ifndef TALKWIRE_TESTS_EVERY_H
#define TALKWIRE_TESTS_EVERY_H

#include <unistd.h>

#include "support.h"

/* One object of each kind, of a session that lives. */
typedef struct {
#define FIELD(name) struct tw_##name *name;
  HANDLES(FIELD)
#undef FIELD
  const char *text;
  size_t text_len;
  const void *bytes;
  void *room;
  size_t bytes_len;
  uint32_t timeout_ms;
  tw_error *err;
  /* Which parameters are NULL, by bits. */
  unsigned nothing;
} world;

typedef struct {
  tw_status status;
} answer;

enum guard { STATUS, DONE, BARE, VALUE, RELEASE };

typedef struct {
  const char *name;
  enum guard guard;
  int reads_text, may_wait;
  uint64_t errors;
  answer (*call)(world *w);
} function;

#define AT(i, x) (w->nothing >> (i) & 1 ? NULL : (x))
#define ERR(name) (UINT64_C(1) << -TW_ERR_##name)
#define NOTHING (~0u)

/* Where what some functions write goes. */
#define SCRATCH_TEMPLATE "/tmp/talkwire-every-XXXXXX"
static char SCRATCH[] = SCRATCH_TEMPLATE;

/* What an output is before the call. */
static char UNTOUCHED;

/* P2: whether an output was written, which it is on success only. */
static inline int is_output(void *output, tw_status status) {
  if (status < 0) CHECK(output == (void *)&UNTOUCHED);
  return output && output != (void *)&UNTOUCHED;
}

static inline void check_text(tw_str text) { CHECK(text.ptr != NULL && text.ptr[text.len] == 0); }

static inline int can_fail(const function *f) { return f->guard <= BARE; }

/* Calls, and checks what always holds: no bug was met, an error says what the status says, and it is
   one that the manual names. */
static inline tw_status call(const function *f, world *w) {
  w->err = NULL;
  tw_status status = f->call(w).status;
  tw_error *err = w->err;
  w->err = NULL;
  if (!can_fail(f)) {
    CHECK(err == NULL);
    return TW_OK;
  }
  int is_named = status >= 0 || (f->errors >> -status & 1);
  if (!is_named) fprintf(stderr, "%s: %s: %s\n", f->name, tw_status_name(status), tw_error_message(err).ptr);
  CHECK(is_named);
  CHECK(err == NULL || tw_error_code(err) == status);
  CHECK(err == NULL || status < 0);
  tw_error_free(err);
  return status;
}

/* Calls, and it must answer with this. */
static inline void must(const function *f, world *w, tw_status wanted) {
  tw_status status = call(f, w);
  if (status != wanted)
    fprintf(stderr, "%s: %s, not %s\n", f->name, tw_status_name(status), tw_status_name(wanted));
  CHECK(status == wanted);
}

/* What ends the life of something comes after what uses it, and freeing last. */
static inline int turn_of(const function *f) {
  static const char *const ends[] = {"_close", "_close_wait", "_stop", "_shutdown"};
  size_t length = strlen(f->name);
  if (f->guard == RELEASE) return 2;
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
    size_t n = strlen(ends[i]);
    if (length > n && strcmp(f->name + length - n, ends[i]) == 0) return 1;
  }
  return 0;
}

/* For each function f of one turn. */
#define EACH(f, turn)                                                                        \
  for (const function *f = FUNCTIONS; f < FUNCTIONS + sizeof FUNCTIONS / sizeof *FUNCTIONS; f++) \
    if ((turn) == turn_of(f))

static inline void set_arguments(world *w, const char *text) {
  static char room[640];
  static const char bytes[640];
  w->text = text;
  w->text_len = strlen(text);
  w->bytes = bytes;
  w->room = room;
  w->bytes_len = sizeof bytes;
  w->nothing = 0;
}

/* Every kind of object, made in a directory for what is written. */
static inline world make_world(void) {
  world w = {0};
  memcpy(SCRATCH, SCRATCH_TEMPLATE, sizeof SCRATCH);
  CHECK(mkdtemp(SCRATCH) != NULL && chdir(SCRATCH) == 0);
  w.local_server = serve(NULL);
  w.config = configure(w.local_server);
  w.runtime = threads();
  OK(tw_session_open(w.runtime, w.config, NULL, &w.session, &err));
  w.event = await_event(w.session, TW_EVENT_SESSION_UPDATED);
  OK(tw_call_attach(w.session, "{}", TW_NTS, &w.call, &err));
  OK(tw_recorder_start(w.session, "every.wav", TW_NTS, "{}", TW_NTS, &w.recorder, &err));
  OK(tw_subscription_open(w.session, "{\"topics\":[\"control\"]}", TW_NTS, NULL, &w.subscription, &err));
  OK(tw_transcript_write(w.session, "json", TW_NTS, &w.transcript, &err));
  OK(tw_flight_read(w.session, &w.flight, &err));
  tw_session *ended = NULL;
  OK(tw_session_open(w.runtime, w.config, NULL, &ended, &err));
  OK(tw_session_close_wait(ended, PATIENCE_MS, &err));
  OK(tw_session_end(ended, &w.end, &err));
  tw_session_free(ended);
  CHECK(tw_session_commit(NULL, &w.error) == TW_ERR_ARGUMENT);
  set_arguments(&w, "{}");
  /* A key exists inside its callback only; everything else is there, or has to be made here. */
#define IS_THERE(name) \
  if (strcmp(#name, "key") != 0) CHECK(w.name != NULL);
  HANDLES(IS_THERE)
#undef IS_THERE
  return w;
}

/* Frees what is left of it, and what was written. */
static inline void end_world(world *w) {
  tw_call_detach(w->call);
  tw_recorder_free(w->recorder);
  tw_subscription_free(w->subscription);
  tw_transcript_free(w->transcript);
  tw_flight_free(w->flight);
  tw_event_free(w->event);
  tw_end_free(w->end);
  tw_error_free(w->error);
  tw_session_free(w->session);
  tw_config_free(w->config);
  if (w->runtime) finish(w->runtime);
  tw_local_server_free(w->local_server);
  const char *const made[] = {"every.wav", "every.json", "{}", "{}.json"};
  for (size_t i = 0; i < sizeof made / sizeof *made; i++) unlink(made[i]);
  CHECK(chdir("/") == 0);
  if (rmdir(SCRATCH) != 0) fprintf(stderr, "%s is left\n", SCRATCH);
}

#endif
