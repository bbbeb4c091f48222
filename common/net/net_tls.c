#include "common/net/net_tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "common/base/lock.h"
#include "common/base/mem.h"

struct net_tls {
    char *cert_path, *key_path, *client_ca_path;
    bool is_client_cert_optional;
    struct lock lock; /* guards ctx, the pointer; the context itself is counted by OpenSSL */
    SSL_CTX *ctx;
};

const char *net_tls_error(char *text, size_t bytes)
{
    unsigned long code = ERR_peek_last_error();

    if (code)
        ERR_error_string_n(code, text, bytes);
    else
        text[0] = '\0';
    ERR_clear_error();
    return text;
}

static struct err *err_tls(enum err_code code, const char *what, const char *path)
{
    char text[256];

    net_tls_error(text, sizeof(text));
    return err_new(code, "tls: %s %s: %s", what, path, text[0] ? text : "unknown error");
}

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char ours[] = "\x02h2\x08http/1.1";

    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_len, ours, sizeof(ours) - 1, in,
                              in_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    return SSL_TLSEXT_ERR_OK;
}

static struct err *ctx_load(const struct net_tls *t, SSL_CTX *ctx)
{
    STACK_OF(X509_NAME) * names;

    if (SSL_CTX_use_certificate_chain_file(ctx, t->cert_path) != 1)
        return err_tls(ERR_INVALID, "certificate", t->cert_path);
    if (SSL_CTX_use_PrivateKey_file(ctx, t->key_path, SSL_FILETYPE_PEM) != 1)
        return err_tls(ERR_INVALID, "key", t->key_path);
    if (SSL_CTX_check_private_key(ctx) != 1)
        return err_tls(ERR_INVALID, "key does not fit the certificate:", t->key_path);
    if (!t->client_ca_path)
        return NULL;
    if (SSL_CTX_load_verify_file(ctx, t->client_ca_path) != 1 ||
        !(names = SSL_load_client_CA_file(t->client_ca_path)))
        return err_tls(ERR_INVALID, "client CA", t->client_ca_path);
    SSL_CTX_set_client_CA_list(ctx, names);
    SSL_CTX_set_verify(ctx,
                       t->is_client_cert_optional
                           ? SSL_VERIFY_PEER
                           : SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                       NULL);
    return NULL;
}

static struct err *ctx_build(const struct net_tls *t, SSL_CTX **ret)
{
    static const unsigned char session_context[] = "orrery";
    SSL_CTX *ctx;
    struct err *e;

    ERR_clear_error();
    if (!(ctx = SSL_CTX_new(TLS_server_method())))
        return err_tls(ERR_INTERNAL, "context", "");
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    /* Idle connections give their buffers back; writes may resume from another address. */
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_session_id_context(ctx, session_context, sizeof(session_context) - 1);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets carry sessions instead */
    SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);
    if ((e = ctx_load(t, ctx))) {
        SSL_CTX_free(ctx);
        return e;
    }
    *ret = ctx;
    return NULL;
}

struct err *net_tls_new(const struct net_tls_opts *opts, struct net_tls **ret)
{
    struct net_tls *t = mem_new(struct net_tls);
    struct err *e;

    lock_init(&t->lock, LOCK_LEAF_MODULE);
    t->cert_path = mem_strdup(opts->cert_path);
    t->key_path = mem_strdup(opts->key_path);
    t->client_ca_path = mem_strdup(opts->client_ca_path);
    t->is_client_cert_optional = opts->is_client_cert_optional;
    if (!t->cert_path || !t->key_path)
        e = err_new(ERR_INVALID, "tls: needs a certificate and a key");
    else
        e = ctx_build(t, &t->ctx);
    if (e) {
        net_tls_free(t);
        return e;
    }
    *ret = t;
    return NULL;
}

struct err *net_tls_reload(struct net_tls *t)
{
    SSL_CTX *next, *old;
    struct err *e;

    if ((e = ctx_build(t, &next)))
        return err_wrap(e, "reload");
    lock_take(&t->lock);
    old = t->ctx;
    t->ctx = next;
    lock_release(&t->lock);
    SSL_CTX_free(old); /* connections made from it hold their own reference */
    return NULL;
}

void net_tls_free(struct net_tls *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->ctx);
    lock_done(&t->lock);
    mem_free(t->cert_path);
    mem_free(t->key_path);
    mem_free(t->client_ca_path);
    mem_free(t);
}

struct ssl_st *net_tls_accept(struct net_tls *t, int fd)
{
    SSL *ssl;

    lock_take(&t->lock);
    ssl = SSL_new(t->ctx);
    lock_release(&t->lock);
    if (!ssl)
        return NULL;
    if (SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    SSL_set_accept_state(ssl);
    return ssl;
}
