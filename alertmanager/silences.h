/*
 * Silences: who has asked not to be told of which alerts, for how long. Those of all tenants.
 *
 * A silence is pending before its start, active until its end, expired from then on, and kept for a
 * retention after that. What may be done to it is as in Alertmanager: the text, the end and (pending)
 * the start of one that is not over can be changed under the same id; with other matchers, or an
 * active one with another start, the change is a new silence and the old one expires. So under one id
 * matchers never change, and what it muted can be told afterwards.
 *
 * Two copies of a silence merge by the later updated_ns, of equal ones by the greater bytes: merging is
 * commutative, associative and idempotent. A change here is later than what it changes, whatever the
 * clocks say.
 *
 * Silence, integers LEB128: u8 format (1) | lstr tenant | lstr id | zigzag starts_ns | ends_ns |
 *   updated_ns | expires_ns | lstr created_by | lstr comment |
 *   n × { u8 op (enum matcher_op) | lstr name | lstr value } | n × { lstr name | lstr value } annotations
 * State (full sync): silences, each as lstr.
 *
 * Which silences an alert matches is remembered by its fingerprint until silences_forget(): only
 * silences that came since are looked at, and of many of those only the ones that ask for one of the
 * alert's labels by "=" (an index) or for none.
 *
 * A pure state machine. Owner: one thread.
 */
#pragma once
#include "alertmanager/ammatch.h"
#include "common/base/vec.h"

#define SILENCES_MAX_BYTES 65536 /* of one */
#define SILENCES_MAX_MATCHERS 256
#define SILENCES_MAX_ID 64
#define SILENCES_MAX_NS (INT64_MAX - 800ll * 86400 * 1000000000) /* of a time: sums stay in range */

struct silences;

#define SILENCE_STATES(X)                                                                          \
    X(SILENCE_ACTIVE, "active")                                                                    \
    X(SILENCE_PENDING, "pending")                                                                  \
    X(SILENCE_EXPIRED, "expired")
enum silence_state {
#define X(sym, name) sym,
    SILENCE_STATES(X)
#undef X
};
const char *silence_state_name(enum silence_state s);

/* Read it; all of it is lent until the next call that changes, merges or collects. */
struct silence {
    struct slice id, created_by, comment;
    struct ammatch_list matchers; /* expressions may be gone once it has expired */
    struct labels annotations;
    int64_t starts_ns, ends_ns, updated_ns, expires_ns;
};
typedef VEC(const struct silence *) silence_vec;
enum silence_state silence_state(const struct silence *s, int64_t now_ns);

struct silences_opts {
    int64_t retention_ns; /* of those expired */
    uint64_t seed;        /* of the ids */
};
struct silences *silences_new(const struct silences_opts *opts);
void silences_free(struct silences *s); /* NULL is allowed */

/* Of a tenant; 0: no bound. */
struct silences_limits {
    size_t max_silences; /* that have not expired */
    size_t max_bytes;    /* of all of them, compiled expressions included */
};

struct silences_matcher {
    enum matcher_op op;
    struct slice name, value;
};
/* What is asked for. */
struct silences_spec {
    struct slice id; /* to be changed; empty: a new one */
    struct slice created_by, comment;
    const struct silences_matcher *matchers;
    size_t n_matchers;
    struct labels annotations;
    int64_t starts_ns, ends_ns;
};
/*
 * ret_id: what it is now, lent as struct silence is. limits may be NULL. ERR_INVALID with the reason,
 * ERR_LIMIT, ERR_NOT_FOUND for an id that is not there.
 */
ORR_CHECKED struct err *silences_set(struct silences *s, struct slice tenant,
                                     const struct silences_spec *spec,
                                     const struct silences_limits *limits, int64_t now_ns,
                                     struct slice *ret_id);
/* Ends it; one that has expired stays as it is. ERR_NOT_FOUND. */
ORR_CHECKED struct err *silences_expire(struct silences *s, struct slice tenant, struct slice id,
                                        int64_t now_ns);

/* NULL if absent. */
const struct silence *silences_get(const struct silences *s, struct slice tenant, struct slice id);
/* Appends all of the tenant: those active by their end, then those pending by their start, then those
 * expired, the latest first. */
void silences_list(const struct silences *s, struct slice tenant, int64_t now_ns, silence_vec *ret);
/* Appends the active ones that match ls, whose fingerprint (amroute.h) it is, by id; ret may be NULL.
 * Whether there are any. */
bool silences_find(struct silences *s, struct slice tenant, uint64_t fingerprint, struct labels ls,
                   int64_t now_ns, silence_vec *ret);
/* The alert is gone. */
void silences_forget(struct silences *s, struct slice tenant, uint64_t fingerprint);

struct silences_count {
    size_t by_state[SILENCE_EXPIRED + 1];
    size_t tests; /* of an alert's labels against a silence, since the start */
};
struct silences_count silences_count(const struct silences *s, int64_t now_ns);

/* ---- peers and disk; a key names a silence: lstr tenant | lstr id ---- */

void silences_key(struct buf *out, struct slice tenant, struct slice id);
/* Appends its bytes; nothing if there is none. */
void silences_entry(const struct silences *s, struct slice key, struct buf *out);
/* A silence of a peer or of the disk. *ret_news (may be NULL): it changed ours. ERR_INVALID,
 * ERR_UNSUPPORTED change nothing. */
ORR_CHECKED struct err *silences_merge(struct silences *s, struct slice entry, int64_t now_ns,
                                       bool *ret_news);
void silences_write_state(const struct silences *s, struct buf *out);
ORR_CHECKED struct err *silences_merge_state(struct silences *s, struct slice bytes,
                                             int64_t now_ns);
/* Drops those whose retention is over. */
void silences_gc(struct silences *s, int64_t now_ns);
/* fn for each key set, merged or dropped since the last call; entry is empty if it is no more. */
typedef void silences_dirty_fn(void *arg, struct slice key, struct slice entry);
void silences_take_dirty(struct silences *s, silences_dirty_fn *fn, void *arg);
/* Gives a key back that could not be kept: the next call tells it again. */
void silences_mark_dirty(struct silences *s, struct slice key);
