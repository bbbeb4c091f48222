/*
 * Requests to one bucket of an S3 server: address, signature, connections, time-outs, retries,
 * hedges and what is counted.
 *
 *   caller's thread                                loop thread of the store
 *   s3wire_begin()  credentials, hash, signature ──▶ one libcurl transfer; a read that shows no byte
 *   …                                                in time gets a second one
 *   s3wire_finish() waits ◀──────────────────────── first good answer
 *                   trouble: waits a while, begins again
 *
 * A caller may begin several calls before it finishes them: that is how parts go in parallel.
 *
 * Tried again: no connection, time-outs, truncated answers, 5xx (not 501), 429, and 400s that say
 * the body came broken; with a random wait, up to s3.max-attempts, while the retry budget lasts.
 * Set right first and then tried again at once: a wrong region or clock, refused credentials, a
 * bucket to be made.
 *
 * Errors: ERR_NOT_FOUND (NoSuchKey, NoSuchUpload; any 404 of a HEAD), ERR_CONFLICT (412, and 409 of a
 * conditional request), ERR_INVALID (416 and other 4xx), ERR_FORBIDDEN, ERR_UNAUTHORIZED (no
 * credentials), ERR_UNSUPPORTED (501), ERR_UNAVAILABLE (5xx, 429, NoSuchBucket, other 404s), ERR_NET,
 * ERR_TIMEOUT, ERR_TOO_LARGE. The text has status and code, never a header or a secret.
 *
 * That the server fails is logged when it begins and when it is over, with the number of failures.
 */
#pragma once
#include "common/net/http_client.h"
#include "common/objstore/s3answer.h"
#include "common/objstore/s3conf.h"
#include "common/objstore/sigv4.h"

/* X(symbol, name in metrics, price: READ, WRITE or FREE) */
#define S3WIRE_OPS(X)                                                                              \
    X(S3WIRE_GET, "get", READ)                                                                     \
    X(S3WIRE_HEAD, "head", READ)                                                                   \
    X(S3WIRE_PUT, "put", WRITE)                                                                    \
    X(S3WIRE_LIST, "list", WRITE)                                                                  \
    X(S3WIRE_DELETE, "delete", FREE)                                                               \
    X(S3WIRE_DELETE_MANY, "delete_many", FREE)                                                     \
    X(S3WIRE_UPLOAD_BEGIN, "upload_begin", WRITE)                                                  \
    X(S3WIRE_UPLOAD_PART, "upload_part", WRITE)                                                    \
    X(S3WIRE_UPLOAD_END, "upload_end", WRITE)                                                      \
    X(S3WIRE_UPLOAD_ABORT, "upload_abort", FREE)                                                   \
    X(S3WIRE_BUCKET, "bucket", WRITE)
enum s3wire_op {
#define X(sym, name, price) sym,
    S3WIRE_OPS(X)
#undef X
        S3WIRE_OP_COUNT
};

#define S3WIRE_MAX_QUERY 8
#define S3WIRE_MAX_HEADERS 16

struct s3wire;
struct s3try;

struct s3wire_call {
    /* What is asked; all lent until s3wire_done(). */
    enum s3wire_op op;
    const char *method;
    struct slice key; /* without s3.prefix; ptr NULL: the bucket itself */
    struct sigv4_pair query[S3WIRE_MAX_QUERY];
    size_t n_query;
    struct sigv4_pair headers[S3WIRE_MAX_HEADERS]; /* names in lower case; besides what signing
                                                      needs */
    size_t n_headers;
    struct slice body;
    const char *content_type;
    bool needs_md5;          /* Content-MD5 in any case */
    size_t max_bytes;        /* of the answer's body; 0: 16 MiB */
    size_t expect_bytes;     /* reserved for it once it is more than a little */
    bool is_hedged;          /* may be asked twice */
    bool is_once;            /* one attempt: what follows is the caller's */
    int64_t more_timeout_ms; /* on top of s3.request-timeout */
    /* Monotonic: nothing is sent from then on; it is_once and not hedged, and a PUT goes over a connection of its own. 0: no
     * such end. */
    int64_t until_ms;

    /* What was answered, after s3wire_finish(); reply also when that failed, if there was one. */
    struct arena *arena; /* from s3wire_begin() on */
    struct http_client_reply reply;
    struct s3answer_error error;
    bool is_unsure; /* an attempt ended without an answer, or with 5xx: it may have been done */

    /* s3wire's own */
    struct s3try *try;
    struct err *failure;
    char payload_hash[SIGV4_HEX_BYTES];
    int64_t attempts, first_ms;
    uint64_t keys_generation;
    unsigned fixes;
};

/* conf and env live as long as it does. Makes its loop thread; asks nothing yet. */
ORR_CHECKED struct err *s3wire_new(const struct s3conf *conf, char **env, struct s3wire **ret);
/* Calls under way and all later ones fail with ERR_UNAVAILABLE. Any thread. */
void s3wire_stop(struct s3wire *w);
void s3wire_free(struct s3wire *w);              /* no call is under way; NULL is allowed */
const char *s3wire_name(const struct s3wire *w); /* "s3:http://host:port/bucket" */

void s3wire_begin(struct s3wire *w, struct s3wire_call *call);
/* Once for each begin. */
ORR_CHECKED struct err *s3wire_finish(struct s3wire *w, struct s3wire_call *call);
/* Begin, finish. */
ORR_CHECKED struct err *s3wire_run(struct s3wire *w, struct s3wire_call *call);
/* For a caller that has its own way with what failed (is_once): whether another attempt may be made,
 * after the wait that goes before it. Then begin and finish the same call again. */
bool s3wire_again(struct s3wire *w, struct s3wire_call *call);
/* Frees what it holds; ends what is under way. Also for a call that was never begun ({0}). */
void s3wire_done(struct s3wire *w, struct s3wire_call *call);

void s3wire_query(struct s3wire_call *call, const char *name, struct slice value);
void s3wire_header(struct s3wire_call *call, const char *name, struct slice value);

/* Whether the bucket has been seen: before that, a HEAD's 404 may mean the bucket. */
bool s3wire_has_bucket(const struct s3wire *w);
/* Random text for names that nobody else uses; not secret. */
void s3wire_nonce(struct s3wire *w, char ret[static 33]);
