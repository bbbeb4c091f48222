#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "common/net/http_client.h"
#include "common/net/http_server.h"
#include "tests/unit/test.h"

static struct loop *loop;
static struct http_server *srv;
static struct http_client *client;
static struct http_request *kept;

/* ---- a server that tells what it sees ---- */

static void on_echo(struct http_request *r)
{
    http_reply_header(r, "X-Auth", http_request_header(r, "authorization"));
    http_reply_header(r, "X-Type", http_request_header(r, "content-type"));
    http_reply_header(r, "X-Remote", slice_cstr(r->remote));
    http_reply_header(r, "X-Peer", slice_cstr(r->tls_peer ? r->tls_peer : "nobody"));
    http_reply(r, 200, HTTP_TEXT, r->body);
}

static void on_big(struct http_request *r)
{
    struct buf out = {0};

    buf_fill(&out, 'x', 2u << 20);
    http_reply_buf(r, 200, HTTP_TEXT, &out);
}

static void on_redirect(struct http_request *r)
{
    http_reply_header(r, "Location", SLICE("/echo"));
    http_reply(r, 302, NULL, SLICE_EMPTY);
}

static void on_later(struct http_request *r)
{
    kept = r;
}

static const struct http_route routes[] = {
    {.methods = HTTP_GET | HTTP_POST | HTTP_PUT | HTTP_DELETE,
     .pattern = "/echo",
     .handler = on_echo},
    {.methods = HTTP_GET, .pattern = "/big", .handler = on_big},
    {.methods = HTTP_GET, .pattern = "/redirect", .handler = on_redirect},
    {.methods = HTTP_GET, .pattern = "/later", .handler = on_later},
};

static void start(struct net_tls *tls, const struct http_client_opts *opts)
{
    struct http_server_opts so = {.addr = "127.0.0.1:0", .tls = tls};

    kept = NULL;
    CHECK_OK(loop_new("test", &loop));
    CHECK_OK(http_server_new(&so, &loop, 1, &srv));
    for (size_t i = 0; i < ORR_COUNT(routes); i++)
        http_server_route(srv, &routes[i]);
    CHECK_OK(http_server_listen(srv));
    CHECK_OK(http_client_new(loop, opts, &client));
}

static void stop(void)
{
    http_client_free(client);
    http_server_free(srv);
    loop_free(loop);
}

/* ---- one call, waited for ---- */

struct outcome {
    bool is_done;
    struct err *e;
    struct http_client_reply reply;
    size_t pieces;
};

static void on_done(void *arg, struct err *e, struct http_client_reply *r)
{
    struct outcome *o = arg;

    CHECK(!o->is_done);
    o->is_done = true;
    o->e = e;
    if (r) {
        o->reply = *r;
        *r = (struct http_client_reply){0};
    }
}

static const char *url_of(const char *scheme, const char *path)
{
    static char text[128];

    (void)snprintf(text, sizeof(text), "%s://127.0.0.1:%u%s", scheme, http_server_port(srv), path);
    return text;
}

static struct outcome call(const char *scheme, const char *path, struct http_client_req req)
{
    struct outcome o = {0};

    req.url = url_of(scheme, path);
    CHECK_OK(http_client_request(client, &req, on_done, &o, NULL));
    CHECK(!o.is_done);
    for (int i = 0; i < 5000 && !o.is_done; i++)
        loop_run_once(loop, 10);
    CHECK(o.is_done);
    return o;
}

static void check_reply(struct outcome o, int status, const char *body)
{
    CHECK_OK(o.e);
    CHECK_INT(o.reply.status, status);
    CHECK_SLICE(buf_slice(&o.reply.body), body);
    http_client_reply_done(&o.reply);
}

