#include "querier/logs/logremote.h"

#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/model/logs_rpc.h"

#define FEW 16 /* lines of a moment that are compared one by one */

/* ---- what one ingester streams: items, one of them at hand ---- */

struct origin {
    size_t stream; /* of the fan-out */
    struct reader frame;
    bool has_frame, is_over;
    bool has_part;             /* of the stream that is being merged */
    struct rpc_logs_item item; /* at hand, unless is_over; borrows from frame and arena */
    struct arena *arena;       /* of the item */
};

struct answers {
    struct store_query *sq;
    struct fanout *f;
    struct origin *from;
    size_t n;
    struct err *err; /* the first; nothing is read any more */
};

static void answers_fail(struct answers *a, struct err *e)
{
    a->err = err_first(a->err, e);
    for (size_t i = 0; i < a->n; i++)
        a->from[i].is_over = true;
}

/* Drops the frame that has been read and waits for the next. */
static bool next_frame(struct answers *a, struct origin *o)
{
    struct slice bytes;
    struct err *e;

    if (o->has_frame)
        fanout_pop(a->f, o->stream);
    o->has_frame = false;
    if ((e = fanout_wait(a->f))) {
        answers_fail(a, e);
        return false;
    }
    o->has_frame = fanout_frame(a->f, o->stream, &bytes);
    if (o->has_frame)
        o->frame = reader_new(bytes);
    return o->has_frame;
}

/* The next item is at hand then, or is_over. What was at hand is gone. */
static void advance(struct answers *a, struct origin *o)
{
    arena_reset(o->arena);
    while (!o->is_over && (!o->has_frame || !reader_left(&o->frame)))
        if (!next_frame(a, o))
            o->is_over = true;
    if (o->is_over)
        return;
    if (!rpc_logs_item_decode(o->arena, &o->frame, &o->item))
        answers_fail(a, err_new(ERR_CORRUPT, "an ingester's answer is malformed"));
    else if (arena_over(a->sq->opts.arena))
        answers_fail(a, err_new(ERR_LIMIT, "the query needs more than its %zu bytes of memory",
                                arena_limit(a->sq->opts.arena)));
}

static int64_t since_ms(const struct logremote *r, int64_t start_ns)
{
    if (r->opts.grace_ns <= 0 || start_ns < 0)
        return 0;
    return ORR_MAX(start_ns / NS_PER_MS - r->opts.grace_ns / NS_PER_MS - 1, (int64_t)0);
}

/* Waits until each has begun, so that what fails at once fails here. */
static struct err *ask(struct logremote *r, struct rpc_logs_select *select, struct answers *ret)
{
    struct store_query *sq = r->opts.sq;
    struct buf b = {0};
    struct err *e;

    if (sq->opts.min_ms > 0 && select->from_ns < sq->opts.min_ms * NS_PER_MS)
        select->from_ns = ORR_MIN(sq->opts.min_ms * NS_PER_MS, select->to_ns);

    *ret = (struct answers){.sq = sq};
    rpc_logs_select_encode(&b, select);
    e = store_ask_logs(sq, "ingester.select_logs", buf_slice(&b), since_ms(r, select->from_ns),
                       &ret->f);
    buf_done(&b);
    if (e)
        return e;
    if ((e = fanout_wait(ret->f))) {
        fanout_close(ret->f);
        return e;
    }
    ret->n = fanout_streams(ret->f);
    ret->from = mem_new_array(struct origin, ret->n + 1);
    for (size_t i = 0; i < ret->n; i++) {
        ret->from[i].stream = i;
        ret->from[i].arena = arena_child(sq->opts.arena, 0);
    }
    for (size_t i = 0; i < ret->n; i++)
        advance(ret, &ret->from[i]);
    return NULL;
}

static struct err *answers_close(struct answers *a)
{
    struct err *e = a->err;

    a->sq->failed_streams += fanout_failed(a->f);
    fanout_close(a->f);
    for (size_t i = 0; i < a->n; i++)
        arena_free(a->from[i].arena);
    mem_free(a->from);
    return e;
}

/*
 * Goes to the next stream: passes over what is left of the one before, and marks the ingesters that have
 * the least fingerprint, whose entries (if they were asked for) are at hand then.
 */
