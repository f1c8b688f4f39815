/* A session outlives the sessions of its server: the handle, its answers and its end stay one. */
#include "support.h"

#define SHORT "{\"script\":{\"brain\":\"echo\",\"lifetime_ms\":4000}}"

static void ask(tw_session *session, const char *text) {
  OK(tw_session_send_text(session, text, TW_NTS, &err));
  OK(tw_session_respond(session, NULL, 0, &err));
  skip_to(session, TW_EVENT_RESPONSE_DONE);
}

int main(void) {
  tw_local_server *server = serve(SHORT);
  tw_config *config = configure(server);
  OK(tw_config_set_json(config, "{\"rollover\":{},\"recovery\":{}}", TW_NTS, &err));
  tw_runtime *runtime = threads();
  tw_session *session = NULL;
  OK(tw_session_open(runtime, config, NULL, &session, &err));
  ask(session, "hello");
  tw_event *rolled = await_event(session, TW_EVENT_SESSION_ROLLED);
  CHECK(strstr(tw_event_json(rolled).ptr, "\"lost_ms\":0"));
  CHECK(strstr(tw_event_json(rolled).ptr, "\"state_restored\":true"));
  tw_event_free(rolled);
  ask(session, "good morning");
  OK(tw_session_close_wait(session, PATIENCE_MS, &err));
  tw_end *end = await_end(session);
  CHECK(tw_end_expected(end));
  tw_end_free(end);
  tw_session_free(session);
  tw_config_free(config);
  finish(runtime);
  tw_local_server_free(server);
  return 0;
}
