/* What the parts of the silences share: one silence, the tenant's index of them. */
#pragma once
#include "alertmanager/silences.h"
#include "common/base/map.h"
#include "common/base/rng.h"

/* One silence; its texts lie in its bytes. */
struct silence_held {
    struct silence s;
    struct slice bytes;          /* heap */
    struct slice matchers_bytes; /* part of those */
    size_t memory, re_memory;    /* charged to the tenant: without, and of the expressions */
    uint64_t seq;                /* place in the index's order of coming */
    uint32_t refs;               /* of those that remember it, and of the tenant */
    bool is_indexed;             /* can mute */
    bool is_listed;              /* the index has it, perhaps only until it is swept */
};
typedef VEC(struct silence_held *) silence_held_vec;

/* Which silences an alert can match. Borrows those that are indexed. */
struct silence_index {
    struct map by_label;   /* lstr name, lstr value → struct silence_bucket */
    silence_held_vec rest; /* those that ask for no label by "=" */
    silence_held_vec all;  /* in the order they came */
    size_t n_retired;      /* of those */
    struct map memos;      /* fingerprint → struct silence_memo */
    uint64_t seq;          /* of the last that came */
    size_t tests;
};

void silence_index_done(struct silence_index *x);
/* h is alive (again). */
void silence_index_add(struct silence_index *x, struct silence_held *h);
/* Forgets those that have expired. */
void silence_index_sweep(struct silence_index *x, int64_t now_ns);
/* h has expired. */
void silence_index_retire(struct silence_index *x, struct silence_held *h);
/* h is no longer the tenant's. */
void silence_index_drop(struct silence_index *x, struct silence_held *h);
/* As silences_find(), unsorted. */
bool silence_index_find(struct silence_index *x, uint64_t fingerprint, struct labels ls,
                        int64_t now_ns, silence_vec *ret);
void silence_index_forget(struct silence_index *x, uint64_t fingerprint);

/* silence_bytes.c */
void silence_encode(struct buf *out, struct slice tenant, const struct silence *s);
/* One reference. Expressions are compiled unless it has expired at now_ns. */
ORR_CHECKED struct err *silence_decode(struct slice bytes, int64_t now_ns,
                                       struct silence_held **ret);
struct silence_peek {
    struct slice tenant, id; /* of the bytes */
    int64_t updated_ns, expires_ns;
};
/* What is in front. */
ORR_CHECKED struct err *silence_peek(struct slice bytes, struct silence_peek *ret);
void silence_unref(struct silence_held *h); /* NULL is allowed */
/* It has expired. */
void silence_forget_expressions(struct silence_held *h);
