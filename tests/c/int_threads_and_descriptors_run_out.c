/* Threads that cannot be had are an error that says so, and not a wait for ever. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "support.h"

static void without_descriptors(void) {
  struct rlimit before, now;
  CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
  int next = open("/dev/null", O_RDONLY);
  CHECK(next >= 0 && close(next) == 0);
  now = before;
  now.rlim_cur = (rlim_t)next + 3;
  CHECK(setrlimit(RLIMIT_NOFILE, &now) == 0);
  tw_runtime *runtime = NULL;
  tw_local_server *server = NULL;
  FAILS(TW_ERR_IO, tw_runtime_new(1, 1, &runtime, &err));
  FAILS(TW_ERR_IO, tw_local_server_start(NULL, 0, &server, &err));
  CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
  finish(threads());
  tw_local_server_free(serve(NULL));
}

int main(void) {
  tw_runtime *runtime = NULL;
  /* Valgrind keeps limits by itself, and then knows descriptors no more that are open. */
  if (getenv("TALKWIRE_VALGRIND") == NULL) without_descriptors();
  FAILS(TW_ERR_ARGUMENT, tw_runtime_new(1025, 1, &runtime, &err));
  FAILS(TW_ERR_ARGUMENT, tw_runtime_new(1, UINT32_MAX, &runtime, &err));
  CHECK(runtime == NULL);
  return 0;
}
