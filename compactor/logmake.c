#include "compactor/logmake.h"

#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "common/base/metric.h"
#include "common/logblock/linetombs.h"
#include "compactor/logcheck.h"

/* ---- what leaves ---- */

struct sieve {
    const struct blockmake_opts *opts;
    int64_t max_t;        /* of the inputs */
    bool is_over;         /* some retention */
    struct arena *arena;  /* of the stream */
    struct arena *budget; /* of tombs */
    bool has_stream;
    struct labels stream;
    bool is_expired;
    struct linetombs *tombs; /* NULL: nothing is deleted */
    bool is_cut;             /* some of the stream may be */
    uint64_t deleted, expired;
    struct err *err; /* nothing more is asked then */
};

static void begin_stream(struct sieve *s, struct labels ls)
{
    arena_reset(s->arena);
    s->stream = labels_dup(s->arena, ls);
    s->has_stream = true;
    s->is_expired = s->is_over && retention_drops(s->opts->retention, ls, s->max_t, NULL);
    s->is_cut = false;
    if (s->tombs)
        s->err = err_first(s->err, linetombs_stream(s->tombs, s->stream, &s->is_cut));
    s->expired += s->is_expired;
}

static bool is_kept(void *arg, struct labels ls, const struct logpage_entry *e)
{
    struct sieve *s = arg;
    bool is_deleted;

    if (!s->has_stream || labels_cmp(s->stream, ls) != 0)
        begin_stream(s, ls);
    is_deleted = !s->is_expired && s->is_cut && !s->err &&
                 linetombs_has(s->tombs, e->ts_ns, e->line, e->meta);
    s->deleted += is_deleted;
    return !s->is_expired && !is_deleted;
}

/* ---- the merge ---- */

/* *ret is the caller's to free. */
static struct err *open_sources(const struct blockmake_opts *o, struct logblock_source **ret,
                                size_t *ret_n)
{
    struct logblock_source *sources;
    struct err *e = NULL;
    size_t n = 0, used = 0;

    for (size_t i = 0; i < o->n; i++)
        n += logcheck_n_sources(o->inputs[i].lines);
    sources = mem_new_array(struct logblock_source, n + 1);
    for (size_t i = 0; i < o->n; i++) {
        if ((e = logcheck_sources(o->inputs[i].lines, &sources[used])))
            break;
        used += logcheck_n_sources(o->inputs[i].lines);
    }
    if (e) {
        for (size_t i = 0; i < used; i++)
            sources[i].close(sources[i].arg);
        mem_free(sources);
        return e;
    }
    *ret = sources;
    *ret_n = n;
    return NULL;
}

static struct err *merge(const struct blockmake_opts *o, struct sieve *s, struct logblock_writer *w)
{
    bool some_leave = s->is_over || s->tombs;
    char *parts = mem_printf("%s.parts", o->dir);
    struct logblock_source *sources = NULL;
    uint64_t duplicates = 0;
    size_t n;
    struct err *e;

    if (!(e = fsx_mkdirs(parts)) && !(e = open_sources(o, &sources, &n)))
        e = logblock_merge(sources, n, some_leave ? is_kept : NULL, s, parts, o->stop, w,
                           &duplicates);
    e = err_first(e, s->err);
    s->err = NULL;
    if (!e)
        e = fsx_remove_tree(parts);
    METRIC_ADD(o->stats->duplicate_lines, duplicates);
    METRIC_ADD(o->stats->deleted_samples, s->deleted);
    METRIC_ADD(o->stats->expired_series, s->expired);
    mem_free(sources);
    mem_free(parts);
    return e;
}

struct err *logmake(const struct blockmake_opts *o, struct arena *a, struct block_meta *ret_meta)
{
    struct logblock_writer_opts opts = {.dir = o->dir,
                                        .meta = *o->meta,
                                        .has_summary = true,
                                        .no_sync = true}; /* as in blockmake.c */
    struct sieve s = {.opts = o};
    struct logblock_writer *w = NULL;
    struct err *e;

    ORR_ASSERT(!o->is_split);
    blockmake_range(o, &opts.meta);
    s.max_t = opts.meta.max_t;
    s.is_over = retention_hash(o->retention, s.max_t) != 0;
    s.arena = arena_new(0);
    s.budget = arena_new(0);
    if (o->tombstones)
        s.tombs = linetombs_new(s.budget, o->tombstones, NULL, logblock_ns(opts.meta.min_t),
                                logblock_ns(s.max_t));
    if (!(e = logblock_writer_open(&opts, &w)) && !(e = merge(o, &s, w)))
        e = logblock_writer_finish(w, a, ret_meta);
    logblock_writer_close(w);
    linetombs_free(s.tombs);
    arena_free(s.budget);
    arena_free(s.arena);
    return e;
}
