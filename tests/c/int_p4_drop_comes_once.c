/* P4: drop comes exactly once: after a close, after a free alone, and when opening fails. */
#define _GNU_SOURCE
#include "record.h"

static void all(void) {
  tw_local_server *server = serve(NULL);
  tw_config *config = configure(server);
  record r;
  tw_session *session = NULL;
  struct tw_callbacks callbacks;

  /* Freed without a close: broken off, still one end, then drop. */
  record_init(&r);
  callbacks = record_callbacks(&r);
  tw_runtime *runtime = threads();
  OK(tw_session_open(runtime, config, &callbacks, &session, &err));
  tw_session_free(session);
  record_await_drop(&r);
  CHECK(tw_end_expected(r.end));
  finish(runtime);
  record_check(&r, 1);

  /* Opening fails: drop, but no end, because there was no session. */
  record_init(&r);
  callbacks = record_callbacks(&r);
  FAILS(TW_ERR_ARGUMENT, tw_session_open(NULL, NULL, &callbacks, &session, &err));
  record_check(&r, 0);
  record_init(&r);
  callbacks = record_callbacks(&r);
  FAILS(TW_ERR_ARGUMENT, tw_session_open(NULL, config, &callbacks, NULL, &err));
  record_check(&r, 0);
  tw_config *without_key = NULL;
  OK(tw_config_new(&without_key, &err));
  record_init(&r);
  callbacks = record_callbacks(&r);
  FAILS(TW_ERR_AUTH, tw_session_open(NULL, without_key, &callbacks, &session, &err));
  record_check(&r, 0);
  tw_config_free(without_key);

  /* A runtime that is shut down. */
  runtime = threads();
  OK(tw_runtime_shutdown(runtime, PATIENCE_MS, &err));
  record_init(&r);
  callbacks = record_callbacks(&r);
  FAILS(TW_ERR_CLOSED, tw_session_open(runtime, config, &callbacks, &session, &err));
  record_check(&r, 0);
  tw_runtime_free(runtime);

  /* No such delivery. */
  record_init(&r);
  callbacks = record_callbacks(&r);
  callbacks.delivery = 7;
  FAILS(TW_ERR_ARGUMENT, tw_session_open(NULL, config, &callbacks, &session, &err));
  record_check(&r, 0);

  /* A struct of before there was a delivery is pinned; what is behind its end is not read. */
  record_init(&r);
  callbacks = record_callbacks(&r);
  callbacks.delivery = 7;
  callbacks.struct_size = offsetof(struct tw_callbacks, delivery);
  runtime = threads();
  OK(tw_session_open(runtime, config, &callbacks, &session, &err));
  tw_session_free(session);
  finish(runtime);
  record_check(&r, 1);

  /* A struct without its size is not touched at all. */
  record_init(&r);
  callbacks = record_callbacks(&r);
  callbacks.struct_size = 0;
  FAILS(TW_ERR_ARGUMENT, tw_session_open(NULL, config, &callbacks, &session, &err));
  CHECK(r.dropped == 0);

  /* A shutdown under a session. */
  runtime = threads();
  callbacks = record_callbacks(&r);
  OK(tw_session_open(runtime, config, &callbacks, &session, &err));
  finish(runtime);
  record_check(&r, 1);
  tw_session_free(session);

  tw_config_free(config);
  tw_local_server_free(server);
}

IN_BOTH_DELIVERIES(all)