TEST(http_client_calls)
{
    static const char *const headers[] = {"X-One: 1"};
    struct outcome o;

    start(NULL, NULL);
    for (int i = 0; i < 20; i++)
        check_reply(call("http", "/echo", (struct http_client_req){.body = SLICE("hello")}), 200,
                    "hello");
    CHECK_INT(http_server_connections(srv), 1);
    o = call("http", "/echo",
             (struct http_client_req){.user = "u",
                                      .password = "p",
                                      .method = "PUT",
                                      .content_type = HTTP_JSON,
                                      .headers = headers,
                                      .header_count = 1});
    CHECK_SLICE(http_client_reply_header(&o.reply, "x-auth"), "Basic dTpw");
    CHECK_SLICE(http_client_reply_header(&o.reply, "x-type"), HTTP_JSON);
    check_reply(o, 200, "");
    check_reply(call("http", "/echo",
                     (struct http_client_req){.body = SLICE("lent"), .is_body_lent = true}),
                200, "lent");
    o = call("http", "/echo", (struct http_client_req){.bearer = "t"});
    CHECK_SLICE(http_client_reply_header(&o.reply, "x-auth"), "Bearer t");
    check_reply(o, 200, "");
    check_reply(call("http", "/echo", (struct http_client_req){.method = "HEAD"}), 200, "");
    check_reply(call("http", "/nothing", (struct http_client_req){0}), 404,
                "no such page: /nothing\n");
    check_reply(call("http", "/redirect", (struct http_client_req){0}), 302, "");
    check_reply(call("http", "/redirect", (struct http_client_req){.max_redirects = 2}), 200, "");
    o = call("http", "/big", (struct http_client_req){.accepts_compressed = true});
    CHECK_INT(o.reply.body.len, 2u << 20);
    CHECK(http_client_reply_header(&o.reply, "content-encoding").ptr);
    http_client_reply_done(&o.reply);
    stop();
}

/* From where a call comes, as the server sees it. */
static void remote_of(bool is_sole, char ret[static 64])
{
    struct outcome o = call("http", "/echo", (struct http_client_req){.is_sole = is_sole});

    (void)snprintf(ret, 64, "%.*s", SLICE_ARG(http_client_reply_header(&o.reply, "x-remote")));
    check_reply(o, 200, "");
}

TEST(http_client_makes_a_connection_for_one_call)
{
    char kept_one[64], again[64], sole[64], other[64];

    start(NULL, NULL);
    remote_of(false, kept_one);
    remote_of(true, sole);
    remote_of(true, other);
    remote_of(false, again);
    CHECK(strcmp(sole, kept_one) != 0 && strcmp(other, kept_one) != 0 && strcmp(other, sole) != 0);
    CHECK_STR(again, kept_one);
    stop();
}

static bool on_piece(void *arg, struct slice piece)
{
    struct outcome *o = arg;

    o->pieces += piece.len;
    return o->pieces < 100000;
}

TEST(http_client_failures)
{
    struct http_client_call *pending;
    struct outcome o;

    start(NULL, &(struct http_client_opts){.max_queued = 1});
    o = call("http", "/big", (struct http_client_req){.max_response_bytes = 1000});
    CHECK_ERR(o.e, ERR_TOO_LARGE, "larger than 1000 bytes");
    o = call("http", "/big", (struct http_client_req){.on_data = on_piece});
    CHECK_ERR(o.e, ERR_CANCELED, "");
    o = call("http", "/later", (struct http_client_req){.timeout_ms = 50});
    CHECK_ERR(o.e, ERR_TIMEOUT, "/later");
    http_reply(kept, 200, NULL, SLICE_EMPTY);
    o = call("https", "/echo", (struct http_client_req){0});
    CHECK_ERR(o.e, ERR_NET, "");
    CHECK_ERR(http_client_request(client, &(struct http_client_req){.url = "file:///etc/passwd"},
                                  on_done, &o, NULL),
              ERR_INVALID, "neither");
    o = (struct outcome){0};
    CHECK_OK(http_client_request(client, &(struct http_client_req){.url = url_of("http", "/later")},
                                 on_done, &o, &pending));
    CHECK_ERR(http_client_request(client, &(struct http_client_req){.url = url_of("http", "/")},
                                  on_done, &o, NULL),
              ERR_UNAVAILABLE, "1 calls");
    http_client_cancel(pending);
    CHECK_INT(http_client_inflight(client), 0);
    /* the end of the client ends its calls */
    CHECK_OK(http_client_request(client, &(struct http_client_req){.url = url_of("http", "/later")},
                                 on_done, &o, NULL));
    loop_run_once(loop, 5);
    http_client_free(client);
    client = NULL;
    CHECK_ERR(o.e, ERR_CANCELED, "");
    stop();
}

