/* P2: outputs are written on success only, the error on failure only. */
#define _GNU_SOURCE
#include "support.h"

int main(void) {
  tw_error *mark = (tw_error *)0x10, *err = mark;
  tw_config *config = NULL;
  CHECK(tw_config_new(&config, &err) == TW_OK && err == mark);

  tw_session *session = (tw_session *)0x10;
  FAILS(TW_ERR_AUTH, tw_session_open(NULL, config, NULL, &session, &err));
  CHECK(session == (tw_session *)0x10);
  tw_local_server *server = (tw_local_server *)0x10;
  FAILS(TW_ERR_ARGUMENT, tw_local_server_start("{\"colour\":1}", TW_NTS, &server, &err));
  CHECK(server == (tw_local_server *)0x10);

  /* TW_AGAIN is no failure and no success: nothing is written. */
  server = serve(NULL);
  tw_config_free(config);
  config = configure(server);
  tw_runtime *runtime = threads();
  OK(tw_session_open(runtime, config, NULL, &session, &err));
  skip_to(session, TW_EVENT_SESSION_UPDATED);
  tw_event *event = (tw_event *)0x10;
  tw_end *end = (tw_end *)0x10;
  err = mark;
  CHECK(tw_session_next_event(session, 0, &event, &err) == TW_AGAIN);
  CHECK(tw_session_end(session, &end, &err) == TW_AGAIN);
  CHECK(event == (tw_event *)0x10 && end == (tw_end *)0x10 && err == mark);

  tw_session_free(session);
  tw_config_free(config);
  finish(runtime);
  tw_local_server_free(server);
  return 0;
}
