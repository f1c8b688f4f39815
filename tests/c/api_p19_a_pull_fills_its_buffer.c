/* A pull leaves nothing of what was in its buffer, whatever happens; and wrong calls are told. */
#define _GNU_SOURCE
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

static void filled(tw_call *call, tw_status wanted, size_t len) {
  unsigned char out[400];
  size_t real = 77;
  memset(out, 0x11, sizeof out);
  CHECK(tw_call_pull(call, out, len, &real) == wanted);
  CHECK(real == 0);
  for (size_t i = 0; i < len; i++) CHECK(out[i] == (call ? 0xD5 : 0));
  CHECK(out[len] == 0x11);
}

int main(void) {
  tw_runtime *runtime = threads();
  tw_config *config = NULL;
  tw_session *session = NULL;
  tw_call *call = NULL, *second = NULL;
  OK(tw_config_new(&config, &err));
  tw_local_server *server = serve("{}");
  tw_str url = tw_local_server_url(server);
  OK(tw_config_set_url(config, url.ptr, url.len, &err));
  OK(tw_session_open(runtime, config, NULL, &session, &err));
  FAILS(TW_ERR_CONFIG, tw_call_attach(session, "{\"tick\":1}", TW_NTS, &call, &err));
  FAILS(TW_ERR_ARGUMENT, tw_call_attach(NULL, NULL, 0, &call, &err));
  CHECK(call == NULL);
  const char *law = "{\"uplink\":{\"type\":\"audio/pcmu\"},\"downlink\":{\"type\":\"audio/pcma\"}}";
  OK(tw_call_attach(session, law, TW_NTS, &call, &err));
  FAILS(TW_ERR_ARGUMENT, tw_call_attach(session, NULL, 0, &second, &err));

  filled(call, TW_OK, 1);
  filled(call, TW_OK, 333);
  filled(call, TW_OK, 0);
  size_t taken = 0;
  CHECK(tw_call_push(call, TW_TRACK_CUSTOMER, "abc", 3, &taken) == TW_OK && taken == 3);
  CHECK(tw_call_push(call, TW_TRACK_AGENT, "abc", 3, NULL) == TW_ERR_ARGUMENT);
  CHECK(tw_call_push(call, 7, "abc", 3, NULL) == TW_ERR_ARGUMENT);
  CHECK(tw_call_push(call, TW_TRACK_CUSTOMER, NULL, 3, NULL) == TW_ERR_ARGUMENT);
  CHECK(tw_call_push(NULL, TW_TRACK_CUSTOMER, "abc", 3, NULL) == TW_ERR_ARGUMENT);
  CHECK(tw_call_pull(call, NULL, 3, NULL) == TW_ERR_ARGUMENT);
  CHECK(tw_call_pull(NULL, NULL, 0, NULL) == TW_ERR_ARGUMENT);
  filled(NULL, TW_ERR_ARGUMENT, 160);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    filled(call, TW_ERR_FORKED, 160);
    _exit(0);
  }
  int status = 1;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  CHECK(tw_call_position(call, NULL, NULL) == TW_AGAIN);
  CHECK(tw_call_played(call, 1) == TW_ERR_ARGUMENT);
  CHECK(tw_call_set_latency_ms(call, 40) == TW_OK && tw_call_flush(call) == TW_OK);

  struct tw_stats stats = TW_STATS_INIT, unsized;
  CHECK(tw_call_stats(call, &stats) == TW_OK);
  CHECK(stats.pushed == 3 && stats.silence == 334 && stats.pulled == 0 && stats.underruns == 0);
  unsized.struct_size = 0;
  CHECK(tw_call_stats(call, &unsized) == TW_ERR_ARGUMENT);
  CHECK(tw_call_stats(call, NULL) == TW_ERR_ARGUMENT);

  OK(tw_session_close_wait(session, PATIENCE_MS, &err));
  filled(call, TW_ERR_CLOSED, 160);
  CHECK(tw_call_push(call, TW_TRACK_CUSTOMER, "abc", 3, NULL) == TW_ERR_CLOSED);
  tw_session_free(session);
  filled(call, TW_ERR_CLOSED, 160);
  tw_call_detach(call);
  tw_call_detach(NULL);
  tw_config_free(config);
  finish(runtime);
  tw_local_server_free(server);
  return 0;
}