TEST(http_client_bounds_connections_per_host)
{
    struct outcome o[40] = {0};
    size_t done = 0;

    start(NULL, &(struct http_client_opts){.max_per_host = 3});
    for (size_t i = 0; i < ORR_COUNT(o); i++)
        CHECK_OK(http_client_request(
            client,
            &(struct http_client_req){.url = url_of("http", "/echo"), .body = SLICE("many")},
            on_done, &o[i], NULL));
    for (int turns = 0; turns < 5000 && done < ORR_COUNT(o); turns++) {
        loop_run_once(loop, 10);
        CHECK(http_server_connections(srv) <= 3);
        done = 0;
        for (size_t i = 0; i < ORR_COUNT(o); i++)
            done += o[i].is_done;
    }
    for (size_t i = 0; i < ORR_COUNT(o); i++)
        check_reply(o[i], 200, "many");
    stop();
}

TEST(http_client_blocking_one)
{
    struct http_client_reply r;

    start(NULL, NULL);
    CHECK_OK(loop_start(loop));
    CHECK_OK(http_client_blocking(
        NULL, &(struct http_client_req){.url = url_of("http", "/echo"), .body = SLICE("b")}, &r));
    CHECK_INT(r.status, 200);
    CHECK_SLICE(buf_slice(&r.body), "b");
    http_client_reply_done(&r);
    CHECK_ERR(
        http_client_blocking(NULL, &(struct http_client_req){.url = "http://127.0.0.1:1/"}, &r),
        ERR_NET, "127.0.0.1:1/");
    loop_join(loop);
    stop();
}

/* ---- TLS ---- */

static const char *write_pem(const char *name, X509 *cert, EVP_PKEY *key)
{
    const char *path = tmp_path(name);
    FILE *f = fopen(path, "w");

    CHECK(f);
    if (cert)
        CHECK(PEM_write_X509(f, cert) == 1);
    if (key)
        CHECK(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1);
    (void)fclose(f);
    return path;
}

static void add_extension(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    CHECK(ext && X509_add_ext(cert, ext, -1) == 1);
    X509_EXTENSION_free(ext);
}

/* Its own issuer. Writes name.crt and name.key. */
static void self_signed(const char *name, const char **ret_cert, const char **ret_key)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    X509_NAME *subject;
    char file[64];

    CHECK(key && cert);
    (void)X509_set_version(cert, 2);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    (void)X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    (void)X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    subject = X509_get_subject_name(cert);
    (void)X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1,
                                     -1, 0);
    (void)X509_set_issuer_name(cert, subject);
    (void)X509_set_pubkey(cert, key);
    add_extension(cert, NID_subject_alt_name, "DNS:orrery.test");
    add_extension(cert, NID_basic_constraints, "critical,CA:TRUE");
    CHECK(X509_sign(cert, key, EVP_sha256()) > 0);
    (void)snprintf(file, sizeof(file), "%s.crt", name);
    *ret_cert = write_pem(file, cert, NULL);
    (void)snprintf(file, sizeof(file), "%s.key", name);
    *ret_key = write_pem(file, NULL, key);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static void swap_client(const struct http_client_opts *opts)
{
    http_client_free(client);
    CHECK_OK(http_client_new(loop, opts, &client));
}

