/* P14: a callback that does not return makes a shutdown fail in time, wherever it runs; and a shutdown
   works where the process ends. */
#define _GNU_SOURCE
#include <pthread.h>

#include "support.h"

typedef struct stuck {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  int inside, goes_on;
} stuck;

#define STUCK {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0}

static void stay(stuck *s) {
  pthread_mutex_lock(&s->lock);
  s->inside = 1;
  pthread_cond_broadcast(&s->changed);
  while (!s->goes_on) pthread_cond_wait(&s->changed, &s->lock);
  pthread_mutex_unlock(&s->lock);
}

static void await_inside(stuck *s) {
  pthread_mutex_lock(&s->lock);
  while (!s->inside) pthread_cond_wait(&s->changed, &s->lock);
  pthread_mutex_unlock(&s->lock);
}

static void let_go(stuck *s) {
  pthread_mutex_lock(&s->lock);
  s->goes_on = 1;
  pthread_cond_broadcast(&s->changed);
  pthread_mutex_unlock(&s->lock);
}

static tw_status ask(void *data, tw_key *key) {
  stay(data);
  return tw_key_set(key, "x", 1, NULL);
}

static void on_event(void *data, tw_session *session, const tw_event *event) {
  (void)session, (void)event;
  stay(data);
}

/* A second shutdown waits for what the first one left. */
static void shut(tw_runtime *runtime, stuck *s) {
  await_inside(s);
  FAILS(TW_ERR_TIMEOUT, tw_runtime_shutdown(runtime, 200, &err));
  let_go(s);
  finish(runtime);
}

static void in_a_key_callback(tw_local_server *server) {
  stuck s = STUCK;
  tw_runtime *runtime = threads();
  tw_config *config = configure(server);
  tw_session *session = NULL;
  OK(tw_config_set_key_callback(config, ask, &s, NULL, &err));
  OK(tw_session_open(runtime, config, NULL, &session, &err));
  await_inside(&s);
  OK(tw_session_close_wait(session, 0, &err));
  shut(runtime, &s);
  tw_session_free(session);
  tw_config_free(config);
}

static void in_a_callback(tw_local_server *server, int32_t delivery) {
  stuck s = STUCK;
  tw_runtime *runtime = threads();
  tw_config *config = configure(server);
  struct tw_callbacks callbacks = TW_CALLBACKS_INIT;
  callbacks.user_data = &s;
  callbacks.on_event = on_event;
  callbacks.delivery = delivery;
  tw_session *session = NULL;
  OK(tw_session_open(runtime, config, &callbacks, &session, &err));
  shut(runtime, &s);
  tw_session_free(session);
  tw_config_free(config);
}

static tw_local_server *last_server;
static tw_runtime *last_runtime;
static tw_session *last_session;

static void stop_all(void) {
  OK(tw_runtime_shutdown(last_runtime, PATIENCE_MS, &err));
  tw_session_free(last_session);
  tw_runtime_free(last_runtime);
  OK(tw_local_server_stop(last_server, &err));
  tw_local_server_free(last_server);
}

/* What the library's dependencies keep per thread is gone by now. */
static void at_exit(void) {
  tw_runtime *runtime = NULL;
  tw_local_server *server = NULL;
  stop_all();
  FAILS(TW_ERR_CLOSED, tw_runtime_new(1, 1, &runtime, &err));
  FAILS(TW_ERR_CLOSED, tw_local_server_start(NULL, 0, &server, &err));
}

int main(void) {
  last_server = serve(NULL);
  in_a_key_callback(last_server);
  in_a_callback(last_server, TW_DELIVERY_PINNED);
  in_a_callback(last_server, TW_DELIVERY_DIRECT);
  tw_config *config = configure(last_server);
  last_runtime = threads();
  OK(tw_session_open(last_runtime, config, NULL, &last_session, &err));
  skip_to(last_session, TW_EVENT_SESSION_UPDATED);
  tw_config_free(config);
  /* Later nobody joins a thread that has ended, which valgrind may take for a leak. */
  if (getenv("TALKWIRE_VALGRIND"))
    stop_all();
  else
    atexit(at_exit);
  return 0;
}
