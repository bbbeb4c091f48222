#include "querier/logs/logsearch.h"

#include <stdlib.h>

#include "common/base/mem.h"
#include "querier/logs/logquery_internal.h"
#include "querier/logs/logsearch_internal.h"
#include "querier/search/esmatch.h"

struct searching {
    struct logsearch *s;
    struct logquery_run run;
    struct esdoc doc;
    struct logsearch_hit **heap; /* the last one first */
    size_t n, cap, limit;
    struct buf bytes;
    struct arena *tmp; /* values of the document looked at */
    bool is_by_time, is_forward;
    bool counts_all, has_enough; /* hits have been counted as far as is asked for */
};

/* ---- the order ---- */

/* Ties go by time and by what tells documents of one moment apart, in the direction of time. */
static int cmp_ties(const struct searching *x, int64_t a_ns, uint64_t a, int64_t b_ns, uint64_t b)
{
    int64_t a_ms = esdate_floor_ms(a_ns), b_ms = esdate_floor_ms(b_ns);
    int c = (a_ms > b_ms) - (a_ms < b_ms);

    if (!c)
        c = (a > b) - (a < b);
    return x->is_forward ? c : -c;
}

/* By the first n keys. */
static int cmp_keys(const struct esbody *body, size_t n, const struct essort_value *a,
                    const struct essort_value *b)
{
    int c = 0;

    for (size_t i = 0; i < n && !c; i++)
        c = essort_cmp(&body->keys[i], &a[i], &b[i]);
    return c;
}

static int cmp_hits(const struct searching *x, const struct logsearch_hit *a,
                    const struct logsearch_hit *b)
{
    const struct esbody *body = x->s->body;
    int c = cmp_keys(body, body->n_keys, a->values, b->values);

    return c ? c : cmp_ties(x, a->ts_ns, a->order, b->ts_ns, b->order);
}

static void swap(struct searching *x, size_t a, size_t b)
{
    struct logsearch_hit *h = x->heap[a];

    x->heap[a] = x->heap[b];
    x->heap[b] = h;
}

static void sift_down(struct searching *x, size_t i, size_t n)
{
    for (;;) {
        size_t last = i;

        for (size_t c = 2 * i + 1; c <= 2 * i + 2 && c < n; c++)
            if (cmp_hits(x, x->heap[c], x->heap[last]) > 0)
                last = c;
        if (last == i)
            return;
        swap(x, i, last);
        i = last;
    }
}

static void sift_up(struct searching *x, size_t i)
{
    while (i > 0 && cmp_hits(x, x->heap[i], x->heap[(i - 1) / 2]) > 0) {
        swap(x, i, (i - 1) / 2);
        i = (i - 1) / 2;
    }
}

/* Whether a document of that time may be among the hits. */
static bool has_room(const struct searching *x, int64_t ts_ns)
{
    int64_t ms, last_ms;

    if (x->limit == 0 || x->n < x->limit || !x->is_by_time)
        return x->limit > 0;
    ms = esdate_floor_ms(ts_ns);
    last_ms = esdate_floor_ms(x->heap[0]->ts_ns);
    return x->is_forward ? ms <= last_ms : ms >= last_ms;
}

/* Nothing of that time, or behind it, is wanted. */
static bool is_enough(const struct searching *x, int64_t ts_ns)
{
    return !x->counts_all && x->has_enough && x->is_by_time && !has_room(x, ts_ns);
}

/* ---- hits ---- */

static void charge(struct searching *x, int64_t bytes)
{
    arena_charge(x->run.arena, bytes);
}

static bool is_after(const struct esbody *body, const struct essort_value *values)
{
    return !body->n_after || cmp_keys(body, body->n_after, values, body->after) > 0;
}

static void free_hit(struct searching *x, struct logsearch_hit *h)
{
    charge(x, -(int64_t)(sizeof(*h) + h->len));
    mem_free(h);
}

static struct logsearch_hit *new_hit(struct searching *x, const struct essort_value *values)
{
    const struct esbody *body = x->s->body;
    struct esdoc *d = &x->doc;
    struct logsearch_hit *h;
    size_t at;

