/* Credentials that are asked for, an endpoint to fall back to, and the record of the last steps. */
#include <stdatomic.h>

#include "support.h"

struct source {
  atomic_int asked;
  atomic_int dropped;
  tw_status status;
  const char *key;
};

static tw_status ask(void *user_data, tw_key *key) {
  struct source *source = user_data;
  source->asked++;
  if (source->key) OK(tw_key_set(key, source->key, TW_NTS, &err));
  return source->status;
}

static void dropped(void *user_data) { ((struct source *)user_data)->dropped++; }

static tw_session *open_with(tw_runtime *runtime, tw_config *config) {
  tw_session *session = NULL;
  OK(tw_session_open(runtime, config, NULL, &session, &err));
  return session;
}

static tw_status why_it_ends(tw_runtime *runtime, tw_config *config) {
  tw_session *session = open_with(runtime, config);
  tw_end *end = await_end(session);
  tw_status why = tw_error_code(tw_end_error(end));
  tw_end_free(end);
  tw_session_free(session);
  return why;
}

int main(void) {
  tw_local_server *server = serve("{\"api_key\":\"t1.good\",\"script\":{\"faults\":["
                                  "{\"when\":{\"sent\":\"response.done\"},\"do\":\"drop\"}]}}");
  tw_runtime *runtime = threads();
  struct source good = {0, 0, TW_OK, "t1.good"};
  tw_config *config = configure(server);
  OK(tw_config_set_json(config, "{\"recovery\":{}}", TW_NTS, &err));
  OK(tw_config_set_key_callback(config, ask, &good, dropped, &err));
  tw_session *session = open_with(runtime, config);
  OK(tw_session_send_text(session, "a private word", TW_NTS, &err));
  OK(tw_session_respond(session, NULL, 0, &err));
  skip_to(session, TW_EVENT_SESSION_RECOVERED);
  CHECK(good.asked == 2);

  tw_flight *flight = NULL;
  OK(tw_flight_read(session, &flight, &err));
  tw_str text = tw_flight_text(flight);
  CHECK(strstr(text.ptr, "\"name\":\"session.recovered\"") != NULL);
  CHECK(strstr(text.ptr, "private") == NULL && strstr(text.ptr, "t1.good") == NULL);
  tw_flight_free(flight);
  tw_flight_free(NULL);
  CHECK(tw_flight_text(NULL).len == 0);

  /* An endpoint where the credential is no good, and one to fall back to. */
  struct source bad = {0, 0, TW_OK, "t1.bad"};
  tw_config *first = configure(server);
  OK(tw_config_set_key_callback(first, ask, &bad, dropped, &err));
  CHECK(why_it_ends(runtime, first) == TW_ERR_AUTH);
  OK(tw_config_add_fallback(first, config, &err));
  FAILS(TW_ERR_ARGUMENT, tw_config_add_fallback(first, NULL, &err));
  tw_session *second = open_with(runtime, first);
  skip_to(second, TW_EVENT_PROTOCOL_FAULT);
  skip_to(second, TW_EVENT_SESSION_UPDATED);
  OK(tw_session_close_wait(second, PATIENCE_MS, &err));
  tw_session_free(second);
  tw_config_free(first);

  /* What the callback says is why there is no session. */
  struct source none[] = {{0, 0, TW_ERR_UNREACHABLE, NULL}, {0, 0, TW_OK, NULL}, {0, 0, 77, NULL}};
  const tw_status whys[] = {TW_ERR_UNREACHABLE, TW_ERR_AUTH, TW_ERR_AUTH};
  for (int i = 0; i < 3; i++) {
    tw_config *other = configure(server);
    OK(tw_config_set_key_callback(other, ask, &none[i], dropped, &err));
    CHECK(why_it_ends(runtime, other) == whys[i]);
    tw_config_free(other);
  }
  struct source refused = {0, 0, TW_OK, NULL};
  FAILS(TW_ERR_ARGUMENT, tw_config_set_key_callback(config, NULL, &refused, dropped, &err));
  FAILS(TW_ERR_ARGUMENT, tw_config_set_key_callback(NULL, ask, &refused, dropped, &err));
  CHECK(refused.dropped == 2);
  FAILS(TW_ERR_ARGUMENT, tw_key_set(NULL, "a", TW_NTS, &err));

  OK(tw_session_close_wait(session, PATIENCE_MS, &err));
  tw_session_free(session);
  tw_config_free(config);
  /* No task of a session is left after this. */
  finish(runtime);
  CHECK(good.dropped == 1 && bad.dropped == 1 && none[0].dropped == 1);
  tw_local_server_free(server);
  return 0;
}
