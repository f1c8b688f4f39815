/* A call is recorded: what was pushed is on the left of the file; and the conversation is written
   down. */
#define _POSIX_C_SOURCE 200809L

#include <unistd.h>

#include "support.h"

enum { RATE = 8000, SAMPLES = RATE / 5, HEADER = 44 };

static size_t read_file(const char *path, unsigned char *into, size_t most) {
  FILE *file = fopen(path, "rb");
  CHECK(file != NULL);
  size_t len = fread(into, 1, most, file);
  fclose(file);
  return len;
}

int main(void) {
  tw_local_server *server = serve(NULL);
  tw_config *config = configure(server);
  tw_runtime *runtime = threads();
  tw_session *session = NULL;
  OK(tw_session_open(runtime, config, NULL, &session, &err));
  char path[512];
  const char *dir = getenv("TMPDIR");
  snprintf(path, sizeof path, "%s/talkwire-recording-%p.wav", dir ? dir : "/tmp", (void *)path);
  tw_recorder *recorder = NULL;
  FAILS(TW_ERR_IO,
        tw_recorder_start(session, "/nonexistent/a.wav", TW_NTS, NULL, 0, &recorder, &err));
  FAILS(TW_ERR_CONFIG,
        tw_recorder_start(session, path, TW_NTS, "{\"rate\":1}", TW_NTS, &recorder, &err));
  CHECK(recorder == NULL);
  OK(tw_recorder_start(session, path, TW_NTS, "{\"rate_hz\":8000}", TW_NTS, &recorder, &err));
  tw_call *call = NULL;
  const char *port =
      "{\"uplink\":{\"type\":\"audio/pcm\",\"rate\":8000},"
      "\"downlink\":{\"type\":\"audio/pcm\",\"rate\":8000}}";
  OK(tw_call_attach(session, port, TW_NTS, &call, &err));
  int16_t said[SAMPLES];
  for (int i = 0; i < SAMPLES; i++) said[i] = (int16_t)(i + 1);
  size_t taken = 0;
  CHECK(tw_call_push(call, TW_TRACK_CUSTOMER, said, sizeof said, &taken) == TW_OK);
  CHECK(taken == SAMPLES);
  OK(tw_session_send_text(session, "a --> b", TW_NTS, &err));
  OK(tw_session_respond(session, NULL, 0, &err));
  skip_to(session, TW_EVENT_RESPONSE_DONE);
  tw_transcript *transcript = NULL;
  FAILS(TW_ERR_ARGUMENT,
        tw_transcript_write(session, "doc", TW_NTS, &transcript, &err));
  OK(tw_transcript_write(session, "vtt", TW_NTS, &transcript, &err));
  CHECK(strncmp(tw_transcript_text(transcript).ptr, "WEBVTT\n", 7) == 0);
  CHECK(strstr(tw_transcript_text(transcript).ptr, "<v customer>a --&gt; b</v>") != NULL);
  CHECK(strstr(tw_transcript_text(transcript).ptr, "<v agent>") != NULL);
  tw_transcript_free(transcript);
  tw_call_detach(call);
  OK(tw_recorder_stop(recorder, &err));
  OK(tw_recorder_wait(recorder, PATIENCE_MS, &err));
  CHECK(tw_recorder_written_ms(recorder) >= 1000 * SAMPLES / RATE);
  tw_recorder_free(recorder);
  static unsigned char bytes[1 << 20];
  size_t len = read_file(path, bytes, sizeof bytes);
  CHECK(len >= HEADER + 4 * SAMPLES && memcmp(bytes, "RIFF", 4) == 0);
  /* Silence may come before it, as the session took its time to look. */
  size_t at = HEADER;
  while (at + 4 * SAMPLES < len && bytes[at] == 0 && bytes[at + 1] == 0) at += 4;
  for (int i = 0; i < SAMPLES; i++)
    CHECK((int16_t)(bytes[at + 4 * i] | bytes[at + 4 * i + 1] << 8) == said[i]);
  unlink(path);
  memcpy(strrchr(path, '.'), ".json", 6);
  len = read_file(path, bytes, sizeof bytes - 1);
  bytes[len] = 0;
  CHECK(strstr((const char *)bytes, "\"segments\":[{") != NULL);
  unlink(path);
  OK(tw_session_close_wait(session, PATIENCE_MS, &err));
  tw_session_free(session);
  tw_config_free(config);
  finish(runtime);
  tw_local_server_free(server);
  return 0;
}
