/* P14: after tw_runtime_shutdown() no thread of the runtime is left, whatever was freed before. */
#define _GNU_SOURCE
#include <dirent.h>
#include <sched.h>

#include "record.h"

/* Threads of this process whose name begins like that. */
static int count(const char *prefix) {
  int found = 0;
  DIR *tasks = opendir("/proc/self/task");
  CHECK(tasks != NULL);
  for (struct dirent *task; (task = readdir(tasks));) {
    char path[320], name[32] = "";
    snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
    FILE *file = fopen(path, "r");
    if (!file) continue;
    if (fgets(name, sizeof name, file) && strncmp(name, prefix, strlen(prefix)) == 0) found++;
    fclose(file);
  }
  closedir(tasks);
  return found;
}

/* A thread names itself a moment after it was started, and the system lists it a moment after it was
   joined. */
static void await_count(const char *prefix, int wanted) {
  while (count(prefix) != wanted) sched_yield();
}

static void on_line(void *data, int32_t level, uint64_t unix_ms, tw_str message) {
  (void)data;
  CHECK(level > TW_LOG_OFF && unix_ms > 0 && message.len > 0);
}

static void all(void) {
  enum { SESSIONS = 20 };
  tw_local_server *server = serve(NULL);
  tw_config *config = configure(server);
  tw_runtime *runtime = NULL, *other = threads();
  record records[SESSIONS];
  tw_session *sessions[SESSIONS];
  await_count("tw-io", 1);
  OK(tw_runtime_new(2, 2, &runtime, &err));
  OK(tw_runtime_set_log(runtime, TW_LOG_TRACE, on_line, NULL, NULL, &err));
  await_count("tw-log", 1);
  for (int i = 0; i < SESSIONS; i++) {
    record_init(&records[i]);
    struct tw_callbacks callbacks = record_callbacks(&records[i]);
    OK(tw_session_open(runtime, config, &callbacks, &sessions[i], &err));
  }
  /* No thread belongs to a session. */
  await_count("tw-io", 3);
  await_count("tw-cb", record_delivery == TW_DELIVERY_PINNED ? 2 : 0);
  tw_config_free(config);
  OK(tw_runtime_shutdown(runtime, PATIENCE_MS, &err));
  await_count("tw-io", 1);
  await_count("tw-cb", 0);
  await_count("tw-log", 0);
  FAILS(TW_ERR_CLOSED, tw_runtime_set_log(runtime, TW_LOG_TRACE, on_line, NULL, NULL, &err));
  OK(tw_runtime_shutdown(runtime, PATIENCE_MS, &err));
  tw_runtime_free(runtime);
  for (int i = 0; i < SESSIONS; i++) {
    record_check(&records[i], 1);
    tw_session_free(sessions[i]);
  }

  /* The other one does not know of it. */
  config = configure(server);
  tw_session *session = NULL;
  OK(tw_session_open(other, config, NULL, &session, &err));
  skip_to(session, TW_EVENT_SESSION_UPDATED);
  tw_session_free(session);
  tw_config_free(config);
  finish(other);
  await_count("tw-io", 0);
  tw_local_server_free(server);
}

IN_BOTH_DELIVERIES(all)
