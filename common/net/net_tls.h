/*
 * TLS of a server: certificate, key and, for mTLS, the CA that clients must come from. TLS 1.2 and
 * later; ALPN offers h2 and http/1.1.
 *
 * The files can be read again while connections are open: new connections get the new certificate,
 * old ones keep theirs. A reload that fails changes nothing.
 *
 * Any thread (a lock guards the current context). Reading files blocks: not on a loop.
 */
#pragma once
#include "common/base/err.h"

struct net_tls;
struct ssl_st;

struct net_tls_opts {
    const char *cert_path, *key_path; /* PEM; the certificate may be followed by its chain */
    const char *client_ca_path;       /* PEM; NULL: clients need no certificate */
    bool is_client_cert_optional;     /* with client_ca_path: verify it if one is sent */
};

ORR_CHECKED struct err *net_tls_new(const struct net_tls_opts *opts, struct net_tls **ret);
ORR_CHECKED struct err *net_tls_reload(struct net_tls *t);
/* Connections made from it may live on. NULL is allowed. */
void net_tls_free(struct net_tls *t);

/* A server-side SSL object for fd, which it does not own. NULL if OpenSSL has none to give. */
struct ssl_st *net_tls_accept(struct net_tls *t, int fd);
/* The reason of the last failure on this thread's OpenSSL queue, which it empties. */
const char *net_tls_error(char *text, size_t bytes);
