/* P1: NULL is harmless everywhere. */
#define _GNU_SOURCE
#include "support.h"

static void frees_and_accessors(void) {
  tw_runtime_free(NULL);
  tw_config_free(NULL);
  tw_session_free(NULL);
  tw_event_free(NULL);
  tw_end_free(NULL);
  tw_error_free(NULL);
  tw_local_server_free(NULL);
  CHECK(tw_event_retain(NULL) == NULL && tw_end_retain(NULL) == NULL);

  CHECK(tw_event_type(NULL) == TW_EVENT_UNKNOWN);
  CHECK(tw_event_audio(NULL).ptr == NULL && tw_event_audio(NULL).len == 0);
  CHECK(tw_event_audio_ms(NULL) == 0 && tw_event_at_ms(NULL) == 0 && !tw_event_error(NULL));
  tw_str (*texts[])(const tw_event *) = {
      tw_event_name,    tw_event_text,        tw_event_json,    tw_event_raw,
      tw_event_item_id, tw_event_response_id, tw_event_call_id, tw_event_call_name};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) CHECK(is(texts[i](NULL), ""));

  CHECK(tw_error_code(NULL) == TW_OK && tw_error_who(NULL) == TW_WHO_NOBODY);
  CHECK(!tw_error_is_retryable(NULL) && tw_error_http_status(NULL) == 0);
  CHECK(tw_error_close_code(NULL) == 0 && strcmp(tw_error_name(NULL), "ok") == 0);
  tw_str (*words[])(const tw_error *) = {
      tw_error_message,        tw_error_provider_code, tw_error_provider_type,
      tw_error_provider_param, tw_error_event_id,      tw_error_body};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) CHECK(is(words[i](NULL), ""));

  CHECK(tw_end_who(NULL) == TW_WHO_NOBODY && tw_end_why(NULL) == TW_ERR_ARGUMENT);
  CHECK(!tw_end_expected(NULL) && !tw_end_mid_turn(NULL) && !tw_end_error(NULL));
  CHECK(tw_end_code(NULL) == 0 && tw_end_http_status(NULL) == 0);
  CHECK(tw_end_unsent_audio_ms(NULL) == 0 && tw_end_unsent_commands(NULL) == 0);
  CHECK(is(tw_end_message(NULL), "") && is(tw_end_json(NULL), ""));
  CHECK(is(tw_local_server_url(NULL), "") && is(tw_session_capabilities(NULL), ""));
}

static void objects(void) {
  const char *x = "{}";
  FAILS(TW_ERR_ARGUMENT, tw_runtime_new(0, 0, NULL, &err));
  FAILS(TW_ERR_ARGUMENT, tw_runtime_shutdown(NULL, 0, &err));
  FAILS(TW_ERR_ARGUMENT, tw_config_new(NULL, &err));
  tw_status (*setters[])(tw_config *, const char *, size_t, tw_error **) = {
      tw_config_set_url,    tw_config_set_dialect,      tw_config_set_key,
      tw_config_set_model,  tw_config_set_folder,       tw_config_set_instructions,
      tw_config_set_voice,  tw_config_set_role,         tw_config_set_session_json,
      tw_config_set_extra_ca, tw_config_set_json};
  tw_config *config = NULL;
  OK(tw_config_new(&config, &err));
  for (size_t i = 0; i < sizeof setters / sizeof *setters; i++) {
    FAILS(TW_ERR_ARGUMENT, setters[i](NULL, x, TW_NTS, &err));
    FAILS(TW_ERR_ARGUMENT, setters[i](config, NULL, TW_NTS, &err));
    FAILS(TW_ERR_ARGUMENT, setters[i](config, NULL, 3, &err));
    CHECK(setters[i](config, NULL, 0, NULL) == TW_ERR_ARGUMENT);
  }
  FAILS(TW_ERR_ARGUMENT, tw_config_set_header(NULL, x, TW_NTS, x, TW_NTS, &err));
  FAILS(TW_ERR_ARGUMENT, tw_config_set_header(config, NULL, 0, x, TW_NTS, &err));
  FAILS(TW_ERR_ARGUMENT, tw_config_set_header(config, x, TW_NTS, NULL, 0, &err));
  tw_session *session = NULL;
  FAILS(TW_ERR_ARGUMENT, tw_session_open(NULL, NULL, NULL, &session, &err));
  FAILS(TW_ERR_ARGUMENT, tw_session_open(NULL, config, NULL, NULL, &err));
  tw_config_free(config);

  tw_event *event = NULL;
  tw_end *end = NULL;
  int fd = 0;
  FAILS(TW_ERR_ARGUMENT, tw_session_close(NULL, 0, &err));
  FAILS(TW_ERR_ARGUMENT, tw_session_close_wait(NULL, 0, &err));
  FAILS(TW_ERR_ARGUMENT, tw_session_end(NULL, &end, &err));
  FAILS(TW_ERR_ARGUMENT, tw_session_next_event(NULL, 0, &event, &err));
  FAILS(TW_ERR_ARGUMENT, tw_session_wakeup_fd(NULL, &fd, &err));
  FAILS(TW_ERR_ARGUMENT, tw_session_update(NULL, x, TW_NTS, &err));
  FAILS(TW_ERR_ARGUMENT, tw_session_append(NULL, x, 2, &err));
  FAILS(TW_ERR_ARGUMENT, tw_session_commit(NULL, &err));
  FAILS(TW_ERR_ARGUMENT, tw_session_clear(NULL, &err));
  FAILS(TW_ERR_ARGUMENT, tw_session_send_text(NULL, x, TW_NTS, &err));
  FAILS(TW_ERR_ARGUMENT, tw_session_send_json(NULL, "{\"type\":\"x\"}", TW_NTS, &err));
  FAILS(TW_ERR_ARGUMENT, tw_session_respond(NULL, NULL, 0, &err));
  FAILS(TW_ERR_ARGUMENT, tw_session_cancel(NULL, NULL, 0, &err));
  FAILS(TW_ERR_ARGUMENT, tw_session_answer_call(NULL, x, TW_NTS, x, TW_NTS, &err));
  FAILS(TW_ERR_ARGUMENT, tw_local_server_start(NULL, 0, NULL, &err));
  FAILS(TW_ERR_ARGUMENT, tw_local_server_stop(NULL, &err));
}

int main(void) {
  frees_and_accessors();
  objects();
  return 0;
}
