/* P15: a process that has only a local server forks as any other that uses the library. */
#define _GNU_SOURCE
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

static int child(tw_local_server *server) {
  tw_config *config = NULL;
  FAILS(TW_ERR_FORKED, tw_config_new(&config, &err));
  FAILS(TW_ERR_FORKED, tw_local_server_stop(server, &err));
  tw_local_server_free(server);
  return 0;
}

int main(void) {
  tw_local_server *server = serve(NULL);
  pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) _exit(child(server));
  int status = 1;
  CHECK(waitpid(pid, &status, 0) == pid);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  tw_local_server_free(server);
  return 0;
}
