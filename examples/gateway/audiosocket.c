/* A gateway from Asterisk to a voice agent: a server for Asterisk's AudioSocket protocol.
 *
 *     audiosocket [--listen HOST:PORT] [--url URL] [--instructions TEXT] [--calls N]
 *
 * In the dialplan, after Answer(): AudioSocket(${UUID},127.0.0.1:9092), which brings 8 kHz, or
 * Dial(AudioSocket/127.0.0.1:9092/${UUID}/c(slin24)), which saves the change of rate. When the agent
 * calls its tool hang_up, or has gone, the dialplan goes on with the next step. Each call is told in one
 * line when it has ended; with --calls N the gateway ends after N of them.
 *
 * Without a URL it talks to a server of its own, which echoes. For a server elsewhere, put the credential
 * into TALKWIRE_KEY. The protocol has neither password nor encryption: whoever reaches the port is a
 * caller, so it listens on this machine only unless told otherwise.
 *
 * One thread serves all calls, and nothing in it waits for an agent or for a caller. */
#define _GNU_SOURCE
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "talkwire.h"

/* A frame is its kind, the length of its payload in two bytes, high byte first, and the payload. Sound is
 * 16-bit samples as the machine has them; its kind is its rate. 20 ms at 192 kHz have 7680 bytes. */
enum { HANG_UP = 0x00, UUID = 0x01, DIGIT = 0x03, SOUND = 0x10, FAILURE = 0xff };
enum { HEADER = 3, LONGEST = 8192, UUID_BYTES = 16, MULAW_BYTES = 160 };
static const int RATES_HZ[] = {8000, 12000, 16000, 24000, 32000, 44100, 48000};
enum { RATES = sizeof RATES_HZ / sizeof *RATES_HZ };

/* Times in ticks of 20 ms. A tick that comes late is made up for, up to a tenth of a second: a longer
 * burst would only be lost on the way to the telephone. */
enum { TICKS_PER_S = 50, TICK_NS = 20 * 1000 * 1000, CATCH_UP = 5 };
enum { UUID_WAIT = 5 * TICKS_PER_S, RATE_WAIT = TICKS_PER_S, STUCK = 2 * TICKS_PER_S };
enum { HEARD_OUT = TICKS_PER_S / 2, LINGER = TICKS_PER_S, CLOSE_MS = 3000, CALLS = 100 };

/* A caller does not wait half a minute for a server that has gone; sound comes by the port. */
#define OPTIONS                                                                             \
  "{\"recovery\":{\"budget_ms\":5000},\"topics\":[\"control\"],\"tools\":[{"                \
  "\"name\":\"hang_up\",\"description\":\"Ends the call after what was said\"}]}"
#define SESSION                                                                             \
  "{\"output_modalities\":[\"audio\"],\"audio\":{\"input\":{\"turn_detection\":{"           \
  "\"type\":\"server_vad\",\"silence_duration_ms\":500}}}}"

/*   FREE --accept--> NEW --UUID--> TALKING --hang_up--> LEAVING
 *    ^                |               |                  |
 *    +--both over-- ENDED <-----------+------------------+     */
typedef enum state { FREE, NEW, TALKING, LEAVING, ENDED } state;

typedef struct call {
  state state;
  int number, fd, kind, is_guess; /* kind: of the port's sound, which may be guessed */
  unsigned age, stuck, quiet; /* ticks: of the call, without room to write, without sound */
  char id[2 * UUID_BYTES + 5];
  tw_session *session;
  tw_call *port;
  tw_end *how; /* once the session has ended by itself */
  size_t in_len, out_at, out_len;
  unsigned char in[HEADER + LONGEST], out[HEADER + LONGEST];
} call;

static call calls[CALLS];
static tw_runtime *runtime;
static tw_config *config;
static int accepted, ended;
static volatile sig_atomic_t is_stopped;

/* Takes the address of the error, whose value may be read before the call has written it. */
static void must(tw_status status, tw_error **err) {
  if (status == TW_OK) return;
  fprintf(stderr, "%s: %s\n", tw_status_name(status), tw_error_message(*err).ptr);
  exit(1);
}

