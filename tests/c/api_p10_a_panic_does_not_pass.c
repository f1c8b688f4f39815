/* P10 for every function: a bug in the library does not pass the boundary. The library panics where it
   is told to; it reads that once, so each function has a process of its own. */
#define _GNU_SOURCE
#include <sys/wait.h>

#include "every_function.h"

/* In a process whose library panics in f. */
static int walled(const function *f) {
  world w = {0};
  set_arguments(&w, "{}");
  tw_status status = f->call(&w).status;
  int is_about_errors = strncmp(f->name, "tw_error_", 9) == 0;
  if (f->guard == STATUS || f->guard == DONE) {
    CHECK(status == TW_ERR_PANIC && w.err != NULL);
    CHECK(tw_error_code(w.err) == TW_ERR_PANIC && tw_error_who(w.err) == TW_WHO_LIBRARY);
    CHECK(strstr(tw_error_message(w.err).ptr, f->name));
  } else if (f->guard == BARE) {
    CHECK(status == TW_ERR_PANIC);
  } else {
    CHECK(w.err == NULL);
  }
  if (!is_about_errors) tw_error_free(w.err);
  return 0;
}

static int panics_in(const char *program, const function *f) {
  int status = 1;
  pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    setenv("TALKWIRE_TEST_PANIC", f->name, 1);
    setenv("RUST_BACKTRACE", "0", 1);
    execl(program, program, f->name, (char *)NULL);
    _exit(1);
  }
  CHECK(waitpid(pid, &status, 0) == pid);
  if (status != 0) fprintf(stderr, "%s: a panic passed, wait status %d\n", f->name, status);
  return status == 0;
}

/* The library goes on beside it. */
static void goes_on(void) {
  tw_config *config = NULL;
  tw_error *err = NULL;
  CHECK(tw_config_new(&config, &err) == TW_ERR_PANIC && config == NULL);
  tw_error_free(err);
  CHECK(tw_config_new(&config, NULL) == TW_ERR_PANIC);
  tw_runtime *runtime = threads();
  finish(runtime);
}

int main(int argc, char **argv) {
  if (argc == 2) {
    for (size_t i = 0; i < sizeof FUNCTIONS / sizeof *FUNCTIONS; i++)
      if (strcmp(FUNCTIONS[i].name, argv[1]) == 0) return walled(&FUNCTIONS[i]);
    return 1;
  }
  if (!getenv("TALKWIRE_TEST_PANIC")) {
    int all_hold = 1;
    tw_config *config = NULL;
    setenv("TALKWIRE_TEST_PANIC", "tw_config_new", 1);
    if (tw_config_new(&config, NULL) == TW_OK) {
      puts("this library is a release build, which cannot be made to panic");
      return 77;
    }
    goes_on();
    for (int turn = 0; turn <= 2; turn++) {
      EACH(f, turn) all_hold &= panics_in(argv[0], f);
    }
    return !all_hold;
  }
  return 1;
}
