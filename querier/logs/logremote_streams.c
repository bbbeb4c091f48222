/*
 * Streams with volumes, names and values, without what is deleted.
 *
 * Streams that no deletion is about come as ingesters and blocks have them. Of the others only lines tell what is left: they are read,
 * deletion by deletion, with the matchers of both, so that no other stream's are. A deletion that takes all lines of its streams
 * spares what of the range it takes.
 */
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/slice_sort.h"
#include "common/base/vec.h"
#include "querier/logs/logremote_internal.h"

#define LIVING_BYTES 64 /* of memory, for an entry in the map */

struct logremote_streams {
    struct logremote *remote;
    struct matchers ms;
    struct logremote_range range;
    struct log_steps steps; /* from where the range began before it was bounded; none: step 0 */
    bool wants_volume;
    struct logremote_answer answer;
    bool is_open; /* else it has ended, or the range is empty */
    struct logsource_stats stats;
    struct err *err;
    /* of those that deletions are about */
    struct logremote_tombs tombs;
    bool has_more; /* there are such streams, which are not read yet */
    /* of those of which something is left */
    struct map index; /* fingerprint → struct logremote_stream */
    VEC(struct logremote_stream *) living;
    size_t at;
};

struct err *logremote_tombs_open(struct logremote *r, const struct matchers *ms,
                                 struct logremote_range range, struct logremote_tombs *ret)
{
    struct store_query *sq = r->opts.sq;
    struct err *e = store_log_tombstones(sq, &ret->list);

    if (!e)
        ret->lines = linetombs_new(sq->opts.arena, ret->list, ms, range.start_ns, range.end_ns);
    return e;
}

void logremote_tombs_close(struct logremote_tombs *tombs)
{
    linetombs_free(tombs->lines);
    tombstone_list_unref(tombs->list);
}

static struct err *streams_open(struct logremote_streams *s)
{
    struct logremote *r = s->remote;
    struct store_query *sq = r->opts.sq;
    struct logremote_question q = {.select = {.kind = RPC_LOGS_STREAMS,
                                              .matchers = s->ms,
                                              .from_ns = s->range.start_ns,
                                              .to_ns = s->range.end_ns,
                                              .steps = s->steps,
                                              .max_streams = r->opts.max_streams},
                                   .cancel = sq->opts.cancel,
                                   .deadline_mono_ms = sq->opts.deadline_mono_ms};
    struct err *e;

    if (q.select.from_ns >= q.select.to_ns)
        return NULL;
    if ((e = logremote_tombs_open(r, &s->ms, s->range, &s->tombs)) ||
        (e = logremote_answer_open(r, &q, &s->stats, &s->answer)))
        return e;
    s->is_open = true;
    return NULL;
}

struct err *logremote_streams(struct logremote *r, struct matchers ms, struct logremote_range range,
                              bool wants_volume, struct logremote_streams **ret)
{
    struct logremote_streams *s = mem_new(struct logremote_streams);
    struct log_steps steps = {0};
    struct err *e;

    if (range.step_ns)
        steps = (struct log_steps){range.start_ns, range.end_ns, range.step_ns};
    range.start_ns = logremote_start(r->opts.sq, range.start_ns, range.end_ns);
    *s = (struct logremote_streams){
        .remote = r, .ms = ms, .range = range, .steps = steps, .wants_volume = wants_volume};
    if ((e = streams_open(s))) {
        logremote_tombs_close(&s->tombs);
        mem_free(s);
        return e;
    }
    *ret = s;
    return NULL;
}

/* ---- what is left of those that deletions are about ---- */

static struct logremote_stream *living_of(struct logremote_streams *s, struct labels labels)
{
    struct arena *a = s->remote->opts.sq->opts.arena;
    struct hash128 fp = labels_fingerprint(labels);
    void **slot = map_slot(&s->index, slice_of(&fp, sizeof(fp)));
    struct logremote_stream *st = *slot;

    if (st)
        return st;
    *slot = st = arena_new_of(a, struct logremote_stream);
    *st = (struct logremote_stream){.fp = fp, .labels = labels_dup(a, labels)};
    if (s->steps.step_ns)
        st->steps = arena_array(a, uint64_t, log_steps_count(&s->steps));
    vec_push(&s->living, st);
    arena_charge(a, LIVING_BYTES);
    return st;
}

