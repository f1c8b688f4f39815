/* P7: the descriptor is readable whenever an event or the end waits: a text turn in a poll() loop. */
#define _GNU_SOURCE
#include <poll.h>

#include "support.h"

static int readable(int fd, int timeout_ms) {
  struct pollfd entry = {fd, POLLIN, 0};
  return poll(&entry, 1, timeout_ms) == 1 && (entry.revents & POLLIN);
}

int main(void) {
  tw_local_server *server = serve(NULL);
  tw_config *config = configure(server);
  tw_runtime *runtime = threads();
  tw_session *session = NULL;
  int fd = -1, same = -1, answered = 0, wakeups = 0, races = 0;
  char text[256] = "";
  OK(tw_session_open(runtime, config, NULL, &session, &err));
  OK(tw_session_wakeup_fd(session, &fd, &err));
  OK(tw_session_wakeup_fd(session, &same, &err));
  CHECK(fd >= 0 && fd == same);
  OK(tw_session_send_text(session, "over and out", TW_NTS, &err));
  OK(tw_session_respond(session, NULL, 0, &err));

  tw_status status = TW_AGAIN;
  while (status != TW_CLOSED) {
    CHECK(readable(fd, (int)PATIENCE_MS));
    wakeups++;
    tw_event *event = NULL;
    while ((status = tw_session_next_event(session, 0, &event, NULL)) == TW_OK) {
      tw_str piece = tw_event_text(event);
      if (tw_event_type(event) == TW_EVENT_RESPONSE_OUTPUT_TEXT_DELTA) {
        CHECK(strlen(text) + piece.len < sizeof text);
        strcat(text, piece.ptr);
      }
      if (tw_event_type(event) == TW_EVENT_RESPONSE_DONE && !answered++) {
        OK(tw_session_close(session, PATIENCE_MS, &err));
      }
      tw_event_free(event);
    }
    /* Either nothing is left to read, or something came just now. */
    CHECK(status != TW_AGAIN || !readable(fd, 0) || ++races < 100);
  }
  CHECK(answered == 1 && wakeups > 1);
  CHECK(strstr(text, "over and out"));
  CHECK(readable(fd, 0));
  tw_session_free(session);
  tw_config_free(config);
  finish(runtime);
  tw_local_server_free(server);
  return 0;
}
