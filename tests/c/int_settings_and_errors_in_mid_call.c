/* Settings change in mid-call, errors of the server are events that say what was wrong, refusals of
   the library too, and the session goes on. */
#include "support.h"

static void settings(tw_session *session) {
  OK(tw_session_update(session,
                       "{\"instructions\":\"Be kind.\",\"audio\":{\"output\":{\"voice\":\"jane\"}}}",
                       TW_NTS, &err));
  tw_event *updated = await_event(session, TW_EVENT_SESSION_UPDATED);
  CHECK(strstr(tw_event_json(updated).ptr, "Be kind."));
  CHECK(strstr(tw_event_json(updated).ptr, "jane"));
  CHECK(tw_event_error(updated) == NULL);
  tw_event_free(updated);
}

static void error_of_the_server(tw_session *session) {
  OK(tw_session_send_json(session, "{\"type\":\"no.such.event\",\"event_id\":\"bad\"}", TW_NTS, &err));
  tw_event *event = await_event(session, TW_EVENT_ERROR);
  const tw_error *error = tw_event_error(event);
  CHECK(error != NULL);
  CHECK(tw_error_code(error) == TW_ERR_SERVER && tw_error_who(error) == TW_WHO_SERVER);
  CHECK(is(tw_error_event_id(error), "bad"));
  CHECK(tw_error_provider_type(error).len > 0);
  CHECK(is(tw_event_text(event), tw_error_message(error).ptr));
  tw_event_free(event);
}

static void refusal_of_the_library(tw_session *session) {
  OK(tw_session_update(session,
                       "{\"audio\":{\"output\":{\"voice\":\"filipp\",\"role\":\"evil\"}}}", TW_NTS,
                       &err));
  tw_event *event = await_event(session, TW_EVENT_PROTOCOL_FAULT);
  CHECK(tw_error_code(tw_event_error(event)) == TW_ERR_REFUSED);
  CHECK(tw_error_who(tw_event_error(event)) == TW_WHO_APP);
  CHECK(is(tw_event_name(event), "protocol.fault"));
  tw_event_free(event);
}

int main(void) {
  tw_local_server *server = serve(NULL);
  tw_config *config = configure(server);
  tw_runtime *runtime = threads();
  tw_session *session = NULL;
  OK(tw_session_open(runtime, config, NULL, &session, &err));
  skip_to(session, TW_EVENT_SESSION_UPDATED);
  settings(session);
  error_of_the_server(session);
  refusal_of_the_library(session);
  OK(tw_session_send_text(session, "still here", TW_NTS, &err));
  OK(tw_session_respond(session, NULL, 0, &err));
  tw_event *text = await_event(session, TW_EVENT_RESPONSE_OUTPUT_TEXT_DONE);
  CHECK(strstr(tw_event_text(text).ptr, "still here"));
  tw_event_free(text);
  OK(tw_session_close_wait(session, PATIENCE_MS, &err));
  tw_session_free(session);
  tw_config_free(config);
  finish(runtime);
  tw_local_server_free(server);
  return 0;
}
