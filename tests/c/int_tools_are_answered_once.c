/* A registered tool: two calls at once get an output each, a second output is refused, and the
   library asks for the response that follows. */
#include "support.h"

#define SCRIPT                                                                              \
  "{\"script\":{\"brain\":\"script\",\"turns\":["                                           \
  "{\"when\":{\"tool\":\"price\"},\"say\":\"That is all.\"},"                               \
  "{\"when\":{\"user\":\"much\"},\"call\":["                                              \
  "{\"name\":\"price\",\"arguments\":{\"dish\":\"soup\"}},"                               \
  "{\"name\":\"price\",\"arguments\":{\"dish\":\"tea\"}}]}]}}"
#define TOOL                                                                                \
  "{\"name\":\"price\",\"description\":\"Price of a dish\",\"parameters\":{"                \
  "\"type\":\"object\",\"properties\":{\"dish\":{\"type\":\"string\"}},"                  \
  "\"required\":[\"dish\"]}}"

static void answer_twice(tw_session *session, tw_event *call, int nth) {
  tw_str id = tw_event_call_id(call);
  CHECK(is(tw_event_call_name(call), "price"));
  CHECK(tw_event_text(call).len > 2);
  if (nth == 0)
    OK(tw_tool_answer(session, id.ptr, id.len, "{\"rub\":3}", TW_NTS, &err));
  else
    OK(tw_tool_fail(session, id.ptr, id.len, "no tea", TW_NTS, &err));
  OK(tw_tool_answer(session, id.ptr, id.len, "{\"rub\":4}", TW_NTS, &err));
}

int main(void) {
  tw_local_server *server = serve(SCRIPT);
  tw_config *config = configure(server);
  tw_runtime *runtime = threads();
  tw_session *session = NULL;
  OK(tw_session_open(runtime, config, NULL, &session, &err));
  OK(tw_tool_register(session, TOOL, TW_NTS, &err));
  CHECK(tw_tool_register(session, "{}", TW_NTS, NULL) == TW_ERR_ARGUMENT);
  OK(tw_session_send_text(session, "How much?", TW_NTS, &err));
  OK(tw_session_respond(session, NULL, 0, &err));

  /* Calls, refusals and the text keep no order among them: a refusal answers the second output,
     which this thread may be late with. */
  int calls = 0, refused = 0, told = 0;
  while (calls < 2 || refused < 2 || !told) {
    tw_event *event = await_any(session);
    switch (tw_event_type(event)) {
    case TW_EVENT_TOOL_CALL:
      answer_twice(session, event, calls++);
      break;
    case TW_EVENT_PROTOCOL_FAULT:
      CHECK(tw_error_code(tw_event_error(event)) == TW_ERR_REFUSED);
      refused++;
      break;
    case TW_EVENT_RESPONSE_OUTPUT_TEXT_DONE:
      CHECK(is(tw_event_text(event), "That is all."));
      told++;
      break;
    }
    tw_event_free(event);
  }
  CHECK(calls == 2 && refused == 2 && told == 1);

  CHECK(tw_session_interrupt(session, 1, NULL) == TW_OK);
  OK(tw_session_respond_when(session, NULL, 0, TW_WHEN_BUSY_QUEUE, &err));
  CHECK(tw_session_respond_when(session, NULL, 0, 99, NULL) == TW_ERR_ARGUMENT);
  OK(tw_session_close_wait(session, PATIENCE_MS, &err));
  tw_session_free(session);
  tw_config_free(config);
  finish(runtime);
  tw_local_server_free(server);
  return 0;
}
