/* A voice call by callbacks: speaks a WAV file at the speed of speech, then prints what was
 * understood and how much was answered.
 *
 *     voice_call [--url URL] [FILE.wav]
 *
 * The file is PCM16, mono, 24 kHz; by default examples/audio/caller.wav. Without a URL it talks to a
 * server of its own, which echoes. For a server elsewhere, put the credential into TALKWIRE_KEY. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "talkwire.h"

/* 20 ms of 24 kHz. */
enum { FRAME_BYTES = 960, FRAME_NS = 20 * 1000 * 1000, PATIENCE_MS = 60000 };

/* What the callbacks tell the main thread. */
typedef struct call {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  unsigned long long answer_ms;
  int is_ready, is_answered, is_closed;
} call;

/* Takes the address of the error, whose value may be read before the call has written it. */
static void must(tw_status status, tw_error **err) {
  if (status == TW_OK) return;
  fprintf(stderr, "%s: %s\n", tw_status_name(status), tw_error_message(*err).ptr);
  exit(1);
}

static void on_event(void *user_data, tw_session *session, const tw_event *event) {
  call *c = (call *)user_data;
  (void)session;
  pthread_mutex_lock(&c->lock);
  switch (tw_event_type(event)) {
    case TW_EVENT_SESSION_UPDATED:
      c->is_ready = 1;
      break;
    case TW_EVENT_CONVERSATION_ITEM_INPUT_AUDIO_TRANSCRIPTION_COMPLETED:
      printf("customer: %s\n", tw_event_text(event).ptr);
      break;
    case TW_EVENT_RESPONSE_OUTPUT_AUDIO_DELTA:
      /* tw_event_audio(event) holds the samples to be played. */
      c->answer_ms += tw_event_audio_ms(event);
      break;
    case TW_EVENT_RESPONSE_OUTPUT_AUDIO_TRANSCRIPT_DONE:
    case TW_EVENT_RESPONSE_OUTPUT_TEXT_DONE:
      printf("agent: %s\n", tw_event_text(event).ptr);
      break;
    case TW_EVENT_RESPONSE_DONE:
      c->is_answered = 1;
      break;
    case TW_EVENT_ERROR:
      fprintf(stderr, "error: %s\n", tw_event_text(event).ptr);
      break;
  }
  pthread_cond_broadcast(&c->changed);
  pthread_mutex_unlock(&c->lock);
}

static void on_closed(void *user_data, tw_session *session, const tw_end *end) {
  call *c = (call *)user_data;
  (void)session;
  if (!tw_end_expected(end)) fprintf(stderr, "the call ended: %s\n", tw_end_message(end).ptr);
  pthread_mutex_lock(&c->lock);
  c->is_closed = 1;
  pthread_cond_broadcast(&c->changed);
  pthread_mutex_unlock(&c->lock);
}

/* Waits for a flag, or for the end of the call; returns whether the call goes on. */
static int await(call *c, const int *flag) {
  pthread_mutex_lock(&c->lock);
  while (!*flag && !c->is_closed) pthread_cond_wait(&c->changed, &c->lock);
  int goes_on = !c->is_closed;
  pthread_mutex_unlock(&c->lock);
  return goes_on;
}

/* A file whose samples come next. Only the plain form with a 44-byte header is read here. */
static FILE *open_wav(const char *path) {
  unsigned char header[44];
  FILE *file = fopen(path, "rb");
  int is_good = file && fread(header, 1, sizeof header, file) == sizeof header &&
                memcmp(header, "RIFF", 4) == 0 && header[22] == 1 && header[34] == 16 &&
                (header[24] | header[25] << 8) == 24000 && memcmp(header + 36, "data", 4) == 0;
  if (is_good) return file;
  fprintf(stderr, "%s: not a WAV file of PCM16, mono, 24 kHz\n", path);
  exit(1);
}

/* Sends the file frame by frame, each at its own time, so that delays do not add up. */
static void speak(tw_session *session, const char *path) {
  FILE *file = open_wav(path);
  char frame[FRAME_BYTES];
  struct timespec next;
  clock_gettime(CLOCK_MONOTONIC, &next);
  for (size_t got; (got = fread(frame, 1, sizeof frame, file)) > 0;) {
    if (tw_session_append(session, frame, got & ~(size_t)1, NULL) == TW_ERR_CLOSED) break;
    next.tv_nsec += FRAME_NS;
    if (next.tv_nsec >= 1000000000) {
      next.tv_nsec -= 1000000000;
      next.tv_sec++;
    }
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
  }
  fclose(file);
}

static int hold(tw_session *session, call *c, const char *path) {
  tw_error *err = NULL;
  if (!await(c, &c->is_ready)) return 1;
  speak(session, path);
  /* The turn is over because we say so: the session was opened without voice detection. */
  must(tw_session_commit(session, &err), &err);
  must(tw_session_respond(session, NULL, 0, &err), &err);
  if (!await(c, &c->is_answered)) return 1;
  printf("%.1f s of answer\n", (double)c->answer_ms / 1000);
  must(tw_session_close_wait(session, PATIENCE_MS, &err), &err);
  return c->answer_ms > 0 ? 0 : 1;
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
    must(tw_local_server_start(NULL, 0, &server, &err), &err);
    url = tw_local_server_url(server).ptr;
  }
  must(tw_config_new(&config, &err), &err);
  must(tw_config_set_url(config, url, TW_NTS, &err), &err);
  if (key) must(tw_config_set_key(config, key, TW_NTS, &err), &err);
  must(tw_config_set_session_json(config,
                                  "{\"output_modalities\":[\"audio\"],\"audio\":{"
                                  "\"input\":{\"format\":{\"type\":\"audio/pcm\",\"rate\":24000},"
                                  "\"turn_detection\":null},"
                                  "\"output\":{\"format\":{\"type\":\"audio/pcm\",\"rate\":24000}}}}",
                                  TW_NTS, &err),
       &err);
  call c = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
  struct tw_callbacks callbacks = TW_CALLBACKS_INIT;
  callbacks.on_event = on_event;
  callbacks.on_closed = on_closed;
  callbacks.user_data = &c;
  must(tw_session_open(NULL, config, &callbacks, &session, &err), &err);
  tw_config_free(config);
  int code = hold(session, &c, path);
  tw_session_free(session);
  tw_local_server_free(server);
  return code;
}
