/* A local server with a port for looking into it, a fault and a journal; one without has none. */
#include "support.h"

int main(void) {
  tw_local_server *server = serve("{\"control\":true,\"faults\":["
                                  "{\"when\":{\"sent\":\"response.created\"},\"do\":{\"close\":1011}}]}");
  CHECK(strncmp(tw_local_server_control_url(server).ptr, "http://127.0.0.1:", 17) == 0);
  tw_config *config = configure(server);
  tw_runtime *runtime = threads();
  tw_session *session = NULL;
  OK(tw_session_open(runtime, config, NULL, &session, &err));
  OK(tw_session_send_text(session, "hello", TW_NTS, &err));
  OK(tw_session_respond(session, NULL, 0, &err));
  tw_event *event = NULL;
  tw_status status;
  while ((status = tw_session_next_event(session, PATIENCE_MS, &event, NULL)) == TW_OK)
    tw_event_free(event);
  CHECK(status == TW_CLOSED);
  tw_session_free(session);
  tw_config_free(config);
  finish(runtime);
  tw_local_server_free(server);

  server = serve(NULL);
  CHECK(tw_local_server_control_url(server).len == 0);
  tw_local_server_free(server);
  CHECK(tw_local_server_control_url(NULL).len == 0);
  CHECK(tw_local_server_start("{\"faults\":[{}]}", TW_NTS, &server, NULL) != TW_OK);
  return 0;
}
