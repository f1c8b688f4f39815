/* What was said is what arrived, sample path included: digits as tones to a server that recognises
   them, and back from its voice, decoded by us. */
#include "support.h"
#include "tones.h"

/* Appends everything in pieces of 20 ms, as fast as it goes. */
static void speak(tw_session *session, const int16_t *pcm, size_t samples) {
  enum { PIECE = RATE / 50 };
  for (size_t at = 0; at < samples; at += PIECE) {
    size_t count = samples - at < PIECE ? samples - at : PIECE;
    OK(tw_session_append(session, pcm + at, count * sizeof *pcm, &err));
  }
}

/* The sound of the answer; checks the transcript of what was said on the way. */
static int16_t *listen_to(tw_session *session, const char *transcript, size_t *samples) {
  int16_t *pcm = NULL;
  uint64_t told_ms = 0;
  int transcribed = 0;
  *samples = 0;
  for (int done = 0; !done;) {
    tw_event *event = NULL;
    OK(tw_session_next_event(session, PATIENCE_MS, &event, &err));
    int32_t type = tw_event_type(event);
    tw_bytes audio = tw_event_audio(event);
    if (type == TW_EVENT_RESPONSE_OUTPUT_AUDIO_DELTA) {
      CHECK(audio.len > 0 && audio.len % 2 == 0 && (uintptr_t)audio.ptr % 2 == 0);
      pcm = (int16_t *)realloc(pcm, *samples * sizeof *pcm + audio.len);
      CHECK(pcm != NULL);
      memcpy(pcm + *samples, audio.ptr, audio.len);
      *samples += audio.len / sizeof *pcm;
      told_ms += tw_event_audio_ms(event);
      CHECK(tw_event_response_id(event).len > 0 && tw_event_item_id(event).len > 0);
    } else {
      CHECK(audio.len == 0 && tw_event_audio_ms(event) == 0);
    }
    if (type == TW_EVENT_CONVERSATION_ITEM_INPUT_AUDIO_TRANSCRIPTION_COMPLETED) {
      CHECK(is(tw_event_text(event), transcript));
      transcribed++;
    }
    done = type == TW_EVENT_RESPONSE_DONE;
    tw_event_free(event);
  }
  CHECK(transcribed == 1);
  CHECK(told_ms == *samples * 1000 / RATE);
  return pcm;
}

int main(void) {
  tw_local_server *server = serve("{\"brain\":\"echo\",\"ears\":\"dtmf\",\"voice\":\"dtmf\"}");
  tw_config *config = configure(server);
  OK(tw_config_set_session_json(
      config,
      "{\"output_modalities\":[\"audio\"],\"audio\":{"
      "\"input\":{\"format\":{\"type\":\"audio/pcm\",\"rate\":24000},"
      "\"transcription\":{\"model\":\"general\"}},"
      "\"output\":{\"format\":{\"type\":\"audio/pcm\",\"rate\":24000}}}}",
      TW_NTS, &err));
  tw_runtime *runtime = threads();
  tw_session *session = NULL;
  OK(tw_session_open(runtime, config, NULL, &session, &err));
  const char *const turns[][2] = {{"4217", "4 2 1 7"}, {"0011", "0 0 1 1"}, {"9", "9"}};
  for (size_t i = 0; i < sizeof turns / sizeof *turns; i++) {
    size_t samples = 0;
    int16_t *said = dial(turns[i][0], &samples);
    speak(session, said, samples);
    free(said);
    OK(tw_session_commit(session, &err));
    OK(tw_session_respond(session, NULL, 0, &err));
    int16_t *heard = listen_to(session, turns[i][1], &samples);
    char digits[32];
    listen_keys(heard, samples, digits, sizeof digits);
    free(heard);
    if (strcmp(digits, turns[i][0]) != 0) fprintf(stderr, "heard %s\n", digits);
    CHECK(strcmp(digits, turns[i][0]) == 0);
  }
  OK(tw_session_close_wait(session, PATIENCE_MS, &err));
  tw_session_free(session);
  tw_config_free(config);
  finish(runtime);
  tw_local_server_free(server);
  return 0;
}
