/* P12: a tw_str is never NULL and always has a NUL behind it. */
#define _GNU_SOURCE
#include "support.h"

static void sound(tw_str text) {
  CHECK(text.ptr != NULL);
  CHECK(text.ptr[text.len] == 0);
}

int main(void) {
  tw_local_server *server = serve(NULL);
  tw_config *config = configure(server);
  tw_runtime *runtime = threads();
  tw_session *session = NULL;
  sound(tw_local_server_url(server));
  OK(tw_session_open(runtime, config, NULL, &session, &err));
  sound(tw_session_capabilities(session));
  OK(tw_session_send_text(session, "\xd0\xb4\xd0\xb0", TW_NTS, &err));
  OK(tw_session_respond(session, NULL, 0, &err));
  for (int done = 0; !done;) {
    tw_event *event = NULL;
    OK(tw_session_next_event(session, PATIENCE_MS, &event, &err));
    sound(tw_event_name(event));
    sound(tw_event_text(event));
    sound(tw_event_json(event));
    sound(tw_event_raw(event));
    sound(tw_event_item_id(event));
    sound(tw_event_response_id(event));
    sound(tw_event_call_id(event));
    sound(tw_event_call_name(event));
    CHECK(tw_event_name(event).ptr == tw_event_name(event).ptr);
    CHECK(tw_event_type(event) ==
          tw_event_type_named(tw_event_name(event).ptr, tw_event_name(event).len));
    done = tw_event_type(event) == TW_EVENT_RESPONSE_DONE;
    tw_event_free(event);
  }
  OK(tw_session_close_wait(session, PATIENCE_MS, &err));
  tw_end *end = NULL;
  OK(tw_session_end(session, &end, &err));
  sound(tw_end_message(end));
  sound(tw_end_json(end));
  CHECK(tw_end_json(end).ptr[0] == '{');
  tw_end *same = tw_end_retain(end);
  tw_end_free(end);
  sound(tw_end_json(same));
  tw_end_free(same);
  tw_session_free(session);
  tw_config_free(config);
  finish(runtime);
  tw_local_server_free(server);
  return 0;
}
