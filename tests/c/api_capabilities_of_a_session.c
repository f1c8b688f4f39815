/* What a session can do is the word of its dialect, known before it is connected and after its end. */
#include "support.h"

static tw_session *opened(tw_runtime *runtime, const char *dialect) {
  tw_config *config = NULL;
  tw_session *session = NULL;
  OK(tw_config_new(&config, &err));
  /* Nobody listens there. */
  OK(tw_config_set_url(config, "ws://127.0.0.1:1/", TW_NTS, &err));
  OK(tw_config_set_dialect(config, dialect, TW_NTS, &err));
  OK(tw_session_open(runtime, config, NULL, &session, &err));
  tw_config_free(config);
  return session;
}

int main(void) {
  CHECK(is(tw_session_capabilities(NULL), ""));
  tw_runtime *runtime = threads();
  tw_session *session = opened(runtime, "yandex"), *other = opened(runtime, "openai");
  tw_str json = tw_session_capabilities(session), others = tw_session_capabilities(other);
  CHECK(json.len == strlen(json.ptr) && json.ptr[0] == '{' && json.ptr[json.len - 1] == '}');
  const char *const keys[] = {"\"caps\":{", "\"limits\":{", "\"voices\":{", "\"server_tools\":["};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    CHECK(strstr(json.ptr, keys[i]) && strstr(others.ptr, keys[i]));
  CHECK(strstr(json.ptr, "\"dialect\":\"yandex\"") && strstr(json.ptr, "filipp"));
  CHECK(strstr(others.ptr, "\"dialect\":\"openai\"") && !strstr(others.ptr, "filipp"));

  /* The text is made once and lives as long as the session, not as the connection. */
  tw_end_free(await_end(session));
  CHECK(tw_session_capabilities(session).ptr == json.ptr);
  CHECK(strstr(json.ptr, "\"dialect\":\"yandex\""));
  tw_session_free(session);
  tw_session_free(other);
  finish(runtime);
  return 0;
}
