/* The conversation, the tokens and the numbers of a session can be looked at in a callback, without
   waiting, and after the end. */
#include <semaphore.h>

#include "support.h"

struct talk {
  struct tw_counts counts;
  struct tw_usage usage;
  size_t segments;
  sem_t closed;
};

static void on_event(void *data, tw_session *session, const tw_event *event) {
  struct talk *talk = data;
  if (tw_event_type(event) != TW_EVENT_RESPONSE_DONE) return;
  OK(tw_session_stats(session, &talk->counts, &err));
  OK(tw_session_usage(session, &talk->usage, &err));
  tw_transcript *transcript = NULL;
  OK(tw_transcript_write(session, "json", TW_NTS, &transcript, &err));
  talk->segments = tw_transcript_count(transcript);
  tw_transcript_free(transcript);
  OK(tw_session_close(session, PATIENCE_MS, &err));
}

static void on_closed(void *data, tw_session *session, const tw_end *end) {
  struct talk *talk = data;
  (void)session;
  CHECK(tw_end_expected(end));
  sem_post(&talk->closed);
}

static void look_at_what_is_over(tw_session *session, const struct talk *talk) {
  struct tw_counts counts = TW_COUNTS_INIT;
  struct tw_usage usage = TW_USAGE_INIT;
  OK(tw_session_stats(session, &counts, &err));
  OK(tw_session_usage(session, &usage, &err));
  CHECK(counts.struct_size == sizeof counts && usage.struct_size == sizeof usage);
  CHECK(counts.frames_received >= talk->counts.frames_received);
  CHECK(usage.responses == 1 && usage.input_tokens == talk->usage.input_tokens);
  tw_transcript *transcript = NULL;
  OK(tw_transcript_write(session, "json", TW_NTS, &transcript, &err));
  CHECK(tw_transcript_count(transcript) == 2);
  struct tw_segment segment = TW_SEGMENT_INIT;
  OK(tw_transcript_segment(transcript, 0, &segment, &err));
  CHECK(segment.role == TW_ROLE_CUSTOMER && is(segment.text, "good day") && segment.is_final);
  CHECK(is(segment.heard, "good day") && segment.item_id.len > 0);
  CHECK(segment.start_ms >= 0 && segment.heard_ms == -1 && segment.received_ms == -1);
  OK(tw_transcript_segment(transcript, 1, &segment, &err));
  CHECK(segment.role == TW_ROLE_AGENT && segment.text.len > 0);
  FAILS(TW_ERR_ARGUMENT, tw_transcript_segment(transcript, 2, &segment, &err));
  segment.struct_size = 0;
  FAILS(TW_ERR_ARGUMENT, tw_transcript_segment(transcript, 0, &segment, &err));
  FAILS(TW_ERR_ARGUMENT, tw_transcript_segment(transcript, 0, NULL, &err));
  tw_transcript_free(transcript);
}

int main(void) {
  struct tw_counts counts = TW_COUNTS_INIT;
  FAILS(TW_ERR_ARGUMENT, tw_session_stats(NULL, &counts, &err));
  CHECK(tw_transcript_count(NULL) == 0);
  tw_local_server *server = serve(NULL);
  tw_config *config = configure(server);
  tw_runtime *runtime = threads();
  struct talk talk = {.counts = TW_COUNTS_INIT, .usage = TW_USAGE_INIT};
  CHECK(sem_init(&talk.closed, 0, 0) == 0);
  struct tw_callbacks callbacks = TW_CALLBACKS_INIT;
  callbacks.on_event = on_event;
  callbacks.on_closed = on_closed;
  callbacks.user_data = &talk;
  tw_session *session = NULL;
  OK(tw_session_open(runtime, config, &callbacks, &session, &err));
  OK(tw_session_send_text(session, "good day", TW_NTS, &err));
  OK(tw_session_respond(session, NULL, 0, &err));
  while (sem_wait(&talk.closed) != 0) {
  }
  OK(tw_session_close_wait(session, PATIENCE_MS, &err));
  /* Who was told of the answer found it in all three. */
  CHECK(talk.segments == 2 && talk.usage.responses == 1 && talk.usage.output_tokens > 0);
  CHECK(talk.counts.links == 1 && talk.counts.frames_sent >= 2);
  CHECK(talk.counts.frames_received >= 5 && talk.counts.losses == 0);
  look_at_what_is_over(session, &talk);
  tw_session_free(session);
  counts.struct_size = 8;
  tw_session *other = NULL;
  OK(tw_session_open(runtime, config, NULL, &other, &err));
  FAILS(TW_ERR_ARGUMENT, tw_session_stats(other, &counts, &err));
  tw_session_free(other);
  tw_config_free(config);
  finish(runtime);
  tw_local_server_free(server);
  return 0;
}
