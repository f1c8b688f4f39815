/* A text chat by asking for events: says what is given on the command line and prints the answers.
 *
 *     text_chat [--url URL] [TEXT...]
 *
 * Without a URL it talks to a server of its own, which echoes. For a server elsewhere, put the
 * credential into TALKWIRE_KEY. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "talkwire.h"

enum { PATIENCE_MS = 30000 };

/* Takes the address of the error, whose value may be read before the call has written it. That a session
 * has ended meanwhile is told by its end, which knows why. */
static void must(tw_status status, tw_error **err) {
  if (status == TW_OK || status == TW_ERR_CLOSED) return;
  fprintf(stderr, "%s: %s\n", tw_status_name(status), tw_error_message(*err).ptr);
  exit(1);
}

/* The next event, which must come. */
static tw_event *next(tw_session *session) {
  tw_event *event = NULL;
  tw_end *end = NULL;
  tw_status status = tw_session_next_event(session, PATIENCE_MS, &event, NULL);
  if (status == TW_OK) return event;
  if (tw_session_end(session, &end, NULL) == TW_OK)
    fprintf(stderr, "the session ended: %s\n", tw_end_message(end).ptr);
  else
    fprintf(stderr, "no event came: %s\n", tw_status_name(status));
  exit(1);
}

/* Says one text and prints the answer as it comes. */
static void turn(tw_session *session, const char *text) {
  tw_error *err = NULL;
  printf("customer: %s\nagent: ", text);
  must(tw_session_send_text(session, text, TW_NTS, &err), &err);
  must(tw_session_respond(session, NULL, 0, &err), &err);
  for (int done = 0; !done;) {
    tw_event *event = next(session);
    switch (tw_event_type(event)) {
      case TW_EVENT_RESPONSE_OUTPUT_TEXT_DELTA:
        fputs(tw_event_text(event).ptr, stdout);
        fflush(stdout);
        break;
      case TW_EVENT_ERROR:
        fprintf(stderr, "error: %s\n", tw_event_text(event).ptr);
        break;
      case TW_EVENT_RESPONSE_DONE:
        done = 1;
        break;
    }
    tw_event_free(event);
  }
  puts("");
}

int main(int argc, char **argv) {
  tw_error *err = NULL;
  tw_local_server *server = NULL;
  tw_config *config = NULL;
  tw_session *session = NULL;
  const char *url = NULL, *key = getenv("TALKWIRE_KEY");
  int first = 1;
  if (argc > 2 && strcmp(argv[1], "--url") == 0) {
    url = argv[2];
    first = 3;
  } else {
    must(tw_local_server_start(NULL, 0, &server, &err), &err);
    url = tw_local_server_url(server).ptr;
  }
  must(tw_config_new(&config, &err), &err);
  must(tw_config_set_url(config, url, TW_NTS, &err), &err);
  if (key) must(tw_config_set_key(config, key, TW_NTS, &err), &err);
  must(tw_config_set_session_json(config, "{\"output_modalities\":[\"text\"]}", TW_NTS, &err), &err);
  must(tw_session_open(NULL, config, NULL, &session, &err), &err);
  tw_config_free(config);

  for (int i = first; i < argc; i++) turn(session, argv[i]);
  if (first == argc) turn(session, "Hello, can you hear me?");

  must(tw_session_close_wait(session, PATIENCE_MS, &err), &err);
  tw_session_free(session);
  tw_local_server_free(server);
  return 0;
}
