/* Which of the traces that ended go to files: evidence of them, and what the sampler says. */
#include <stdlib.h>

#include "common/base/mem.h"
#include "common/model/tenant_rules.h"
#include "common/traces/tracepiece.h"
#include "ingester/traces/tracehead_internal.h"

#define ARENA_KEEP_BYTES (1u << 20) /* beyond, it is emptied before the next trace */

/* ---- evidence ---- */

struct numbers {
    uint64_t *ptr;
    size_t len, cap;
};
struct looking {
    struct kv_iter *it;
    struct arena *a;
    const struct tail_rules *rules;
    struct numbers *numbers; /* of the pieces; NULL: nobody asks */
};

static uint32_t look(struct looking *l, uint32_t tenant, const uint8_t id[16],
                     struct sampling_evidence *io)
{
    uint8_t prefix[TRACEHEAD_KEY_BYTES];
    struct slice key, bytes;
    uint32_t n = 0;

    tracehead_key(prefix, tenant, id, 0);
    kv_iter_seek(l->it, slice_of(prefix, sizeof(prefix)));
    for (; kv_iter_pair(l->it, &key, &bytes) &&
           slice_has_prefix(key, slice_of(prefix, TRACEHEAD_KEY_BYTES - 8));
         kv_iter_next(l->it)) {
        struct tracepiece p;
        struct err *e = tracepiece_decode(l->a, bytes, &p);

        if (!e)
            sampling_look(l->rules, &p, io);
        err_free(e); /* who writes it to a file says so */
        if (l->numbers)
            vec_push(l->numbers, tracehead_key_number(key));
        n++;
    }
    if (arena_used(l->a) > ARENA_KEEP_BYTES)
        arena_reset(l->a);
    return n;
}

struct err *tracehead_evidence(struct tracehead *h, struct slice tenant,
                               const struct tail_rules *rules, const uint8_t (*ids)[16], size_t n,
                               struct sampling_evidence *ret)
{
    struct looking l = {.rules = rules};
    struct tracetenant *t;

    if (!tracehead_is_ready(h))
        return err_new(ERR_UNAVAILABLE, "the log of spans is being replayed");
    lock_take(&h->lock);
    t = tracehead_tenant_find(h, tenant);
    lock_release(&h->lock);
    if (!t)
        return NULL;
    l.it = kv_iter_new(h->kv);
    l.a = arena_new(0);
    for (size_t i = 0; i < n; i++)
        (void)look(&l, t->number, ids[i], &ret[i]);
    arena_free(l.a);
    return kv_iter_close(l.it);
}

/* ---- those that ended ---- */

struct judging {
    struct tracehead *h;
    struct tracetenant *t;
    const struct tail_rules *rules;
    struct sampler_trace *traces;
    struct numbers numbers;
    VEC(uint32_t) n_pieces;
};

static struct err *look_at(struct judging *j, const struct tracelive *ls, size_t n)
{
    int64_t now_ms = clock_wall_ms(j->h->opts.clock);
    struct looking l = {
        .it = kv_iter_new(j->h->kv), .a = arena_new(0), .rules = j->rules, .numbers = &j->numbers};

    for (size_t i = 0; i < n; i++) {
        j->traces[i].id = ls[i].id;
        j->traces[i].first_ms = ls[i].first_ms;
        j->traces[i].waited_ms = now_ms - ls[i].last_ms - j->h->opts.idle_ms;
        vec_push(&j->n_pieces, look(&l, j->t->number, ls[i].id, &j->traces[i].own));
    }
    arena_free(l.a);
    return kv_iter_close(l.it);
}

/* Only pieces that evidence was taken of: others may have come since. */
static struct err *drop(struct judging *j, const struct tracelive *ls, size_t n)
{
    size_t at = 0, n_numbers = 0, n_dropped = 0;
    struct tracelive *dropped = mem_new_array(struct tracelive, n + 1);
    struct err *e;

    for (size_t i = 0; i < n; i++) {
        uint32_t pieces = j->n_pieces.ptr[i];

        if (j->traces[i].fate == SAMPLER_DROP) {
            memmove(&j->numbers.ptr[n_numbers], &j->numbers.ptr[at], pieces * sizeof(uint64_t));
            n_numbers += pieces;
            j->n_pieces.ptr[n_dropped] = pieces;
            dropped[n_dropped++] = ls[i];
            METRIC_ADD(j->h->m.dropped_spans, j->traces[i].own.spans);
        }
        at += pieces;
    }
    METRIC_ADD(j->h->m.dropped_traces, n_dropped);
    e = tracehead_delete(j->h, dropped, n_dropped, j->n_pieces.ptr, j->numbers.ptr);
    mem_free(dropped);
    return e;
}

/* Leaves in h->out, from *io_to on, those of ls that are to be kept; ls lies in it, not before. */
static struct err *judge_tenant(struct tracehead *h, struct tracetenant *t,
                                const struct tail_rules *rules, struct tracelive *ls, size_t n,
                                bool must, size_t *io_to)
{
    struct judging j = {.h = h, .t = t, .rules = rules};
    struct err *e;

    j.traces = mem_new_array(struct sampler_trace, n);
    if (!(e = look_at(&j, ls, n))) {
        sampler_judge(h->opts.sampling.sampler, j.t->slice, rules, j.traces, n, must);
        if ((e = drop(&j, ls, n)))
            LOG_WARN(head, "dropped traces stay in memory's store until the next start", KV_ERR(e));
        err_free(e);
        e = NULL;
        for (size_t i = 0; i < n; i++) {
            if (j.traces[i].fate == SAMPLER_WAIT)
                vec_push(&h->waiting, ls[i]);
            else if (j.traces[i].fate == SAMPLER_KEEP)
                h->out.ptr[(*io_to)++] = ls[i];
        }
    }
    vec_done(&j.numbers);
    vec_done(&j.n_pieces);
    mem_free(j.traces);
    return e;
}

struct err *tracehead_judge(struct tracehead *h, bool must)
{
    const struct tracehead_sampling *sa = &h->opts.sampling;
    size_t from = 0, kept = 0, n;
    struct err *e = NULL;

    if (!sa->sampler)
        return NULL;
    for (; from < h->out.len; from += n) {
        struct tracelive *first = &h->out.ptr[from];
        struct tenant_rules *rules;
        struct tracetenant *t;
        bool is_judged;

        for (n = 1; from + n < h->out.len && first[n].tenant == first->tenant;)
            n++;
        lock_take(&h->lock);
        t = h->by_number.ptr[first->tenant];
        lock_release(&h->lock);
        rules = sa->rules(sa->arg, t->slice);
        is_judged = !e && rules && rules->tail.n &&
                    !(e = judge_tenant(h, t, &rules->tail, first, n, must, &kept));
        if (!is_judged) { /* all of them stay */
            memmove(&h->out.ptr[kept], first, n * sizeof(*first));
            kept += n;
        }
        tenant_rules_unref(rules);
    }
    lock_take(&h->lock); /* who looks for the floor reads it */
    h->out.len = kept;
    lock_release(&h->lock);
    return e;
}
