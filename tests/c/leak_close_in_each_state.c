/* A session may be closed at any time and in any way: it ends once and with a reason, in its time,
   its callbacks are dropped once, and nothing of it is left. */
#define _GNU_SOURCE
#include "gate.h"
#include "record.h"

/* From its own callback, or from that of another session, by a close or by giving it back; from
   another thread; with a wait; by giving it back. */
enum way { IN_CALLBACK, FREEING_IN_CALLBACK, IN_THREAD, WAITING, FREEING, WAYS };

enum { CLOSE_MS = 500 };

#define PATIENT                                                                                 \
  "{\"rollover\":{},\"recovery\":{\"budget_ms\":600000,\"delay_ms\":60000,"                     \
  "\"delay_max_ms\":60000},\"connect_timeout_ms\":600000,\"handshake_timeout_ms\":600000,"      \
  "\"greeting_timeout_ms\":600000,\"reply_timeout_ms\":600000}"
#define FAULT(when, event, what) \
  "{\"faults\":[{\"when\":{\"" when "\":\"" event "\"},\"do\":" what ",\"every\":true}]"
#define HOLD_ANSWERS FAULT("sent", "response.output_text.delta", "{\"delay\":600000}")
#define CALLS                                                                                   \
  "{\"script\":{\"turns\":[{\"when\":{\"user\":\"any\"},\"call\":{\"name\":\"look_up\"}}]}}"
#define TOOL "{\"name\":\"look_up\",\"timeout_ms\":600000,\"parameters\":{\"type\":\"object\"}}"

/* A state, and how sessions come into it: by an event, by a cut after one, by what the gate sees. */
static const struct state {
  const char *name, *server, *options;
  int32_t cut_at, event;
  int asks, passes, refuses, held, answered, is_over;
} STATES[] = {
    {.name = "dialling", .server = "{}", .held = WAYS},
    {.name = "not greeted",
     .server = FAULT("sent", "session.created", "\"omit\"") "}",
     .passes = WAYS,
     .answered = WAYS},
    {.name = "not configured",
     .server = FAULT("received", "session.update", "\"omit\"") "}",
     .passes = WAYS,
     .event = TW_EVENT_SESSION_CREATED},
    {.name = "idle", .server = "{}", .passes = WAYS, .event = TW_EVENT_SESSION_UPDATED},
    {.name = "in an answer",
     .server = HOLD_ANSWERS "}",
     .asks = 1,
     .passes = WAYS,
     .event = TW_EVENT_RESPONSE_CREATED},
    {.name = "with a tool out",
     .server = CALLS,
     .asks = 1,
     .passes = WAYS,
     .event = TW_EVENT_TOOL_CALL},
    {.name = "dialling again",
     .server = "{}",
     .passes = WAYS,
     .cut_at = TW_EVENT_SESSION_UPDATED,
     .held = WAYS},
    {.name = "waiting to dial again",
     .server = "{}",
     .passes = WAYS,
     .refuses = 1,
     .cut_at = TW_EVENT_SESSION_UPDATED,
     .event = TW_EVENT_SESSION_LOST},
    {.name = "lost in an answer",
     .server = HOLD_ANSWERS "}",
     .asks = 1,
     .passes = WAYS,
     .refuses = 1,
     .cut_at = TW_EVENT_RESPONSE_CREATED,
     .event = TW_EVENT_SESSION_LOST},
    {.name = "lost with a tool out",
     .server = CALLS,
     .asks = 1,
     .passes = WAYS,
     .refuses = 1,
     .cut_at = TW_EVENT_TOOL_CALL,
     .event = TW_EVENT_SESSION_LOST},
    {.name = "dialling before its time is over",
     .server = "{\"lifetime_ms\":8000}",
     .passes = WAYS,
     .held = WAYS},
    {.name = "with a link that waits for the end of an answer",
     .server = HOLD_ANSWERS ",\"lifetime_ms\":8000}",
     .asks = 1,
     .passes = 2 * WAYS,
     .event = TW_EVENT_RESPONSE_CREATED,
     .answered = 2 * WAYS},
    {.name = "over",
     .server = FAULT("received", "response.create", "{\"close\":1011}") "}",
     .options = ONE_LINK,
     .asks = 1,
     .passes = WAYS,
     .is_over = 1},
};

typedef struct {
  record record;
  const struct state *state;
  tw_session *session;
  enum way way;
  atomic_int is_started, can_be_cut, is_there;
} caller;

/* Whether an event alone tells of the state, so that its callback can be the one that closes. */
static int is_told_of(const struct state *state) {
  return state->event && !state->held && !state->answered;
}

/* What a callback does to the session that it is to close. */
static void close_by(enum way way, tw_session *session) {
  if (way == IN_CALLBACK) OK(tw_session_close(session, CLOSE_MS, &err));
  if (way == FREEING_IN_CALLBACK) tw_session_free(session);
}

static void seen(record *r, tw_session *session, const tw_event *event) {
  caller *c = (caller *)r->extra;
  int32_t type = tw_event_type(event);
  if (type == c->state->cut_at) atomic_store(&c->can_be_cut, 1);
  if (type != c->state->event || atomic_load(&c->is_there)) return;
  /* Whoever has opened it still uses it until then. */
  while (!atomic_load(&c->is_started)) sched_yield();
  if (is_told_of(c->state)) close_by(c->way, session);
  atomic_store(&c->is_there, 1);
}

