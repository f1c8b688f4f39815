/* P20: the log of a runtime: lines of the wanted level, none of what was said, from a thread of its own;
   it can be replaced and ended, and waits for nobody. */
#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>

#include "support.h"

#define SECRET "my-secret-word"

struct sink {
  pthread_mutex_t lock;
  int lines, debug, dropped, leaks;
  char all[1 << 16];
  sem_t holds, goes_on;
  int is_held;
  tw_runtime *runtime;
};

static void on_line(void *data, int32_t level, uint64_t unix_ms, tw_str message) {
  struct sink *sink = data;
  CHECK(level >= TW_LOG_ERROR && level <= TW_LOG_TRACE && unix_ms > 1700000000000u);
  CHECK(message.len == strlen(message.ptr) && !strchr(message.ptr, '\n'));
  char name[16] = "";
  pthread_getname_np(pthread_self(), name, sizeof name);
  CHECK(strcmp(name, "tw-log") == 0);
  pthread_mutex_lock(&sink->lock);
  sink->lines++;
  if (level >= TW_LOG_DEBUG) sink->debug++;
  if (strstr(message.ptr, SECRET)) sink->leaks++;
  size_t used = strlen(sink->all);
  snprintf(sink->all + used, sizeof sink->all - used, "%s\n", message.ptr);
  pthread_mutex_unlock(&sink->lock);
  if (sink->is_held) {
    sink->is_held = 0;
    /* It counts as a callback. */
    FAILS(TW_ERR_WOULD_DEADLOCK, tw_runtime_set_log(sink->runtime, TW_LOG_OFF, NULL, NULL, NULL, &err));
    sem_post(&sink->holds);
    while (sem_wait(&sink->goes_on) != 0) {
    }
  }
}

static void on_drop(void *data) {
  struct sink *sink = data;
  sink->dropped++;
}

static void sink_init(struct sink *sink) {
  memset(sink, 0, sizeof *sink);
  pthread_mutex_init(&sink->lock, NULL);
  sem_init(&sink->holds, 0, 0);
  sem_init(&sink->goes_on, 0, 0);
}

static void talk(tw_runtime *runtime, const tw_config *config) {
  tw_session *session = NULL;
  OK(tw_session_open(runtime, config, NULL, &session, &err));
  OK(tw_session_send_text(session, SECRET, TW_NTS, &err));
  OK(tw_session_respond(session, NULL, 0, &err));
  skip_to(session, TW_EVENT_RESPONSE_DONE);
  OK(tw_session_close_wait(session, PATIENCE_MS, &err));
  tw_session_free(session);
}

static struct sink one, two;

int main(void) {
  tw_local_server *server = serve(NULL);
  tw_config *config = configure(server);
  OK(tw_config_set_key(config, SECRET, TW_NTS, &err));
  tw_runtime *runtime = threads();
  sink_init(&one);
  sink_init(&two);
  FAILS(TW_ERR_ARGUMENT, tw_runtime_set_log(runtime, 9, on_line, &one, on_drop, &err));
  CHECK(one.dropped == 1);
  sink_init(&one);

  OK(tw_runtime_set_log(runtime, TW_LOG_TRACE, on_line, &one, on_drop, &err));
  talk(runtime, config);
  /* Another one takes over: the first has had all of its lines, and has none after it. */
  OK(tw_runtime_set_log(runtime, TW_LOG_INFO, on_line, &two, on_drop, &err));
  CHECK(one.dropped == 1 && one.lines > 10 && one.debug > 0 && one.leaks == 0);
  const char *const said[] = {"up link 1 session=1", "ready session", "sent response.create",
                              "received response.done", "end closed"};
  for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
    if (!strstr(one.all, said[i])) fprintf(stderr, "no `%s` in\n%s", said[i], one.all);
    CHECK(strstr(one.all, said[i]));
  }
  int lines = one.lines;
  two.runtime = runtime;
  two.is_held = 1;
  talk(runtime, config);
  /* The session went to its end although nobody reads its log. */
  while (sem_wait(&two.holds) != 0) {
  }
  sem_post(&two.goes_on);
  OK(tw_runtime_set_log(runtime, TW_LOG_OFF, NULL, NULL, NULL, &err));
  CHECK(one.lines == lines && two.dropped == 1 && two.lines > 0 && two.debug == 0);
  CHECK(strstr(two.all, "session=2") && !strstr(two.all, "session=1"));
  lines = two.lines;
  talk(runtime, config);

  /* A shutdown ends the log, after the last lines. */
  sink_init(&one);
  OK(tw_runtime_set_log(runtime, TW_LOG_INFO, on_line, &one, on_drop, &err));
  tw_session *session = NULL;
  OK(tw_session_open(runtime, config, NULL, &session, &err));
  skip_to(session, TW_EVENT_SESSION_UPDATED);
  finish(runtime);
  CHECK(one.dropped == 1 && strstr(one.all, "end closed") && two.lines == lines);
  tw_session_free(session);
  tw_config_free(config);
  tw_local_server_free(server);
  return 0;
}
