/* The five lines of the README, as they stand there; a test compares them. */
#include "support.h"

int main(void) {
  tw_error *err = NULL;
  /* README */
  tw_local_server *server = NULL;
  tw_local_server_start("{\"profile\": \"openai\"}", TW_NTS, &server, &err);
  printf("%s\n", tw_local_server_url(server).ptr);
  tw_local_server_stop(server, &err);
  tw_local_server_free(server);
  /* end of README */
  CHECK(err == NULL);
  return 0;
}
