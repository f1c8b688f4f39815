/* A function call arrives with its id, name and arguments; its answer leads to a spoken result. */
#include "support.h"

#define SCRIPT                                                                                   \
  "{\"script\":{\"brain\":\"script\",\"turns\":["                                                \
  "{\"when\":{\"tool\":\"place_order\"},\"say\":\"It is on its way.\"},"                         \
  "{\"when\":{\"user\":\"order\"},\"call\":{\"name\":\"place_order\",\"arguments\":{\"size\":2}}}" \
  "]}}"
#define TOOLS                                                              \
  "{\"tools\":[{\"type\":\"function\",\"name\":\"place_order\","           \
  "\"parameters\":{\"type\":\"object\",\"properties\":{}}}]}"

int main(void) {
  tw_local_server *server = serve(SCRIPT);
  tw_config *config = configure(server);
  OK(tw_config_set_session_json(config, TOOLS, TW_NTS, &err));
  tw_runtime *runtime = threads();
  tw_session *session = NULL;
  OK(tw_session_open(runtime, config, NULL, &session, &err));
  OK(tw_session_send_text(session, "I order it", TW_NTS, &err));
  OK(tw_session_respond(session, NULL, 0, &err));

  tw_event *item = await_event(session, TW_EVENT_RESPONSE_OUTPUT_ITEM_ADDED);
  CHECK(is(tw_event_call_name(item), "place_order"));
  tw_event *call = await_event(session, TW_EVENT_RESPONSE_FUNCTION_CALL_ARGUMENTS_DONE);
  CHECK(tw_event_call_id(call).len > 0);
  CHECK(is(tw_event_call_id(item), tw_event_call_id(call).ptr));
  CHECK(is(tw_event_text(call), "{\"size\":2}"));
  skip_to(session, TW_EVENT_RESPONSE_DONE);
  tw_str id = tw_event_call_id(call);
  OK(tw_session_answer_call(session, id.ptr, id.len, "{\"ok\":true}", TW_NTS, &err));
  tw_event_free(item);
  tw_event_free(call);
  OK(tw_session_respond(session, NULL, 0, &err));
  tw_event *text = await_event(session, TW_EVENT_RESPONSE_OUTPUT_TEXT_DONE);
  CHECK(is(tw_event_text(text), "It is on its way."));
  tw_event_free(text);

  OK(tw_session_close_wait(session, PATIENCE_MS, &err));
  tw_session_free(session);
  tw_config_free(config);
  finish(runtime);
  tw_local_server_free(server);
  return 0;
}
