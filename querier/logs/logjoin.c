#include "querier/logs/logjoin.h"

#include "common/base/map.h"
#include "common/base/mem.h"

#define FEW 16 /* lines of a moment that are compared one by one */

struct part {
    struct logjoin_origin *origin;
    bool is_over;
    bool has_stream, has_entry; /* at hand */
    bool is_in;                 /* the stream at hand is the one that is being joined */
    struct logjoin_stream stream;
    struct logsource_entry entry;
};

struct volume { /* of replicas */
    uint64_t max, sum;
};

struct logjoin {
    struct arena *arena, *lines; /* lines: of one moment */
    struct part *parts;
    size_t n;
    bool is_forward, is_broken;
    double copies;       /* of a line, in replicas */
    bool is_begun;       /* the parts of the stream have their first entries at hand */
    struct part *lender; /* whose entry was handed out as it was */
    /* lines of one moment, each once, and how far they have been handed out */
    struct logsource_entry *group;
    size_t n_group, cap, at;
    struct map index; /* of the group, once there are more than FEW and two origins have some */
    uint64_t duplicates;
    uint64_t *steps;
    struct volume *most; /* volumes: all together; of each step that of the fullest replica */
    size_t n_steps;
    struct err *err; /* its own */
};

struct logjoin *logjoin_new(struct arena *a, struct logjoin_origin *const *origins, size_t n,
                            bool is_forward, double copies)
{
    struct logjoin *j = mem_new(struct logjoin);

    j->arena = a;
    j->lines = arena_child(a, 0);
    j->is_forward = is_forward;
    j->copies = ORR_MAX(copies, 1.0);
    j->parts = mem_new_array(struct part, n + 1);
    j->n = n;
    for (size_t i = 0; i < n; i++)
        j->parts[i].origin = origins[i];
    return j;
}

struct err *logjoin_close(struct logjoin *j)
{
    struct err *e;

    if (!j)
        return NULL;
    e = j->err;
    for (size_t i = 0; i < j->n; i++) {
        struct logjoin_origin *o = j->parts[i].origin;

        e = err_first(e, o->err);
        e = err_first(e, o->ops->close(o));
    }
    arena_charge(j->arena, -(int64_t)(j->cap * sizeof(*j->group)));
    arena_charge(j->arena, -(int64_t)(j->n_steps * (sizeof(*j->steps) + sizeof(*j->most))));
    mem_free(j->steps);
    mem_free(j->most);
    arena_free(j->lines);
    map_done(&j->index);
    mem_free(j->group);
    mem_free(j->parts);
    mem_free(j);
    return e;
}

uint64_t logjoin_duplicates(const struct logjoin *j)
{
    return j->duplicates;
}

/* ---- streams ---- */

static void next_stream_of(struct logjoin *j, struct part *p)
{
    p->has_entry = p->is_in = false;
    p->has_stream = p->origin->ops->stream(p->origin, &p->stream);
    p->is_over = !p->has_stream;
    j->is_broken |= p->origin->err != NULL;
}

void logjoin_take_steps(struct logjoin *j, size_t n_steps)
{
    j->n_steps = n_steps;
    j->steps = mem_new_array(uint64_t, n_steps);
    j->most = mem_new_array(struct volume, n_steps);
    arena_charge(j->arena, (int64_t)(n_steps * (sizeof(*j->steps) + sizeof(*j->most))));
}

static void add_volume(struct volume *v, uint64_t n)
{
    v->max = ORR_MAX(v->max, n);
    v->sum += n;
}

/* A stream that came fast has its lines here and there (ingester/log_shards.h): no replica has them all. */
static uint64_t volume_of(const struct logjoin *j, const struct volume *v)
{
    return ORR_MAX(v->max, (uint64_t)((double)v->sum / j->copies));
}

/* Of the parts that are in the stream, as add_volumes(). */
static void add_steps(struct logjoin *j)
{
    memset(j->steps, 0, j->n_steps * sizeof(*j->steps));
    memset(j->most, 0, j->n_steps * sizeof(*j->most));
    for (size_t i = 0; i < j->n; i++) {
        const struct part *p = &j->parts[i];

        for (size_t k = 0; p->is_in && p->stream.steps && k < j->n_steps; k++)
            if (p->origin->is_replica)
                add_volume(&j->most[k], p->stream.steps[k]);
            else
                j->steps[k] += p->stream.steps[k];
    }
    for (size_t k = 0; k < j->n_steps; k++)
        j->steps[k] += volume_of(j, &j->most[k]);
}

static void add_volumes(struct logjoin_stream *sum, const struct part *p, struct volume *entries,
                        struct volume *bytes)
{
    if (!p->origin->is_replica) {
        sum->entries += p->stream.entries;
        sum->bytes += p->stream.bytes;
        return;
    }
    add_volume(entries, p->stream.entries);
    add_volume(bytes, p->stream.bytes);
}