    buf_reset(&x->bytes);
    labels_put(&x->bytes, d->stream);
    labels_put(&x->bytes, d->metadata);
    buf_lstr(&x->bytes, d->line);
    at = x->bytes.len;
    for (size_t i = 0; i < body->n_keys; i++)
        if (values[i].kind == ESSORT_TEXT)
            buf_slice_append(&x->bytes, values[i].text);
    h = mem_alloc(sizeof(*h) + x->bytes.len);
    *h = (struct logsearch_hit){.ts_ns = d->ts_ns, .order = esdoc_order(d), .len = x->bytes.len};
    memcpy(h->bytes, x->bytes.ptr, x->bytes.len);
    for (size_t i = 0; i < body->n_keys; i++) {
        h->values[i] = values[i];
        if (values[i].kind != ESSORT_TEXT)
            continue;
        h->values[i].text.ptr = h->bytes + at;
        at += values[i].text.len;
    }
    charge(x, (int64_t)(sizeof(*h) + h->len));
    return h;
}

static bool is_before_last(struct searching *x, const struct essort_value *values)
{
    const struct esbody *body = x->s->body;
    const struct logsearch_hit *last = x->heap[0];
    int c = cmp_keys(body, body->n_keys, values, last->values);

    if (!c)
        c = cmp_ties(x, x->doc.ts_ns, esdoc_order(&x->doc), last->ts_ns, last->order);
    return c < 0;
}

static void keep(struct searching *x)
{
    const struct esbody *body = x->s->body;
    struct essort_value values[ESBODY_MAX_KEYS];

    if (!has_room(x, x->doc.ts_ns))
        return;
    arena_reset(x->tmp);
    for (size_t i = 0; i < body->n_keys; i++)
        essort_value_of(&body->keys[i], &x->doc, x->tmp, &values[i]);
    if (!is_after(body, values) || (x->n == x->limit && !is_before_last(x, values)))
        return;
    if (x->n == x->limit) {
        free_hit(x, x->heap[0]);
        x->heap[0] = new_hit(x, values);
        sift_down(x, 0, x->n);
        return;
    }
    if (x->n == x->cap) {
        x->cap = x->cap ? 2 * x->cap : 64;
        x->heap = mem_reallocarray(x->heap, x->cap, sizeof(struct logsearch_hit *));
    }
    x->heap[x->n++] = new_hit(x, values);
    sift_up(x, x->n - 1);
}

/* ---- reading ---- */

static void take(struct searching *x)
{
    struct logsearch *s = x->s;

    s->total++;
    x->run.stats->lines_kept++;
    x->has_enough = x->has_enough || s->total > s->body->track;
    if (s->aggs)
        esagg_run_add(s->aggs, &x->doc);
    keep(x);
}

static struct err *read_stream(struct searching *x, struct logsource_set *set)
{
    const struct logquery *q = x->run.q;
    struct logsource_entry entry;
    struct err *e;

    while (logsource_set_entry(set, &entry)) {
        if (entry.ts_ns < q->start_ns || entry.ts_ns >= q->end_ns)
            continue;
        if (is_enough(x, entry.ts_ns))
            return NULL;
        if ((e = logquery_run_line(&x->run, entry.line.len)))
            return e;
        esdoc_line(&x->doc, &entry);
        if (esmatch_keeps(x->s->body->query, &x->doc))
            take(x);
        if ((e = x->doc.err)) {
            x->doc.err = NULL;
            return e;
        }
    }
    return NULL;
}

static struct err *read_stretch(struct searching *x, struct logsource_set *set)
{
    struct labels stream;
    struct err *e;

    while (logsource_set_stream(set, &stream)) {
        x->s->has_streams = true;
        esdoc_stream(&x->doc, stream);
        if ((e = logquery_run_stream(&x->run, set)) || (e = read_stream(x, set)))
            return e;
    }
    return NULL;
}

static struct err *read_all(struct searching *x, struct logsource_set *set)
{
    struct err *e;
    int64_t t_ns;

    do {
        if ((e = read_stretch(x, set)))
            return e;
    } while (logsource_set_more(set, &t_ns) && !is_enough(x, t_ns));
    return NULL;
}

static struct err *read_select(struct searching *x, struct logsource *source,
                               const struct esplan_select *select)
{
    const struct logquery *q = x->run.q;
    struct logsource_request req = {.matchers = select->logs.matchers,
                                    .start_ns = q->start_ns,
                                    .end_ns = q->end_ns,
                                    .is_forward = x->is_forward,
                                    .logs = &select->logs,
                                    .wants_first = x->is_by_time && !x->counts_all,
                                    .deadline_mono_ms = q->deadline_mono_ms,
                                    .cancel = q->cancel};
    struct logsource_set *set;
    struct err *e = logsource_select(source, x->run.arena, &req, &set);

    if (e)
        return e;
    e = read_all(x, set);
    return err_first(e, logquery_run_close(&x->run, set));
}

