/* What a telephone host and its voice agent plugin agree on. The host knows nothing else: it is not
 * linked to talkwire, and finds this table in the plugin as AGENT_PLUGIN_TABLE. */
#ifndef AGENT_PLUGIN_H
#define AGENT_PLUGIN_H

#define AGENT_PLUGIN_VERSION 1
#define AGENT_PLUGIN_TABLE "agent_plugin_table"

/* 20 ms of A-law at 8 kHz, which is what the host's lines speak. */
enum { AGENT_FRAME_BYTES = 160 };

typedef struct agent_call agent_call;

/* Something happened in the call of a line. It comes on a thread of the plugin; each text is the
 * plugin's. The last event of a line is "closed", which comes exactly once, and the line must live
 * until then or until unload() has returned 0. */
typedef void (*agent_event)(void *line, const char *name, const char *text);

typedef struct agent_plugin {
  int version;
  /* Makes the plugin ready for calls with the agent at `url`; returns 0, or not and says why. */
  int (*load)(const char *url, agent_event on_event);
  /* All calls have been hung up; waits until they are over. When it returns 0, no thread runs code of the
   * plugin any more, so that the host may dlclose() it; else the plugin must stay where it is. */
  int (*unload)(void);
  /* A call of a line, or NULL, and then nothing is told to the line. Waits for nobody. */
  agent_call *(*call_new)(void *line);
  /* 20 ms from the customer and 20 ms for him, on the host's media thread. Waits for nobody. */
  void (*call_frame)(agent_call *call, const unsigned char *in, unsigned char *out);
  /* The call is over and no call_frame() of it runs or follows. Waits for nobody. */
  void (*call_hangup)(agent_call *call);
} agent_plugin;

extern const agent_plugin agent_plugin_table;

#endif
