/* One question to ingesters and blocks, and what is answered to it. */
#include "common/base/mem.h"
#include "querier/logs/logpeer.h"
#include "querier/logs/logremote_internal.h"

#define FRESH_ATTEMPTS 4 /* at a catalogue whose blocks are there */

int64_t logremote_since_ms(const struct logremote *r, int64_t start_ns)
{
    if (r->opts.grace_ns <= 0 || start_ns < 0)
        return 0;
    return ORR_MAX(start_ns / NS_PER_MS - r->opts.grace_ns / NS_PER_MS - 1, (int64_t)0);
}

int64_t logremote_start(const struct store_query *sq, int64_t start_ns, int64_t end_ns)
{
    int64_t min_ns = sq->opts.min_ms * NS_PER_MS;

    return sq->opts.min_ms > 0 && start_ns < min_ns ? ORR_MIN(min_ns, end_ns) : start_ns;
}

/* Waits until each has begun, which fixes what it answers: the header of store.h on the seam. */
static struct err *ask_once(struct logremote *r, const struct rpc_logs_select *sel,
                            struct logremote_answer *an)
{
    struct buf b = {0};
    struct err *e;

    rpc_logs_select_encode(&b, sel);
    e = store_ask_logs(an->sq, "ingester.select_logs", buf_slice(&b),
                       logremote_since_ms(r, sel->from_ns), &an->f);
    buf_done(&b);
    return e ? e : fanout_wait(an->f);
}

/* What ingesters of earlier versions understand: they leave nothing out by themselves, and know volumes of the whole range alone. */
static bool has_plain_form(const struct rpc_logs_select *sel, struct rpc_logs_select *ret)
{
    *ret = *sel;
    ret->n_needles = 0;
    ret->bound = NULL;
    ret->steps = (struct log_steps){0};
    return sel->n_needles || sel->bound || sel->steps.step_ns;
}

static struct err *ask(struct logremote *r, const struct logremote_question *q,
                       struct logremote_answer *an)
{
    struct err *e = ask_once(r, &q->select, an);
    struct rpc_logs_select plain;

    if (!e || !an->f || !fanout_has_failed_with(an->f, ERR_INVALID) ||
        !has_plain_form(&q->select, &plain))
        return e;
    err_free(e);
    fanout_close(an->f);
    an->f = NULL;
    an->is_plain = true;
    if (q->select.steps.step_ns)
        store_query_warn(an->sq, SLICE("ingesters of an earlier version know volumes of the whole "
                                       "range alone: they are spread evenly over its steps"));
    return ask_once(r, &plain, an);
}

struct logblock_query logremote_block_query(const struct logremote_question *q)
{
    return (struct logblock_query){.matchers = q->select.matchers,
                                   .from_ns = q->select.from_ns,
                                   .to_ns = q->select.to_ns,
                                   .is_backward = q->select.is_backward,
                                   .needles = q->select.needles,
                                   .n_needles = q->select.n_needles,
                                   .bound = q->bound,
                                   .fp_first = q->fp_first,
                                   .fp_last = q->fp_last,
                                   .max_streams = q->select.max_streams,
                                   .n_readers = q->side_by_side,
                                   .cancel = q->cancel,
                                   .stop = q->stop,
                                   .deadline_mono_ms = q->deadline_mono_ms};
}

/* Takes the blocks, and opens all sources. */
static struct err *join(struct logremote *r, const struct logremote_question *q,
                        struct logremote_answer *an, struct logsource_stats *stats)
{
    const struct blockset_filter filter = {&q->select.matchers, 1};
    const struct logblock_query bq = logremote_block_query(q);
    size_t n_peers = fanout_streams(an->f);
    struct logjoin_origin **origins;
    uint64_t mark = fanout_mark(an->f);
    struct err *e = NULL;

    r->mark = ORR_MAX(r->mark, mark);
    if (!r->opts.has_known_mark || mark > r->opts.known_mark)
        e = store_take_logs(an->sq, an->arena, an->f, logblock_ms(q->select.from_ns),
                            logblock_ms(q->select.to_ns - 1), &filter, &an->blocks);
    if (e)
        return e;
    origins = arena_array(an->arena, struct logjoin_origin *, n_peers + an->blocks.n);
    for (size_t i = 0; i < an->blocks.n; i++) {
        struct logjoin_origin *o = logopened_take(an->ahead, an->blocks.meta[i].ulid);

        if (!o)
            continue;
        origins[n_peers + i] = o;
        stats->ahead++;
    }
    if ((e = logopened_fill(an->sq, an->arena, &an->blocks, &bq, q->select.steps, stats,
                            origins + n_peers)))
        return e;
    for (size_t i = 0; i < n_peers; i++)
        origins[i] = logpeer_new(an->sq, an->f, i, &q->select.steps, an->is_plain,
                                 q->select.from_ns, &stats->ingester_lines);
    an->join = logjoin_new(an->sq->opts.arena, origins, n_peers + an->blocks.n,
                           !q->select.is_backward, fanout_copies(an->f));
    if (q->select.steps.step_ns)
        logjoin_take_steps(an->join, log_steps_count(&q->select.steps));
    stats->ingesters += n_peers;
    stats->blocks += an->blocks.n;
    return NULL;
}

struct err *logremote_answer_close(struct logremote_answer *an)
{
    struct err *e = logjoin_close(an->join);

    if (an->f)
        an->sq->failed_streams += fanout_failed(an->f);
    fanout_close(an->f);
    store_release_logs(an->sq, &an->blocks);
    arena_free(an->arena);
    logopened_close(an->ahead);
    *an = (struct logremote_answer){0};
    return e;
}

struct err *logremote_answer_open(struct logremote *r, const struct logremote_question *q,
                                  struct logsource_stats *stats, struct logremote_answer *ret)
{
    struct store_query *sq = r->opts.sq;
    struct logremote_answer an = {
        .sq = sq, .arena = arena_child(sq->opts.arena, 0), .ahead = q->ahead};
    struct err *e = ask(r, q, &an);

    for (int attempt = 1; !e; attempt++) {
        e = join(r, q, &an, stats);
        if (!e || !err_is(e, ERR_NOT_FOUND))
            break;
        if (attempt == FRESH_ATTEMPTS) {
            e = blockset_gone(e);
            break;
        }
        /* compacted away since the catalogue was read */
        err_free(e);
        e = NULL;
        store_release_logs(sq, &an.blocks);
        store_logs_gone(sq);
    }
    store_count_logs(sq, &(struct store_logs_stats){.selects = 1, .failures = e != NULL});
    if (!e) {
        *ret = an;
        return NULL;
    }
    return err_first(e, logremote_answer_close(&an));
}
