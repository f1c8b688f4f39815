/* A gate before a server: passes the first connections on, holds or refuses later ones, and cuts. */
#ifndef TALKWIRE_TESTS_GATE_H
#define TALKWIRE_TESTS_GATE_H

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

enum { GATE_MOST = 64 };

typedef struct gate {
  int listener, port, to;
  /* Of connections: how many are passed on; whether later ones are refused, not held. */
  int passes, refuses;
  atomic_int held, answered;
  int wake[2];
  pthread_t thread;
  struct gate_pair {
    int client, server, has_answered;
  } pairs[GATE_MOST];
  int count;
} gate;

static inline int gate_socket(int port, int listens) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(fd >= 0);
  if (listens)
    CHECK(bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, GATE_MOST) == 0);
  else
    CHECK(connect(fd, (struct sockaddr *)&at, sizeof at) == 0);
  return fd;
}

static inline void gate_accept(gate *g) {
  int client = accept(g->listener, NULL, NULL);
  CHECK(client >= 0);
  CHECK(g->count < GATE_MOST);
  if (g->count >= g->passes && g->refuses) {
    close(client);
    return;
  }
  struct gate_pair *pair = &g->pairs[g->count];
  *pair = (struct gate_pair){client, -1, 0};
  if (g->count++ < g->passes)
    pair->server = gate_socket(g->to, 0);
  else
    atomic_fetch_add(&g->held, 1);
}

static inline void gate_close(struct gate_pair *pair) {
  if (pair->client >= 0) close(pair->client);
  if (pair->server >= 0) close(pair->server);
  pair->client = pair->server = -1;
}

/* Passes on what there is; whoever is gone takes the other side along. */
static inline int gate_pass(int from, int to) {
  char bytes[4096];
  ssize_t count = read(from, bytes, sizeof bytes);
  return count > 0 && send(to, bytes, (size_t)count, MSG_NOSIGNAL) == count;
}

static inline void gate_look(gate *g, struct gate_pair *pair, const struct pollfd *fds) {
  int goes_on = 1;
  if (fds[0].revents) goes_on = gate_pass(pair->client, pair->server);
  if (goes_on && fds[1].revents) {
    goes_on = gate_pass(pair->server, pair->client);
    if (!pair->has_answered) atomic_fetch_add(&g->answered, 1);
    pair->has_answered = 1;
  }
  if (!goes_on) gate_close(pair);
}

static inline void *gate_run(void *user_data) {
  gate *g = (gate *)user_data;
  for (;;) {
    struct pollfd fds[2 + 2 * GATE_MOST] = {{g->wake[0], POLLIN, 0}, {g->listener, POLLIN, 0}};
    int count = g->count;
    for (int i = 0; i < count; i++) {
      struct gate_pair *pair = &g->pairs[i];
      /* Nothing is read of one that is held: poll() passes over -1. */
      int client = pair->server < 0 ? -1 : pair->client;
      fds[2 + 2 * i] = (struct pollfd){client, POLLIN, 0};
      fds[3 + 2 * i] = (struct pollfd){pair->server, POLLIN, 0};
    }
    CHECK(poll(fds, (nfds_t)(2 + 2 * count), -1) > 0);
    char told = 0;
    if (fds[0].revents) CHECK(read(g->wake[0], &told, 1) == 1);
    for (int i = 0; i < count; i++) {
      if (told)
        gate_close(&g->pairs[i]);
      else
        gate_look(g, &g->pairs[i], &fds[2 + 2 * i]);
    }
    if (told == 'x') return NULL;
    if (fds[1].revents) gate_accept(g);
  }
}

/* Of a server, or of none. */
static inline void gate_open(gate *g, const tw_local_server *server, int passes, int refuses) {
  memset(g, 0, sizeof *g);
  g->passes = passes;
  g->refuses = refuses;
  if (server) CHECK(sscanf(tw_local_server_url(server).ptr, "ws://127.0.0.1:%d/", &g->to) == 1);
  struct sockaddr_in at;
  socklen_t size = sizeof at;
  g->listener = gate_socket(0, 1);
  CHECK(getsockname(g->listener, (struct sockaddr *)&at, &size) == 0);
  g->port = ntohs(at.sin_port);
  CHECK(pipe(g->wake) == 0);
  CHECK(pthread_create(&g->thread, NULL, gate_run, g) == 0);
}

/* Closes all connections that are there. */
static inline void gate_cut(gate *g) { CHECK(write(g->wake[1], "c", 1) == 1); }

static inline void gate_free(gate *g) {
  CHECK(write(g->wake[1], "x", 1) == 1);
  CHECK(pthread_join(g->thread, NULL) == 0);
  close(g->listener);
  close(g->wake[0]);
  close(g->wake[1]);
}

static inline void gate_await(atomic_int *counter, int wanted) {
  time_t begun = time(NULL);
  while (atomic_load(counter) < wanted) {
    CHECK(time(NULL) - begun < PATIENCE_MS / 1000);
    sched_yield();
  }
}

#endif
