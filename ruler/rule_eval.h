/*
 * What one rule does with the answer to its query: pure, so that it can be tested without queriers,
 * ingesters and clocks. Semantics are Prometheus'.
 *
 *     recording   answer ──▶ series to write, stale markers for series that are gone
 *     alerting    answer ──▶ alerts ──▶ ALERTS, ALERTS_FOR_STATE to write; alerts to send
 *
 *                 held for `for`                 gone, and `keep_firing_for` over
 *     (new) pending ──────────────▶ firing ──────────────▶ inactive ──15m──▶ (forgotten)
 *              └─────gone──▶ (forgotten)  ▲                  │ back again: a new alert
 *
 * An alert is sent when it fires, again every resend_ms while it does, and when it has ended
 * (and then again for 15 minutes, so that an alertmanager that was down learns of it).
 *
 * ALERTS* are written only once the rule is restored: either there is nothing to restore, or
 * rule_eval_restore() has been called with what was stored before a restart.
 *
 * Times are Unix milliseconds; RULE_NEVER is none. Owner: one thread at a time.
 */
#pragma once
#include "common/base/map.h"
#include "common/base/vec.h"
#include "common/model/sample.h"
#include "ruler/rule_file.h"

#define RULE_NEVER INT64_MIN
#define RULE_RESOLVED_RETENTION_MS (15 * 60 * 1000)
#define RULE_ALERTS "ALERTS"
#define RULE_ALERTS_FOR_STATE "ALERTS_FOR_STATE"

/* An element of a query's answer. */
struct rule_sample {
    struct labels labels;
    double v;
    const struct histogram *h; /* NULL: v is the value */
};
struct rule_vector {
    const struct rule_sample *ptr;
    size_t n;
};

enum rule_alert_state { RULE_INACTIVE, RULE_PENDING, RULE_FIRING };
const char *rule_alert_state_name(enum rule_alert_state s); /* "firing" */

/* Labels and annotations are one heap block each. */
struct rule_alert {
    struct labels labels, annotations;
    enum rule_alert_state state;
    double value;
    int64_t active_ms, fired_ms, resolved_ms, keep_since_ms, sent_ms, valid_until_ms;
};

/* A sample to be written. */
struct rule_series {
    struct labels labels;
    int64_t t_ms;
    double v;
    const struct histogram *h;
};

struct rule_state {
    const struct rule *rule; /* lent: whoever makes the state keeps the file */
    bool is_restored;
    struct map active; /* fingerprint of the labels → struct rule_alert */
    struct map
        previous; /* canonical labels → struct rule_previous: what the last evaluation wrote */
    bool was_evaluated;
    char *error; /* of the last evaluation; NULL: it went well */
    int64_t evaluated_ms;
    double duration_s;
};

/* Answers an instant query; samples live in the arena. Scalars are one sample without labels. */
typedef struct err *rule_query_fn(void *arg, struct arena *a, enum rule_lang lang,
                                  struct slice query, int64_t t_ms, struct rule_vector *ret);

/* One evaluation. */
struct rule_eval_in {
    int64_t ts_ms, query_offset_ms; /* samples are at ts - offset */
    int64_t interval_ms, resend_ms;
    uint64_t limit; /* series or alerts; 0: none */
    struct labels external_labels;
    struct slice external_url;
    struct rule_vector answer; /* of the rule's query at ts - offset */
    rule_query_fn *query;      /* for templates, in the language of the rule */
    void *query_arg;
};
/* All in the arena, but the alerts, which are the state's until its next evaluation. */
struct rule_eval_out {
    VEC(struct rule_series) series;
    VEC(const struct rule_alert *) alerts; /* to be sent */
};
void rule_eval_out_done(struct rule_eval_out *out);

struct rule_state *rule_eval_new(const struct rule *r, bool is_restored);
void rule_eval_free(struct rule_state *s); /* NULL is allowed */
/*
 * ERR_EXEC when label sets coincide or the limit is passed; then nothing is to be written or
 * sent. A template that fails is not an error: its text says so, as in Prometheus.
 */
ORR_CHECKED struct err *rule_eval_run(struct rule_state *s, const struct rule_eval_in *in,
                                      struct arena *a, struct rule_eval_out *ret);
/* Keeps the outcome for the API: takes e (NULL: it went well). */
void rule_eval_note(struct rule_state *s, int64_t ts_ms, double duration_s, struct err *e);
/* Does next continue old: same kind, name and labels? */
bool rule_eval_continues(const struct rule *old, const struct rule *next);
/* Moves alerts and written series from old, which is empty afterwards. */
void rule_eval_take_over(struct rule_state *s, struct rule_state *old);
/* Stale markers at t_ms for everything the last evaluation wrote, which is forgotten. */
void rule_eval_retire(struct rule_state *s, struct arena *a, int64_t t_ms,
                      struct rule_eval_out *ret);

/* The last sample of an ALERTS_FOR_STATE series that was stored before. */
struct rule_stored {
    struct labels labels; /* without __name__ */
    int64_t t_ms;
    double v;
    bool is_stale; /* a stale marker followed: the alert had ended */
};
/* Sets back when the active alerts began, so that a restart does not begin `for` anew: the time
 * without evaluations does not count, and at least grace_ms are left to wait. */
void rule_eval_restore(struct rule_state *s, int64_t ts_ms, int64_t grace_ms,
                       const struct rule_stored *stored, size_t n);
/* Whether it may go well a little later: others are away, or have too much to do. */
bool rule_eval_is_passing(const struct err *e);
size_t rule_eval_active(const struct rule_state *s); /* pending and firing alerts */
