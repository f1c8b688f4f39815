/* A text chat in a host's own poll() loop: the session is one descriptor, standard input another, and
 * one thread serves both.
 *
 *     poll_loop [--url URL]
 *
 * Each line of standard input is a turn, the end of it ends the program; without any line it says one
 * sentence. Without a URL it talks to a server of its own, which echoes. For a server elsewhere, put
 * the credential into TALKWIRE_KEY. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "talkwire.h"

enum { PATIENCE_MS = 30000, LINE_MAX_BYTES = 4096 };

typedef struct chat {
  tw_session *session;
  char typed[LINE_MAX_BYTES];
  size_t typed_len;
  int turns, is_answering, is_input_over, is_closing, is_over;
} chat;

/* Takes the address of the error, whose value may be read before the call has written it. That a session
 * has ended meanwhile is told by its end, which knows why. */
static void must(tw_status status, tw_error **err) {
  if (status == TW_OK || status == TW_ERR_CLOSED) return;
  fprintf(stderr, "%s: %s\n", tw_status_name(status), tw_error_message(*err).ptr);
  exit(1);
}

static void say(chat *c, const char *text, size_t len) {
  tw_error *err = NULL;
  printf("customer: %.*s\nagent: ", (int)len, text);
  fflush(stdout);
  must(tw_session_send_text(c->session, text, len, &err), &err);
  must(tw_session_respond(c->session, NULL, 0, &err), &err);
  c->is_answering = 1;
  c->turns++;
}

static void show(chat *c, const tw_event *event) {
  switch (tw_event_type(event)) {
    case TW_EVENT_RESPONSE_OUTPUT_TEXT_DELTA:
      fputs(tw_event_text(event).ptr, stdout);
      fflush(stdout);
      break;
    case TW_EVENT_ERROR:
    case TW_EVENT_PROTOCOL_FAULT:
      fprintf(stderr, "error: %s\n", tw_event_text(event).ptr);
      break;
    case TW_EVENT_RESPONSE_DONE:
      puts("");
      c->is_answering = 0;
      break;
  }
}

/* The descriptor says that something waits, not how much: takes all there is. */
static void take_events(chat *c) {
  tw_event *event = NULL;
  tw_status status;
  while ((status = tw_session_next_event(c->session, 0, &event, NULL)) == TW_OK) {
    show(c, event);
    tw_event_free(event);
  }
  c->is_over = status != TW_AGAIN;
}

/* Read by read() and not by stdio, whose buffer poll() does not know of. */
static void take_input(chat *c) {
  ssize_t got = read(STDIN_FILENO, c->typed + c->typed_len, sizeof c->typed - c->typed_len);
  if (got < 0 && errno == EINTR) return;
  c->is_input_over = got <= 0;
  if (got > 0) c->typed_len += (size_t)got;
}

/* Says the first typed line that is not empty; a line that is too long is said in pieces. */
static void next_turn(chat *c) {
  while (!c->is_answering && c->typed_len > 0) {
    char *end = (char *)memchr(c->typed, '\n', c->typed_len);
    if (!end && !c->is_input_over && c->typed_len < sizeof c->typed) return;
    size_t len = end ? (size_t)(end - c->typed) : c->typed_len;
    if (len > 0) say(c, c->typed, len);
    size_t used = end ? len + 1 : len;
    memmove(c->typed, c->typed + used, c->typed_len -= used);
  }
  const char *unasked = "Hello, can you hear me?";
  if (c->is_input_over && c->turns == 0) say(c, unasked, strlen(unasked));
  if (c->is_input_over && !c->is_answering && !c->is_closing) {
    c->is_closing = 1;
    tw_session_close(c->session, PATIENCE_MS, NULL);
  }
}

/* The loop. While the agent answers, nobody waits at the other descriptor: poll() skips a negative
 * one, and what is typed meanwhile stays where it is. */
static int run(chat *c) {
  int session_fd = -1;
  tw_error *err = NULL;
  must(tw_session_wakeup_fd(c->session, &session_fd, &err), &err);
  while (!c->is_over) {
    int waits_for_input = !c->is_answering && !c->is_input_over;
    struct pollfd fds[] = {{session_fd, POLLIN, 0},
                           {waits_for_input ? STDIN_FILENO : -1, POLLIN, 0}};
    int ready = poll(fds, 2, waits_for_input ? -1 : PATIENCE_MS);
    if (ready < 0 && errno != EINTR) return perror("poll"), 1;
    if (ready == 0) return fprintf(stderr, "nothing came within %d ms\n", PATIENCE_MS), 1;
    if (ready > 0 && fds[0].revents) take_events(c);
    if (ready > 0 && fds[1].revents) take_input(c);
    if (!c->is_over) next_turn(c);
  }
  tw_end *end = NULL;
  must(tw_session_end(c->session, &end, &err), &err);
  int is_expected = tw_end_expected(end);
  if (!is_expected) fprintf(stderr, "the session ended: %s\n", tw_end_message(end).ptr);
  tw_end_free(end);
  return is_expected ? 0 : 1;
}

int main(int argc, char **argv) {
  tw_error *err = NULL;
  tw_local_server *server = NULL;
  tw_config *config = NULL;
  static chat c;
  const char *key = getenv("TALKWIRE_KEY");
  const char *url = argc > 2 && strcmp(argv[1], "--url") == 0 ? argv[2] : NULL;
  if (!url) {
    must(tw_local_server_start(NULL, 0, &server, &err), &err);
    url = tw_local_server_url(server).ptr;
  }
  must(tw_config_new(&config, &err), &err);
  must(tw_config_set_url(config, url, TW_NTS, &err), &err);
  if (key) must(tw_config_set_key(config, key, TW_NTS, &err), &err);
  must(tw_config_set_session_json(config, "{\"output_modalities\":[\"text\"]}", TW_NTS, &err), &err);
  must(tw_session_open(NULL, config, NULL, &c.session, &err), &err);
  tw_config_free(config);
  int code = run(&c);
  tw_session_free(c.session);
  tw_local_server_free(server);
  return code;
}