static void sort_hits(struct searching *x)
{
    for (size_t n = x->n; n > 1; n--) {
        swap(x, 0, n - 1);
        sift_down(x, 0, n - 1);
    }
}

/* Which way time goes, and whether it goes first. */
static void set_direction(struct searching *x)
{
    const struct esbody *body = x->s->body;
    size_t i = 0;

    while (i < body->n_keys && body->keys[i].by == ESSORT_SCORE) /* all are alike */
        i++;
    x->is_by_time = i == body->n_keys || body->keys[i].by == ESSORT_TIME;
    for (i = 0; i < body->n_keys; i++)
        if (body->keys[i].by == ESSORT_TIME) {
            x->is_forward = body->keys[i].is_ascending;
            return;
        }
}

/* Where nothing but hits is asked for, what is in front of search_after is not read. */
static void narrow(struct searching *x)
{
    const struct esbody *body = x->s->body;
    struct logquery *q = &x->s->limits;
    int64_t ms;

    if (!body->n_after || x->counts_all || body->track || body->keys[0].by != ESSORT_TIME ||
        body->after[0].kind != ESSORT_NUMBER)
        return;
    ms = (int64_t)body->after[0].number;
    if (x->is_forward)
        q->start_ns = ORR_MIN(ORR_MAX(q->start_ns, ms * ESDATE_MS), q->end_ns);
    else
        q->end_ns = ORR_MAX(ORR_MIN(q->end_ns, (ms + 1) * ESDATE_MS), q->start_ns);
}

static void finish(struct searching *x)
{
    struct logsearch *s = x->s;
    size_t skip = ORR_MIN((size_t)s->body->from, x->n);

    sort_hits(x);
    s->hits = arena_array(s->arena, struct logsearch_hit *, x->n + 1);
    for (size_t i = 0; i < x->n; i++)
        s->hits[i] = x->heap[i];
    s->n_kept = x->n;
    s->n_hits = x->n - skip;
    s->is_at_least = s->total > s->body->track;
    if (s->is_at_least)
        s->total = s->body->track;
    x->n = 0;
}

static struct err *look(void *arg)
{
    return logquery_run_look(arg);
}

struct err *logsearch_run(struct logsearch *s, struct logsource *source, struct arena *a)
{
    struct searching x = {
        .s = s,
        .run = {.q = &s->limits, .source = source, .arena = a, .stats = &s->stats},
        .limit = (size_t)(s->body->from + s->body->size),
        .counts_all = s->body->aggs.n > 0 || s->body->track == UINT64_MAX,
        .has_enough = s->body->track == 0};
    struct err *e = NULL;

    s->arena = a;
    if (s->body->aggs.n)
        s->aggs = esagg_run_new(a, &s->body->aggs);
    x.tmp = arena_child(a, 0);
    esdoc_init(&x.doc, a);
    x.doc.look = look;
    x.doc.look_arg = &x.run;
    set_direction(&x);
    narrow(&x);
    for (size_t i = 0; i < s->plan->n_selects && !e && !s->plan->is_nothing; i++)
        e = read_select(&x, source, &s->plan->selects[i]);
    if (!e)
        finish(&x);
    for (size_t i = 0; i < x.n; i++)
        free_hit(&x, x.heap[i]);
    mem_free(x.heap);
    esdoc_done(&x.doc);
    buf_done(&x.bytes);
    arena_free(x.tmp);
    return e;
}

struct err *logsearch_look(const struct logsearch *s)
{
    return logquery_run_look(&(struct logquery_run){.q = &s->limits, .arena = s->arena});
}

void logsearch_done(struct logsearch *s)
{
    for (size_t i = 0; i < s->n_kept; i++) {
        arena_charge(s->arena, -(int64_t)(sizeof(**s->hits) + s->hits[i]->len));
        mem_free(s->hits[i]);
    }
    s->n_kept = s->n_hits = 0;
    esagg_run_free(s->aggs);
    s->aggs = NULL;
}
