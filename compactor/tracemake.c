#include "compactor/tracemake.h"

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/metric.h"
#include "common/base/vec.h"
#include "compactor/tracecheck.h"

struct sources {
    struct traceblock_source *ptr;
    size_t len, cap;
};

/* ---- what is deleted ---- */

/* A source without the spans that began before end_ns. */
struct undeleted {
    struct traceblock_source of;
    int64_t end_ns;
    uint64_t *deleted_spans;
};

static struct err *undeleted_trace(void *arg, const uint8_t **ret_id, uint32_t *ret_pieces)
{
    const struct undeleted *u = arg;

    return u->of.trace(u->of.arg, ret_id, ret_pieces);
}

static struct err *undeleted_piece(void *arg, struct arena *a, struct tracepiece *ret)
{
    const struct undeleted *u = arg;
    struct err *e = u->of.piece(u->of.arg, a, ret);
    struct tracepiece_span *kept;
    uint32_t n = 0;

    if (e)
        return e;
    kept = arena_array(a, struct tracepiece_span, ret->n_spans);
    for (uint32_t i = 0; i < ret->n_spans; i++)
        if ((int64_t)ret->spans[i].start_ns >= u->end_ns) /* as the block's min_t has it */
            kept[n++] = ret->spans[i];
    METRIC_ADD(*u->deleted_spans, ret->n_spans - n);
    ret->spans = kept;
    ret->n_spans = n;
    return NULL;
}

static void undeleted_close(void *arg)
{
    struct undeleted *u = arg;

    u->of.close(u->of.arg);
    mem_free(u);
}

static void leave_out_deleted(const struct blockmake_opts *o, struct traceblock_source *io)
{
    struct undeleted *u;
    int64_t end_ns = tombstone_list_after_ns(o->tombstones);

    if (!end_ns)
        return;
    u = mem_new(struct undeleted);
    *u = (struct undeleted){*io, end_ns, &o->stats->deleted_samples};
    *io = (struct traceblock_source){undeleted_trace, undeleted_piece, undeleted_close, u};
}

/* ---- sources ---- */

#define MAX_FILES 16384 /* of all segments of a job, mapped at once */

/* Each segment has its part of them. */
static struct err *reduce(const struct blockmake_opts *o, size_t max_files)
{
    struct err *e = NULL;
    size_t n = 0;

    for (size_t i = 0; i < o->n; i++)
        n += tracecheck_n_sources(o->inputs[i].traces);
    for (size_t i = 0; n > max_files && i < o->n && !e; i++)
        e = tracecheck_reduce(o->inputs[i].traces, max_files / o->n, o->stop);
    return e;
}

static struct err *open_sources(const struct blockmake_opts *o, struct sources *ret)
{
    struct err *e = reduce(o, MAX_FILES);

    for (size_t i = 0; i < o->n && !e; i++)
        for (size_t k = 0; k < tracecheck_n_sources(o->inputs[i].traces); k++) {
            struct traceblock_source s;

            if ((e = tracecheck_source(o->inputs[i].traces, k, &s)))
                return e;
            leave_out_deleted(o, &s);
            vec_push(ret, s);
        }
    return NULL;
}

static struct err *merge(const struct blockmake_opts *o, struct traceblock_writer *w)
{
    struct sources all = {0};
    struct traceblock_merged done = {0};
    struct err *e = open_sources(o, &all);

    if (!e)
        e = traceblock_merge(all.ptr, all.len, 0, o->stop, w, &done);
    else
        VEC_FOREACH (s, &all)
            s->close(s->arg);
    vec_done(&all);
    METRIC_ADD(o->stats->duplicate_spans, done.duplicates);
    METRIC_ADD(o->stats->cut_traces, done.cut);
    if (done.cut)
        LOG_WARN(compactor, "traces are too large, and were cut",
                 KV_STR("block", ulid_print(o->meta->ulid).s), KV_U64("count", done.cut));
    return e;
}

struct err *tracemake(const struct blockmake_opts *o, struct arena *a, struct block_meta *ret_meta)
{
    struct traceblock_writer_opts opts = {.dir = o->dir,
                                          .meta = *o->meta,
                                          .has_summary = true,
                                          .no_sync = true}; /* as in blockmake.c */
    struct traceblock_writer *w = NULL;
    struct err *e;

    ORR_ASSERT(!o->is_split);
    blockmake_range(o, &opts.meta);
    if (!(e = traceblock_writer_open(&opts, &w)) && !(e = merge(o, w)))
        e = traceblock_writer_finish(w, a, ret_meta);
    traceblock_writer_close(w);
    return e;
}
