/* Readers of a part of what a session tells: each gets its topics, and a slow one harms nobody. */
#include "support.h"

struct seen {
  int events;
  int wrong;
  int ends;
  int drops;
};

static void on_event(void *user_data, tw_session *session, const tw_event *event) {
  struct seen *seen = user_data;
  seen->events++;
  if (tw_event_audio(event).len == 0 && tw_event_type(event) != TW_EVENT_AUDIO_GAP) seen->wrong++;
  /* The session of a subscription may be used in its callbacks. */
  if (tw_session_capabilities(session).len == 0) seen->wrong++;
}

static void on_closed(void *user_data, tw_session *session, const tw_end *end) {
  (void)session;
  (void)end;
  ((struct seen *)user_data)->ends++;
}

static void drop(void *user_data) { ((struct seen *)user_data)->drops++; }

static tw_subscription *subscribe(tw_session *session, const char *options) {
  tw_subscription *subscription = NULL;
  OK(tw_subscription_open(session, options, TW_NTS, NULL, &subscription, &err));
  return subscription;
}

int main(void) {
  tw_local_server *server = serve("{\"profile\":\"openai\"}");
  tw_config *config = NULL;
  OK(tw_config_new(&config, &err));
  tw_str url = tw_local_server_url(server);
  OK(tw_config_set_url(config, url.ptr, url.len, &err));
  OK(tw_config_set_dialect(config, "openai", TW_NTS, &err));
  FAILS(TW_ERR_CONFIG, tw_config_set_json(config, "{\"topics\":[\"sound\"]}", TW_NTS, &err));
  OK(tw_config_set_json(config, "{\"topics\":[\"control\"]}", TW_NTS, &err));
  OK(tw_config_set_session_json(config, "{\"audio\":{\"input\":{\"turn_detection\":null}}}", TW_NTS,
                                &err));
  tw_runtime *runtime = threads();
  tw_session *session = NULL;
  OK(tw_session_open(runtime, config, NULL, &session, &err));

  tw_subscription *words = subscribe(session, "{\"topics\":[\"transcript\"]}");
  tw_subscription *frames = subscribe(session, "{\"topics\":[\"raw\"]}");
  tw_subscription *slow = subscribe(session, "{\"topics\":[\"control\"],\"max_events\":3}");
  tw_subscription *refused = NULL;
  FAILS(TW_ERR_CONFIG, tw_subscription_open(session, "{\"topics\":[\"sound\"]}", TW_NTS, NULL,
                                            &refused, &err));
  FAILS(TW_ERR_ARGUMENT, tw_subscription_open(session, "{}", TW_NTS, NULL, &refused, &err));
  CHECK(refused == NULL);
  struct seen seen = {0};
  tw_callbacks callbacks = TW_CALLBACKS_INIT;
  callbacks.on_event = on_event;
  callbacks.on_closed = on_closed;
  callbacks.drop = drop;
  callbacks.user_data = &seen;
  tw_subscription *sound = NULL;
  OK(tw_subscription_open(session, "{\"topics\":[\"audio\"]}", TW_NTS, &callbacks, &sound, &err));
  tw_event *event = NULL;
  FAILS(TW_ERR_ARGUMENT, tw_subscription_next_event(sound, 0, &event, &err));

  OK(tw_session_send_text(session, "good day", TW_NTS, &err));
  OK(tw_session_respond(session, NULL, 0, &err));
  for (int32_t type = 0; type != TW_EVENT_RESPONSE_DONE;) {
    event = await_any(session);
    type = tw_event_type(event);
    CHECK(tw_event_audio(event).len == 0 && type != TW_EVENT_WIRE_FRAME);
    CHECK(type != TW_EVENT_RESPONSE_OUTPUT_AUDIO_TRANSCRIPT_DELTA);
    tw_event_free(event);
  }

  OK(tw_subscription_next_event(words, PATIENCE_MS, &event, &err));
  CHECK(tw_event_text(event).len > 0);
  tw_event_free(event);
  OK(tw_subscription_next_event(frames, PATIENCE_MS, &event, &err));
  CHECK(tw_event_type(event) == TW_EVENT_WIRE_FRAME);
  CHECK(strstr(tw_event_text(event).ptr, "session.created") != NULL);
  CHECK(strstr(tw_event_json(event).ptr, "\"is_sent\":false") != NULL);
  tw_event_free(event);

  tw_backlog backlog = {0};
  OK(tw_subscription_backlog(slow, &backlog, &err));
  CHECK(backlog.events == 3);
  for (int i = 0; i < 3; i++) {
    OK(tw_subscription_next_event(slow, 0, &event, &err));
    tw_event_free(event);
  }
  FAILS(TW_ERR_SLOW_READER, tw_subscription_next_event(slow, 0, &event, &err));
  int fd = -1;
  OK(tw_subscription_wakeup_fd(slow, &fd, &err));
  CHECK(fd >= 0);
  tw_subscription_free(slow);
  tw_subscription_free(frames);
  tw_subscription_free(NULL);

  OK(tw_session_close_wait(session, PATIENCE_MS, &err));
  while (tw_subscription_next_event(words, 0, &event, NULL) == TW_OK) tw_event_free(event);
  CHECK(tw_subscription_next_event(words, 0, &event, NULL) == TW_CLOSED);
  tw_subscription_free(words);
  tw_session_free(session);
  tw_config_free(config);
  /* Waits for all callbacks. */
  finish(runtime);
  CHECK(seen.events > 0 && seen.wrong == 0 && seen.ends == 1 && seen.drops == 1);
  tw_subscription_free(sound);
  tw_local_server_free(server);
  return 0;
}
