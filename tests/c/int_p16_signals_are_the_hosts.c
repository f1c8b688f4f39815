/* P16: no signal handler is changed, signals are blocked in our threads, and a connection that the
   peer resets raises no SIGPIPE: its action is the default here, which would end this program. */
#define _GNU_SOURCE
#include <dirent.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "record.h"

#include "handlers.h"

/* How many threads are called tw-; each of them must block every signal that can be. */
static int masked_threads(void) {
  int seen = 0;
  DIR *tasks = opendir("/proc/self/task");
  CHECK(tasks != NULL);
  for (struct dirent *task; (task = readdir(tasks));) {
    char path[320], line[128];
    unsigned long long blocked = 0;
    int ours = 0;
    snprintf(path, sizeof path, "/proc/self/task/%s/status", task->d_name);
    FILE *file = fopen(path, "r");
    if (!file) continue;
    while (fgets(line, sizeof line, file)) {
      if (strncmp(line, "Name:\ttw-", 9) == 0) ours = 1;
      sscanf(line, "SigBlk: %llx", &blocked);
    }
    fclose(file);
    if (!ours) continue;
    seen++;
    for (int i = 1; i <= SIGRTMAX; i++) {
      /* Two cannot be blocked, and two between the ordinary and the realtime ones are the C library's. */
      if (i == SIGKILL || i == SIGSTOP || (i >= 32 && i < SIGRTMIN)) continue;
      /* Valgrind takes those of faults for itself. */
      if (getenv("TALKWIRE_VALGRIND") && i != SIGPIPE && i != SIGINT && i != SIGTERM) continue;
      CHECK(blocked >> (i - 1) & 1);
    }
  }
  closedir(tasks);
  return seen;
}

/* Accepts, reads a little and resets, again and again. */
static void *reset_everything(void *listener) {
  for (;;) {
    int peer = accept(*(int *)listener, NULL, NULL);
    if (peer < 0) return NULL;
    char buffer[64];
    struct linger now = {1, 0};
    if (read(peer, buffer, sizeof buffer) < 0) perror("read");
    setsockopt(peer, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(peer);
  }
}

static void resets(tw_runtime *runtime) {
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {0};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  CHECK(bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 8) == 0);
  CHECK(getsockname(listener, (struct sockaddr *)&address, &size) == 0);
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, reset_everything, &listener) == 0);
  for (int i = 0; i < 10; i++) {
    char url[64];
    tw_config *config = NULL;
    tw_session *session = NULL;
    snprintf(url, sizeof url, "%s://localhost:%d/", i % 2 ? "wss" : "ws", ntohs(address.sin_port));
    OK(tw_config_new(&config, &err));
    OK(tw_config_set_url(config, url, TW_NTS, &err));
    OK(tw_session_open(runtime, config, NULL, &session, &err));
    tw_end *end = await_end(session);
    CHECK(!tw_end_expected(end));
    tw_end_free(end);
    tw_session_free(session);
    tw_config_free(config);
  }
  shutdown(listener, SHUT_RDWR);
  close(listener);
  pthread_join(thread, NULL);
}

/* A client that writes on while the server vanishes under it. */
static void vanishing_server(tw_runtime *runtime) {
  tw_local_server *server = serve(NULL);
  tw_config *config = configure(server);
  tw_session *session = NULL;
  static const char sound[4800];
  OK(tw_session_open(runtime, config, NULL, &session, &err));
  skip_to(session, TW_EVENT_SESSION_UPDATED);
  tw_local_server_free(server);
  while (tw_session_append(session, sound, sizeof sound, NULL) != TW_ERR_CLOSED) continue;
  tw_end_free(await_end(session));
  tw_session_free(session);
  tw_config_free(config);
}

/* A session with callbacks, so that there are threads that run them. */
static void callbacks_too(tw_runtime *runtime, tw_local_server *server) {
  tw_config *config = configure(server);
  tw_session *session = NULL;
  record r;
  record_init(&r);
  struct tw_callbacks callbacks = record_callbacks(&r);
  OK(tw_session_open(runtime, config, &callbacks, &session, &err));
  OK(tw_session_close_wait(session, PATIENCE_MS, &err));
  tw_session_free(session);
  tw_config_free(config);
  record_await_drop(&r);
  record_check(&r, 1);
}

int main(void) {
  struct sigaction before[SIGNALS], after[SIGNALS];
  signal(SIGPIPE, SIG_DFL);
  handlers(before);
  tw_runtime *runtime = threads();
  resets(runtime);
  vanishing_server(runtime);
  tw_local_server *server = serve(NULL);
  callbacks_too(runtime, server);
  CHECK(masked_threads() >= 3);
  tw_local_server_free(server);
  finish(runtime);
  handlers(after);
  same_handlers(before, after);
  return 0;
}
