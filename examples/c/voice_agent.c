/* A voice agent with a tool, by callbacks: the customer speaks, the agent looks an order up and
 * answers with what it found.
 *
 *     voice_agent [--url URL] [FILE.wav]
 *
 * The file is PCM16, mono, 24 kHz; by default examples/audio/caller.wav, of which the first sentence
 * is said. Without a URL it talks to a server of its own, whose script calls the tool; another server
 * may or may not. For a server elsewhere, put the credential into TALKWIRE_KEY. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "talkwire.h"

/* 20 ms at 24 kHz, and the first sentence of the file, which has a header of 44 bytes. */
enum { FRAME_BYTES = 960, FRAME_NS = 20 * 1000 * 1000, HEADER = 44, SAID = 250, PATIENCE_MS = 60000 };

#define SCRIPT                                                                              \
  "{\"script\":{\"turns\":["                                                                \
  "{\"when\":{\"tool\":\"order_status\"},\"say\":\"Your order is on its way.\"},"           \
  "{\"say\":\"One moment.\",\"call\":{\"name\":\"order_status\","                           \
  "\"arguments\":{\"order\":\"4217\"}}}]}}"
#define TOOL                                                                                \
  "{\"name\":\"order_status\",\"description\":\"Where an order is\",\"parameters\":{"       \
  "\"type\":\"object\",\"properties\":{\"order\":{\"type\":\"string\"}},"                   \
  "\"required\":[\"order\"]}}"
#define SESSION                                                                             \
  "{\"instructions\":\"You take calls about orders.\",\"output_modalities\":[\"audio\"],"   \
  "\"audio\":{\"input\":{\"format\":{\"type\":\"audio/pcm\",\"rate\":24000},"               \
  "\"turn_detection\":null}}}"

/* What the callbacks tell the main thread. */
typedef struct agent {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  unsigned long long spoken_ms;
  int has_called, is_answered, is_closed;
} agent;

/* Takes the address of the error, whose value may be read before the call has written it. That a session
 * has ended meanwhile is told by its end, which knows why. */
static void must(tw_status status, tw_error **err) {
  if (status == TW_OK || status == TW_ERR_CLOSED) return;
  fprintf(stderr, "%s: %s\n", tw_status_name(status), tw_error_message(*err).ptr);
  exit(1);
}

/* The tool. It is quick and may so answer where it was called; one that waits for a database is run on
 * a thread of the host, which answers later by the same call. */
static void run_tool(tw_session *session, const tw_event *call) {
  tw_str id = tw_event_call_id(call);
  printf("tool: %s %s\n", tw_event_call_name(call).ptr, tw_event_text(call).ptr);
  tw_tool_answer(session, id.ptr, id.len, "{\"status\":\"on its way\"}", TW_NTS, NULL);
}

static void on_event(void *user_data, tw_session *session, const tw_event *event) {
  agent *a = (agent *)user_data;
  pthread_mutex_lock(&a->lock);
  switch (tw_event_type(event)) {
    case TW_EVENT_TOOL_CALL:
      a->has_called = 1;
      run_tool(session, event);
      break;
    case TW_EVENT_RESPONSE_OUTPUT_AUDIO_DELTA:
      /* tw_event_audio(event) holds the samples to be played. */
      a->spoken_ms += tw_event_audio_ms(event);
      break;
    case TW_EVENT_RESPONSE_OUTPUT_AUDIO_TRANSCRIPT_DONE:
    case TW_EVENT_RESPONSE_OUTPUT_TEXT_DONE:
      printf("agent: %s\n", tw_event_text(event).ptr);
      break;
    case TW_EVENT_RESPONSE_DONE:
      /* After tools another one follows, which the library asks for when all have their results. */
      a->is_answered = !a->has_called;
      a->has_called = 0;
      break;
    case TW_EVENT_ERROR:
    case TW_EVENT_PROTOCOL_FAULT:
      fprintf(stderr, "error: %s\n", tw_event_text(event).ptr);
      break;
  }
  pthread_cond_broadcast(&a->changed);
  pthread_mutex_unlock(&a->lock);
}

