/* A media thread under a filter that kills the process on any system call but its end pushes and
   pulls, while the session works beside it. The end of the process is the last word of the test. */
#define _GNU_SOURCE

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support.h"

static struct sock_filter op(unsigned code, unsigned jt, unsigned jf, unsigned k) {
  struct sock_filter filter = {(unsigned short)code, (unsigned char)jt, (unsigned char)jf, k};
  return filter;
}

static int filter(void) {
  struct sock_filter ops[] = {
      op(BPF_LD | BPF_W | BPF_ABS, 0, 0, (unsigned)offsetof(struct seccomp_data, nr)),
      op(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_exit_group),
      op(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW),
      op(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS),
  };
  struct sock_fprog program = {sizeof ops / sizeof *ops, ops};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* Returns only what went wrong. */
static int run(tw_call *call, int rounds) {
  unsigned char packet[640];
  for (int round = 0; round < rounds; round++) {
    size_t len = 2 * (1 + (size_t)round % 320), taken, real;
    if (tw_call_push(call, TW_TRACK_CUSTOMER, packet, len, &taken) != TW_OK) return 2;
    if (tw_call_pull(call, packet, len, &real) != TW_OK) return 3;
    if (tw_call_played(call, (uint64_t)round) != TW_OK) return 4;
    if (tw_call_pull(call, packet, 3, &real) != TW_ERR_ARGUMENT) return 5;
  }
  return 0;
}

static void *media_thread(void *call) {
  /* What a debug build looks up once. */
  CHECK(run((tw_call *)call, 1) == 0);
  if (!filter()) {
    printf("this system has no seccomp filters\n");
    fflush(stdout);
    _exit(77);
  }
  /* Not _exit(): a sanitizer looks around first, and that is a system call. */
  syscall(SYS_exit_group, run((tw_call *)call, 20000));
  return NULL;
}

int main(void) {
  if (getenv("TALKWIRE_VALGRIND") != NULL) {
    printf("valgrind makes system calls of its own\n");
    return 77;
  }
  tw_local_server *server = serve("{}");
  tw_config *config = configure(server);
  tw_session *session = NULL;
  tw_call *call = NULL;
  OK(tw_session_open(NULL, config, NULL, &session, &err));
  OK(tw_call_attach(session, "{\"confirm\":true}", TW_NTS, &call, &err));
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, media_thread, call) == 0);
  pthread_join(thread, NULL);
  return 1;
}
