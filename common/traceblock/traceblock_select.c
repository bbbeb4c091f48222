#include "common/base/mem.h"
#include "common/traceblock/traceblock_internal.h"
#include "common/traceblock/traceids.h"

struct traceblock_set {
    struct traceblock *block;
    const struct traceblock_directory *dir;
    struct arena *arena; /* the asker's */
    struct traceblock_query q;
    struct traceblock_in in;
    struct traceblock_stats stats;
    struct err *err;

    uint32_t next, end; /* groups that are still to be looked at */
    size_t next_id;     /* of q.ids: those before it are done with */
    size_t next_but;    /* of q.but */

    /* The group that is open; NULL: none is. */
    struct tracegroup *group;
    struct arena *group_arena, *piece_arena, *scratch;
    const uint8_t (*ids)[16];
    uint8_t *want; /* of its traces; NULL: all */
    uint32_t trace, n_traces;
    struct tracepiece piece;
};

static struct err *check(const struct traceblock_query *q, const struct arena *a)
{
    if ((q->cancel && atomic_load_explicit(q->cancel, memory_order_relaxed)) ||
        (q->stop && atomic_load_explicit(q->stop, memory_order_relaxed)))
        return err_new(ERR_CANCELED, "canceled while it read a block of traces");
    if (q->deadline_mono_ms && clock_mono_ms(&clock_system) >= q->deadline_mono_ms)
        return err_new(ERR_TIMEOUT, "out of time while it read a block of traces");
    if (arena_over(a))
        return err_new(ERR_LIMIT, "out of memory of the query while it read a block of traces");
    return NULL;
}

/* Whether the block has one of the services. */
static struct err *has_service(struct traceblock *b, struct arena *a,
                               const struct traceblock_query *q, bool *ret)
{
    struct block_names names;
    struct err *e = block_reader_label_values(b->services, a, SLICE(TRACEBLOCK_SERVICE), &names);

    *ret = false;
    for (size_t i = 0; !e && i < names.n; i++) {
        *ret = *ret || slice_eq_cstr(names.ptr[i], TRACEBLOCK_NO_SERVICE);
        for (size_t k = 0; k < q->n_services; k++)
            *ret = *ret || slice_eq(names.ptr[i], q->services[k]);
    }
    return e;
}

static bool is_in_block(const struct traceblock *b, const struct traceblock_query *q)
{
    const struct block_meta *m = block_reader_meta(b->services);

    return m->stats.samples && q->start_ns < q->end_ns && q->end_ns / NS_PER_MS >= m->min_t &&
           q->start_ns / NS_PER_MS <= m->max_t;
}

static struct err *begin(struct traceblock_set *s)
{
    struct arena *names;
    bool has = true;
    struct err *e;

    if (!is_in_block(s->block, &s->q))
        return NULL;
    if (s->q.n_services) {
        names = arena_child(s->arena, 0);
        e = has_service(s->block, names, &s->q, &has);
        arena_free(names);
        if (e || !has)
            return e;
    }
    if ((e = traceblock_directory_get(s->block, &s->dir)))
        return e;
    s->next = traceblock_directory_find(s->dir, s->q.first);
    s->end = traceblock_directory_find(s->dir, s->q.last);
    s->end += s->end < s->dir->n; /* it begins with a greater id, maybe */
    return NULL;
}

struct err *traceblock_select(struct traceblock *b, struct arena *a,
                              const struct traceblock_query *q, struct traceblock_set **ret)
{
    struct traceblock_set *s = mem_new(struct traceblock_set);
    struct err *e;

    s->block = b;
    s->arena = a;
    s->q = *q;
    s->in.block = b;
    if ((e = begin(s))) {
        mem_free(s);
        return traceblock_error(b, e);
    }
    *ret = s;
    return NULL;
}

/* ---- ids that are asked for ---- */

static const uint8_t *id_at(const struct traceblock_set *s)
{
    return s->next_id < s->q.n_ids ? s->q.ids[s->next_id] : NULL;
}

/* Whether the filter leaves any of the ids to the group. */
static struct err *may_have_ids(struct traceblock_set *s, bool *ret)
{
    const struct traceblock_group_at *g = &s->in.group;
    size_t len = TRACEIDS_BYTES(g->about.traces);
    struct slice filter;
    struct err *e;

