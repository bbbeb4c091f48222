#include "querier/logs/logstored.h"

#include "common/base/clock.h"
#include "common/base/mem.h"

struct stored {
    struct logjoin_origin origin;
    struct logblock_set *set;      /* NULL: it has ended */
    struct logsource_stats *stats; /* NULL: nobody's yet */
    struct logblock_stats told;    /* of the set, in stats already */
    struct arena *arena;
    struct arena *payer; /* charged with what arena has, charged so far; NULL: nobody yet */
    size_t charged;
    double share; /* of the block's time */
    int64_t min_ns, max_ns;
    struct log_steps steps; /* of volumes */
    uint64_t *volumes;      /* NULL: none are asked for */
    size_t n_volumes;
};

/* An arena of another thread's making cannot become a child. */
static void charge(struct stored *s)
{
    size_t used = arena_used(s->arena);

    if (!s->payer || used == s->charged)
        return;
    arena_charge(s->payer, (int64_t)used - (int64_t)s->charged);
    s->charged = used;
}

static void tell(struct stored *s)
{
    struct logblock_stats now;

    if (!s->stats)
        return;
    logblock_set_stats(s->set, &now);
    s->stats->pages += now.pages - s->told.pages;
    s->stats->pages_skipped += now.pages_skipped - s->told.pages_skipped;
    s->stats->page_bytes += now.page_bytes - s->told.page_bytes;
    s->stats->filter_bytes += now.filter_bytes - s->told.filter_bytes;
    s->told = now;
}

/* Ends the set; why it ended early. */
static struct err *end(struct stored *s)
{
    struct err *e;

    if (!s->set)
        return NULL;
    tell(s);
    e = logblock_set_close(s->set);
    s->set = NULL;
    return e;
}

static uint64_t share_of(const struct stored *s, uint64_t n)
{
    uint64_t part = s->share >= 1 ? n : (uint64_t)(s->share * (double)n);

    return n ? ORR_MAX(part, 1ull) : 0;
}

static bool stored_stream(struct logjoin_origin *o, struct logjoin_stream *ret)
{
    struct stored *s = (struct stored *)o;
    struct logblock_stream st;

    if (!s->set)
        return false;
    tell(s);
    if (!logblock_set_stream(s->set, &st)) {
        o->err = end(s);
        return false;
    }
    charge(s);
    *ret = (struct logjoin_stream){.fp = st.fp,
                                   .labels = st.labels,
                                   .entries = share_of(s, st.entries),
                                   .bytes = share_of(s, st.bytes),
                                   .steps = s->volumes};
    if (s->volumes) {
        memset(s->volumes, 0, s->n_volumes * sizeof(*s->volumes));
        log_steps_spread(&s->steps, s->min_ns, s->max_ns, ret->bytes, s->volumes);
    }
    return true;
}

/* Why there is no other entry shows at the next stream, or at the end. */
static bool stored_entry(struct logjoin_origin *o, struct logsource_entry *ret)
{
    struct stored *s = (struct stored *)o;
    struct logpage_entry en;

    if (!s->set || !logblock_set_entry(s->set, &en))
        return false;
    charge(s);
    *ret = (struct logsource_entry){en.ts_ns, en.line, en.meta};
    s->stats->block_lines++;
    s->stats->block_bytes += en.line.len;
    return true;
}

static struct err *stored_close(struct logjoin_origin *o)
{
    struct stored *s = (struct stored *)o;
    struct err *e = end(s);

    if (s->payer)
        arena_charge(s->payer, -(int64_t)s->charged);
    arena_free(s->arena);
    mem_free(s);
    return e;
}

/* Of the time from min_ms to max_ms, how much the query's range has. */
static double share_of_time(const struct logstored_opts *opts)
{
    double min_ns = (double)opts->min_ms * NS_PER_MS, max_ns = (double)opts->max_ms * NS_PER_MS;
    double from_ns = ORR_MAX(min_ns, (double)opts->query.from_ns);
    double to_ns = ORR_MIN(max_ns, (double)opts->query.to_ns);

    return max_ns > min_ns && to_ns > from_ns ? (to_ns - from_ns) / (max_ns - min_ns) : 0;
}

struct err *logstored_new(const struct logstored_opts *opts, struct logjoin_origin **ret)
{
    static const struct logjoin_origin_ops ops = {stored_stream, stored_entry, stored_close};
    struct stored *s = mem_new(struct stored);
    struct err *e;

    *s = (struct stored){.origin = {.ops = &ops},
                         .arena = arena_new(opts->room),
                         .share = share_of_time(opts),
                         .min_ns = ORR_MAX(logblock_ns(opts->min_ms), opts->query.from_ns),
                         .max_ns = ORR_MIN(logblock_ns(opts->max_ms), opts->query.to_ns) - 1,
                         .steps = opts->steps};
    if (s->steps.step_ns) {
        s->n_volumes = log_steps_count(&s->steps);
        s->volumes = arena_array(s->arena, uint64_t, s->n_volumes);
    }
    e = logblock_select(opts->block, s->arena, &opts->query, &s->set);
    if (!e && opts->reads_ahead && (e = logblock_set_ahead(s->set)))
        err_free(logblock_set_close(s->set));
    if (e) {
        arena_free(s->arena);
        mem_free(s);
        return e;
    }
    *ret = &s->origin;
    return NULL;
}

void logstored_adopt(struct logjoin_origin *o, struct arena *a, struct logsource_stats *stats)
{
    struct stored *s = (struct stored *)o;

    if (s->payer)
        arena_charge(s->payer, -(int64_t)s->charged);
    s->charged = 0;
    s->payer = a;
    charge(s);
    s->stats = stats;
}
