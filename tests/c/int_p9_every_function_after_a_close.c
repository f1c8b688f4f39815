/* P9 for every function: after a close, and after the end, what would send says so, and everything
   else answers with a clean status. */
#define _GNU_SOURCE
#include "every_function.h"

static int is_of_the_session(const function *f) {
  if (strcmp(f->name, "tw_session_open") == 0) return 0;
  return strncmp(f->name, "tw_session_", 11) == 0 || strncmp(f->name, "tw_tool_", 8) == 0;
}

/* What the function would take from a session that lives. */
static const char *good_text(const function *f) {
  return strcmp(f->name, "tw_session_send_json") == 0 ? "{\"type\":\"x\"}" : "{\"name\":\"x\"}";
}

static void all_answer(world *w) {
  int refused = 0;
  EACH(f, 0) {
    set_arguments(w, good_text(f));
    if (f->errors & ERR(CLOSED) && is_of_the_session(f)) {
      must(f, w, TW_ERR_CLOSED);
      refused++;
    } else {
      call(f, w);
    }
  }
  CHECK(refused >= 10);
}

int main(void) {
  world w = make_world();
  OK(tw_session_close(w.session, PATIENCE_MS, &err));
  all_answer(&w);
  OK(tw_session_close_wait(w.session, PATIENCE_MS, &err));
  all_answer(&w);
  end_world(&w);
  return 0;
}