static int must_errno(int result, const char *what) {
  if (result >= 0) return result;
  perror(what);
  exit(1);
}

/* ---- the end of a call -------------------------------------------------------------------------- */

/* Ends a call, says in one line how, and returns 0 for whoever has to say whether the call goes on. Only the
 * first reason counts. Asterisk is told by a frame, unless half of another one is on its way: then by the end
 * of the connection alone, which bury() closes: with unread bytes that would take back what was sent. */
__attribute__((format(printf, 2, 3))) static int end(call *c, const char *why, ...) {
  static const unsigned char goodbye[HEADER] = {HANG_UP, 0, 0};
  struct tw_stats stats = TW_STATS_INIT;
  va_list arguments;
  if (c->state == FREE || c->state == ENDED) return 0;
  tw_call_stats(c->port, &stats);
  unsigned rate = c->port ? (unsigned)RATES_HZ[c->kind - SOUND] : 1;
  printf("call %d %s: ", c->number, c->id);
  va_start(arguments, why);
  vprintf(why, arguments);
  va_end(arguments);
  printf(" (%.1f s, caller %.1f s, agent %.1f s, dropped %.1f s)\n", (double)c->age / TICKS_PER_S,
         (double)stats.pushed / rate, (double)stats.pulled / rate, (double)stats.overrun / rate);
  fflush(stdout);
  if (c->out_at == c->out_len) send(c->fd, goodbye, sizeof goodbye, MSG_NOSIGNAL);
  shutdown(c->fd, SHUT_WR);
  tw_call_detach(c->port);
  c->port = NULL;
  if (c->session) tw_session_close(c->session, CLOSE_MS, NULL);
  c->state = ENDED;
  c->age = 0;
  return 0;
}

/* Drops what still comes for a moment; gives the place back when neither side needs it any more. */
static void bury(call *c) {
  ssize_t got = c->fd >= 0 ? recv(c->fd, c->in, sizeof c->in, 0) : 0;
  if (c->fd >= 0 && (got == 0 || (got < 0 && errno != EAGAIN) || c->age > LINGER)) {
    close(c->fd);
    c->fd = -1;
  }
  if (c->fd >= 0 || c->session) return;
  tw_end_free(c->how);
  c->state = FREE;
  ended++;
}

/* ---- from the caller ---------------------------------------------------------------------------- */

