/* P17, and the header by itself: included first and twice, in every standard. */
#include "talkwire.h"
#include "talkwire.h"

#include <stdio.h>
#include <string.h>

_Static_assert(TW_VERSION_NUMBER ==
                   TW_VERSION_MAJOR * 1000000 + TW_VERSION_MINOR * 1000 + TW_VERSION_PATCH,
               "the number is made of its parts");
_Static_assert(TW_OK == 0 && TW_AGAIN > 0 && TW_CLOSED > 0 && TW_ERR_PANIC < 0, "signs");

int main(void) {
  char text[32];
  snprintf(text, sizeof text, "%d.%d.%d", TW_VERSION_MAJOR, TW_VERSION_MINOR, TW_VERSION_PATCH);
  if (tw_version_number() != TW_VERSION_NUMBER) return 1;
  if (strcmp(tw_version_string(), text) != 0) return 2;
  if (strstr(tw_build_info(), text) == NULL) return 3;
  struct tw_callbacks callbacks = TW_CALLBACKS_INIT;
  if (callbacks.struct_size != sizeof callbacks || callbacks.on_event != NULL) return 4;
  return strcmp(tw_status_name(TW_OK), "ok") == 0 ? 0 : 5;
}
