/* P3: on_closed comes exactly once and last, whichever way a session ends. */
#define _GNU_SOURCE
#include "record.h"

static void close_at_once(record *r, tw_session *session, const tw_event *event) {
  (void)r, (void)event;
  OK(tw_session_close(session, PATIENCE_MS, &err));
}

static void close_when_answered(record *r, tw_session *session, const tw_event *event) {
  (void)r;
  if (tw_event_type(event) == TW_EVENT_RESPONSE_DONE)
    OK(tw_session_close(session, PATIENCE_MS, &err));
}

static pthread_t stopper;

static void stop_the_server(record *r, tw_session *session, const tw_event *event) {
  (void)session;
  if (tw_event_type(event) != TW_EVENT_SESSION_UPDATED) return;
  /* It waits, so a callback must not: another thread does it. */
  CHECK(pthread_create(&stopper, NULL, (void *(*)(void *))(void (*)(void))tw_local_server_free,
                       r->extra) == 0);
}

static void run(void (*act)(record *, tw_session *, const tw_event *), int owns_server) {
  record r;
  record_init(&r);
  tw_local_server *server = serve(NULL);
  tw_config *config = configure(server);
  tw_runtime *runtime = threads();
  r.act = act;
  r.extra = server;
  struct tw_callbacks callbacks = record_callbacks(&r);
  tw_session *session = NULL;
  OK(tw_session_open(runtime, config, &callbacks, &session, &err));
  tw_session_send_text(session, "hello", TW_NTS, NULL);
  tw_session_respond(session, NULL, 0, NULL);
  record_await_drop(&r);
  CHECK(r.events > 0);
  CHECK(tw_end_expected(r.end) == !owns_server);
  tw_session_free(session);
  tw_config_free(config);
  finish(runtime);
  record_check(&r, 1);
  if (owns_server)
    CHECK(pthread_join(stopper, NULL) == 0);
  else
    tw_local_server_free(server);
}

static void all(void) {
  run(close_at_once, 0);
  run(close_when_answered, 0);
  run(stop_the_server, 1);
}

IN_BOTH_DELIVERIES(all)
