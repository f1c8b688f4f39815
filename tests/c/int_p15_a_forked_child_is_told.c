/* P15: in a forked child every call that can fail returns TW_ERR_FORKED, and frees are harmless. */
#define _GNU_SOURCE
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

static int child(tw_runtime *runtime, tw_config *config, tw_session *session,
                 tw_local_server *server) {
  tw_runtime *fresh = NULL;
  tw_session *opened = NULL;
  tw_event *event = NULL;
  FAILS(TW_ERR_FORKED, tw_runtime_new(1, 1, &fresh, &err));
  FAILS(TW_ERR_FORKED, tw_runtime_shutdown(runtime, 1000, &err));
  FAILS(TW_ERR_FORKED, tw_config_set_voice(config, "x", TW_NTS, &err));
  FAILS(TW_ERR_FORKED, tw_session_open(runtime, config, NULL, &opened, &err));
  FAILS(TW_ERR_FORKED, tw_session_send_text(session, "x", TW_NTS, &err));
  FAILS(TW_ERR_FORKED, tw_session_next_event(session, 1000, &event, &err));
  FAILS(TW_ERR_FORKED, tw_session_close_wait(session, 1000, &err));
  FAILS(TW_ERR_FORKED, tw_local_server_stop(server, &err));
  tw_session_free(session);
  tw_config_free(config);
  tw_runtime_free(runtime);
  tw_local_server_free(server);
  return 0;
}

int main(void) {
  tw_local_server *server = serve(NULL);
  tw_config *config = configure(server);
  tw_runtime *runtime = threads();
  tw_session *session = NULL;
  OK(tw_session_open(runtime, config, NULL, &session, &err));
  skip_to(session, TW_EVENT_SESSION_UPDATED);

  pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) _exit(child(runtime, config, session, server));
  int status = 1;
  CHECK(waitpid(pid, &status, 0) == pid);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);

  /* The parent did not notice. */
  OK(tw_session_send_text(session, "still here", TW_NTS, &err));
  OK(tw_session_respond(session, NULL, 0, &err));
  skip_to(session, TW_EVENT_RESPONSE_DONE);
  tw_session_free(session);
  tw_config_free(config);
  finish(runtime);
  tw_local_server_free(server);
  return 0;
}
