/* The script that is told in every language: a text turn, a spoken turn, a tool call, settings
 * changed mid-call, an error, and the close.
 *
 *     e2e --url URL --pcm FILE
 *
 * FILE is raw 16-bit little-endian mono audio of 24 kHz. Prints one line of canonical JSON for each
 * event received, in order, and then END with the end as JSON. Each step waits for the event that
 * proves it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "talkwire.h"

#define SESSION                                                   \
  "{\"type\":\"realtime\",\"output_modalities\":[\"text\"],"      \
  "\"instructions\":\"Be brief.\",\"audio\":{\"input\":{\"turn_detection\":null}}}"
#define SPEAK "{\"type\":\"realtime\",\"output_modalities\":[\"audio\"]}"
#define CHANGE                                                    \
  "{\"type\":\"realtime\",\"instructions\":\"Be kind.\","         \
  "\"audio\":{\"output\":{\"voice\":\"jane\"}}}"

/* 20 ms of audio. */
enum { CHUNK_BYTES = 960, PATIENCE_MS = 30000 };

static tw_session *session;

static void fail(const char *what, tw_error *err) {
  fprintf(stderr, "%s: %s: %s\n", what, tw_error_name(err), tw_error_message(err).ptr);
  exit(1);
}

/* A call that must do. */
#define DO(call)                              \
  do {                                        \
    tw_error *err = NULL;                     \
    if ((call) != TW_OK) fail(#call, err);    \
  } while (0)

/* Prints events up to and including the first of one of two types. Remembers the call that was asked
 * for. */
static void until_either(int32_t type, int32_t other, char *call_id, size_t size) {
  for (;;) {
    tw_event *event = NULL;
    tw_error *err = NULL;
    tw_status status = tw_session_next_event(session, PATIENCE_MS, &event, &err);
    if (status != TW_OK) {
      fprintf(stderr, "no event %d: %s\n", (int)type, tw_status_name(status));
      exit(1);
    }
    puts(tw_event_json(event).ptr);
    int32_t this_type = tw_event_type(event);
    if (call_id && this_type == TW_EVENT_RESPONSE_FUNCTION_CALL_ARGUMENTS_DONE)
      snprintf(call_id, size, "%s", tw_event_call_id(event).ptr);
    tw_event_free(event);
    if (this_type == type || this_type == other) return;
  }
}

static void until(int32_t type, char *call_id, size_t size) {
  until_either(type, type, call_id, size);
}

static void ask(const char *text, char *call_id, size_t size) {
  DO(tw_session_send_text(session, text, TW_NTS, &err));
  DO(tw_session_respond(session, NULL, 0, &err));
  until(TW_EVENT_RESPONSE_DONE, call_id, size);
}

static void spoken_turn(const char *path) {
  DO(tw_session_update(session, SPEAK, TW_NTS, &err));
  until(TW_EVENT_SESSION_UPDATED, NULL, 0);
  FILE *file = fopen(path, "rb");
  if (!file) {
    perror(path);
    exit(1);
  }
  char chunk[CHUNK_BYTES];
  for (size_t got; (got = fread(chunk, 1, sizeof chunk, file)) > 0;)
    DO(tw_session_append(session, chunk, got, &err));
  fclose(file);
  DO(tw_session_commit(session, &err));
  until(TW_EVENT_INPUT_AUDIO_BUFFER_COMMITTED, NULL, 0);
  DO(tw_session_respond(session, NULL, 0, &err));
  until(TW_EVENT_RESPONSE_DONE, NULL, 0);
}

static void tool_call(void) {
  char call_id[128] = "";
  ask("order", call_id, sizeof call_id);
  DO(tw_session_answer_call(session, call_id, TW_NTS, "{\"ok\":true}", TW_NTS, &err));
  DO(tw_session_respond(session, NULL, 0, &err));
  until(TW_EVENT_RESPONSE_DONE, NULL, 0);
}

static void error_and_close(void) {
  DO(tw_session_send_json(session, "{\"type\":\"no.such.event\",\"event_id\":\"bad\"}", TW_NTS,
                          &err));
  until(TW_EVENT_ERROR, NULL, 0);
  DO(tw_session_close(session, PATIENCE_MS, &err));
  /* What came after the last proof. */
  tw_event *event = NULL;
  while (tw_session_next_event(session, PATIENCE_MS, &event, NULL) == TW_OK) {
    puts(tw_event_json(event).ptr);
    tw_event_free(event);
  }
  tw_end *end = NULL;
  DO(tw_session_end(session, &end, &err));
  printf("END %s\n", tw_end_json(end).ptr);
  tw_end_free(end);
}

int main(int argc, char **argv) {
  const char *url = NULL, *pcm = NULL;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (strcmp(argv[i], "--url") == 0) url = argv[i + 1];
    if (strcmp(argv[i], "--pcm") == 0) pcm = argv[i + 1];
  }
  if (!url || !pcm) {
    fputs("usage: e2e --url URL --pcm FILE\n", stderr);
    return 2;
  }
  tw_config *config = NULL;
  DO(tw_config_new(&config, &err));
  DO(tw_config_set_url(config, url, TW_NTS, &err));
  DO(tw_config_set_session_json(config, SESSION, TW_NTS, &err));
  DO(tw_config_set_json(config, "{\"seed\":1}", TW_NTS, &err));
  DO(tw_session_open(NULL, config, NULL, &session, &err));
  tw_config_free(config);
  until(TW_EVENT_SESSION_UPDATED, NULL, 0);
  ask("hello", NULL, 0);
  spoken_turn(pcm);
  tool_call();
  DO(tw_session_update(session, CHANGE, TW_NTS, &err));
  /* Where the voice is fixed once it was heard, the answer is an error. */
  until_either(TW_EVENT_SESSION_UPDATED, TW_EVENT_ERROR, NULL, 0);
  error_and_close();
  tw_session_free(session);
  return 0;
}
