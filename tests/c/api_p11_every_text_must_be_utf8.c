/* P11 for every function that reads a text: what is not UTF-8 is refused. */
#define _GNU_SOURCE
#include "every_function.h"

int main(void) {
  world w = make_world();
  int refused = 0;
  set_arguments(&w, "{\"ab\": \"\xff\"}");
  EACH(f, 0) {
    if (!f->reads_text) continue;
    if (can_fail(f)) must(f, &w, TW_ERR_ARGUMENT);
    else call(f, &w);
    refused++;
  }
  CHECK(refused >= 25);
  end_world(&w);
  return 0;
}
