/* P5 and P6 for every function: called in a callback, what would wait says so at once, and everything
   else does what it always does, giving back included. */
#define _GNU_SOURCE
#include "every_function.h"
#include "record.h"

static void call_everything(record *r, tw_session *session, const tw_event *event) {
  world *w = (world *)r->extra;
  if (tw_event_type(event) != TW_EVENT_SESSION_CREATED) return;
  w->timeout_ms = 1000;
  for (int turn = 0; turn <= 2; turn++) {
    EACH(f, turn) {
      if (f->may_wait) must(f, w, TW_ERR_WOULD_DEADLOCK);
      else call(f, w);
    }
  }
  OK(tw_session_close(session, PATIENCE_MS, &err));
}

static void all(void) {
  world w = make_world();
  tw_local_server *server = serve(NULL);
  tw_config *config = configure(server);
  tw_runtime *runtime = threads();
  tw_session *session = NULL;
  record r;
  record_init(&r);
  r.act = call_everything;
  r.extra = &w;
  struct tw_callbacks callbacks = record_callbacks(&r);
  OK(tw_session_open(runtime, config, &callbacks, &session, &err));
  record_await_drop(&r);
  CHECK(w.session == NULL && w.runtime == NULL);
  tw_session_free(session);
  tw_config_free(config);
  finish(runtime);
  record_check(&r, 1);
  tw_local_server_free(server);
  end_world(&w);
}

IN_BOTH_DELIVERIES(all)
