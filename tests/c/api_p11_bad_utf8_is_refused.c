/* P11: a text that is not UTF-8 is refused; and JSON that is none, too. */
#define _GNU_SOURCE
#include "support.h"

static void arrays_are_no_objects(tw_config *config, tw_session *session) {
  tw_subscription *subscription = NULL;
  tw_recorder *recorder = NULL;
  FAILS(TW_ERR_ARGUMENT, tw_session_send_json(session, "[\"x\"]", TW_NTS, &err));
  FAILS(TW_ERR_ARGUMENT, tw_tool_register(session, "[\"x\"]", TW_NTS, &err));
  FAILS(TW_ERR_ARGUMENT, tw_config_set_json(config, "[]", TW_NTS, &err));
  FAILS(TW_ERR_CONFIG,
        tw_subscription_open(session, "[[\"audio\"]]", TW_NTS, NULL, &subscription, &err));
  FAILS(TW_ERR_CONFIG,
        tw_recorder_start(session, "/tmp/no.wav", TW_NTS, "[8000]", TW_NTS, &recorder, &err));
}

/* What goes into a header must not begin another one. */
static void lines_are_not_broken(tw_config *config) {
  FAILS(TW_ERR_ARGUMENT, tw_config_set_key(config, "a\nb", TW_NTS, &err));
  FAILS(TW_ERR_ARGUMENT, tw_config_set_header(config, "a", 1, "b\r\nc: d", TW_NTS, &err));
  FAILS(TW_ERR_ARGUMENT, tw_config_set_header(config, "a\n", 2, "b", TW_NTS, &err));
}

int main(void) {
  const char bad[] = "ab\xff";
  tw_local_server *server = serve(NULL);
  tw_config *config = configure(server);
  tw_runtime *runtime = threads();
  tw_session *session = NULL;
  OK(tw_session_open(runtime, config, NULL, &session, &err));

  tw_error *err = NULL;
  CHECK(tw_config_set_url(config, bad, TW_NTS, &err) == TW_ERR_ARGUMENT);
  CHECK(strstr(tw_error_message(err).ptr, "`url`") && strstr(tw_error_message(err).ptr, "byte 2"));
  CHECK(tw_error_who(err) == TW_WHO_APP && !tw_error_is_retryable(err));
  tw_error_free(err);
  FAILS(TW_ERR_ARGUMENT, tw_config_set_header(config, "a", 1, bad, TW_NTS, &err));
  FAILS(TW_ERR_ARGUMENT, tw_session_send_text(session, bad, 3, &err));
  OK(tw_session_send_text(session, bad, 2, &err));
  FAILS(TW_ERR_ARGUMENT, tw_session_update(session, bad, TW_NTS, &err));
  FAILS(TW_ERR_ARGUMENT, tw_session_update(session, "[]", TW_NTS, &err));
  FAILS(TW_ERR_ARGUMENT, tw_session_update(session, "{", TW_NTS, &err));
  FAILS(TW_ERR_ARGUMENT, tw_session_send_json(session, "hello", TW_NTS, &err));
  FAILS(TW_ERR_ARGUMENT, tw_session_send_json(session, "{}", TW_NTS, &err));
  FAILS(TW_ERR_ARGUMENT, tw_session_respond(session, "7", TW_NTS, &err));
  arrays_are_no_objects(config, session);
  lines_are_not_broken(config);
  FAILS(TW_ERR_ARGUMENT, tw_session_cancel(session, bad, TW_NTS, &err));
  FAILS(TW_ERR_ARGUMENT, tw_session_answer_call(session, bad, TW_NTS, "{}", TW_NTS, &err));
  FAILS(TW_ERR_ARGUMENT, tw_session_answer_call(session, "c", TW_NTS, bad, TW_NTS, &err));
  FAILS(TW_ERR_ARGUMENT, tw_session_send_text(session, "x", TW_NTS - 1, &err));
  FAILS(TW_ERR_ARGUMENT, tw_session_append(session, NULL, 2, &err));
  FAILS(TW_ERR_CONFIG, tw_config_set_json(config, "{\"modle\":1}", TW_NTS, &err));
  FAILS(TW_ERR_CONFIG, tw_config_set_dialect(config, "klingon", TW_NTS, &err));
  CHECK(tw_event_type_named(bad, 3) == TW_EVENT_UNKNOWN);
  CHECK(tw_event_type_named("response.done", TW_NTS) == TW_EVENT_RESPONSE_DONE);

  tw_session_free(session);
  tw_config_free(config);
  finish(runtime);
  tw_local_server_free(server);
  return 0;
}