static void start(caller *c, const struct state *state, tw_runtime *runtime, tw_config *config) {
  c->state = state;
  record_init(&c->record);
  c->record.act = seen;
  c->record.extra = c;
  atomic_init(&c->is_started, 0);
  atomic_init(&c->can_be_cut, 0);
  atomic_init(&c->is_there, 0);
  struct tw_callbacks callbacks = record_callbacks(&c->record);
  OK(tw_session_open(runtime, config, &callbacks, &c->session, &err));
  OK(tw_tool_register(c->session, TOOL, TW_NTS, &err));
  if (state->asks) {
    OK(tw_session_send_text(c->session, "hello", TW_NTS, &err));
    OK(tw_session_respond(c->session, NULL, 0, &err));
  }
  atomic_store(&c->is_started, 1);
}

static void await_drop(record *r) {
  struct timespec limit;
  CHECK(clock_gettime(CLOCK_REALTIME, &limit) == 0);
  limit.tv_sec += PATIENCE_MS / 1000;
  pthread_mutex_lock(&r->lock);
  while (!r->dropped) CHECK(pthread_cond_timedwait(&r->changed, &r->lock, &limit) == 0);
  pthread_mutex_unlock(&r->lock);
}

static void close_another(record *r, tw_session *session, const tw_event *event) {
  (void)event;
  const caller *c = (const caller *)r->extra;
  if (r->events > 1) return;
  close_by(c->way, c->session);
  OK(tw_session_close(session, CLOSE_MS, &err));
}

/* By the callback of a session that is open for nothing else. */
static void close_in_callback(tw_runtime *runtime, caller *c) {
  tw_local_server *server = serve(NULL);
  tw_config *config = configure(server);
  record r;
  record_init(&r);
  r.act = close_another;
  r.extra = c;
  struct tw_callbacks callbacks = record_callbacks(&r);
  tw_session *other = NULL;
  OK(tw_session_open(runtime, config, &callbacks, &other, &err));
  await_drop(&r);
  tw_local_server_free(server);
  tw_session_free(other);
  tw_config_free(config);
  /* The thread may still hold the lock that it woke us under. */
  pthread_mutex_lock(&r.lock);
  pthread_mutex_unlock(&r.lock);
  record_check(&r, 1);
}

static void *close_in_thread(void *session) {
  OK(tw_session_close((tw_session *)session, CLOSE_MS, &err));
  return NULL;
}

static void end(caller *c, tw_runtime *runtime) {
  pthread_t thread;
  switch (c->way) {
  case IN_CALLBACK:
  case FREEING_IN_CALLBACK:
    if (!is_told_of(c->state)) close_in_callback(runtime, c);
    break;
  case IN_THREAD:
    CHECK(pthread_create(&thread, NULL, close_in_thread, c->session) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    break;
  case WAITING:
    OK(tw_session_close_wait(c->session, CLOSE_MS, &err));
    CHECK(c->record.dropped == 1);
    break;
  case FREEING:
  case WAYS:
    break;
  }
  if (c->way != FREEING) await_drop(&c->record);
  if (c->way != FREEING_IN_CALLBACK) tw_session_free(c->session);
  await_drop(&c->record);
}

static void judge(const caller *c) {
  const tw_end *how = c->record.end;
  CHECK(how != NULL && tw_end_message(how).len > 0);
  if (c->state->is_over) {
    CHECK(!tw_end_expected(how) && tw_end_code(how) == 1011 && tw_end_who(how) == TW_WHO_SERVER);
  } else {
    CHECK(tw_end_expected(how) && tw_end_who(how) == TW_WHO_APP);
    CHECK(tw_end_mid_turn(how) == c->state->asks);
  }
}

static void come(const struct state *state, caller *callers, gate *g) {
  for (int way = 0; way < WAYS && state->cut_at; way++) gate_await(&callers[way].can_be_cut, 1);
  if (state->cut_at) gate_cut(g);
  for (int way = 0; way < WAYS && state->event; way++) gate_await(&callers[way].is_there, 1);
  gate_await(&g->held, state->held);
  gate_await(&g->answered, state->answered);
  for (int way = 0; way < WAYS && state->is_over; way++) await_drop(&callers[way].record);
}

static void play(const struct state *state) {
  fprintf(stderr, "%s\n", state->name);
  tw_local_server *server = serve(state->server);
  tw_config *config = configure(server);
  tw_runtime *runtime = threads();
  OK(tw_config_set_json(config, state->options ? state->options : PATIENT, TW_NTS, &err));
  gate g;
  gate_open(&g, server, state->passes, state->refuses);
  char url[64];
  snprintf(url, sizeof url, "ws://127.0.0.1:%d/v1/realtime", g.port);
  OK(tw_config_set_url(config, url, TW_NTS, &err));
  caller callers[WAYS];
  for (int way = 0; way < WAYS; way++) {
    callers[way].way = (enum way)way;
    start(&callers[way], state, runtime, config);
  }
  come(state, callers, &g);
  for (int way = 0; way < WAYS; way++) end(&callers[way], runtime);
  tw_config_free(config);
  finish(runtime);
  for (int way = 0; way < WAYS; way++) {
    judge(&callers[way]);
    record_check(&callers[way].record, 1);
  }
  gate_free(&g);
  tw_local_server_free(server);
}

static void *run(void *state) {
  play(state);
  return NULL;
}

/* In threads that end: Rust's library keeps a block for each thread until then, and for the main
   thread it would count as lost. */
static void all(void) {
  enum { MOST = sizeof STATES / sizeof *STATES };
  pthread_t threads[MOST];
  for (int i = 0; i < MOST; i++)
    CHECK(pthread_create(&threads[i], NULL, run, (void *)&STATES[i]) == 0);
  for (int i = 0; i < MOST; i++) CHECK(pthread_join(threads[i], NULL) == 0);
}

IN_BOTH_DELIVERIES(all)