static bool is_known(const struct logremote_streams *s, struct labels labels)
{
    struct hash128 fp = labels_fingerprint(labels);

    return map_has(&s->index, slice_of(&fp, sizeof(fp)));
}

static uint64_t bytes_of(const struct logsource_entry *en)
{
    uint64_t n = en->line.len;

    for (size_t i = 0; i < en->metadata.n; i++)
        n += en->metadata.ptr[i].name.len + en->metadata.ptr[i].value.len;
    return n;
}

static void count_lines(struct logremote_streams *s, struct logsource_set *set,
                        struct labels labels)
{
    struct logremote_stream *st = NULL;
    struct logsource_entry en;

    if (!s->wants_volume && is_known(s, labels))
        return;
    while (logsource_set_entry(set, &en)) {
        uint64_t bytes = bytes_of(&en);

        if (!st)
            st = living_of(s, labels);
        st->entries++;
        st->bytes += bytes;
        if (st->steps)
            log_steps_spread(&s->steps, en.ts_ns, en.ts_ns, bytes, (uint64_t *)st->steps);
        if (!s->wants_volume)
            return;
    }
}

static struct err *check_memory(const struct arena *a)
{
    if (!arena_over(a))
        return NULL;
    return err_new(ERR_LIMIT, "the query needs more than its %zu bytes of memory", arena_limit(a));
}

/* Of the streams that the i-th deletion is the first to be about. */
static struct err *read_set(struct logremote_streams *s, size_t i, struct logsource_set *set)
{
    struct arena *a = s->remote->opts.sq->opts.arena;
    struct labels labels;
    int64_t t_ns;
    bool any;

    do {
        while (logsource_set_stream(set, &labels)) {
            struct err *e = linetombs_stream(s->tombs.lines, labels, &any);

            if (e)
                return e;
            if (any && linetombs_first(s->tombs.lines) == i)
                count_lines(s, set, labels);
            if ((e = check_memory(a)))
                return e;
        }
    } while (logsource_set_more(set, &t_ns));
    return NULL;
}

/* What the deletion leaves at the ends of the range, if it takes all that there is of one of them. */
static struct err *spare(struct logremote_streams *s, size_t i, struct logremote_range *io)
{
    const struct tombstone *t = linetombs_at(s->tombs.lines, i);
    int64_t first_ns = logblock_ns(t->min_ms), after_ns = logblock_end_ns(t->max_ms);
    bool is_whole;
    struct err *e = linetombs_is_whole(s->tombs.lines, i, &is_whole);

    if (e || !is_whole)
        return e;
    if (first_ns <= io->start_ns)
        io->start_ns = ORR_MAX(io->start_ns, after_ns);
    if (after_ns >= io->end_ns)
        io->end_ns = ORR_MIN(io->end_ns, first_ns);
    return NULL;
}

static struct err *read_living_of(struct logremote_streams *s, size_t i)
{
    struct store_query *sq = s->remote->opts.sq;
    const struct matchers of = linetombs_at(s->tombs.lines, i)->matchers;
    struct matcher *both = arena_array(sq->opts.arena, struct matcher, s->ms.n + of.n);
    struct logsource_request req = {.matchers = {both, s->ms.n + of.n},
                                    .is_forward = true,
                                    .deadline_mono_ms = sq->opts.deadline_mono_ms,
                                    .cancel = sq->opts.cancel};
    struct logremote_range range = s->range;
    struct logsource_set *set;
    struct err *e = spare(s, i, &range);

    if (e || range.start_ns >= range.end_ns)
        return e;
    for (size_t k = 0; k < s->ms.n; k++)
        both[k] = s->ms.ptr[k];
    for (size_t k = 0; k < of.n; k++)
        both[s->ms.n + k] = of.ptr[k];
    req.start_ns = range.start_ns;
    req.end_ns = range.end_ns;
    if ((e = logsource_select(&s->remote->source, sq->opts.arena, &req, &set)))
        return e;
    e = read_set(s, i, set);
    return err_first(e, logsource_set_close(set));
}

static struct err *read_living(struct logremote_streams *s)
{
    struct err *e = NULL;

    for (size_t i = 0; !e && i < linetombs_count(s->tombs.lines); i++)
        e = read_living_of(s, i);
    return e;
}

/* ---- one after the other ---- */

