/* P6: a call that would wait inside a callback returns TW_ERR_WOULD_DEADLOCK at once. */
#define _GNU_SOURCE
#include "record.h"

typedef struct {
  tw_runtime *runtime;
  tw_local_server *server;
  tw_session *other;
} world;

static void wait_everywhere(record *r, tw_session *session, const tw_event *event) {
  world *w = (world *)r->extra;
  tw_event *next = NULL;
  if (tw_event_type(event) != TW_EVENT_SESSION_CREATED) return;
  FAILS(TW_ERR_WOULD_DEADLOCK, tw_session_close_wait(session, 1000, &err));
  FAILS(TW_ERR_WOULD_DEADLOCK, tw_session_close_wait(w->other, 1000, &err));
  FAILS(TW_ERR_WOULD_DEADLOCK, tw_session_next_event(w->other, 1000, &next, &err));
  FAILS(TW_ERR_WOULD_DEADLOCK, tw_runtime_shutdown(w->runtime, 1000, &err));
  FAILS(TW_ERR_WOULD_DEADLOCK, tw_local_server_stop(w->server, &err));
  /* Only looking does not wait; this session's own events go elsewhere. */
  tw_status looked = tw_session_next_event(w->other, 0, &next, NULL);
  CHECK(looked == TW_AGAIN || looked == TW_OK);
  tw_event_free(looked == TW_OK ? next : NULL);
  FAILS(TW_ERR_ARGUMENT, tw_session_next_event(session, 0, &next, &err));
  /* The refused close was none. */
  OK(tw_session_close(session, PATIENCE_MS, &err));
}

static void all(void) {
  world w = {threads(), serve(NULL), NULL};
  tw_config *config = configure(w.server);
  OK(tw_session_open(w.runtime, config, NULL, &w.other, &err));
  record r;
  record_init(&r);
  r.act = wait_everywhere;
  r.extra = &w;
  struct tw_callbacks callbacks = record_callbacks(&r);
  tw_session *session = NULL;
  OK(tw_session_open(w.runtime, config, &callbacks, &session, &err));
  record_await_drop(&r);
  CHECK(r.events > 0);
  OK(tw_session_close_wait(session, PATIENCE_MS, &err));
  tw_session_free(session);
  OK(tw_session_close_wait(w.other, PATIENCE_MS, &err));
  tw_session_free(w.other);
  tw_config_free(config);
  finish(w.runtime);
  record_check(&r, 1);
  tw_local_server_free(w.server);
}

IN_BOTH_DELIVERIES(all)
