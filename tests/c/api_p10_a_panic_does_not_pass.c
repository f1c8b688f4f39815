/* P10: a bug in the library does not pass the boundary. The library panics where it is told to. */
#define _GNU_SOURCE
#include <unistd.h>

#include "support.h"

int main(int argc, char **argv) {
  (void)argc;
  if (!getenv("TALKWIRE_TEST_PANIC")) {
    setenv("TALKWIRE_TEST_PANIC", "tw_config_new", 1);
    execv(argv[0], argv);
    return 1;
  }
  tw_config *config = NULL;
  tw_error *err = NULL;
  tw_status status = tw_config_new(&config, &err);
  if (status == TW_OK) {
    puts("this library is a release build, which cannot be made to panic");
    return 77;
  }
  CHECK(status == TW_ERR_PANIC && config == NULL);
  CHECK(tw_error_code(err) == TW_ERR_PANIC && tw_error_who(err) == TW_WHO_LIBRARY);
  CHECK(strstr(tw_error_message(err).ptr, "tw_config_new"));
  tw_error_free(err);
  CHECK(tw_config_new(&config, NULL) == TW_ERR_PANIC);
  tw_runtime *runtime = threads();
  finish(runtime);
  return 0;
}