TEST(http_client_and_server_speak_tls)
{
    const char *cert, *key, *other_cert, *other_key;
    struct http_client_opts opts = {.server_name = "orrery.test"};
    struct net_tls *tls;
    struct outcome o;
    struct buf body = {0};

    self_signed("server", &cert, &key);
    self_signed("other", &other_cert, &other_key);
    CHECK_OK(net_tls_new(&(struct net_tls_opts){.cert_path = cert, .key_path = key}, &tls));
    opts.ca_path = cert;
    start(tls, &opts);
    check_reply(call("https", "/echo", (struct http_client_req){.body = SLICE("secret")}), 200,
                "secret");
    buf_fill(&body, 'z', 3000000);
    o = call("https", "/echo", (struct http_client_req){.body = buf_slice(&body)});
    check_reply(o, 200, buf_cstr(&body));
    o = call("https", "/big", (struct http_client_req){0});
    CHECK_INT(o.reply.body.len, 2u << 20);
    http_client_reply_done(&o.reply);
    CHECK_INT(http_server_connections(srv), 1);
    /* the wrong CA, the wrong name, no TLS at all */
    swap_client(&(struct http_client_opts){.server_name = "orrery.test", .ca_path = other_cert});
    CHECK_ERR(call("https", "/echo", (struct http_client_req){0}).e, ERR_NET, "certificate");
    swap_client(&(struct http_client_opts){.ca_path = cert});
    CHECK_ERR(call("https", "/echo", (struct http_client_req){0}).e, ERR_NET, "127.0.0.1");
    CHECK_ERR(call("http", "/echo", (struct http_client_req){0}).e, ERR_NET, "");
    swap_client(&(struct http_client_opts){.is_insecure = true});
    check_reply(call("https", "/echo", (struct http_client_req){.body = SLICE("x")}), 200, "x");
    buf_done(&body);
    stop();
    net_tls_free(tls);
}

TEST(http_server_asks_clients_for_certificates)
{
    const char *cert, *key, *good_cert, *good_key, *bad_cert, *bad_key;
    struct net_tls_opts to = {0};
    struct net_tls *tls;
    struct outcome o;

    self_signed("server", &cert, &key);
    self_signed("alice", &good_cert, &good_key);
    self_signed("mallory", &bad_cert, &bad_key);
    to = (struct net_tls_opts){.cert_path = cert, .key_path = key, .client_ca_path = good_cert};
    CHECK_OK(net_tls_new(&to, &tls));
    start(tls, &(struct http_client_opts){.server_name = "orrery.test",
                                          .ca_path = cert,
                                          .cert_path = good_cert,
                                          .key_path = good_key});
    o = call("https", "/echo", (struct http_client_req){.body = SLICE("hi")});
    CHECK_OK(o.e);
    CHECK_SLICE(http_client_reply_header(&o.reply, "x-peer"), "alice");
    check_reply(o, 200, "hi");
    swap_client(&(struct http_client_opts){.is_insecure = true});
    CHECK_ERR(call("https", "/echo", (struct http_client_req){0}).e, ERR_NET, "");
    swap_client(&(struct http_client_opts){
        .is_insecure = true, .cert_path = bad_cert, .key_path = bad_key});
    CHECK_ERR(call("https", "/echo", (struct http_client_req){0}).e, ERR_NET, "");
    stop();
    net_tls_free(tls);
}

TEST(net_tls_reloads_or_stays)
{
    const char *cert, *key, *next_cert, *next_key;
    struct net_tls *tls;
    FILE *f;

    self_signed("server", &cert, &key);
    CHECK_ERR(net_tls_new(&(struct net_tls_opts){.cert_path = cert}, &tls), ERR_INVALID, "a key");
    CHECK_ERR(
        net_tls_new(&(struct net_tls_opts){.cert_path = cert, .key_path = tmp_path("no")}, &tls),
        ERR_INVALID, "key");
    CHECK_OK(net_tls_new(&(struct net_tls_opts){.cert_path = cert, .key_path = key}, &tls));
    start(tls, &(struct http_client_opts){.server_name = "orrery.test", .ca_path = cert});
    check_reply(call("https", "/echo", (struct http_client_req){0}), 200, "");
    CHECK((f = fopen(key, "w")) && fclose(f) == 0);
    CHECK_ERR(net_tls_reload(tls), ERR_INVALID, "reload");
    swap_client(&(struct http_client_opts){.server_name = "orrery.test", .ca_path = cert});
    check_reply(call("https", "/echo", (struct http_client_req){0}), 200, "");
    self_signed("server", &next_cert, &next_key); /* same names, new key */
    CHECK_OK(net_tls_reload(tls));
    swap_client(&(struct http_client_opts){.server_name = "orrery.test", .ca_path = next_cert});
    check_reply(call("https", "/echo", (struct http_client_req){0}), 200, "");
    stop();
    net_tls_free(tls);
}
