/* Sessions are opened and ended again and again, in four ways, with their server in the same process:
   memory, descriptors and threads are what they were. 10,000 times in the deep tier. */
#define _GNU_SOURCE
#include <dirent.h>
#include <malloc.h>
#include <sched.h>

#include "record.h"

/* Tables and queues are as large as they ever were, which takes some hundred sessions and then hardly
   grows any more. A session that was lost, or a pointer lost 10,000 times, would be more than this. */
enum { SLACK_BYTES = 128 * 1024, SLACK_RSS_KB = 4 * 1024 };

/* Such an allocator keeps what was freed. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { KEEPS_FREED = 1 };
#else
enum { KEEPS_FREED = 0 };
#endif

typedef struct {
  int descriptors, threads;
  size_t allocated, resident_kb;
} footprint;

static int entries(const char *path) {
  int found = 0;
  DIR *dir = opendir(path);
  CHECK(dir != NULL);
  while (readdir(dir)) found++;
  closedir(dir);
  return found;
}

static size_t resident_kb(void) {
  char line[128];
  size_t kb = 0;
  FILE *status = fopen("/proc/self/status", "r");
  CHECK(status != NULL);
  while (fgets(line, sizeof line, status)) sscanf(line, "VmRSS: %zu", &kb);
  fclose(status);
  return kb;
}

/* When the server, which is the last to close a descriptor, has noticed that everybody has gone. */
static footprint measure(int descriptors) {
  while (entries("/proc/self/fd") != descriptors) sched_yield();
  footprint f = {descriptors, entries("/proc/self/task"), 0, 0};
  f.allocated = mallinfo2().uordblks;
  f.resident_kb = resident_kb();
  return f;
}

static void close_itself(record *r, tw_session *session, const tw_event *event) {
  (void)r;
  if (tw_event_type(event) == TW_EVENT_SESSION_CREATED) OK(tw_session_close(session, PATIENCE_MS, &err));
}

static void cycle(int i, tw_runtime *runtime, const tw_config *config) {
  tw_session *session = NULL;
  record r;
  record_init(&r);
  r.act = close_itself;
  struct tw_callbacks callbacks = record_callbacks(&r);
  OK(tw_session_open(runtime, config, i % 4 == 1 ? &callbacks : NULL, &session, &err));
  if (i % 4 == 1) record_await_drop(&r);
  if (i % 4 == 2) {
    skip_to(session, TW_EVENT_SESSION_UPDATED);
    tw_call *call = NULL;
    tw_subscription *subscription = NULL;
    OK(tw_call_attach(session, "{}", TW_NTS, &call, &err));
    OK(tw_subscription_open(session, "{\"topics\":[\"control\"]}", TW_NTS, NULL, &subscription, &err));
    tw_call_detach(call);
    tw_subscription_free(subscription);
  }
  /* The fourth one is given back while it is being opened. */
  if (i % 4 != 3) OK(tw_session_close_wait(session, PATIENCE_MS, &err));
  tw_session_free(session);
  tw_end_free(r.end);
}

int main(void) {
  int is_watched = KEEPS_FREED || getenv("TALKWIRE_VALGRIND") != NULL;
  int cycles = is_watched ? 40 : getenv("TALKWIRE_DEEP") ? 10000 : 200;
  int warm_up = is_watched ? 40 : cycles < 1000 ? 300 : 2000;
  tw_local_server *server = serve(NULL);
  tw_config *config = configure(server);
  tw_runtime *runtime = threads();
  int idle = entries("/proc/self/fd");
  /* The last one, like the first, is whole: the server has met the others before. */
  for (int i = 0; i <= warm_up; i++) cycle(i, runtime, config);
  footprint before = measure(idle);
  for (int i = 0; i <= cycles; i++) cycle(i, runtime, config);
  footprint after = measure(idle);
  const char *file = getenv("TALKWIRE_NOTES_FILE");
  FILE *notes = fopen(file ? file : "/dev/stdout", "a");
  CHECK(notes != NULL);
  fprintf(notes,
          "%d sessions opened and closed: allocated %zu -> %zu bytes, resident %zu -> %zu KB, %d "
          "descriptors, %d -> %d threads\n",
          cycles, before.allocated, after.allocated, before.resident_kb, after.resident_kb,
          after.descriptors, before.threads, after.threads);
  fclose(notes);
  CHECK(after.threads == before.threads);
  CHECK(is_watched || after.allocated <= before.allocated + SLACK_BYTES);
  CHECK(is_watched || after.resident_kb <= before.resident_kb + SLACK_RSS_KB);
  tw_config_free(config);
  finish(runtime);
  tw_local_server_free(server);
  return 0;
}
