/* A program with SQLite, zlib and OpenSSL of its own, and a session beside them: each does its work
   before, in the middle of and after a session, and is the one that the program was linked with. */
#define _GNU_SOURCE
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <sqlite3.h>
#include <zlib.h>

#include "../c/support.h"

static void query(void) {
  sqlite3 *db = NULL;
  sqlite3_stmt *statement = NULL;
  CHECK(strcmp(sqlite3_libversion(), SQLITE_VERSION) == 0);
  CHECK(sqlite3_open(":memory:", &db) == SQLITE_OK);
  CHECK(sqlite3_exec(db,
                     "CREATE TABLE calls(id INTEGER PRIMARY KEY, who TEXT);"
                     "INSERT INTO calls(who) VALUES ('customer'), ('agent');",
                     NULL, NULL, NULL) == SQLITE_OK);
  CHECK(sqlite3_prepare_v2(db, "SELECT count(*), max(who) FROM calls", -1, &statement, NULL) ==
        SQLITE_OK);
  CHECK(sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_int(statement, 0) == 2);
  CHECK(strcmp((const char *)sqlite3_column_text(statement, 1), "customer") == 0);
  CHECK(sqlite3_finalize(statement) == SQLITE_OK && sqlite3_close(db) == SQLITE_OK);
}

static void squeeze(void) {
  static Bytef plain[65536], packed[sizeof plain + 1024], again[sizeof plain];
  for (size_t i = 0; i < sizeof plain; i++) plain[i] = (Bytef)(i * i >> 7);
  uLongf size = sizeof packed, back = sizeof again;
  CHECK(strcmp(zlibVersion(), ZLIB_VERSION) == 0);
  CHECK(compress2(packed, &size, plain, sizeof plain, 9) == Z_OK && size < sizeof plain);
  CHECK(uncompress(again, &back, packed, size) == Z_OK && back == sizeof plain);
  CHECK(memcmp(plain, again, sizeof plain) == 0);
}

static void digest_and_offer_tls(void) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  CHECK(OpenSSL_version_num() >> 28 == OPENSSL_VERSION_NUMBER >> 28);
  CHECK(EVP_Digest("abc", 3, digest, &size, EVP_sha256(), NULL) == 1 && size == 32);
  CHECK(memcmp(digest, "\xba\x78\x16\xbf\x8f\x01\xcf\xea", 8) == 0);
  SSL_CTX *context = SSL_CTX_new(TLS_client_method());
  CHECK(context != NULL && SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1);
  SSL *tls = SSL_new(context);
  BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
  CHECK(tls != NULL && in != NULL && out != NULL);
  SSL_set_bio(tls, in, out);
  CHECK(SSL_connect(tls) < 0 && BIO_pending(out) > 100);
  SSL_free(tls);
  SSL_CTX_free(context);
}

static void neighbours(void) {
  query();
  squeeze();
  digest_and_offer_tls();
}

int main(void) {
  neighbours();
  tw_local_server *server = serve(NULL);
  tw_config *config = configure(server);
  tw_runtime *runtime = threads();
  tw_session *session = NULL;
  OK(tw_session_open(runtime, config, NULL, &session, &err));
  skip_to(session, TW_EVENT_SESSION_UPDATED);
  neighbours();
  OK(tw_session_send_text(session, "hello", TW_NTS, &err));
  OK(tw_session_respond(session, NULL, 0, &err));
  skip_to(session, TW_EVENT_RESPONSE_DONE);
  tw_session_free(session);
  tw_config_free(config);
  finish(runtime);
  tw_local_server_free(server);
  neighbours();
  return 0;
}