bool logjoin_stream(struct logjoin *j, struct logjoin_stream *ret)
{
    struct volume entries = {0}, bytes = {0};
    const struct part *least = NULL;

    j->n_group = j->at = 0;
    j->is_begun = false;
    j->lender = NULL;
    for (size_t i = 0; i < j->n && !j->is_broken; i++) {
        struct part *p = &j->parts[i];

        if (!p->is_over && (p->is_in || !p->has_stream))
            next_stream_of(j, p);
        if (p->has_stream && (!least || hash128_cmp(p->stream.fp, least->stream.fp) < 0))
            least = p;
    }
    if (!least || j->is_broken)
        return false;
    *ret = (struct logjoin_stream){.fp = least->stream.fp, .labels = least->stream.labels};
    for (size_t i = 0; i < j->n; i++) {
        struct part *p = &j->parts[i];

        p->is_in = p->has_stream && hash128_eq(p->stream.fp, ret->fp);
        if (p->is_in)
            add_volumes(ret, p, &entries, &bytes);
    }
    ret->entries += volume_of(j, &entries);
    ret->bytes += volume_of(j, &bytes);
    if (j->steps) {
        add_steps(j);
        ret->steps = j->steps;
    }
    return true;
}

/* ---- entries ---- */

static void next_entry_of(struct logjoin *j, struct part *p)
{
    p->has_entry = p->origin->ops->entry(p->origin, &p->entry);
    j->is_broken |= p->origin->err != NULL;
}

static bool is_same(const struct logsource_entry *a, const struct logsource_entry *b)
{
    return slice_eq(a->line, b->line) && labels_eq(a->metadata, b->metadata);
}

static struct slice key_of(struct buf *b, const struct logsource_entry *e)
{
    buf_reset(b);
    buf_lstr(b, e->line);
    labels_canonical(b, e->metadata);
    return buf_slice(b);
}

static bool has_in_index(struct logjoin *j, const struct logsource_entry *e)
{
    struct buf b = {0};
    bool has;

    while (j->index.len < j->n_group) {
        const struct logsource_entry *one = &j->group[j->index.len];

        map_put(&j->index, key_of(&b, one), j);
    }
    has = map_has(&j->index, key_of(&b, e));
    buf_done(&b);
    return has;
}

/* hint: where it stands if origins hold the same lines in the same order. */
static bool is_in_group(struct logjoin *j, const struct logsource_entry *e, size_t hint)
{
    if (hint < j->n_group && is_same(&j->group[hint], e))
        return true;
    if (j->n_group > FEW)
        return has_in_index(j, e);
    for (size_t i = 0; i < j->n_group; i++)
        if (is_same(&j->group[i], e))
            return true;
    return false;
}

static void add(struct logjoin *j, const struct logsource_entry *e)
{
    if (j->n_group == j->cap) {
        size_t cap = j->cap ? 2 * j->cap : 16;

        arena_charge(j->arena, (int64_t)((cap - j->cap) * sizeof(*j->group)));
        j->group = mem_reallocarray(j->group, cap, sizeof(*j->group));
        j->cap = cap;
    }
    j->group[j->n_group++] =
        (struct logsource_entry){.ts_ns = e->ts_ns,
                                 .line = arena_dup(j->lines, e->line),
                                 .metadata = labels_dup(j->lines, e->metadata)};
    if (!j->err && arena_over(j->arena))
        j->err = err_new(ERR_LIMIT, "the query needs more than its %zu bytes of memory",
                         arena_limit(j->arena));
    j->is_broken |= j->err != NULL;
}

/* The moment that comes first among what is at hand, and how many have it; the last of those is *ret. */
static size_t first_moment(struct logjoin *j, struct part **ret)
{
    size_t n = 0;

    for (size_t i = 0; i < j->n; i++) {
        struct part *p = &j->parts[i];

        if (!p->has_entry)
            continue;
        if (n && p->entry.ts_ns == (*ret)->entry.ts_ns) {
            n++;
        } else if (!n || (p->entry.ts_ns < (*ret)->entry.ts_ns) == j->is_forward) {
            *ret = p;
            n = 1;
        }
    }
    return n;
}

static void fill_group(struct logjoin *j, int64_t ts_ns)
{
    j->n_group = j->at = 0;
    if (j->index.cap)
        map_done(&j->index);
    arena_reset(j->lines);
    for (size_t i = 0; i < j->n; i++) {
        struct part *p = &j->parts[i];
        bool is_first = j->n_group == 0; /* none has a line twice */

        for (size_t k = 0; !j->is_broken && p->has_entry && p->entry.ts_ns == ts_ns; k++) {
            if (is_first || !is_in_group(j, &p->entry, k))
                add(j, &p->entry);
            else
                j->duplicates++;
            next_entry_of(j, p);
        }
    }
}

static void begin(struct logjoin *j)
{
    for (size_t i = 0; i < j->n && !j->is_broken; i++)
        if (j->parts[i].is_in)
            next_entry_of(j, &j->parts[i]);
    j->is_begun = true;
}

bool logjoin_entry(struct logjoin *j, struct logsource_entry *ret)
{
    struct part *first = NULL;

    if (j->is_broken)
        return false;
    if (j->at < j->n_group) {
        *ret = j->group[j->at++];
        return true;
    }
    if (!j->is_begun)
        begin(j);
    if (j->lender)
        next_entry_of(j, j->lender);
    j->lender = NULL;
    switch (first_moment(j, &first)) {
    case 0:
        return false;
    case 1:
        j->lender = first;
        *ret = first->entry;
        break;
    default:
        fill_group(j, first->entry.ts_ns);
        *ret = j->group[j->at++];
    }
    return !j->is_broken;
}
