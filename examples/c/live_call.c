/* A live call as a PBX makes it: a thread with a clock of its own gives 20 ms of sound and takes
 * 20 ms, while the main thread reads events.
 *
 *     live_call [--url URL]
 *
 * The customer is examples/audio/caller.wav; a PBX would pass A-law or mu-law on as it comes, see
 * tw_call_attach(). Without a URL it talks to a server of its own, which echoes. For a server elsewhere, put the
 * credential into TALKWIRE_KEY. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "talkwire.h"

/* 20 ms at 24 kHz, and the first sentence of the file, which has a header of 44 bytes. */
enum { FRAME = 960, FRAME_NS = 20 * 1000 * 1000, HEADER = 44, SAID = 250, PATIENCE_MS = 60000 };

typedef struct line {
  tw_call *call;
  unsigned char said[SAID * FRAME];
  atomic_int hung_up;
  unsigned long long heard;
} line;

/* Takes the address of the error, whose value may be read before the call has written it. That a session
 * has ended meanwhile is told by its end, which knows why; a port that is NULL then does no harm. */
static void must(tw_status status, tw_error **err) {
  if (status == TW_OK || status == TW_ERR_CLOSED) return;
  fprintf(stderr, "%s: %s\n", tw_status_name(status), tw_error_message(*err).ptr);
  exit(1);
}

/* What the telephone's channel thread does: neither call waits for anything. */
static void *tick(void *user_data) {
  line *l = (line *)user_data;
  unsigned char heard[FRAME];
  struct timespec due;
  clock_gettime(CLOCK_MONOTONIC, &due);
  for (int frame = 0; !atomic_load(&l->hung_up); frame++) {
    size_t real = 0;
    if (frame < SAID) tw_call_push(l->call, TW_TRACK_CUSTOMER, l->said + frame * FRAME, FRAME, NULL);
    tw_call_pull(l->call, heard, FRAME, &real);
    l->heard += real;
    due.tv_nsec += FRAME_NS;
    if (due.tv_nsec >= 1000000000) due.tv_nsec -= 1000000000, due.tv_sec++;
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
  }
  return NULL;
}

static void load(line *l, const char *path) {
  FILE *file = fopen(path, "rb");
  int is_good = file && fseek(file, HEADER, SEEK_SET) == 0 &&
                fread(l->said, 1, sizeof l->said, file) == sizeof l->said;
  if (file) fclose(file);
  if (is_good) return;
  fprintf(stderr, "%s: not the recording that belongs to this example\n", path);
  exit(1);
}

/* Reads events until the answer is complete; returns whether it came. */
static int answer(tw_session *session) {
  tw_event *event = NULL;
  int is_done = 0;
  while (!is_done && tw_session_next_event(session, PATIENCE_MS, &event, NULL) == TW_OK) {
    int type = tw_event_type(event);
    if (type == TW_EVENT_BARGE_IN_CONFIRMED) printf("the customer interrupts\n");
    if (type == TW_EVENT_TURN_TIMELINE) printf("the turn: %s\n", tw_event_json(event).ptr);
    if (type == TW_EVENT_ERROR) fprintf(stderr, "error: %s\n", tw_event_text(event).ptr);
    is_done = type == TW_EVENT_RESPONSE_DONE;
    tw_event_free(event);
  }
  return is_done;
}

/* Lets what is left of the answer be heard. */
static void hear_out(tw_call *call) {
  struct tw_stats stats = TW_STATS_INIT;
  const struct timespec while_it_sounds = {0, FRAME_NS};
  do {
    nanosleep(&while_it_sounds, NULL);
  } while (tw_call_stats(call, &stats) == TW_OK && stats.depth + stats.queued_ms > 0);
}

int main(int argc, char **argv) {
  tw_error *err = NULL;
  tw_local_server *server = NULL;
  tw_config *config = NULL;
  tw_session *session = NULL;
  tw_end *end = NULL;
  const char *key = getenv("TALKWIRE_KEY");
  const char *url = argc > 2 && strcmp(argv[1], "--url") == 0 ? argv[2] : NULL;
  if (!url) {
    must(tw_local_server_start(NULL, 0, &server, &err), &err);
    url = tw_local_server_url(server).ptr;
  }
  must(tw_config_new(&config, &err), &err);
  must(tw_config_set_url(config, url, TW_NTS, &err), &err);
  if (key) must(tw_config_set_key(config, key, TW_NTS, &err), &err);
  must(tw_config_set_session_json(config,
                                  "{\"output_modalities\":[\"audio\"],\"audio\":{\"input\":{"
                                  "\"turn_detection\":{\"type\":\"server_vad\","
                                  "\"silence_duration_ms\":500}}}}",
                                  TW_NTS, &err),
       &err);
  must(tw_session_open(NULL, config, NULL, &session, &err), &err);
  tw_config_free(config);
  static line l;
  load(&l, "examples/audio/caller.wav");
  /* The session may still be opening: what is said until then is kept and sent. */
  must(tw_call_attach(session, NULL, 0, &l.call, &err), &err);
  pthread_t thread;
  if (pthread_create(&thread, NULL, tick, &l) != 0) return 1;
  int is_answered = answer(session);
  if (is_answered) hear_out(l.call);
  atomic_store(&l.hung_up, 1);
  pthread_join(thread, NULL);
  printf("%.1f s were heard\n", (double)l.heard / 24000);
  must(tw_session_close_wait(session, PATIENCE_MS, &err), &err);
  must(tw_session_end(session, &end, &err), &err);
  if (!tw_end_expected(end)) fprintf(stderr, "the call ended: %s\n", tw_end_message(end).ptr);
  tw_end_free(end);
  tw_call_detach(l.call);
  tw_session_free(session);
  tw_local_server_free(server);
  return is_answered && l.heard > 0 ? 0 : 1;
}
