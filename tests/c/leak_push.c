/* The same with callbacks: closed, freed alone, failed to open, and shut down underneath. */
#include "record.h"

static void keep_one(record *r, tw_session *session, const tw_event *event) {
  (void)session;
  tw_event_free((tw_event *)r->extra);
  r->extra = tw_event_retain(event);
}

static void turn(tw_runtime *runtime, tw_config *config, int close_it) {
  record r;
  record_init(&r);
  r.act = keep_one;
  struct tw_callbacks callbacks = record_callbacks(&r);
  tw_session *session = NULL;
  OK(tw_session_open(runtime, config, &callbacks, &session, &err));
  OK(tw_session_send_text(session, "hello", TW_NTS, &err));
  if (close_it) OK(tw_session_close_wait(session, PATIENCE_MS, &err));
  tw_session_free(session);
  record_await_drop(&r);
  tw_event_free((tw_event *)r.extra);
  /* The thread may still hold the lock that it woke us under. */
  pthread_mutex_lock(&r.lock);
  pthread_mutex_unlock(&r.lock);
  record_check(&r, 1);
}

static void *run(void *unused) {
  tw_local_server *server = serve(NULL);
  tw_config *config = configure(server);
  tw_runtime *runtime = threads();
  for (int i = 0; i < 6; i++) turn(runtime, config, i % 2);
  record r;
  record_init(&r);
  struct tw_callbacks callbacks = record_callbacks(&r);
  tw_session *session = NULL;
  FAILS(TW_ERR_ARGUMENT, tw_session_open(runtime, NULL, &callbacks, &session, &err));
  record_check(&r, 0);
  record_init(&r);
  OK(tw_session_open(runtime, config, &callbacks, &session, &err));
  finish(runtime);
  record_check(&r, 1);
  tw_session_free(session);
  tw_config_free(config);
  tw_local_server_free(server);
  return unused;
}

/* In a thread that ends: Rust's library keeps a block for each thread until then, and for the main
   thread it would count as lost. */
static void all(void) {
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, run, NULL) == 0);
  CHECK(pthread_join(thread, NULL) == 0);
}

IN_BOTH_DELIVERIES(all)
