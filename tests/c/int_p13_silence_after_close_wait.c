/* P13: after tw_session_close_wait() has returned TW_OK, nothing of the session is called any more:
   the user data may live on the stack. */
#define _GNU_SOURCE
#include "record.h"

static void talk(tw_runtime *runtime, tw_config *config, int wait_ms) {
  record r;
  record_init(&r);
  struct tw_callbacks callbacks = record_callbacks(&r);
  tw_session *session = NULL;
  OK(tw_session_open(runtime, config, &callbacks, &session, &err));
  tw_session_send_text(session, "hello", TW_NTS, NULL);
  tw_session_respond(session, NULL, 0, NULL);
  OK(tw_session_close_wait(session, (uint32_t)wait_ms, &err));
  record_check(&r, 1);
  /* Whoever wrote here later would be seen by the next round, and by valgrind. */
  memset(&r, 0x55, sizeof r);
  tw_session_free(session);
}

static void all(void) {
  tw_local_server *server = serve(NULL);
  tw_config *config = configure(server);
  tw_runtime *runtime = threads();
  for (int i = 0; i < 20; i++) talk(runtime, config, i % 2 ? 5000 : 0);
  tw_config_free(config);
  finish(runtime);
  tw_local_server_free(server);
}

IN_BOTH_DELIVERIES(all)
