/* Telephone keys as sound and back, for C and C++: written apart from the library, which it checks. */
#ifndef TALKWIRE_TESTS_TONES_H
#define TALKWIRE_TESTS_TONES_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Telephone keys at 24 kHz: 100 ms each, 100 ms between and around. */
#define RATE 24000
enum { KEY_SAMPLES = RATE / 10 };

static inline double tone(int index, double hertz) {
  return sin(2 * 3.14159265358979323846 * hertz * index / RATE);
}

/* Samples for the caller to free. */
static inline int16_t *dial(const char *digits, size_t *samples) {
  static const char keys[] = "123A456B789C*0#D";
  static const double low[] = {697, 770, 852, 941}, high[] = {1209, 1336, 1477, 1633};
  size_t count = strlen(digits);
  *samples = (2 * count + 1) * KEY_SAMPLES;
  int16_t *pcm = (int16_t *)calloc(*samples, sizeof *pcm);
  if (!pcm) abort();
  for (size_t k = 0; k < count; k++) {
    int16_t *at = pcm + (2 * k + 1) * KEY_SAMPLES;
    long key = (long)(strchr(keys, digits[k]) - keys);
    for (int i = 0; i < KEY_SAMPLES; i++)
      at[i] = (int16_t)(9000 * (tone(i, low[key / 4]) + tone(i, high[key % 4])));
  }
  return pcm;
}

/* How much of a frequency is in a piece of sound: Goertzel's filter. */
static inline double power(const int16_t *pcm, int samples, double hertz) {
  double turn = 2 * cos(2 * 3.14159265358979323846 * hertz / RATE), a = 0, b = 0;
  for (int i = 0; i < samples; i++) {
    double c = pcm[i] / 32768.0 + turn * a - b;
    b = a;
    a = c;
  }
  return (a * a + b * b - turn * a * b) / ((double)samples * samples / 4);
}

/* The strongest of four frequencies, or -1 if none stands out. */
static inline int strongest(const int16_t *pcm, int samples, const double *hertz) {
  double best = 0, all = 0;
  int index = -1;
  for (int i = 0; i < 4; i++) {
    double p = power(pcm, samples, hertz[i]);
    all += p;
    if (p > best) best = p, index = i;
  }
  return best > 0.001 && best > 0.8 * all ? index : -1;
}

/* Reads keys out of sound, for up to `most` of them, in windows of 20 ms. */
static inline void listen_keys(const int16_t *pcm, size_t samples, char *digits, size_t most) {
  static const char keys[] = "123A456B789C*0#D";
  static const double low[] = {697, 770, 852, 941}, high[] = {1209, 1336, 1477, 1633};
  enum { WINDOW = RATE / 50 };
  size_t count = 0;
  char last = 0, heard = 0;
  for (size_t at = 0; at + WINDOW <= samples; at += WINDOW) {
    int row = strongest(pcm + at, WINDOW, low), column = strongest(pcm + at, WINDOW, high);
    char key = row >= 0 && column >= 0 ? keys[4 * row + column] : 0;
    /* A key is what two windows agree on; silence separates two of the same. */
    if (key == last && key != heard) {
      if (key && count + 1 < most) digits[count++] = key;
      heard = key;
    }
    last = key;
  }
  digits[count] = 0;
}

#endif
