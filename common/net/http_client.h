/*
 * HTTP client on libcurl's multi interface, driven by one loop. Connections are kept and reused.
 * HTTP/1.1; redirects are not followed unless asked; only http:// and https://; proxies only when a
 * request names one.
 *
 * Owner: its loop; every call is made there. http_client_blocking() is for workers and tests.
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/loop.h"
#include "common/net/http.h"

struct http_client;
struct http_client_call;

/* Strings are copied; 0 in a number is the default in brackets. */
struct http_client_opts {
    const char *user_agent;           /* ["orrery/<version>"] */
    const char *ca_path;              /* PEM; NULL: the system's */
    const char *cert_path, *key_path; /* client certificate; NULL: none */
    const char *server_name;          /* name to verify instead of the URL's; NULL: the URL's */
    bool is_insecure;                 /* accept any server certificate */
    unsigned max_per_host;            /* connections [16] */
    unsigned max_connections;         /* kept in all [128] */
    size_t max_queued;                /* calls under way; more is ERR_UNAVAILABLE [10000] */
};

/* TLS of one call, instead of what the client's options say. */
struct http_client_tls {
    struct slice ca, cert, key; /* PEM; empty: the system's CAs, no client certificate */
    const char *server_name;    /* NULL: the URL's */
    bool is_insecure;
    unsigned min_version,
        max_version; /* 10 … 13 for TLS 1.0 … 1.3; 0: 1.2, and the library's best */
};

struct http_client_req {
    const char *method; /* NULL: GET, with a body POST */
    const char *url;
    const char *const *headers; /* "Name: value" each */
    size_t header_count;
    struct slice body;           /* copied by http_client_request(), unless it is lent */
    bool is_body_lent;           /* the body lives until the call is done or cancelled */
    const char *content_type;    /* NULL: none */
    int64_t timeout_ms;          /* of the whole call [30000] */
    int64_t connect_timeout_ms;  /* [5000] */
    int64_t stall_timeout_ms;    /* without a byte either way, in whole seconds; 0: not looked at */
    size_t max_response_bytes;   /* body after decoding; more is ERR_TOO_LARGE [64 MiB] */
    const char *user, *password; /* basic auth if user is not NULL */
    const char *bearer;          /* bearer token if not NULL */
    unsigned
        max_redirects;  /* 0: a redirect is a reply like any other; but for 303 a POST stays one */
    bool is_url_secret; /* messages have its host alone */
    bool accepts_compressed; /* gzip, deflate, zstd as libcurl has them; decoded for you */
    bool is_sole; /* a connection made for it: over a kept one that dies it may be sent twice */
    const struct http_client_tls *tls; /* NULL: the client's */
    const char *proxy,
        *no_proxy; /* its URL, NULL: none; hosts that it is not for, as in NO_PROXY */
    const char *const *proxy_headers; /* for its CONNECT */
    size_t proxy_header_count;
    /* Body pieces as they come instead of in reply.body, with the arg of done; false cuts the call
     * (ERR_CANCELED; in here that is how to cancel). NULL arg when blocking. */
    bool (*on_data)(void *arg, struct slice piece);
};

struct http_client_reply {
    int status;
    struct buf body;
    struct buf head;             /* what the headers below borrow from */
    struct http_header *headers; /* of the last response */
    size_t header_count;
};
struct slice http_client_reply_header(const struct http_client_reply *r, const char *name);
void http_client_reply_done(struct http_client_reply *r);

/* Any HTTP status is a reply. e: ERR_NET (no connection, reset, name unknown, TLS), ERR_TIMEOUT,
 * ERR_TOO_LARGE, ERR_INVALID (the URL); then r is NULL. Takes e. r is lent until fn returns, its
 * body may be taken with buf_take(). */
typedef void http_client_fn(void *arg, struct err *e, struct http_client_reply *r);

ORR_CHECKED struct err *http_client_new(struct loop *l, const struct http_client_opts *opts,
                                        struct http_client **ret);
/* Calls under way end with ERR_CANCELED, inside. NULL is allowed. Not from inside a callback of
 * its own calls. */
void http_client_free(struct http_client *c);

/* done(arg) is called later, never from inside, exactly once unless cancelled. ret_call may be
 * NULL. An error here means that done will not be called. */
ORR_CHECKED struct err *http_client_request(struct http_client *c,
                                            const struct http_client_req *req, http_client_fn *done,
                                            void *arg, struct http_client_call **ret_call);
/* done is not called any more. Only before done was called, and not from on_data. NULL is allowed.
 */
void http_client_cancel(struct http_client_call *call);
size_t http_client_inflight(const struct http_client *c);

/* Waits for the reply, on a connection of its own. Any thread but a loop's. The caller calls
 * http_client_reply_done() when it succeeded. opts may be NULL. */
ORR_CHECKED struct err *http_client_blocking(const struct http_client_opts *opts,
                                             const struct http_client_req *req,
                                             struct http_client_reply *ret);