    *ret = false;
    while (id_at(s) && memcmp(id_at(s), g->about.first, 16) < 0)
        s->next_id++;
    if (!id_at(s) || memcmp(id_at(s), g->about.last, 16) > 0)
        return NULL;
    if ((e = traceblock_in_read(&s->in, TRACEBLOCK_IDS_FILE, g->ids_offset, len, &filter)))
        return e;
    if (!traceids_check(filter, g->about.traces))
        return err_new(ERR_CORRUPT, TRACEBLOCK_IDS_FILE ": checksum");
    for (size_t i = s->next_id; i < s->q.n_ids && memcmp(s->q.ids[i], g->about.last, 16) <= 0; i++)
        if (traceids_may(filter, g->about.traces, s->q.ids[i])) {
            *ret = true;
            break;
        }
    return NULL;
}

static bool is_left_out(struct traceblock_set *s, const uint8_t id[16])
{
    while (s->next_but < s->q.n_but && memcmp(s->q.but[s->next_but], id, 16) < 0)
        s->next_but++;
    return s->next_but < s->q.n_but && memcmp(s->q.but[s->next_but], id, 16) == 0;
}

/* Those of the group's traces that are in the range of ids, or among the ids, stay. */
static bool narrow_to_ids(struct traceblock_set *s)
{
    bool any = false;

    for (uint32_t i = 0; i < s->n_traces; i++) {
        const uint8_t *id = s->ids[i];
        bool is_in = memcmp(id, s->q.first, 16) >= 0 && memcmp(id, s->q.last, 16) <= 0;

        if (is_in && s->q.ids) {
            while (id_at(s) && memcmp(id_at(s), id, 16) < 0)
                s->next_id++;
            is_in = id_at(s) && memcmp(id_at(s), id, 16) == 0;
        }
        s->want[i] = is_in && !is_left_out(s, id);
        any = any || s->want[i];
    }
    return any;
}

/* ---- a group ---- */

static void close_group(struct traceblock_set *s)
{
    if (s->scratch)
        arena_free(s->scratch);
    if (s->piece_arena)
        arena_free(s->piece_arena);
    if (s->group_arena)
        arena_free(s->group_arena);
    s->scratch = s->piece_arena = s->group_arena = NULL;
    s->group = NULL;
    traceblock_in_unhold_back(&s->in);
}

static bool is_in_time(const struct traceblock_query *q, int64_t start_ns, int64_t end_ns)
{
    return start_ns < q->end_ns && end_ns >= q->start_ns;
}

/* Takes out of want what the columns say. */
static struct err *match(struct traceblock_set *s)
{
    const struct tracegroup_about *about = &s->in.group.about;
    bool is_within = about->start_ns >= s->q.start_ns && about->end_ns < s->q.end_ns;
    const struct tracecols *cols;
    uint8_t *matched;
    struct err *e;

    if (is_within && !s->q.match)
        return NULL;
    if ((e = tracegroup_cols(s->group, s->scratch, &s->q.want, &cols)))
        return e;
    for (uint32_t i = 0; i < s->n_traces; i++) {
        const struct tracecols_trace *t = &cols->traces[i];

        s->want[i] = s->want[i] && is_in_time(&s->q, t->start_ns, ORR_MAX(t->start_ns, t->end_ns));
    }
    if (!s->q.match)
        return NULL;
    s->stats.spans += cols->n_spans;
    matched = arena_zalloc(s->scratch, s->n_traces);
    if ((e = s->q.match(s->q.arg, s->scratch, cols, matched)))
        return e;
    for (uint32_t i = 0; i < s->n_traces; i++)
        s->want[i] = s->want[i] && matched[i];
    return NULL;
}

static struct err *open_group(struct traceblock_set *s, uint32_t number)
{
    struct tracegroup_io io = traceblock_in_io(&s->in);
    struct err *e;