/* False: there is no other that no deletion is about. */
static bool next_untouched(struct logremote_streams *s, struct logremote_stream *ret)
{
    struct logjoin_stream st;

    while (s->is_open && !s->err && logjoin_stream(s->answer.join, &st)) {
        bool any = false;

        *ret = (struct logremote_stream){st.fp, st.labels, st.entries, st.bytes, st.steps};
        if (s->tombs.lines)
            s->err = linetombs_stream(s->tombs.lines, st.labels, &any);
        if (!any && !s->err)
            return true;
        s->has_more |=
            any && !linetombs_takes_all(s->tombs.lines, s->range.start_ns, s->range.end_ns);
    }
    return false;
}

bool logremote_streams_next(struct logremote_streams *s, struct logremote_stream *ret)
{
    if (next_untouched(s, ret))
        return true;
    if (s->is_open) {
        s->is_open = false;
        s->err = err_first(s->err, logremote_answer_close(&s->answer));
    }
    if (s->has_more && !s->err)
        s->err = read_living(s);
    s->has_more = false;
    if (s->err || s->at >= s->living.len)
        return false;
    *ret = *s->living.ptr[s->at++];
    return true;
}

struct err *logremote_streams_close(struct logremote_streams *s)
{
    struct err *e = s->err;

    if (s->is_open)
        e = err_first(e, logremote_answer_close(&s->answer));
    arena_charge(s->remote->opts.sq->opts.arena, -(int64_t)(s->index.len * LIVING_BYTES));
    logremote_tombs_close(&s->tombs);
    map_done(&s->index);
    vec_done(&s->living);
    mem_free(s);
    return e;
}

/* ---- names ---- */

struct name_list {
    struct arena *arena;
    struct map seen;
    struct slice *ptr;
    size_t n;
};

static void add_name(struct name_list *l, struct slice name)
{
    if (map_has(&l->seen, name))
        return;
    l->ptr = arena_more(l->arena, l->ptr, l->n);
    map_put(&l->seen, name, l);
    arena_charge(l->arena, (int64_t)(LIVING_BYTES + name.len));
    l->ptr[l->n++] = arena_dup(l->arena, name);
}

static void add_names(struct name_list *l, struct slice label, struct labels ls)
{
    for (size_t i = 0; i < ls.n; i++) {
        if (!label.ptr)
            add_name(l, ls.ptr[i].name);
        else if (slice_eq(ls.ptr[i].name, label))
            add_name(l, ls.ptr[i].value);
    }
}

/* What the streams say of which something is left. */
static struct err *living_names(struct logremote *r, struct matchers ms, struct slice label,
                                struct logremote_range range, struct store_names *ret)
{
    struct name_list l = {.arena = r->opts.sq->opts.arena};
    struct logremote_stream st;
    struct logremote_streams *s;
    int64_t charged = 0;
    struct err *e = logremote_streams(r, ms, range, false, &s);

    if (e)
        return e;
    while (!arena_over(l.arena) && logremote_streams_next(s, &st))
        add_names(&l, label, st.labels);
    e = err_first(check_memory(l.arena), logremote_streams_close(s));
    MAP_FOREACH (en, &l.seen)
        charged += (int64_t)(LIVING_BYTES + en->key.len);
    arena_charge(l.arena, -charged);
    map_done(&l.seen);
    *ret = (struct store_names){l.ptr, l.n ? slice_sort_unique(l.ptr, l.n) : 0};
    return e;
}

struct err *logremote_names(struct logremote *r, struct matchers ms, struct slice label,
                            struct logremote_range range, struct store_names *ret)
{
    struct store_query *sq = r->opts.sq;
    struct rpc_logs_select select = {.kind = label.ptr ? RPC_LOGS_VALUES : RPC_LOGS_NAMES,
                                     .matchers = ms,
                                     .from_ns = logremote_start(sq, range.start_ns, range.end_ns),
                                     .to_ns = range.end_ns,
                                     .name = label.ptr ? label : SLICE_EMPTY,
                                     .max_streams = r->opts.max_streams};
    struct logremote_tombs tombs = {0};
    bool has_any;
    struct err *e;

    *ret = (struct store_names){0};
    if (select.from_ns >= select.to_ns)
        return NULL;
    if ((e = logremote_tombs_open(r, &ms, range, &tombs)))
        return e;
    has_any = tombs.lines != NULL;
    logremote_tombs_close(&tombs);
    return has_any ? living_names(r, ms, label, range, ret)
                   : store_log_names(sq, &select, logremote_since_ms(r, select.from_ns), ret);
}
