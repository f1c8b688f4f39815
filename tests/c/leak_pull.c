/* Everything that is given is given back once; nothing is lost. Run under valgrind too. */
#include <pthread.h>

#include "support.h"

static void turn(tw_runtime *runtime, tw_config *config) {
  tw_session *session = NULL;
  OK(tw_session_open(runtime, config, NULL, &session, &err));
  OK(tw_session_send_text(session, "hello", TW_NTS, &err));
  OK(tw_session_respond(session, NULL, 0, &err));
  tw_event *kept = await_event(session, TW_EVENT_RESPONSE_OUTPUT_TEXT_DONE);
  tw_event *twice = tw_event_retain(kept);
  CHECK(tw_event_json(kept).len > 0 && tw_event_text(kept).len > 0 && tw_event_raw(kept).len > 0);
  OK(tw_session_send_json(session, "{\"type\":\"no.such.event\"}", TW_NTS, &err));
  tw_event *error = await_event(session, TW_EVENT_ERROR);
  CHECK(tw_error_message(tw_event_error(error)).len > 0);
  tw_event_free(error);
  FAILS(TW_ERR_ARGUMENT, tw_session_update(session, "[", TW_NTS, &err));
  OK(tw_session_close_wait(session, PATIENCE_MS, &err));
  tw_end *end = NULL;
  OK(tw_session_end(session, &end, &err));
  tw_end *again = tw_end_retain(end);
  tw_end_free(end);
  CHECK(tw_end_json(again).len > 0 && tw_end_message(again).len > 0);
  tw_end_free(again);
  /* Events that nobody read go with the session; those that were kept stay. */
  tw_session_free(session);
  tw_event_free(kept);
  CHECK(tw_event_text(twice).len > 0);
  tw_event_free(twice);
}

static void *run(void *unused) {
  tw_local_server *server = serve(NULL);
  tw_config *config = configure(server);
  tw_runtime *runtime = threads();
  for (int i = 0; i < 5; i++) turn(runtime, config);
  tw_config_free(config);
  finish(runtime);
  tw_local_server_free(server);
  return unused;
}

/* In a thread that ends: Rust's library keeps a block for each thread until then, and for the main
   thread it would count as lost. */
int main(void) {
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, run, NULL) == 0);
  CHECK(pthread_join(thread, NULL) == 0);
  return 0;
}
