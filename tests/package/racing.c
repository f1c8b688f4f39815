/* A race on purpose, between a thread of the library and this one: the sanitizer must tell of it, or
   what it says of the others is worth nothing. */
#define _GNU_SOURCE
#include "../c/record.h"

static int told;

static void tell(record *r, tw_session *session, const tw_event *event) {
  (void)r, (void)session, (void)event;
  told++;
}

int main(void) {
  tw_local_server *server = serve(NULL);
  tw_config *config = configure(server);
  tw_runtime *runtime = threads();
  tw_session *session = NULL;
  record r;
  record_init(&r);
  r.act = tell;
  struct tw_callbacks callbacks = record_callbacks(&r);
  OK(tw_session_open(runtime, config, &callbacks, &session, &err));
  while (*(volatile int *)&told < 2) continue;
  OK(tw_session_close_wait(session, PATIENCE_MS, &err));
  tw_session_free(session);
  tw_config_free(config);
  finish(runtime);
  tw_local_server_free(server);
  record_check(&r, 1);
  return 0;
}
