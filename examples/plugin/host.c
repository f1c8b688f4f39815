/* A telephone host in small: loads the plugin, holds two calls at once by a clock of its own, hangs up,
 * unloads the plugin, and does all of it once more.
 *
 *     host --url URL [PLUGIN.so]
 *
 * The plugin is agent_plugin.so beside this program by default. Both customers say the first sentence of
 * examples/audio/caller.wav. Exits with 0 if each call was answered with sound in both rounds. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent_plugin.h"

enum { LINES = 2, ROUNDS = 2, SAID = 250, FRAMES_PER_S = 50, FRAME_NS = 20 * 1000 * 1000 };
/* An answer has been heard to its end after half a second of silence; no answer takes longer than a
 * minute. */
enum { QUIET = FRAMES_PER_S / 2, PATIENCE = 60 * FRAMES_PER_S };
/* The recording has 24 kHz, the lines have 8. */
enum { WAV_HEADER = 44, WAV_RATIO = 3 };
enum { SILENCE = 0xd5 };

typedef struct line {
  int number;
  agent_call *call;
  atomic_int events, is_answered, is_closed;
  /* Of the clock's thread: frames that were sound, and silent ones since the last of them. */
  int sound, quiet;
} line;

typedef struct board {
  const agent_plugin *plugin;
  line lines[LINES];
} board;

static unsigned char said[SAID * AGENT_FRAME_BYTES];

/* On a thread of the plugin. */
static void on_event(void *user_data, const char *name, const char *text) {
  line *l = (line *)user_data;
  l->events++;
  if (strcmp(name, "error") == 0 || strcmp(name, "protocol.fault") == 0)
    fprintf(stderr, "line %d: %s: %s\n", l->number, name, text);
  if (strcmp(name, "response.done") == 0) l->is_answered = 1;
  if (strcmp(name, "closed") == 0) {
    printf("line %d: the call ended: %s\n", l->number, text);
    l->is_closed = 1;
  }
}

static int is_silence(const unsigned char *frame) {
  for (int i = 0; i < AGENT_FRAME_BYTES; i++)
    if ((frame[i] | 0x80) != SILENCE) return 0;
  return 1;
}

/* 20 ms of a line; returns whether it is still of use. */
static int tick(const agent_plugin *plugin, line *l, int frame) {
  unsigned char in[AGENT_FRAME_BYTES], out[AGENT_FRAME_BYTES];
  memset(in, SILENCE, sizeof in);
  if (frame < SAID) memcpy(in, said + frame * AGENT_FRAME_BYTES, sizeof in);
  plugin->call_frame(l->call, in, out);
  int is_sound = !is_silence(out);
  l->sound += is_sound;
  l->quiet = is_sound ? 0 : l->quiet + 1;
  int is_heard_out = l->is_answered && l->sound > 0 && l->quiet >= QUIET;
  return !is_heard_out && !l->is_closed;
}

/* The clock of all lines. It keeps its deadlines, so that a late frame makes no other one late. */
static void *run_clock(void *user_data) {
  board *b = (board *)user_data;
  struct timespec due;
  clock_gettime(CLOCK_MONOTONIC, &due);
  for (int frame = 0, busy = 1; busy && frame < PATIENCE; frame++) {
    busy = 0;
    for (int i = 0; i < LINES; i++) busy += tick(b->plugin, &b->lines[i], frame);
    due.tv_nsec += FRAME_NS;
    if (due.tv_nsec >= 1000000000) due.tv_nsec -= 1000000000, due.tv_sec++;
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
  }
  return NULL;
}

/* Two calls from ring to hang-up; returns how many were answered with sound. */
static int hold_calls(board *b) {
  pthread_t clock;
  int answered = 0, open = 0;
  for (; open < LINES; open++) {
    line *l = &b->lines[open];
    l->number = open + 1;
    if (!(l->call = b->plugin->call_new(l))) break;
  }
  if (open == LINES && pthread_create(&clock, NULL, run_clock, b) == 0) pthread_join(clock, NULL);
  for (int i = 0; i < open; i++) {
    line *l = &b->lines[i];
    if (l->is_closed) fprintf(stderr, "line %d: the agent hung up\n", l->number);
    answered += l->is_answered && !l->is_closed && l->sound > 0;
    b->plugin->call_hangup(l->call);
  }
  return answered;
}

/* From dlopen() to dlclose(); returns whether all went well. */
static int play_round(const char *path, const char *url) {
  static board b; /* Lines outlive their calls, also if the plugin cannot be unloaded. */
  memset(&b, 0, sizeof b);
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  b.plugin = library ? (const agent_plugin *)dlsym(library, AGENT_PLUGIN_TABLE) : NULL;
  if (!b.plugin) return fprintf(stderr, "%s\n", dlerror()), 0;
  if (b.plugin->version != AGENT_PLUGIN_VERSION) return fprintf(stderr, "another version\n"), 0;
  if (b.plugin->load(url, on_event) != 0) return 0;
  int answered = hold_calls(&b), closed = 0;
  if (b.plugin->unload() != 0) return 0;
  for (int i = 0; i < LINES; i++) {
    const line *l = &b.lines[i];
    printf("line %d: %d frames of sound, %d events\n", l->number, l->sound, l->events);
    closed += l->is_closed;
  }
  dlclose(library);
  int is_gone = !dlopen(path, RTLD_NOW | RTLD_NOLOAD);
  printf("%d of %d calls were answered, %d were told their end, the plugin is %s\n", answered, LINES,
         closed, is_gone ? "unmapped" : "still mapped");
  return answered == LINES && closed == LINES && is_gone;
}

/* One sample as A-law (ITU-T G.711): sign, segment and step, every other bit inverted. */
static unsigned char alaw(int sample) {
  int level = (sample >= 0 ? sample : -sample - 1) >> 3, segment = 0;
  while (level >> (segment + 5)) segment++;
  int step = level >> (segment < 2 ? 1 : segment);
  return (unsigned char)(((segment << 4) | (step & 0x0f)) ^ (sample >= 0 ? 0xd5 : 0x55));
}

static int read_speech(const char *path) {
  static unsigned char pcm[sizeof said * WAV_RATIO * 2];
  FILE *file = fopen(path, "rb");
  int is_good = file && fseek(file, WAV_HEADER, SEEK_SET) == 0 &&
                fread(pcm, 1, sizeof pcm, file) == sizeof pcm;
  if (file) fclose(file);
  if (!is_good) fprintf(stderr, "%s: not the recording that belongs to this example\n", path);
  for (size_t i = 0; i < sizeof said; i++) {
    int sum = 0;
    for (size_t j = 0; j < WAV_RATIO; j++) {
      const unsigned char *sample = pcm + (i * WAV_RATIO + j) * 2;
      sum += (short)(sample[0] | sample[1] << 8);
    }
    said[i] = alaw(sum / WAV_RATIO);
  }
  return is_good;
}

int main(int argc, char **argv) {
  const char *url = NULL, *own = strrchr(argv[0], '/');
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%.*sagent_plugin.so", own ? (int)(own + 1 - argv[0]) : 0, argv[0]);
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--url") == 0 && i + 1 < argc)
      url = argv[++i];
    else
      snprintf(path, sizeof path, "%s", argv[i]);
  }
  if (!url) return fprintf(stderr, "usage: host --url URL [PLUGIN.so]\n"), 2;
  if (!read_speech("examples/audio/caller.wav")) return 1;
  int good = 0;
  while (good < ROUNDS && play_round(path, url)) good++;
  return good == ROUNDS ? 0 : 1;
}