    /* a single trace wants one group alone */
    if (!s->q.ids && (e = traceblock_in_hold_front(&s->in, number, s->end)))
        return e;
    s->group_arena = arena_child(s->arena, 0);
    s->piece_arena = arena_child(s->arena, 0);
    s->scratch = arena_child(s->arena, 0);
    s->stats.groups++;
    if ((e = tracegroup_open(s->group_arena, &io, &s->in.group.place, &s->in.group.about,
                             &s->group)) ||
        (e = tracegroup_ids(s->group, &s->ids)))
        return e;
    s->n_traces = s->in.group.about.traces;
    s->trace = 0;
    s->want = arena_alloc(s->group_arena, s->n_traces);
    if (!narrow_to_ids(s))
        s->n_traces = 0;
    else
        e = match(s);
    arena_reset(s->scratch);
    return e;
}

/* *ret false: there are no more. */
static struct err *next_group(struct traceblock_set *s, bool *ret)
{
    bool has = true;
    struct err *e;

    close_group(s);
    *ret = s->next < s->end;
    if (!*ret)
        return NULL;
    if ((e = check(&s->q, s->arena)))
        return e;
    s->in.group = traceblock_directory_at(s->dir, s->next);
    if (s->q.ids && (e = may_have_ids(s, &has)))
        return e;
    if (!has || !is_in_time(&s->q, s->in.group.about.start_ns, s->in.group.about.end_ns)) {
        s->stats.groups_skipped++;
        s->next++;
        return NULL;
    }
    return open_group(s, s->next++);
}

static bool find_trace(struct traceblock_set *s)
{
    while (s->group && s->trace < s->n_traces && !s->want[s->trace])
        s->trace++;
    return s->group && s->trace < s->n_traces;
}

static struct err *next_trace(struct traceblock_set *s, struct traceblock_trace *ret, bool *ret_has)
{
    bool has = true;
    struct err *e = NULL;

    while (!find_trace(s) && has)
        if ((e = next_group(s, &has)))
            return e;
    *ret_has = has;
    if (!has)
        return NULL;
    *ret = (struct traceblock_trace){.id = s->ids[s->trace]};
    if (!s->q.ids_only) {
        if (!s->in.hold[TRACEGROUP_BACK] && (e = traceblock_in_hold_back(&s->in)))
            return e;
        arena_reset(s->piece_arena);
        if ((e = tracegroup_piece(s->group, s->trace, s->piece_arena, &s->piece)))
            return e;
        ret->piece = &s->piece;
        e = arena_over(s->arena) ? check(&s->q, s->arena) : NULL;
    }
    s->trace++;
    return e;
}

bool traceblock_set_next(struct traceblock_set *s, struct traceblock_trace *ret)
{
    bool has = false;

    if (!s->err)
        s->err = next_trace(s, ret, &has);
    return !s->err && has;
}

void traceblock_set_stats(const struct traceblock_set *s, struct traceblock_stats *ret)
{
    *ret = s->stats;
    ret->bytes = s->in.bytes;
}

struct err *traceblock_set_close(struct traceblock_set *s)
{
    struct err *e;

    if (!s)
        return NULL;
    e = traceblock_error(s->block, s->err);
    close_group(s);
    traceblock_in_done(&s->in);
    mem_free(s);
    return e;
}

/* ---- whole groups ---- */

static bool wants_any(const struct traceblock_set *s)
{
    return s->group && s->n_traces && memchr(s->want, 1, s->n_traces);
}

struct err *traceblock_groups(struct traceblock *b, struct arena *a,
                              const struct traceblock_query *q, const struct tracegroup_want *want,
                              traceblock_group_fn *fn, void *arg, struct traceblock_stats *stats)
{
    struct tracegroup_want of_group = *want;
    struct traceblock_set *s;
    const struct tracecols *cols;
    bool has = true, is_enough = false;
    struct err *e = traceblock_select(b, a, q, &s);

    if (e)
        return e;
    while (!s->err && !is_enough) {
        s->err = next_group(s, &has);
        if (s->err || !has)
            break;
        if (!wants_any(s))
            continue;
        of_group.keep = s->want;
        s->err = tracegroup_cols(s->group, s->scratch, &of_group, &cols);
        if (!s->err && (e = fn(arg, s->group, cols, &is_enough)))
            break;
    }
    if (stats)
        traceblock_set_stats(s, stats);
    return err_first(e, traceblock_set_close(s));
}
