/* A host that is not linked with the library loads and unloads the installed one several times: with
   a session in between, with a forgotten session that is still open when it unloads, and with two
   loads at once. No signal handler changes, no thread or descriptor is left by what was ended. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../c/handlers.h"
#include "talkwire.h"

enum { LOADS = 5, PATIENCE_MS = 30000 };

#define FUNCTIONS(F)                                                                            \
  F(tw_runtime_new) F(tw_runtime_shutdown) F(tw_runtime_free) F(tw_config_new)                   \
  F(tw_config_set_url) F(tw_config_free) F(tw_session_open) F(tw_session_next_event)             \
  F(tw_session_free) F(tw_event_type) F(tw_event_free) F(tw_local_server_start)                  \
  F(tw_local_server_url) F(tw_local_server_free) F(tw_session_send_text)

/* A loaded library. */
typedef struct {
  void *handle;
#define FIELD(name) __typeof__(name) *name;
  FUNCTIONS(FIELD)
#undef FIELD
} library;

static library load(void) {
  library l;
  char path[4096];
  const char *stage = getenv("TALKWIRE_STAGE");
  CHECK(stage != NULL);
  snprintf(path, sizeof path, "%s/lib/libtalkwire.so", stage);
  l.handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!l.handle) fprintf(stderr, "%s\n", dlerror());
  CHECK(l.handle != NULL);
  /* A function does not fit into a pointer to data in the letter of C. */
#define FIND(name)                                            \
  do {                                                        \
    void *found = dlsym(l.handle, #name);                     \
    CHECK(found != NULL);                                     \
    memcpy(&l.name, &found, sizeof found);                    \
  } while (0);
  FUNCTIONS(FIND)
#undef FIND
  return l;
}

static int entries(const char *path) {
  int found = 0;
  DIR *dir = opendir(path);
  CHECK(dir != NULL);
  while (readdir(dir)) found++;
  closedir(dir);
  return found;
}

static void await_entries(const char *path, int wanted) {
  while (entries(path) != wanted) sched_yield();
}

static void skip_to(const library *l, tw_session *session, int32_t wanted) {
  for (int32_t type = -1; type != wanted;) {
    tw_event *event = NULL;
    CHECK(l->tw_session_next_event(session, PATIENCE_MS, &event, NULL) == TW_OK);
    type = l->tw_event_type(event);
    l->tw_event_free(event);
  }
}

static tw_session *open_session(const library *l, tw_runtime *runtime, const char *url) {
  tw_config *config = NULL;
  tw_session *session = NULL;
  CHECK(l->tw_config_new(&config, NULL) == TW_OK);
  CHECK(l->tw_config_set_url(config, url, TW_NTS, NULL) == TW_OK);
  CHECK(l->tw_session_open(runtime, config, NULL, &session, NULL) == TW_OK);
  l->tw_config_free(config);
  skip_to(l, session, TW_EVENT_SESSION_CREATED);
  return session;
}

static tw_runtime *start(const library *l) {
  tw_runtime *runtime = NULL;
  CHECK(l->tw_runtime_new(1, 1, &runtime, NULL) == TW_OK);
  return runtime;
}

/* Loads, has a session, ends everything, unloads. */
static void whole_life(const char *url) {
  int threads = entries("/proc/self/task"), descriptors = entries("/proc/self/fd");
  library l = load();
  tw_runtime *runtime = start(&l);
  tw_session *session = open_session(&l, runtime, url);
  l.tw_session_free(session);
  CHECK(l.tw_runtime_shutdown(runtime, PATIENCE_MS, NULL) == TW_OK);
  l.tw_runtime_free(runtime);
  CHECK(dlclose(l.handle) == 0);
  await_entries("/proc/self/task", threads);
  await_entries("/proc/self/fd", descriptors);
}

/* Two loads, as two plugins make them: the end of one is not the end of the other. */
static void two_at_once(const char *url) {
  library one = load(), other = load();
  tw_runtime *ones = start(&one), *others = start(&other);
  tw_session *goes = open_session(&one, ones, url), *stays = open_session(&other, others, url);
  CHECK(one.tw_runtime_shutdown(ones, PATIENCE_MS, NULL) == TW_OK);
  one.tw_session_free(goes);
  one.tw_runtime_free(ones);
  CHECK(dlclose(one.handle) == 0);
  CHECK(other.tw_session_send_text(stays, "still here", TW_NTS, NULL) == TW_OK);
  skip_to(&other, stays, TW_EVENT_CONVERSATION_ITEM_ADDED);
  other.tw_session_free(stays);
  CHECK(other.tw_runtime_shutdown(others, PATIENCE_MS, NULL) == TW_OK);
  other.tw_runtime_free(others);
  CHECK(dlclose(other.handle) == 0);
}

int main(void) {
  struct sigaction before[SIGNALS], after[SIGNALS];
  handlers(before);
  library servers = load();
  tw_local_server *server = NULL;
  CHECK(servers.tw_local_server_start(NULL, 0, &server, NULL) == TW_OK);
  char url[256];
  snprintf(url, sizeof url, "%s", servers.tw_local_server_url(server).ptr);

  whole_life(url);
  for (int i = 0; i < LOADS; i++) whole_life(url);
  two_at_once(url);

  /* A session is forgotten, and its threads run on in a library that nobody holds any more. */
  library forgetful = load();
  tw_session *forgotten = open_session(&forgetful, start(&forgetful), url);
  CHECK(forgotten != NULL && dlclose(forgetful.handle) == 0);
  whole_life(url);
  servers.tw_local_server_free(server);
  CHECK(dlclose(servers.handle) == 0);
  handlers(after);
  same_handlers(before, after);
  return 0;
}
