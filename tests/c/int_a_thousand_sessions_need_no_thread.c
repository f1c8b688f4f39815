/* No thread belongs to a session: as many run for a thousand talking ones as for one, callbacks and
   descriptors both. */
#define _GNU_SOURCE
#include <dirent.h>
#include <pthread.h>
#include <sys/resource.h>

#include "support.h"

enum { MOST = 1000, UNDER_VALGRIND = 40, DESCRIPTORS_EACH = 6 };

/* What the callbacks of all sessions tell. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int answered;

static int threads_of_this_process(void) {
  int found = 0;
  DIR *tasks = opendir("/proc/self/task");
  CHECK(tasks != NULL);
  for (struct dirent *task; (task = readdir(tasks));) found += task->d_name[0] != '.';
  closedir(tasks);
  return found;
}

static void on_event(void *data, tw_session *session, const tw_event *event) {
  (void)data;
  (void)session;
  if (tw_event_type(event) != TW_EVENT_RESPONSE_DONE) return;
  pthread_mutex_lock(&lock);
  answered++;
  pthread_cond_signal(&changed);
  pthread_mutex_unlock(&lock);
}

static void await_answers(int wanted) {
  pthread_mutex_lock(&lock);
  while (answered < wanted) pthread_cond_wait(&changed, &lock);
  pthread_mutex_unlock(&lock);
}

/* As many sessions as descriptors allow, with the limit raised as far as it goes. */
static int sessions_possible(void) {
  struct rlimit limit;
  CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  limit.rlim_cur = limit.rlim_max;
  CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  int most = getenv("TALKWIRE_VALGRIND") ? UNDER_VALGRIND : MOST;
  if (limit.rlim_cur / DESCRIPTORS_EACH < (rlim_t)most) {
    most = (int)(limit.rlim_cur / DESCRIPTORS_EACH);
    fprintf(stderr, "the limit of %llu descriptors allows %d sessions\n",
            (unsigned long long)limit.rlim_cur, most);
  }
  return most;
}

int main(void) {
  int most = sessions_possible();
  tw_local_server *server = serve("{\"max_sessions\":1000}");
  tw_config *config = configure(server);
  tw_runtime *runtime = NULL;
  OK(tw_runtime_new(1, 2, &runtime, &err));
  struct tw_callbacks callbacks = TW_CALLBACKS_INIT;
  callbacks.on_event = on_event;
  static tw_session *sessions[MOST];
  int with_one = 0;
  for (int i = 0; i < most; i++) {
    /* Every other one is read by its descriptor. */
    OK(tw_session_open(runtime, config, i % 2 ? NULL : &callbacks, &sessions[i], &err));
    int fd = -1;
    if (i % 2) OK(tw_session_wakeup_fd(sessions[i], &fd, &err));
    OK(tw_session_send_text(sessions[i], "hello", TW_NTS, &err));
    OK(tw_session_respond(sessions[i], NULL, 0, &err));
    if (i == 0) {
      await_answers(1);
      with_one = threads_of_this_process();
    }
  }
  await_answers((most + 1) / 2);
  for (int i = 1; i < most; i += 2) skip_to(sessions[i], TW_EVENT_RESPONSE_DONE);
  int with_all = threads_of_this_process();
  printf("%d threads for 1 session, %d for %d\n", with_one, with_all, most);
  CHECK(with_all == with_one);
  for (int i = 0; i < most; i++) OK(tw_session_close(sessions[i], PATIENCE_MS, &err));
  OK(tw_runtime_shutdown(runtime, PATIENCE_MS, &err));
  for (int i = 0; i < most; i++) tw_session_free(sessions[i]);
  tw_runtime_free(runtime);
  tw_config_free(config);
  tw_local_server_free(server);
  return 0;
}
