/* A voice agent as a plugin of a telephone host: a shared object with the few functions of
 * agent_plugin.h, whose calls are sessions with a media port. host.c loads it.
 *
 *     cc -shared -fPIC agent_plugin.c -o agent_plugin.so $(pkg-config --cflags --libs talkwire)
 *
 * Linked to the shared library, which stays in the process when the plugin goes and is there when it comes
 * again. For a server elsewhere, put the credential into TALKWIRE_KEY. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent_plugin.h"
#include "talkwire.h"

enum { CLOSE_MS = 3000, UNLOAD_MS = 10000, ALAW_SILENCE = 0xd5 };

/* A caller does not wait half a minute for a server that has gone. */
#define OPTIONS "{\"recovery\":{\"budget_ms\":5000},\"topics\":[\"transcript\",\"control\"]}"
#define SESSION                                                                             \
  "{\"output_modalities\":[\"audio\"],\"audio\":{\"input\":{\"turn_detection\":{"           \
  "\"type\":\"server_vad\",\"silence_duration_ms\":500}}}}"
#define LINE "{\"uplink\":{\"type\":\"audio/pcma\"},\"downlink\":{\"type\":\"audio/pcma\"}}"

/* Two hold a call: the host until it hangs up, the session until it has told its end. Either may be the
 * last one, as a server can end a call while the host is still in it. */
struct agent_call {
  atomic_int holders;
  void *line;
  tw_session *session;
  tw_call *port;
};

static tw_runtime *runtime;
static tw_config *config;
static agent_event tell;

static void let_go(void *user_data) {
  agent_call *call = (agent_call *)user_data;
  if (atomic_fetch_sub(&call->holders, 1) == 1) free(call);
}

static void on_event(void *user_data, tw_session *session, const tw_event *event) {
  agent_call *call = (agent_call *)user_data;
  (void)session;
  tell(call->line, tw_event_name(event).ptr, tw_event_text(event).ptr);
}

static void on_closed(void *user_data, tw_session *session, const tw_end *end) {
  agent_call *call = (agent_call *)user_data;
  (void)session;
  tell(call->line, "closed", tw_end_message(end).ptr);
}

/* Reports on standard error; a real host has a log that load() would be given. */
static int failed(const char *what, tw_status status, tw_error **err) {
  if (status == TW_OK) return 0;
  fprintf(stderr, "plugin: %s: %s: %s\n", what, tw_status_name(status), tw_error_message(*err).ptr);
  tw_error_free(*err);
  return 1;
}

static int configure(const char *url) {
  const char *key = getenv("TALKWIRE_KEY");
  tw_error *err = NULL;
  tw_status status = tw_config_new(&config, &err);
  if (status == TW_OK) status = tw_config_set_url(config, url, TW_NTS, &err);
  if (status == TW_OK && key) status = tw_config_set_key(config, key, TW_NTS, &err);
  if (status == TW_OK) status = tw_config_set_json(config, OPTIONS, TW_NTS, &err);
  if (status == TW_OK) status = tw_config_set_session_json(config, SESSION, TW_NTS, &err);
  return failed("configuration", status, &err);
}

/* Threads of our own, so that unload() can stop them: those that are shared live as long as the process,
 * and must not call into a plugin that is no longer there. */
static int load(const char *url, agent_event on_event_of_host) {
  tw_error *err = NULL;
  tell = on_event_of_host;
  if (!failed("threads", tw_runtime_new(1, 1, &runtime, &err), &err) && !configure(url)) return 0;
  tw_config_free(config);
  tw_runtime_free(runtime);
  config = NULL;
  runtime = NULL;
  return 1;
}

/* If a callback does not return in time, its thread is still in our code, and the host is told not to unmap
 * it. */
static int unload(void) {
  tw_error *err = NULL;
  if (failed("unload", tw_runtime_shutdown(runtime, UNLOAD_MS, &err), &err)) return 1;
  tw_config_free(config);
  tw_runtime_free(runtime);
  config = NULL;
  runtime = NULL;
  return 0;
}

static agent_call *call_new(void *line) {
  tw_error *err = NULL;
  struct tw_callbacks callbacks = TW_CALLBACKS_INIT;
  agent_call *call = (agent_call *)calloc(1, sizeof *call);
  if (!call) return NULL;
  atomic_init(&call->holders, 2);
  call->line = line;
  callbacks.on_event = on_event;
  callbacks.on_closed = on_closed;
  callbacks.drop = let_go;
  callbacks.user_data = call;
  /* When this fails, let_go() has run once by then. */
  if (failed("session", tw_session_open(runtime, config, &callbacks, &call->session, &err), &err)) {
    let_go(call);
    return NULL;
  }
  /* Without a port the call is silent and ends, which the line is told as of any other. */
  if (failed("port", tw_call_attach(call->session, LINE, TW_NTS, &call->port, &err), &err))
    tw_session_close(call->session, CLOSE_MS, NULL);
  return call;
}

/* On the host's media thread: no lock, no memory, no system call. */
static void call_frame(agent_call *call, const unsigned char *in, unsigned char *out) {
  if (!call->port) {
    memset(out, ALAW_SILENCE, AGENT_FRAME_BYTES);
    return;
  }
  tw_call_push(call->port, TW_TRACK_CUSTOMER, in, AGENT_FRAME_BYTES, NULL);
  tw_call_pull(call->port, out, AGENT_FRAME_BYTES, NULL);
}

/* The session says goodbye by itself; unload() waits for it. */
static void call_hangup(agent_call *call) {
  tw_session_close(call->session, CLOSE_MS, NULL);
  tw_call_detach(call->port);
  tw_session_free(call->session);
  let_go(call);
}

const agent_plugin agent_plugin_table = {
    AGENT_PLUGIN_VERSION, load, unload, call_new, call_frame, call_hangup,
};