static int begin(call *c, const unsigned char *uuid) {
  char *at = c->id;
  tw_error *err = NULL;
  for (int i = 0; i < UUID_BYTES; i++)
    at += sprintf(at, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
  c->state = TALKING;
  if (tw_session_open(runtime, config, NULL, &c->session, &err) != TW_OK)
    end(c, "no session: %s", tw_error_message(err).ptr);
  tw_error_free(err);
  return c->state != ENDED;
}

/* The port has the rate of the telephone, which its first sound tells. */
static int attach(call *c, int kind) {
  char options[160];
  tw_error *err = NULL;
  int rate = RATES_HZ[kind - SOUND];
  snprintf(options, sizeof options,
           "{\"uplink\":{\"type\":\"audio/pcm\",\"rate\":%d},"
           "\"downlink\":{\"type\":\"audio/pcm\",\"rate\":%d}}",
           rate, rate);
  c->kind = kind;
  tw_status status = tw_call_attach(c->session, options, TW_NTS, &c->port, &err);
  /* A session that has just ended tells why itself. */
  if (status != TW_OK && status != TW_ERR_CLOSED)
    end(c, "no media port: %s", tw_error_message(err).ptr);
  tw_error_free(err);
  return c->state != ENDED;
}

static int take_sound(call *c, int kind, const unsigned char *samples, size_t len) {
  if (len == 0 || len % 2 != 0) return end(c, "sound of %zu bytes, which are no samples", len);
  /* Without c() Asterisk passes mu-law on under the kind of samples. */
  if (kind == SOUND && len == MULAW_BYTES)
    return end(c, "sound of 160 bytes, which is mu-law: Dial(AudioSocket/...) needs /c(slin)");
  if (c->is_guess && kind != c->kind) {
    tw_call_detach(c->port);
    c->port = NULL;
  }
  c->is_guess = 0;
  if (c->state == TALKING && !c->port && !attach(c, kind)) return 0;
  if (c->port && kind != c->kind) return end(c, "sound of kind 0x%02x after 0x%02x", kind, c->kind);
  tw_call_push(c->port, TW_TRACK_CUSTOMER, samples, len, NULL);
  return 1;
}

static int take_digit(call *c, unsigned char digit) {
  char text[64];
  snprintf(text, sizeof text, "The caller pressed %c.", digit >= ' ' && digit < 0x7f ? digit : '?');
  tw_session_send_text(c->session, text, TW_NTS, NULL);
  tw_session_respond(c->session, NULL, 0, NULL);
  return 1;
}

static int take_frame(call *c, int kind, const unsigned char *payload, size_t len) {
  if (kind == HANG_UP) return end(c, "the caller hung up");
  if (kind == FAILURE) return end(c, "Asterisk reports error 0x%02x", len > 0 ? payload[0] : 0);
  if (c->state == NEW && kind != UUID) return end(c, "a frame of kind 0x%02x before the UUID", kind);
  if (kind == UUID && c->state != NEW) return end(c, "a second UUID");
  if (kind == UUID && len != UUID_BYTES) return end(c, "a UUID of %zu bytes", len);
  if (kind == UUID) return begin(c, payload);
  if (kind == DIGIT && len != 1) return end(c, "a digit of %zu bytes", len);
  if (kind == DIGIT) return take_digit(c, payload[0]);
  if (kind >= SOUND && kind < SOUND + RATES) return take_sound(c, kind, payload, len);
  return end(c, "a frame of kind 0x%02x, which has no use here", kind);
}

/* Takes all frames that are complete; the rest of the last one comes later. */
static int take_frames(call *c) {
  size_t at = 0;
  while (c->in_len - at >= HEADER) {
    const unsigned char *frame = c->in + at;
    size_t len = (size_t)(frame[1] << 8 | frame[2]);
    if (len > LONGEST) return end(c, "a frame of %zu bytes, which is no AudioSocket", len);
    if (c->in_len - at < HEADER + len) break;
    if (!take_frame(c, frame[0], frame + HEADER, len)) return 0;
    at += HEADER + len;
  }
  memmove(c->in, c->in + at, c->in_len -= at);
  return 1;
}

static int receive(call *c) {
  ssize_t got = recv(c->fd, c->in + c->in_len, sizeof c->in - c->in_len, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 1;
  if (got < 0) return end(c, "the connection broke: %s", strerror(errno));
  if (got == 0) return end(c, "the caller hung up%s", c->in_len > 0 ? " in the middle of a frame" : "");
  c->in_len += (size_t)got;
  return take_frames(c);
}

/* ---- to the caller ------------------------------------------------------------------------------ */

/* Header and payload in one write: Asterisk gives up on a payload that is 5 ms late. */
static int flush_out(call *c) {
  if (c->out_at == c->out_len) return 1;
  ssize_t sent = send(c->fd, c->out + c->out_at, c->out_len - c->out_at, MSG_NOSIGNAL);
  if (sent > 0) c->out_at += (size_t)sent;
  if (sent < 0 && errno != EAGAIN && errno != EINTR)
    end(c, "the connection broke: %s", strerror(errno));
  return c->out_at == c->out_len;
}

/* 20 ms for the telephone, silence where the agent says nothing: Asterisk wants sound from the start.
 * While the last frame has not gone, the next one stays with the agent. */
static void speak(call *c) {
  if (!flush_out(c)) {
    if (++c->stuck > STUCK) end(c, "the caller takes no sound");
    return;
  }
  int kind = c->port ? c->kind : SOUND;
  size_t len = (size_t)RATES_HZ[kind - SOUND] / TICKS_PER_S * 2, real = 0;
  memset(c->out + HEADER, 0, len);
  if (c->port) tw_call_pull(c->port, c->out + HEADER, len, &real);
  c->out[0] = (unsigned char)kind;
  c->out[1] = (unsigned char)(len >> 8);
  c->out[2] = (unsigned char)len;
  c->out_at = 0;
  c->out_len = HEADER + len;
  c->stuck = 0;
  c->quiet = real > 0 ? 0 : c->quiet + 1;
  flush_out(c);
}

static void leave(call *c) {
  c->state = LEAVING;
  c->quiet = 0;
}

/* The call of the tool is answered by the end of the session. */
static void hear_agent(call *c, const tw_event *event) {
  int type = tw_event_type(event);
  if (type == TW_EVENT_TOOL_CALL) {
    leave(c);
  } else if (type == TW_EVENT_ERROR || type == TW_EVENT_PROTOCOL_FAULT) {
    fprintf(stderr, "call %d: %s\n", c->number, tw_event_text(event).ptr);
  }
}

/* Reads what the agent's side tells, also after the end of the call, up to that of the session. What the
 * agent said before is still to be heard. */
static void listen_to_agent(call *c) {
  tw_event *event = NULL;
  tw_status status;
  if (!c->session) return;
  while ((status = tw_session_next_event(c->session, 0, &event, NULL)) == TW_OK) {
    if (c->state == TALKING) hear_agent(c, event);
    tw_event_free(event);
  }
  if (status == TW_AGAIN) return;
  tw_session_end(c->session, &c->how, NULL);
  tw_session_free(c->session);
  c->session = NULL;
  if (c->state == TALKING) leave(c);
}

static void tick(call *c) {
  if (c->state == FREE) return;
  c->age++;
  if (c->state == NEW && c->age > UUID_WAIT) end(c, "no UUID came");
  /* A caller whose silence is not transmitted has no first sound, and shall hear the greeting. */
  if (c->state == TALKING && !c->port && c->age > RATE_WAIT) c->is_guess = attach(c, SOUND);
  listen_to_agent(c);
  if (c->state == LEAVING && c->quiet >= HEARD_OUT) {
    if (c->how) end(c, "the agent has gone: %s", tw_end_message(c->how).ptr);
    else end(c, "the agent hung up");
  }
  if (c->state == TALKING || c->state == LEAVING) speak(c);
  if (c->state == ENDED) bury(c);
}

/* ---- the loop ----------------------------------------------------------------------------------- */

static void stop(int number) {
  (void)number;
  is_stopped = 1;
}

/* Takes one caller who waits; returns whether there was one. */
static int accept_call(int listener) {
  int on = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return 0;
  accepted++;
  for (int i = 0; i < CALLS; i++) {
    call *c = &calls[i];
    if (c->state != FREE) continue;
    memset(c, 0, sizeof *c);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->state = NEW;
    c->number = accepted;
    c->fd = fd;
    strcpy(c->id, "without a UUID");
    return 1;
  }
  printf("call %d: refused, there are %d calls\n", accepted, CALLS);
  fflush(stdout);
  close(fd);
  ended++;
  return 1;
}

/* One turn of the loop: what came from callers at once, the rest each 20 ms, whatever the last tick took.
 * Returns whether a tick was due. */
static int turn(int clock) {
  struct pollfd fds[1 + CALLS] = {{clock, POLLIN, 0}};
  uint64_t due = 0;
  for (int i = 0; i < CALLS; i++) {
    int is_read = calls[i].state != FREE && calls[i].state != ENDED;
    fds[1 + i].fd = is_read ? calls[i].fd : -1;
    fds[1 + i].events = POLLIN;
  }
  int ready = poll(fds, 1 + CALLS, -1);
  if (ready < 0 && errno == EINTR) return 0;
  must_errno(ready, "poll");
  for (int i = 0; i < CALLS; i++)
    if (fds[1 + i].revents) receive(&calls[i]);
  if (!fds[0].revents || read(clock, &due, sizeof due) != sizeof due) return 0;
  for (uint64_t n = 0; n < due && n < CATCH_UP; n++)
    for (int i = 0; i < CALLS; i++) tick(&calls[i]);
  return 1;
}

static void run(int listener, int limit) {
  struct itimerspec every = {{0, TICK_NS}, {0, TICK_NS}};
  struct sigaction on_signal = {.sa_handler = stop};
  int clock = must_errno(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), "timerfd_create");
  must_errno(timerfd_settime(clock, 0, &every, NULL), "timerfd_settime");
  sigaction(SIGINT, &on_signal, NULL);
  sigaction(SIGTERM, &on_signal, NULL);
  int is_full = 0;
  while (!is_full || ended < accepted) {
    int is_tick = turn(clock);
    while (is_tick && !(is_full = is_stopped || (limit > 0 && accepted >= limit)))
      if (!accept_call(listener)) break;
    for (int i = 0; is_stopped && i < CALLS; i++) end(&calls[i], "the gateway stops");
  }
  close(clock);
}

static int listen_at(char *where) {
  char *colon = strrchr(where, ':');
  struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found = NULL;
  struct sockaddr_in bound;
  socklen_t len = sizeof bound;
  int on = 1;
  if (colon) *colon = '\0';
  int failure = colon ? getaddrinfo(where, colon + 1, &hints, &found) : EAI_NONAME;
  if (failure) {
    fprintf(stderr, "--listen %s: HOST:PORT is wanted: %s\n", where, gai_strerror(failure));
    exit(2);
  }
  int fd = must_errno(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  must_errno(bind(fd, found->ai_addr, found->ai_addrlen), where);
  freeaddrinfo(found);
  must_errno(listen(fd, CALLS), where);
  must_errno(getsockname(fd, (struct sockaddr *)&bound, &len), where);
  printf("listening on %s:%d\n", where, ntohs(bound.sin_port));
  fflush(stdout);
  return fd;
}

static void configure(const char *url, const char *instructions) {
  const char *key = getenv("TALKWIRE_KEY");
  tw_error *err = NULL;
  must(tw_config_new(&config, &err), &err);
  must(tw_config_set_url(config, url, TW_NTS, &err), &err);
  must(tw_config_set_json(config, OPTIONS, TW_NTS, &err), &err);
  must(tw_config_set_session_json(config, SESSION, TW_NTS, &err), &err);
  if (instructions) must(tw_config_set_instructions(config, instructions, TW_NTS, &err), &err);
  if (key) must(tw_config_set_key(config, key, TW_NTS, &err), &err);
  must(tw_runtime_new(0, 0, &runtime, &err), &err);
}

int main(int argc, char **argv) {
  char at_home[] = "127.0.0.1:9092", *where = at_home;
  const char *url = NULL, *instructions = NULL;
  tw_local_server *server = NULL;
  tw_error *err = NULL;
  int limit = 0, i = 1;
  for (; i + 1 < argc; i += 2) {
    if (strcmp(argv[i], "--listen") == 0) where = argv[i + 1];
    else if (strcmp(argv[i], "--url") == 0) url = argv[i + 1];
    else if (strcmp(argv[i], "--instructions") == 0) instructions = argv[i + 1];
    else if (strcmp(argv[i], "--calls") == 0) limit = atoi(argv[i + 1]);
    else break;
  }
  if (i != argc) return fprintf(stderr, "unknown option %s, or it lacks its value\n", argv[i]), 2;
  if (!url) {
    must(tw_local_server_start(NULL, 0, &server, &err), &err);
    url = tw_local_server_url(server).ptr;
  }
  configure(url, instructions);
  int listener = listen_at(where);
  run(listener, limit);
  close(listener);
  must(tw_runtime_shutdown(runtime, 2 * CLOSE_MS, &err), &err);
  tw_runtime_free(runtime);
  tw_config_free(config);
  tw_local_server_free(server);
  return 0;
}
