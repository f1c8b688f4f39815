/* P15 for every function: in a forked child every call that can fail says so, the others answer, and
   giving back is harmless. */
#define _GNU_SOURCE
#include <sys/wait.h>

#include "every_function.h"

static int child(world *w) {
  for (int turn = 0; turn <= 2; turn++) {
    EACH(f, turn) {
      if (can_fail(f)) must(f, w, TW_ERR_FORKED);
      else call(f, w);
    }
  }
  return 0;
}

int main(void) {
  world w = make_world();
  int status = 1;
  pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) _exit(child(&w));
  CHECK(waitpid(pid, &status, 0) == pid);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  OK(tw_session_send_text(w.session, "The parent did not notice.", TW_NTS, &err));
  end_world(&w);
  return 0;
}
