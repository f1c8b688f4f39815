/* P16, inside an established session over TLS: the connection vanishes in the middle of an answer
   while this side is speaking, and no SIGPIPE ends the program. The certificate is made here. */
#define _GNU_SOURCE
#include <signal.h>
#include <unistd.h>

#include "support.h"

enum { ROUNDS = 5 };

static void write_text(const char *path, const char *text) {
  FILE *file = fopen(path, "w");
  CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

/* A certificate for this machine and its key: cert.pem and key.pem in the working directory. */
static void certify(void) {
  write_text("openssl.cnf",
             "[req]\ndistinguished_name=name\nx509_extensions=extensions\nprompt=no\n"
             "[name]\nCN=localhost\n"
             "[extensions]\nbasicConstraints=critical,CA:FALSE\n"
             "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
  CHECK(system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
               "-config openssl.cnf -keyout key.pem -out cert.pem 2>openssl.log") == 0);
}

static void read_text(const char *path, char *text, size_t size) {
  FILE *file = fopen(path, "r");
  CHECK(file != NULL);
  text[fread(text, 1, size - 1, file)] = 0;
  fclose(file);
}

static tw_local_server *serve_and_vanish(const char *dir) {
  char json[1024];
  snprintf(json, sizeof json,
           "{\"tls\":{\"cert\":\"%s/cert.pem\",\"key\":\"%s/key.pem\"},\"brain\":\"echo\","
           "\"voice\":\"tone\",\"script\":{\"faults\":[{\"when\":"
           "{\"sent\":\"response.output_audio.delta\",\"count\":2},\"do\":\"drop\"}]}}",
           dir, dir);
  return serve(json);
}

/* Speaks on and on once the answer has begun, until the session is over. */
static void cut_off(tw_runtime *runtime, const tw_config *config) {
  static const char sound[4800];
  tw_session *session = NULL;
  OK(tw_session_open(runtime, config, NULL, &session, &err));
  skip_to(session, TW_EVENT_SESSION_UPDATED);
  OK(tw_session_send_text(session, "Tell me a story, and make it a long one.", TW_NTS, &err));
  OK(tw_session_respond(session, NULL, 0, &err));
  skip_to(session, TW_EVENT_RESPONSE_OUTPUT_AUDIO_DELTA);
  while (tw_session_append(session, sound, sizeof sound, NULL) != TW_ERR_CLOSED) continue;
  tw_end *end = await_end(session);
  CHECK(!tw_end_expected(end) && tw_end_mid_turn(end));
  tw_end_free(end);
  tw_session_free(session);
}

int main(void) {
  if (system("openssl version >/dev/null 2>&1") != 0) {
    puts("the command openssl is missing: no certificate can be made");
    return 77;
  }
  char dir[] = "/tmp/talkwire-p16-XXXXXX", pem[8192];
  CHECK(mkdtemp(dir) && chdir(dir) == 0);
  certify();
  read_text("cert.pem", pem, sizeof pem);
  signal(SIGPIPE, SIG_DFL);
  tw_local_server *server = serve_and_vanish(dir);
  CHECK(strncmp(tw_local_server_url(server).ptr, "wss://", 6) == 0);
  tw_config *config = configure(server);
  OK(tw_config_set_extra_ca(config, pem, TW_NTS, &err));
  OK(tw_config_set_session_json(config, "{\"output_modalities\":[\"audio\"]}", TW_NTS, &err));
  tw_runtime *runtime = threads();
  for (int i = 0; i < ROUNDS; i++) cut_off(runtime, config);
  finish(runtime);
  tw_config_free(config);
  tw_local_server_free(server);
  struct sigaction action;
  CHECK(sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
  const char *const made[] = {"openssl.cnf", "openssl.log", "key.pem", "cert.pem"};
  for (size_t i = 0; i < sizeof made / sizeof *made; i++) unlink(made[i]);
  CHECK(chdir("/") == 0 && rmdir(dir) == 0);
  return 0;
}
