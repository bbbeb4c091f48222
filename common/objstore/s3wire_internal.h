/*
 * What the parts of s3wire share: s3wire.c (calls and retries), s3wire_judge.c (what answers mean, and
 * what can be set right), s3wire_sign.c (one signed request), s3wire_try.c (its transfers on the loop),
 * s3wire_stats.c (counting, budget, health).
 */
#pragma once
#include "common/base/lock.h"
#include "common/base/loop.h"
#include "common/base/metric.h"
#include "common/base/rng.h"
#include "common/objstore/s3cred.h"
#include "common/objstore/s3wire.h"

#define S3WIRE_REGION_BYTES 64

struct s3wire_metrics {
    uint64_t requests, errors, retries, hedges, hedges_won, sent_bytes, received_bytes;
    struct metric_hist seconds;
};

struct s3wire {
    const struct s3conf *conf;
    char *name;
    char *base_url;    /* "https://host:port", bucket in it or not */
    char *host;        /* as in the Host header */
    char *bucket_path; /* "/bucket", or "" when the bucket is in the host */
    bool has_region;   /* configured: it is not changed by what the server says */
    struct s3cred *cred;
    struct loop *loop;
    struct http_client *http;
    struct s3wire_metrics ops[S3WIRE_OP_COUNT];
    uint64_t throttled, budget_empty;
    bool has_bucket;      /* relaxed */
    int64_t skew_s;       /* the server's clock before ours; relaxed */
    int64_t hedge_credit; /* loop thread; thousandths of a hedge */
    struct s3try *tries;  /* loop thread: those under way */
    pthread_cond_t stopping;

    struct lock lock;
    /* guarded: */
    char region[S3WIRE_REGION_BYTES];
    struct rng rng;
    int64_t budget; /* tenths of an attempt */
    bool is_down, is_stopped;
    int64_t down_ms, last_bad_ms, last_told_ms;
    uint64_t bad_count;
};

bool s3wire_is_stopped(struct s3wire *w);

/* ---- s3wire_judge.c ---- */

/* NULL for a good answer; ret_is_trouble: the same may go well another time. */
ORR_CHECKED struct err *s3wire_judge(const struct s3wire_call *call, bool *ret_is_trouble);
/* Whether what made the server refuse has been changed, so that it is worth asking again at once. */
bool s3wire_fix(struct s3wire *w, struct s3wire_call *call);
/* Whether the bucket was made for this call, and is not there yet: some servers need a moment. */
bool s3wire_is_new_bucket(const struct s3wire_call *call);

/* ---- s3wire_sign.c ---- */

void s3wire_region(struct s3wire *w, char ret[static S3WIRE_REGION_BYTES]);

struct s3sign {
    const char *url;
    const char *headers[S3WIRE_MAX_HEADERS + 8];
    size_t n_headers;
    const char *content_type;
    struct slice body; /* call->body, or chunks in the buffer below */
    struct buf chunked;
};
/* Blocks for credentials. Strings are the call's arena's. */
ORR_CHECKED struct err *s3wire_sign(struct s3wire *w, struct s3wire_call *call, struct s3sign *ret);

/* ---- s3wire_try.c ---- */

/* Takes sign's buffer. */
struct s3try *s3wire_try_start(struct s3wire *w, struct s3wire_call *call, struct s3sign *sign);
/* Waits; takes the try. ret: the reply when there was one (error NULL). */
ORR_CHECKED struct err *s3wire_try_wait(struct s3try *t, struct http_client_reply *ret);
void s3wire_try_cancel(struct s3try *t); /* and waits for that; takes the try */

void s3wire_try_stop_all(struct s3wire *w); /* is_stopped is set */

/* ---- s3wire_stats.c ---- */

void s3wire_stats_start(struct s3wire *w);
void s3wire_stats_stop(struct s3wire *w);
bool s3wire_take_retry(struct s3wire *w, enum s3wire_op op); /* false: the budget is empty */
void s3wire_give_back(struct s3wire *w);
int64_t s3wire_backoff_ms(struct s3wire *w, int64_t attempt);
/* e: the server did not do its duty; NULL: it did. */
void s3wire_health(struct s3wire *w, const struct err *e);
