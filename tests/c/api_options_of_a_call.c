/* The options of a media port are checked, and do what they say. */
#include <math.h>

#include "support.h"

static tw_call *attach(tw_session *session, const char *options) {
  tw_call *call = NULL;
  OK(tw_call_attach(session, options, TW_NTS, &call, &err));
  return call;
}

int main(void) {
  tw_local_server *server = serve(NULL);
  tw_config *config = configure(server);
  tw_runtime *runtime = threads();
  tw_session *session = NULL;
  OK(tw_session_open(runtime, config, NULL, &session, &err));

  const char *const wrong[] = {
      "{\"comfort_noise_dbfs\":0}",      "{\"echo_gate\":{\"erl\":3}}",
      "{\"fade_ms\":-1}",                "{\"uplink\":{\"type\":\"audio/pcmu\",\"rate\":1}}",
      "{\"downlink\":{\"type\":\"mp3\"}}", "{\"prebufer_ms\":1}",
      "[]",                              "[{\"type\":\"audio/pcm\"}]",
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    tw_call *call = NULL;
    tw_status status = tw_call_attach(session, wrong[i], TW_NTS, &call, NULL);
    /* A wrong key, or a value out of range. */
    CHECK(status == TW_ERR_CONFIG || status == TW_ERR_ARGUMENT);
    CHECK(call == NULL);
  }

  tw_call *call = attach(session,
                         "{\"uplink\":{\"type\":\"audio/pcma\",\"rate\":16000},"
                         "\"downlink\":{\"type\":\"audio/pcm\",\"rate\":8000},"
                         "\"comfort_noise_dbfs\":-50,\"fade_ms\":10,\"hold_db\":20,"
                         "\"echo_gate\":{\"erl_db\":20,\"tail_ms\":100,\"mute\":false}}");
  unsigned char said[320];
  memset(said, 0xD5, sizeof said);
  size_t samples = 0;
  OK(tw_call_push(call, TW_TRACK_CUSTOMER, said, sizeof said, &samples));
  CHECK(samples == sizeof said);
  static int16_t heard[8000];
  OK(tw_call_pull(call, heard, sizeof heard, &samples));
  CHECK(samples == 0);
  double power = 0;
  for (int i = 0; i < 8000; i++) power += (double)heard[i] * heard[i] / 8000;
  double level_dbfs = 10 * log10(power) - 20 * log10(32768);
  CHECK(fabs(level_dbfs + 50) < 3);
  tw_call_detach(call);

  OK(tw_session_close_wait(session, PATIENCE_MS, &err));
  tw_session_free(session);
  tw_config_free(config);
  finish(runtime);
  tw_local_server_free(server);
  return 0;
}
