/* A host with a thread that ticks, in packets of an odd size: digits go up as it pushes them, and
   come down as it pulls, once and in order. Meanwhile the main thread reads events. */
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "support.h"
#include "tones.h"

enum { PACKET = 471, MOST = 30 * RATE };

struct host {
  tw_call *call;
  const int16_t *said;
  size_t samples;
  int16_t *heard;
  _Atomic size_t pushed, pulled;
  atomic_int stop;
};

static void *run(void *user_data) {
  struct host *host = (struct host *)user_data;
  int16_t packet[PACKET];
  struct timespec due;
  clock_gettime(CLOCK_MONOTONIC, &due);
  while (!atomic_load(&host->stop)) {
    size_t at = host->pushed, left = host->samples - at, real = 0;
    size_t now = left < PACKET ? left : PACKET;
    if (now > 0) {
      CHECK(tw_call_push(host->call, TW_TRACK_CUSTOMER, host->said + at, 2 * now, NULL) == TW_OK);
      host->pushed = at + now;
    }
    CHECK(tw_call_pull(host->call, packet, sizeof packet, &real) == TW_OK);
    for (size_t i = real; i < PACKET; i++) CHECK(packet[i] == 0);
    CHECK(host->pulled + real <= MOST);
    memcpy(host->heard + host->pulled, packet, 2 * real);
    host->pulled += real;
    due.tv_nsec += PACKET * 1000000L / (RATE / 1000);
    if (due.tv_nsec >= 1000000000L) due.tv_sec++, due.tv_nsec -= 1000000000L;
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
  }
  return NULL;
}

/* Lets events pass until the condition holds. */
static void turn(tw_session *session) {
  tw_event *event = NULL;
  tw_status status = tw_session_next_event(session, 20, &event, NULL);
  CHECK(status == TW_OK || status == TW_AGAIN);
  if (status == TW_OK) tw_event_free(event);
}

int main(void) {
  tw_local_server *server = serve("{\"brain\":\"echo\",\"ears\":\"dtmf\",\"voice\":\"dtmf\"}");
  tw_config *config = configure(server);
  OK(tw_config_set_session_json(config,
                                "{\"output_modalities\":[\"audio\"],\"audio\":{"
                                "\"input\":{\"format\":{\"type\":\"audio/pcm\",\"rate\":24000}},"
                                "\"output\":{\"format\":{\"type\":\"audio/pcm\",\"rate\":24000}}}}",
                                TW_NTS, &err));
  tw_runtime *runtime = threads();
  tw_session *session = NULL;
  OK(tw_session_open(runtime, config, NULL, &session, &err));
  struct host host = {0};
  host.said = dial("4217", &host.samples);
  host.heard = (int16_t *)malloc(MOST * sizeof *host.heard);
  CHECK(host.heard != NULL);
  /* Before the session is open: what is pushed until then is its pre-roll. */
  OK(tw_call_attach(session, NULL, 0, &host.call, &err));
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, run, &host) == 0);
  struct tw_stats stats = TW_STATS_INIT;
  do {
    turn(session);
    CHECK(tw_call_stats(host.call, &stats) == TW_OK);
    /* Silence by the clock: all that was pushed has been sent. */
  } while (host.pushed < host.samples || stats.inserted == 0);
  OK(tw_session_commit(session, &err));
  OK(tw_session_respond(session, NULL, 0, &err));
  uint64_t samples = 0;
  for (int done = 0; !done;) {
    tw_event *event = NULL;
    OK(tw_session_next_event(session, PATIENCE_MS, &event, &err));
    samples += tw_event_audio(event).len / 2;
    done = tw_event_type(event) == TW_EVENT_RESPONSE_DONE;
    tw_event_free(event);
  }
  while (host.pulled < samples) turn(session);
  uint64_t part = 0, ms = 0;
  while (tw_call_position(host.call, &part, &ms) != TW_OK || ms < samples / 24) turn(session);
  CHECK(part == 1 && ms == samples / 24);
  atomic_store(&host.stop, 1);
  pthread_join(thread, NULL);
  char digits[32];
  listen_keys(host.heard, host.pulled, digits, sizeof digits);
  if (strcmp(digits, "4217") != 0) fprintf(stderr, "heard %s\n", digits);
  CHECK(strcmp(digits, "4217") == 0);
  CHECK(host.pulled == samples);
  OK(tw_session_close_wait(session, PATIENCE_MS, &err));
  tw_call_detach(host.call);
  tw_session_free(session);
  tw_config_free(config);
  finish(runtime);
  tw_local_server_free(server);
  free(host.heard);
  free((void *)(uintptr_t)host.said);
  return 0;
}
