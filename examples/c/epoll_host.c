/* A small host: one thread and one epoll loop drive several sessions at once. Each asks one question,
 * prints its answer and is closed.
 *
 *     epoll_host [--url URL] [SESSIONS]
 *
 * Without a URL it talks to a server of its own, which echoes. For a server elsewhere, put the
 * credential into TALKWIRE_KEY. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "talkwire.h"

enum { PATIENCE_MS = 30000, USUAL = 8, MOST = 1000, BATCH = 16, ANSWER_BYTES = 1024 };

typedef struct guest {
  int number, is_answered;
  tw_session *session;
  char answer[ANSWER_BYTES];
} guest;

/* Takes the address of the error, whose value may be read before the call has written it. That a session
 * has ended meanwhile is told by its end, which knows why. */
static void must(tw_status status, tw_error **err) {
  if (status == TW_OK || status == TW_ERR_CLOSED) return;
  fprintf(stderr, "%s: %s\n", tw_status_name(status), tw_error_message(*err).ptr);
  exit(1);
}

static void must_errno(int result, const char *what) {
  if (result >= 0) return;
  perror(what);
  exit(1);
}

/* Opens a session and asks at once; the question waits in the library until there is a connection. */
static void ask(guest *g, const tw_config *config, int loop) {
  tw_error *err = NULL;
  char question[64];
  int fd = -1;
  snprintf(question, sizeof question, "Question %d: what is your number?", g->number);
  must(tw_session_open(NULL, config, NULL, &g->session, &err), &err);
  must(tw_session_send_text(g->session, question, TW_NTS, &err), &err);
  must(tw_session_respond(g->session, NULL, 0, &err), &err);
  must(tw_session_wakeup_fd(g->session, &fd, &err), &err);
  struct epoll_event interest = {.events = EPOLLIN, .data.ptr = g};
  must_errno(epoll_ctl(loop, EPOLL_CTL_ADD, fd, &interest), "epoll_ctl");
}

static void hear(guest *g, const tw_event *event) {
  size_t used = strlen(g->answer);
  switch (tw_event_type(event)) {
    case TW_EVENT_RESPONSE_OUTPUT_TEXT_DELTA:
      snprintf(g->answer + used, sizeof g->answer - used, "%s", tw_event_text(event).ptr);
      break;
    case TW_EVENT_ERROR:
    case TW_EVENT_PROTOCOL_FAULT:
      fprintf(stderr, "session %d: error: %s\n", g->number, tw_event_text(event).ptr);
      break;
    case TW_EVENT_RESPONSE_DONE:
      printf("session %d: %s\n", g->number, g->answer);
      g->is_answered = used > 0;
      tw_session_close(g->session, PATIENCE_MS, NULL);
      break;
  }
}

/* Takes what waits; returns whether the session is over. The loop must forget the descriptor before
 * the session, which owns it, is freed. */
static int serve(guest *g, int loop) {
  tw_event *event = NULL;
  tw_end *end = NULL;
  tw_error *err = NULL;
  int fd = -1;
  tw_status status;
  while ((status = tw_session_next_event(g->session, 0, &event, NULL)) == TW_OK) {
    hear(g, event);
    tw_event_free(event);
  }
  if (status == TW_AGAIN) return 0;
  must(tw_session_end(g->session, &end, &err), &err);
  if (!tw_end_expected(end))
    fprintf(stderr, "session %d ended: %s\n", g->number, tw_end_message(end).ptr);
  g->is_answered = g->is_answered && tw_end_expected(end);
  tw_end_free(end);
  must(tw_session_wakeup_fd(g->session, &fd, &err), &err);
  must_errno(epoll_ctl(loop, EPOLL_CTL_DEL, fd, NULL), "epoll_ctl");
  tw_session_free(g->session);
  return 1;
}

/* Returns how many sessions had their answer. */
static int run(guest *guests, int count, const tw_config *config) {
  int loop = epoll_create1(0), left = count, answered = 0;
  must_errno(loop, "epoll_create1");
  for (int i = 0; i < count; i++) {
    guests[i].number = i + 1;
    ask(&guests[i], config, loop);
  }
  while (left > 0) {
    struct epoll_event ready[BATCH];
    int n = epoll_wait(loop, ready, BATCH, PATIENCE_MS);
    if (n < 0 && errno == EINTR) continue;
    must_errno(n, "epoll_wait");
    if (n == 0) {
      fprintf(stderr, "%d sessions heard nothing for %d ms\n", left, PATIENCE_MS);
      break;
    }
    for (int i = 0; i < n; i++) left -= serve((guest *)ready[i].data.ptr, loop);
  }
  close(loop);
  for (int i = 0; i < count; i++) answered += guests[i].is_answered;
  return answered;
}

int main(int argc, char **argv) {
  tw_error *err = NULL;
  tw_local_server *server = NULL;
  tw_config *config = NULL;
  const char *url = NULL, *key = getenv("TALKWIRE_KEY");
  int count = USUAL;
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--url") == 0 && i + 1 < argc)
      url = argv[++i];
    else
      count = atoi(argv[i]);
  }
  if (count < 1 || count > MOST) return fprintf(stderr, "sessions: 1 to %d\n", MOST), 2;
  if (!url) {
    must(tw_local_server_start(NULL, 0, &server, &err), &err);
    url = tw_local_server_url(server).ptr;
  }
  must(tw_config_new(&config, &err), &err);
  must(tw_config_set_url(config, url, TW_NTS, &err), &err);
  if (key) must(tw_config_set_key(config, key, TW_NTS, &err), &err);
  must(tw_config_set_session_json(config, "{\"output_modalities\":[\"text\"]}", TW_NTS, &err), &err);
  guest *guests = (guest *)calloc((size_t)count, sizeof *guests);
  if (!guests) return fprintf(stderr, "no memory\n"), 1;
  int answered = run(guests, count, config);
  printf("%d of %d sessions were answered\n", answered, count);
  free(guests);
  tw_config_free(config);
  tw_local_server_free(server);
  return answered == count ? 0 : 1;
}