static bool next_stream(struct answers *a, struct arena *arena, struct logremote_stream *ret)
{
    const struct origin *least = NULL;
    struct slice text;

    for (size_t i = 0; i < a->n; i++) {
        struct origin *o = &a->from[i];

        while (!o->is_over && o->item.tag != RPC_LOGS_STREAM)
            advance(a, o);
        if (!o->is_over && (!least || hash128_cmp(o->item.fp, least->item.fp) < 0))
            least = o;
    }
    if (!least || a->err)
        return false;
    arena_reset(arena);
    *ret = (struct logremote_stream){.fp = least->item.fp};
    text = arena_dup(arena, least->item.text);
    if (!labels_of_canonical(arena, text, &ret->labels)) {
        answers_fail(a, err_new(ERR_CORRUPT, "an ingester's answer is malformed"));
        return false;
    }
    for (size_t i = 0; i < a->n; i++) {
        struct origin *o = &a->from[i];

        o->has_part = !o->is_over && hash128_eq(o->item.fp, ret->fp);
        if (!o->has_part)
            continue;
        ret->entries = ORR_MAX(ret->entries, o->item.entries);
        ret->bytes = ORR_MAX(ret->bytes, o->item.bytes);
        advance(a, o);
    }
    return !a->err;
}

/* ---- lines ---- */

struct remote_set {
    struct logsource_set set;
    struct answers a;
    struct arena *labels, *lines; /* of the stream; of one moment */
    bool is_forward;
    /* lines of one moment, each once, and how far they have been handed out */
    struct logsource_entry *group;
    size_t n, cap, at;
    struct map index; /* of the group, once there are more than FEW and two ingesters have some */
};

static bool is_same(const struct logsource_entry *a, struct slice line, struct labels metadata)
{
    return slice_eq(a->line, line) && labels_eq(a->metadata, metadata);
}

static struct slice key_of(struct buf *b, struct slice line, struct labels metadata)
{
    buf_reset(b);
    buf_lstr(b, line);
    labels_canonical(b, metadata);
    return buf_slice(b);
}

static bool has_in_index(struct remote_set *s, struct slice line, struct labels metadata)
{
    struct buf b = {0};
    bool has;

    while (s->index.len < s->n) {
        const struct logsource_entry *e = &s->group[s->index.len];

        map_put(&s->index, key_of(&b, e->line, e->metadata), s);
    }
    has = map_has(&s->index, key_of(&b, line, metadata));
    buf_done(&b);
    return has;
}

/* hint: where it stands if replicas hold the same lines in the same order. */
static bool is_in_group(struct remote_set *s, const struct rpc_logs_item *item, size_t hint)
{
    if (hint < s->n && is_same(&s->group[hint], item->text, item->metadata))
        return true;
    if (s->n > FEW)
        return has_in_index(s, item->text, item->metadata);
    for (size_t i = 0; i < s->n; i++)
        if (is_same(&s->group[i], item->text, item->metadata))
            return true;
    return false;
}

static void add(struct remote_set *s, const struct rpc_logs_item *item)
{
    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 16;

        arena_charge(s->a.sq->opts.arena, (int64_t)((cap - s->cap) * sizeof(*s->group)));
        s->group = mem_reallocarray(s->group, cap, sizeof(*s->group));
        s->cap = cap;
    }
    s->group[s->n++] = (struct logsource_entry){.ts_ns = item->t_ns,
                                                .line = arena_dup(s->lines, item->text),
                                                .metadata = labels_dup(s->lines, item->metadata)};
}

static bool has_entry(const struct origin *o)
{
    return o->has_part && !o->is_over && o->item.tag == RPC_LOGS_ENTRY;
}

/* The moment that comes first among what is at hand. */
static bool first_time(const struct remote_set *s, int64_t *ret)
{
    bool has = false;

    for (size_t i = 0; i < s->a.n; i++) {
        const struct origin *o = &s->a.from[i];

        if (!has_entry(o))
            continue;
        if (!has || (o->item.t_ns < *ret) == s->is_forward)
            *ret = o->item.t_ns;
        has = true;
    }
    return has;
}

static void fill_group(struct remote_set *s)
{
    int64_t t = 0;

    s->n = s->at = 0;
    if (s->index.cap)
        map_done(&s->index);
    arena_reset(s->lines);
    if (!first_time(s, &t))
        return;
    for (size_t i = 0; i < s->a.n; i++) {
        struct origin *o = &s->a.from[i];
        bool is_first = s->n == 0; /* an ingester has none twice */

        for (size_t k = 0; has_entry(o) && o->item.t_ns == t; k++) {
            if (is_first || !is_in_group(s, &o->item, k))
                add(s, &o->item);
            advance(&s->a, o);
        }
    }
}

static bool set_stream(struct logsource_set *base, struct labels *ret)
{
    struct remote_set *s = (struct remote_set *)base;
    struct logremote_stream st;

    s->n = s->at = 0;
    if (!next_stream(&s->a, s->labels, &st))
        return false;
    *ret = st.labels;
    return true;
}

static bool set_entry(struct logsource_set *base, struct logsource_entry *ret)
{
    struct remote_set *s = (struct remote_set *)base;

    if (s->at == s->n)
        fill_group(s);
    if (s->at == s->n || s->a.err)
        return false;
    *ret = s->group[s->at++];
    return true;
}

