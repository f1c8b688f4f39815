/* All signal handlers of this process, also those of realtime signals. */
#ifndef TALKWIRE_TESTS_HANDLERS_H
#define TALKWIRE_TESTS_HANDLERS_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef CHECK
#define CHECK(condition)                                                            \
  do {                                                                              \
    if (!(condition)) {                                                             \
      fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                                      \
    }                                                                               \
  } while (0)
#endif

enum { SIGNALS = 128 };

static inline void handlers(struct sigaction *into) {
  /* Zeroed: two numbers below SIGRTMIN belong to the C library and are not told of. */
  memset(into, 0, SIGNALS * sizeof *into);
  for (int i = 1; i <= SIGRTMAX; i++) sigaction(i, NULL, &into[i]);
}

static inline void same_handlers(const struct sigaction *before, const struct sigaction *after) {
  for (int i = 1; i <= SIGRTMAX; i++) {
    CHECK(before[i].sa_handler == after[i].sa_handler && before[i].sa_flags == after[i].sa_flags);
    /* Of a mask, only what stands for signals is told. */
    for (int s = 1; s <= SIGRTMAX; s++)
      CHECK(sigismember(&before[i].sa_mask, s) == sigismember(&after[i].sa_mask, s));
  }
}

#endif
