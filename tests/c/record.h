/* A log of the callbacks of one session, which also notices when two run at once. */
#ifndef TALKWIRE_TESTS_RECORD_H
#define TALKWIRE_TESTS_RECORD_H

#include <pthread.h>
#include <stdatomic.h>

#include "support.h"

typedef struct record {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  int events, closed, dropped;
  int events_after_closed, calls_after_dropped, overlaps;
  atomic_int inside;
  tw_end *end;
  /* Called in every on_event, if set. */
  void (*act)(struct record *, tw_session *, const tw_event *);
  void *extra;
} record;

/* On which thread callbacks are to come. */
static int32_t record_delivery;

/* The program once for each delivery: what is promised of callbacks is promised of both. */
#define IN_BOTH_DELIVERIES(test)                                            \
  int main(void) {                                                          \
    for (record_delivery = TW_DELIVERY_PINNED; record_delivery <= TW_DELIVERY_DIRECT; \
         record_delivery++)                                                 \
      test();                                                               \
    return 0;                                                               \
  }

static inline void record_init(record *r) {
  memset(r, 0, sizeof *r);
  pthread_mutex_init(&r->lock, NULL);
  pthread_cond_init(&r->changed, NULL);
}

static inline void record_enter(record *r) {
  if (atomic_fetch_add(&r->inside, 1) != 0) r->overlaps++;
  pthread_mutex_lock(&r->lock);
  if (r->dropped) r->calls_after_dropped++;
}

static inline void record_leave(record *r) {
  atomic_fetch_sub(&r->inside, 1);
  pthread_cond_broadcast(&r->changed);
  pthread_mutex_unlock(&r->lock);
}

static void record_on_event(void *user_data, tw_session *session, const tw_event *event) {
  record *r = (record *)user_data;
  record_enter(r);
  r->events++;
  if (r->closed) r->events_after_closed++;
  pthread_mutex_unlock(&r->lock);
  if (r->act) r->act(r, session, event);
  pthread_mutex_lock(&r->lock);
  record_leave(r);
}

static void record_on_closed(void *user_data, tw_session *session, const tw_end *end) {
  record *r = (record *)user_data;
  (void)session;
  record_enter(r);
  r->closed++;
  if (!r->end) r->end = tw_end_retain(end);
  record_leave(r);
}

static void record_drop(void *user_data) {
  record *r = (record *)user_data;
  record_enter(r);
  r->dropped++;
  record_leave(r);
}

static inline struct tw_callbacks record_callbacks(record *r) {
  struct tw_callbacks callbacks = TW_CALLBACKS_INIT;
  callbacks.on_event = record_on_event;
  callbacks.on_closed = record_on_closed;
  callbacks.drop = record_drop;
  callbacks.user_data = r;
  callbacks.delivery = record_delivery;
  return callbacks;
}

static inline void record_await_drop(record *r) {
  pthread_mutex_lock(&r->lock);
  while (!r->dropped) pthread_cond_wait(&r->changed, &r->lock);
  pthread_mutex_unlock(&r->lock);
}

/* What must hold once the runtime is shut down. */
static inline void record_check(record *r, int closed) {
  CHECK(r->closed == closed);
  CHECK(r->dropped == 1);
  CHECK(r->events_after_closed == 0);
  CHECK(r->calls_after_dropped == 0);
  CHECK(r->overlaps == 0);
  tw_end_free(r->end);
  pthread_mutex_destroy(&r->lock);
  pthread_cond_destroy(&r->changed);
}

#endif