static struct err *set_close(struct logsource_set *base)
{
    struct remote_set *s = (struct remote_set *)base;
    struct arena *a = s->a.sq->opts.arena;
    struct err *e;

    arena_free(s->lines);
    arena_free(s->labels);
    e = answers_close(&s->a);
    arena_charge(a, -(int64_t)(s->cap * sizeof(*s->group)));
    map_done(&s->index);
    mem_free(s->group);
    mem_free(s);
    return e;
}

static struct err *remote_select(struct logsource *src, struct arena *arena,
                                 const struct logsource_request *req, struct logsource_set **ret)
{
    static const struct logsource_set_ops ops = {set_stream, set_entry, set_close};
    struct logremote *r = (struct logremote *)src;
    struct rpc_logs_select select = {.kind = RPC_LOGS_ENTRIES,
                                     .matchers = req->matchers,
                                     .from_ns = req->start_ns,
                                     .to_ns = req->end_ns,
                                     .is_backward = !req->is_forward,
                                     .limit = req->max_entries,
                                     .max_streams = r->opts.max_streams};
    struct remote_set *s = mem_new(struct remote_set);
    struct err *e = ask(r, &select, &s->a);

    if (e) {
        mem_free(s);
        return e;
    }
    s->set.ops = &ops;
    s->is_forward = req->is_forward;
    s->labels = arena_child(arena, 0);
    s->lines = arena_child(arena, 0);
    *ret = &s->set;
    return NULL;
}

void logremote_init(struct logremote *r, const struct logremote_opts *opts)
{
    static const struct logsource_ops ops = {remote_select};

    *r = (struct logremote){.source = {&ops}, .opts = *opts};
}

/* ---- streams ---- */

struct logremote_streams {
    struct answers a;
    struct arena *labels;
};

struct err *logremote_streams(struct logremote *r, struct matchers ms, struct logremote_range range,
                              struct logremote_streams **ret)
{
    struct rpc_logs_select select = {.kind = RPC_LOGS_STREAMS,
                                     .matchers = ms,
                                     .from_ns = range.start_ns,
                                     .to_ns = range.end_ns,
                                     .max_streams = r->opts.max_streams};
    struct logremote_streams *s = mem_new(struct logremote_streams);
    struct err *e = ask(r, &select, &s->a);

    if (e) {
        mem_free(s);
        return e;
    }
    s->labels = arena_child(r->opts.sq->opts.arena, 0);
    *ret = s;
    return NULL;
}

bool logremote_streams_next(struct logremote_streams *s, struct logremote_stream *ret)
{
    return next_stream(&s->a, s->labels, ret);
}

struct err *logremote_streams_close(struct logremote_streams *s)
{
    struct err *e;

    arena_free(s->labels);
    e = answers_close(&s->a);
    mem_free(s);
    return e;
}

/* ---- names ---- */

/* They come sorted: the least of those at hand, which is then passed by all that have it. */
static bool next_name(struct answers *a, struct arena *arena, struct slice *ret)
{
    const struct origin *least = NULL;

    for (size_t i = 0; i < a->n; i++) {
        const struct origin *o = &a->from[i];

        if (!o->is_over && (!least || slice_cmp(o->item.text, least->item.text) < 0))
            least = o;
    }
    if (!least)
        return false;
    *ret = arena_dup(arena, least->item.text);
    for (size_t i = 0; i < a->n; i++) {
        struct origin *o = &a->from[i];

        if (!o->is_over && slice_eq(o->item.text, *ret))
            advance(a, o);
    }
    return !a->err;
}

struct err *logremote_names(struct logremote *r, struct matchers ms, struct slice label,
                            struct logremote_range range, struct store_names *ret)
{
    struct rpc_logs_select select = {.kind = label.ptr ? RPC_LOGS_VALUES : RPC_LOGS_NAMES,
                                     .matchers = ms,
                                     .from_ns = range.start_ns,
                                     .to_ns = range.end_ns,
                                     .name = label.ptr ? label : SLICE_EMPTY,
                                     .max_streams = r->opts.max_streams};
    struct arena *arena = r->opts.sq->opts.arena;
    struct slice *names = NULL, name;
    size_t n = 0, cap = 0;
    struct answers a;
    struct err *e = ask(r, &select, &a);

    if (e)
        return e;
    while (next_name(&a, arena, &name)) {
        if (n == cap) {
            size_t more = cap ? 2 * cap : 64;

            names = arena_grow(arena, names, cap * sizeof(*names), more * sizeof(*names));
            cap = more;
        }
        names[n++] = name;
    }
    *ret = (struct store_names){names, n};
    return answers_close(&a);
}
