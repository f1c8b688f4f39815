/* In debug builds of the library, the use of a freed object stops the program with a message that names
   it: one process for each kind of object. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "every_function.h"

#define USES(U)                                                                       \
  U(call, tw_call_detach, tw_call_flush(w.call))                                      \
  U(config, tw_config_free, tw_config_set_voice(w.config, "x", TW_NTS, NULL))         \
  U(end, tw_end_free, tw_end_code(w.end))                                             \
  U(error, tw_error_free, tw_error_code(w.error))                                     \
  U(event, tw_event_free, tw_event_type(w.event))                                     \
  U(flight, tw_flight_free, tw_flight_text(w.flight))                                 \
  U(local_server, tw_local_server_free, tw_local_server_url(w.local_server))          \
  U(recorder, tw_recorder_free, tw_recorder_written_ms(w.recorder))                   \
  U(runtime, tw_runtime_free, tw_runtime_shutdown(w.runtime, 0, NULL))                \
  U(session, tw_session_free, tw_session_commit(w.session, NULL))                     \
  U(subscription, tw_subscription_free, tw_subscription_wakeup_fd(w.subscription, &fd, NULL)) \
  U(transcript, tw_transcript_free, tw_transcript_text(w.transcript))

static void use_freed(const char *kind) {
  struct rlimit none = {0, 0};
  int fd = 0;
  (void)fd;
  setrlimit(RLIMIT_CORE, &none);
  world w = make_world();
  /* Nothing is left behind by a program that is stopped. */
  OK(tw_recorder_stop(w.recorder, &err));
  OK(tw_recorder_wait(w.recorder, PATIENCE_MS, &err));
  CHECK(unlink("every.wav") == 0 && unlink("every.json") == 0);
  CHECK(chdir("/") == 0 && rmdir(SCRATCH) == 0);
#define USE(name, release, use)     \
  if (strcmp(kind, #name) == 0) {   \
    release(w.name);                \
    (void)use;                      \
  }
  USES(USE)
#undef USE
}

/* Whether a process that uses a freed object of this kind is stopped with its name. */
static int is_stopped(const char *program, const char *kind) {
  int ends[2], status = 0;
  char said[8192] = "", wanted[64];
  CHECK(pipe(ends) == 0);
  pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    close(ends[1]);
    execl(program, program, kind, (char *)NULL);
    _exit(1);
  }
  close(ends[1]);
  size_t len = 0;
  for (ssize_t n; len < sizeof said - 1 && (n = read(ends[0], said + len, sizeof said - 1 - len)) > 0;)
    len += (size_t)n;
  close(ends[0]);
  CHECK(waitpid(pid, &status, 0) == pid);
  snprintf(wanted, sizeof wanted, "talkwire: a freed tw_%s was used", kind);
  int is_good = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && strstr(said, wanted);
  if (!is_good) fprintf(stderr, "%s: status %d, wanted `%s`, said:\n%s\n", kind, status, wanted, said);
  return is_good;
}

static int is_release_build(void) {
  tw_config *config = NULL;
  setenv("TALKWIRE_TEST_PANIC", "tw_config_new", 1);
  tw_status status = tw_config_new(&config, NULL);
  unsetenv("TALKWIRE_TEST_PANIC");
  return status == TW_OK;
}

int main(int argc, char **argv) {
  if (argc == 2) {
    use_freed(argv[1]);
    return 0;
  }
  if (is_release_build()) {
    puts("this library is a release build, which does not look");
    return 77;
  }
  int all = 1;
  static const char *const kinds[] = {
#define NAME(name, release, use) #name,
      USES(NAME)
#undef NAME
  };
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) all &= is_stopped(argv[0], kinds[i]);
  return !all;
}
