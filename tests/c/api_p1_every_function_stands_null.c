/* P1 and P2 for every function: all of it NULL, and each parameter in turn beside a world that is there.
   Nothing is written by a call that fails, and its error is one that the manual names. */
#define _GNU_SOURCE
#include "every_function.h"

enum { MOST_PARAMETERS = 8 };

/* Without a runtime these take that of the process, whose threads stay to its end. */
static int may_lack_a_runtime(const function *f) {
  return strcmp(f->name, "tw_session_open") == 0 || strcmp(f->name, "tw_runtime_set_log") == 0;
}

static void all_of_it(void) {
  for (int turn = 0; turn <= 2; turn++) {
    EACH(f, turn) {
      world w = {0};
      if (strcmp(f->name, "tw_runtime_set_log") == 0) continue;
      w.nothing = NOTHING;
      if (can_fail(f)) must(f, &w, TW_ERR_ARGUMENT);
      else call(f, &w);
      w.nothing = 0;
      if (turn == 2) call(f, &w);
    }
  }
}

static void each_in_turn(void) {
  world w = make_world();
  for (unsigned i = 0; i < MOST_PARAMETERS; i++) {
    EACH(f, 0) {
      if (i == 0 && may_lack_a_runtime(f)) continue;
      w.nothing = 1u << i;
      call(f, &w);
    }
  }
  end_world(&w);
}

int main(void) {
  all_of_it();
  each_in_turn();
  return 0;
}
