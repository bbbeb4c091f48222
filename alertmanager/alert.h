/*
 * One alert: labels that identify it, annotations, and when it holds.
 *
 * Times are Unix ns. ends_ns is when it will be, or was, over: it is resolved from then on. An
 * alert posted without an end gets one resolve_timeout away (is_timeout), which a later post of the
 * same labels moves on.
 *
 * Merging two of the same labels (as Alertmanager): if they overlap in time, the younger
 * (updated_ns) wins, but the earliest start is kept, and a later end that somebody stated is kept
 * while the younger is still firing.
 *
 * Wire form (RPC): uvarint count, then each:
 *   lstr labels {uvarint n, n × (lstr name, lstr value)} | annotations likewise | lstr generator |
 *   varint starts, ends, updated | u8 is_timeout
 *
 * Immutable and reference-counted without locks: one thread (the role's loop).
 */
#pragma once
#include "common/base/err.h"
#include "common/base/vec.h"
#include "common/model/labels.h"

#define ALERT_MAX_LABELS 256
#define ALERT_MAX_BYTES 65536 /* of one alert */
#define ALERT_MAX_POST 100000 /* in one request */

struct alert {
    uint32_t refs;
    uint64_t fingerprint;
    struct labels labels, annotations;
    struct slice generator_url;
    int64_t starts_ns, ends_ns, updated_ns;
    bool is_timeout;
};
typedef VEC(struct alert *) alert_vec;

struct alert *alert_new(struct labels labels, struct labels annotations, struct slice generator);
struct alert *alert_ref(struct alert *a);
void alert_unref(struct alert *a); /* NULL is allowed */
void alert_vec_done(alert_vec *v); /* drops the references */

static inline bool alert_is_resolved(const struct alert *a, int64_t now_ns)
{
    return a->ends_ns <= now_ns;
}
/* What replaces old when new arrives: new itself or a merged one; a new reference. */
struct alert *alert_merge(struct alert *old, struct alert *new_one, int64_t now_ns);
/* Alertmanager's order within a notification: by job, instance, number of labels, labels. */
int alert_cmp(const struct alert *a, const struct alert *b);

void alert_encode(struct buf *out, const alert_vec *v);
ORR_CHECKED struct err *alert_decode(struct slice bytes, alert_vec *ret);

/*
 * The body of POST /api/v2/alerts. Valid ones are appended to ret; *ret_bad (may be NULL) says what
 * was wrong with the others, as one error. ERR_INVALID when the body as a whole makes no sense.
 */
ORR_CHECKED struct err *alert_from_json(struct slice body, int64_t now_ns, int64_t resolve_ns,
                                        alert_vec *ret, struct err **ret_bad);
/* RFC 3339 with nanoseconds as needed, UTC; 0001-01-01T00:00:00Z for INT64_MIN. */
void alert_time_text(struct buf *out, int64_t ns);
/* With milliseconds always, as API v2 writes times: 2026-11-23T06:00:00.000Z */
void alert_time_api(struct buf *out, int64_t ns);