static void on_closed(void *user_data, tw_session *session, const tw_end *end) {
  agent *a = (agent *)user_data;
  (void)session;
  if (!tw_end_expected(end)) fprintf(stderr, "the call ended: %s\n", tw_end_message(end).ptr);
  pthread_mutex_lock(&a->lock);
  a->is_closed = 1;
  pthread_cond_broadcast(&a->changed);
  pthread_mutex_unlock(&a->lock);
}

/* Sends the sound frame by frame, each at its own time, so that delays do not add up. */
static void speak(tw_session *session, const char *path) {
  char frame[FRAME_BYTES];
  struct timespec next;
  FILE *file = fopen(path, "rb");
  if (!file || fseek(file, HEADER, SEEK_SET) != 0) {
    perror(path);
    exit(1);
  }
  clock_gettime(CLOCK_MONOTONIC, &next);
  for (int i = 0; i < SAID && fread(frame, 1, sizeof frame, file) == sizeof frame; i++) {
    if (tw_session_append(session, frame, sizeof frame, NULL) == TW_ERR_CLOSED) break;
    next.tv_nsec += FRAME_NS;
    if (next.tv_nsec >= 1000000000) next.tv_nsec -= 1000000000, next.tv_sec++;
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
  }
  fclose(file);
}

/* Waits for the end of the answer; returns whether the call goes on. */
static int hear_out(agent *a) {
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += PATIENCE_MS / 1000;
  pthread_mutex_lock(&a->lock);
  int status = 0;
  while (!a->is_answered && !a->is_closed && status == 0)
    status = pthread_cond_timedwait(&a->changed, &a->lock, &end);
  int is_good = a->is_answered && !a->is_closed;
  if (status != 0) fprintf(stderr, "no answer within %d ms\n", PATIENCE_MS);
  pthread_mutex_unlock(&a->lock);
  return is_good;
}

static int hold(tw_session *session, agent *a, const char *path) {
  tw_error *err = NULL;
  must(tw_tool_register(session, TOOL, TW_NTS, &err), &err);
  speak(session, path);
  /* A call that has ended meanwhile says so by on_closed. */
  tw_session_commit(session, NULL);
  tw_session_respond(session, NULL, 0, NULL);
  int is_good = hear_out(a);
  must(tw_session_close_wait(session, PATIENCE_MS, &err), &err);
  printf("%.1f s were spoken\n", (double)a->spoken_ms / 1000);
  return is_good && a->spoken_ms > 0 ? 0 : 1;
}

int main(int argc, char **argv) {
  tw_error *err = NULL;
  tw_local_server *server = NULL;
  tw_config *config = NULL;
  tw_session *session = NULL;
  const char *url = NULL, *path = "examples/audio/caller.wav", *key = getenv("TALKWIRE_KEY");
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--url") == 0 && i + 1 < argc)
      url = argv[++i];
    else
      path = argv[i];
  }
  if (!url) {
    must(tw_local_server_start(SCRIPT, TW_NTS, &server, &err), &err);
    url = tw_local_server_url(server).ptr;
  }
  must(tw_config_new(&config, &err), &err);
  must(tw_config_set_url(config, url, TW_NTS, &err), &err);
  if (key) must(tw_config_set_key(config, key, TW_NTS, &err), &err);
  must(tw_config_set_session_json(config, SESSION, TW_NTS, &err), &err);
  agent a = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
  struct tw_callbacks callbacks = TW_CALLBACKS_INIT;
  callbacks.on_event = on_event;
  callbacks.on_closed = on_closed;
  callbacks.user_data = &a;
  must(tw_session_open(NULL, config, &callbacks, &session, &err), &err);
  tw_config_free(config);
  int code = hold(session, &a, path);
  tw_session_free(session);
  tw_local_server_free(server);
  return code;
}
