/* P9: after a close, and after the end, what would send returns TW_ERR_CLOSED. */
#define _GNU_SOURCE
#include "support.h"

static void all_fail(tw_session *session) {
  FAILS(TW_ERR_CLOSED, tw_session_send_text(session, "x", TW_NTS, &err));
  FAILS(TW_ERR_CLOSED, tw_session_send_json(session, "{\"type\":\"x\"}", TW_NTS, &err));
  FAILS(TW_ERR_CLOSED, tw_session_update(session, "{}", TW_NTS, &err));
  FAILS(TW_ERR_CLOSED, tw_session_append(session, "xx", 2, &err));
  FAILS(TW_ERR_CLOSED, tw_session_commit(session, &err));
  FAILS(TW_ERR_CLOSED, tw_session_clear(session, &err));
  FAILS(TW_ERR_CLOSED, tw_session_respond(session, NULL, 0, &err));
  FAILS(TW_ERR_CLOSED, tw_session_cancel(session, NULL, 0, &err));
  FAILS(TW_ERR_CLOSED, tw_session_answer_call(session, "c", TW_NTS, "{}", TW_NTS, &err));
}

int main(void) {
  tw_local_server *server = serve(NULL);
  tw_config *config = configure(server);
  tw_runtime *runtime = threads();
  tw_session *session = NULL;
  OK(tw_session_open(runtime, config, NULL, &session, &err));
  skip_to(session, TW_EVENT_SESSION_UPDATED);
  OK(tw_session_close(session, PATIENCE_MS, &err));
  all_fail(session);
  tw_end *end = await_end(session);
  CHECK(tw_end_expected(end) && tw_end_why(end) == TW_ERR_CLOSED && tw_end_who(end) == TW_WHO_APP);
  CHECK(!tw_end_error(end) && !tw_end_mid_turn(end));
  tw_end_free(end);
  all_fail(session);
  OK(tw_session_close(session, 0, &err));
  OK(tw_session_close_wait(session, 0, &err));
  tw_event *event = NULL;
  CHECK(tw_session_next_event(session, 0, &event, NULL) == TW_CLOSED);
  tw_session_free(session);

  /* The end alone is enough: nobody called close. */
  OK(tw_session_open(runtime, config, NULL, &session, &err));
  skip_to(session, TW_EVENT_SESSION_UPDATED);
  OK(tw_local_server_stop(server, &err));
  end = await_end(session);
  CHECK(!tw_end_expected(end));
  tw_end_free(end);
  all_fail(session);
  tw_session_free(session);

  tw_config_free(config);
  finish(runtime);
  tw_local_server_free(server);
  return 0;
}
