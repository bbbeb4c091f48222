#include "querier/logs/logtable.h"

#include <stdlib.h>

#include "common/base/map.h"
#include "common/base/vec.h"

struct stream {
    struct labels labels;
    VEC(struct logsource_entry) entries; /* by time, then as they came */
};

struct logtable {
    struct logsource source;
    struct arena *arena;
    struct map streams; /* canonical labels -> stream */
};

struct table_set {
    struct logsource_set set;
    const struct logtable *table;
    struct logsource_request req;
    struct map_entry *at;
    const struct stream *stream;
    size_t next, n; /* entries of the stream in the range, in the order asked for */
    size_t first;
};

static bool is_of_piece(const struct logsource_piece *p, struct labels labels)
{
    uint64_t fp = p ? labels_fingerprint(labels).hi : 0;

    return !p || (fp >= p->fp_first && fp <= p->fp_last);
}

static bool set_stream(struct logsource_set *ls, struct labels *ret)
{
    struct table_set *set = (struct table_set *)ls;

    while ((set->at = map_next(&set->table->streams, set->at))) {
        const struct stream *s = set->at->value;
        size_t first = 0, end;

        if (!matchers_match(set->req.matchers, s->labels) ||
            !is_of_piece(set->req.piece, s->labels))
            continue;
        while (first < s->entries.len && s->entries.ptr[first].ts_ns < set->req.start_ns)
            first++;
        for (end = first; end < s->entries.len && s->entries.ptr[end].ts_ns < set->req.end_ns;)
            end++;
        set->stream = s;
        set->first = first;
        set->n = end - first;
        set->next = 0;
        *ret = s->labels;
        return true;
    }
    set->stream = NULL;
    return false;
}

static bool set_entry(struct logsource_set *ls, struct logsource_entry *ret)
{
    struct table_set *set = (struct table_set *)ls;
    size_t i = set->next;

    if (!set->stream || i == set->n)
        return false;
    set->next++;
    *ret = set->stream->entries.ptr[set->first + (set->req.is_forward ? i : set->n - 1 - i)];
    return true;
}

static struct err *set_close(struct logsource_set *ls)
{
    (void)ls; /* the arena's */
    return NULL;
}

static struct err *table_select(struct logsource *src, struct arena *arena,
                                const struct logsource_request *req, struct logsource_set **ret)
{
    static const struct logsource_set_ops ops = {
        .stream = set_stream, .entry = set_entry, .close = set_close};
    struct table_set *set = arena_new_of(arena, struct table_set);

    set->set.ops = &ops;
    set->table = (const struct logtable *)src;
    set->req = *req;
    *ret = &set->set;
    return NULL;
}

/* By time, and each part by fingerprints; so with some tables what is cut has another order than what is not. */
static size_t table_cut(struct logsource *src, struct arena *arena,
                        const struct logsource_request *req, unsigned lanes,
                        struct logsource_piece **ret)
{
    struct logsource_piece *out = arena_array(arena, struct logsource_piece, 2 * (size_t)lanes);
    int64_t width = (req->end_ns - req->start_ns) / lanes;
    size_t n = 0;

    (void)src;
    for (unsigned i = 0; i < lanes && width > 0; i++) {
        int64_t k = req->is_forward ? i : lanes - 1 - i, from = req->start_ns + k * width;
        int64_t to = k == lanes - 1 ? req->end_ns : from + width;

        out[n++] = (struct logsource_piece){from, to, 0, UINT64_MAX / 2};
        out[n++] = (struct logsource_piece){from, to, UINT64_MAX / 2 + 1, UINT64_MAX};
    }
    *ret = out;
    return n;
}

/* Nothing in it changes. */
static struct logsource *table_fork(struct logsource *src, struct arena *arena)
{
    (void)arena;
    return src;
}

static void table_join(struct logsource *src, struct logsource *fork)
{
    ORR_ASSERT(src == fork);
}

struct logtable *logtable_new(void)
{
    static const struct logsource_ops ops = {
        .select = table_select, .cut = table_cut, .fork = table_fork, .join = table_join};
    struct logtable *t = mem_new(struct logtable);

    t->source.ops = &ops;
    t->arena = arena_new(0);
    return t;
}

void logtable_free(struct logtable *t)
{
    if (!t)
        return;
    MAP_FOREACH (e, &t->streams)
        vec_done(&((struct stream *)e->value)->entries);
    map_done(&t->streams);
    arena_free(t->arena);
    mem_free(t);
}

void logtable_add(struct logtable *t, struct labels labels, const struct logsource_entry *entry)
{
    struct slice key = labels_canonical_dup(t->arena, labels);
    void **slot = map_slot(&t->streams, key);
    struct stream *s = *slot;
    size_t i;

    if (!s) {
        *slot = s = arena_new_of(t->arena, struct stream);
        s->labels = labels_dup(t->arena, labels);
    }
    for (i = s->entries.len; i > 0 && s->entries.ptr[i - 1].ts_ns > entry->ts_ns;)
        i--;
    for (size_t k = i; k > 0 && s->entries.ptr[k - 1].ts_ns == entry->ts_ns; k--)
        if (slice_eq(s->entries.ptr[k - 1].line, entry->line))
            return;
    vec_push(&s->entries, *entry);
    memmove(s->entries.ptr + i + 1, s->entries.ptr + i,
            (s->entries.len - 1 - i) * sizeof(*s->entries.ptr));
    s->entries.ptr[i] = (struct logsource_entry){entry->ts_ns, arena_dup(t->arena, entry->line),
                                                 labels_dup(t->arena, entry->metadata)};
}

struct logsource *logtable_source(struct logtable *t)
{
    return &t->source;
}
