/* P5: the callbacks of a session never overlap, and may call everything that does not block. */
#define _GNU_SOURCE
#include "record.h"

static void busy(record *r, tw_session *session, const tw_event *event) {
  (void)r;
  tw_event *kept = tw_event_retain(event);
  CHECK(kept == event);
  OK(tw_session_append(session, "\0\0", 2, &err));
  OK(tw_session_clear(session, &err));
  OK(tw_session_update(session, "{\"instructions\":\"x\"}", TW_NTS, &err));
  tw_event_free(kept);
  if (r->events > 20) {
    tw_end *end = NULL;
    CHECK(tw_session_end(session, &end, NULL) == TW_AGAIN);
    r->act = NULL;
    tw_session_free(session);
  }
}

static void all(void) {
  enum { SESSIONS = 8 };
  tw_local_server *server = serve(NULL);
  tw_config *config = configure(server);
  tw_runtime *runtime = NULL;
  OK(tw_runtime_new(2, 3, &runtime, &err));
  record records[SESSIONS];
  for (int i = 0; i < SESSIONS; i++) {
    record_init(&records[i]);
    records[i].act = busy;
    struct tw_callbacks callbacks = record_callbacks(&records[i]);
    tw_session *session = NULL;
    OK(tw_session_open(runtime, config, &callbacks, &session, &err));
  }
  for (int i = 0; i < SESSIONS; i++) record_await_drop(&records[i]);
  finish(runtime);
  for (int i = 0; i < SESSIONS; i++) record_check(&records[i], 1);
  tw_config_free(config);
  tw_local_server_free(server);
}

IN_BOTH_DELIVERIES(all)
