/* P8: every session ends with exactly one tw_end that says who, why and what was never sent. */
#define _GNU_SOURCE
#include "support.h"

/* The end of a session at this URL, with this key if any. */
static tw_end *end_at(const char *url, const char *key, const char *options) {
  tw_config *config = NULL;
  tw_session *session = NULL;
  tw_runtime *runtime = threads();
  OK(tw_config_new(&config, &err));
  OK(tw_config_set_url(config, url, TW_NTS, &err));
  if (key) OK(tw_config_set_key(config, key, TW_NTS, &err));
  OK(tw_config_set_json(config, ONE_LINK, TW_NTS, &err));
  if (options) OK(tw_config_set_json(config, options, TW_NTS, &err));
  OK(tw_session_open(runtime, config, NULL, &session, &err));
  tw_session_send_text(session, "hello", TW_NTS, NULL);
  tw_session_respond(session, "{\"output_modalities\":[\"text\"]}", TW_NTS, NULL);
  tw_end *end = await_end(session);
  tw_session_free(session);
  tw_config_free(config);
  finish(runtime);
  CHECK(!tw_end_expected(end));
  CHECK(tw_end_message(end).len > 0);
  CHECK(tw_end_error(end) && tw_error_code(tw_end_error(end)) == tw_end_why(end));
  return end;
}

static void no_server(void) {
  tw_end *end = end_at("ws://127.0.0.1:1/v1/realtime", NULL, NULL);
  CHECK(tw_end_why(end) == TW_ERR_UNREACHABLE && tw_end_who(end) == TW_WHO_NETWORK);
  CHECK(tw_error_is_retryable(tw_end_error(end)));
  CHECK(strstr(tw_end_json(end).ptr, "\"why\":\"unreachable\""));
  tw_end_free(end);
}

static void wrong_key(void) {
  tw_local_server *server = serve("{\"api_key\":\"right\"}");
  tw_end *end = end_at(tw_local_server_url(server).ptr, "wrong", NULL);
  CHECK(tw_end_why(end) == TW_ERR_AUTH && tw_end_http_status(end) == 401);
  CHECK(tw_error_http_status(tw_end_error(end)) == 401);
  CHECK(!strstr(tw_end_json(end).ptr, "wrong\"") && !tw_error_is_retryable(tw_end_error(end)));
  tw_end_free(end);
  tw_local_server_free(server);
}

static void killed_in_the_middle(void) {
  tw_local_server *server = serve(
      "{\"script\":{\"brain\":\"echo\",\"faults\":[{\"when\":{\"sent\":\"response.output_text."
      "delta\"},\"do\":\"drop\"}]}}");
  tw_end *end = end_at(tw_local_server_url(server).ptr, NULL, NULL);
  CHECK(tw_end_why(end) == TW_ERR_LOST && tw_end_mid_turn(end) && tw_end_code(end) == 0);
  tw_end_free(end);
  tw_local_server_free(server);
}

static void closed_by_the_server(void) {
  tw_local_server *server = serve(
      "{\"script\":{\"brain\":\"echo\",\"faults\":[{\"when\":{\"sent\":\"response.created\"},\"do\":"
      "{\"close\":1011}}]}}");
  tw_end *end = end_at(tw_local_server_url(server).ptr, NULL, NULL);
  CHECK(tw_end_code(end) == 1011 && tw_end_who(end) == TW_WHO_SERVER);
  tw_end_free(end);
  tw_local_server_free(server);
}

static void server_without_a_greeting(void) {
  tw_local_server *server =
      serve("{\"script\":{\"faults\":[{\"when\":{\"sent\":\"session.created\"},\"do\":\"omit\"}]}}");
  tw_end *end =
      end_at(tw_local_server_url(server).ptr, NULL, "{\"greeting_timeout_ms\":200}");
  CHECK(tw_end_why(end) == TW_ERR_TIMEOUT);
  /* The text and the wish for a response were taken, and never sent. */
  CHECK(tw_end_unsent_commands(end) == 2);
  tw_end_free(end);
  tw_local_server_free(server);
}

int main(void) {
  no_server();
  wrong_key();
  killed_in_the_middle();
  closed_by_the_server();
  server_without_a_greeting();
  return 0;
}
