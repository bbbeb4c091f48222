#include "compactor/deletions.h"

#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/vec.h"
#include "common/block/block_reader.h"
#include "common/block/block_store.h"
#include "common/block/tiers.h"

/* A live block that was looked into. */
struct looked {
    uint64_t order;     /* for the tombstones up to this one */
    uint64_t retention; /* and for what this hash is of */
    int64_t due_ms;     /* INT64_MAX: it holds nothing that is to go */
    struct ulid holds[DELETIONS_HOLDS];
    size_t n_holds;
};

/* A tombstone that is due. */
struct due_tombstone {
    uint64_t order; /* in which they came due, as this process saw it; 1 is the first */
    int64_t
        clean_ms; /* monotonic, since when nothing holds anything of it; INT64_MAX: it is held */
};

struct record {
    struct ulid tombstone;
    size_t rewritten;
    struct ulid from[DELETIONS_RECORD_BLOCKS], to[DELETIONS_RECORD_BLOCKS]; /* the newest */
    int64_t forgotten_ms;                                                   /* Unix; 0: not yet */
};

struct deletions {
    struct map blocks;     /* 16 bytes of ULID → struct looked */
    struct map tombstones; /* the same → struct due_tombstone */
    uint64_t order;
    VEC(int64_t) edges;         /* of all that are listed: ascending */
    VEC(struct record) records; /* in the order of their first block */
};

static struct slice key_of(const struct ulid *u)
{
    return slice_of(u->bytes, sizeof(u->bytes));
}

struct deletions *deletions_new(void)
{
    return mem_new(struct deletions);
}

static void map_free(struct map *m)
{
    MAP_FOREACH (en, m)
        mem_free(en->value);
    map_done(m);
}

void deletions_free(struct deletions *d)
{
    if (!d)
        return;
    map_free(&d->blocks);
    map_free(&d->tombstones);
    vec_done(&d->edges);
    vec_done(&d->records);
    mem_free(d);
}

static bool reaches(const struct tombstone *t, const struct catalogue_block *b)
{
    return tombstone_reaches(t, b->min_t, b->max_t - 1);
}

/* ---- whether a block holds what a tombstone deletes ---- */

static bool is_in(const struct tombstone *t, int64_t t_ms)
{
    return t_ms >= t->min_ms && t_ms <= t->max_ms;
}

/* Of samples that time, of aggregates the window of the point. */
static bool is_any_in(const struct tombstone *t, int64_t min_ms, int64_t max_ms,
                      int64_t resolution_ms)
{
    if (resolution_ms) {
        min_ms = tier_window(min_ms, resolution_ms);
        max_ms = tier_window(max_ms, resolution_ms) + resolution_ms - 1;
    }
    return t->min_ms <= max_ms && t->max_ms >= min_ms;
}

/* The bounds of the chunk leave it open. */
static struct err *chunk_holds(const struct block_reader *r, struct arena *a,
                               const struct block_chunk_meta *m, const struct tombstone *t,
                               bool *ret)
{
    int64_t resolution_ms = block_reader_meta(r)->resolution_ms;
    struct chunk_extent in = {.n = 0};
    struct chunk c;
    struct err *e = block_reader_chunks(r, a, m, 1, &c);

    if (!e)
        e = chunk_check(a, c.encoding, c.data, &in);
    for (size_t i = 0; !e && i < in.n && !*ret; i++)
        *ret = is_any_in(t, in.t[i], in.t[i], resolution_ms);
    return e;
}

static struct err *series_holds(const struct block_reader *r, struct arena *a, uint32_t ref,
                                const struct tombstone *t, bool *ret)
{
    int64_t resolution_ms = block_reader_meta(r)->resolution_ms;
    struct block_reader_series s;
    struct err *e = block_reader_series(r, a, ref, &s);

    for (size_t i = 0; !e && i < s.n_chunks && !*ret; i++) {
        const struct block_chunk_meta *m = &s.chunks[i];

        if (!is_any_in(t, m->min_t, m->max_t, resolution_ms))
            continue;
        if (!resolution_ms && (is_in(t, m->min_t) || is_in(t, m->max_t)))
            *ret = true;
        else
            e = chunk_holds(r, a, m, t, ret);
    }
    return e;
}

static struct err *block_holds(const struct block_reader *r, const struct tombstone *t, bool *ret)
{
    struct arena *a = arena_new(0), *each = arena_new(0);
    struct block_refs refs;
    struct err *e = block_reader_select(r, a, t->matchers, &refs);

    *ret = false;
    for (size_t i = 0; !e && i < refs.n && !*ret; i++) {
        arena_reset(each);
        e = series_holds(r, each, refs.ptr[i], t, ret);
    }
    arena_free(each);
    arena_free(a);
    return e;
}

/* Whether any of its series leaves it now. */
static struct err *look_for_expired(const struct retention *ret, const struct block_reader *r,
                                    int64_t max_t, int64_t *io_due_ms)
{
    struct arena *a = arena_new(0), *each = arena_new(0);
    struct block_reader_series s;
    struct block_refs refs;
    int64_t since_ms;
    struct err *e = block_reader_select(r, a, (struct matchers){0}, &refs);

    for (size_t i = 0; !e && i < refs.n; i++) {
        arena_reset(each);
        if (!(e = block_reader_series(r, each, refs.ptr[i], &s)) &&
            retention_drops(ret, s.labels, max_t, &since_ms)) {
            *io_due_ms = ORR_MIN(*io_due_ms, since_ms);
            break;
        }
    }
    arena_free(each);
    arena_free(a);
    return e;
}

/* ---- a look ---- */

static uint64_t order_of(const struct deletions *d, struct ulid tombstone)
{
    const struct due_tombstone *t = map_get(&d->tombstones, key_of(&tombstone));

    return t ? t->order : 0;
}

/* Whether anything that is due has not been looked for in b. */
static bool is_new_to(const struct deletions *d, const struct deletions_opts *o,
                      const struct catalogue_block *b, const struct tombstone *all, size_t n)
{
    const struct looked *known = map_get(&d->blocks, key_of(&b->ulid));
    uint64_t retention = retention_hash(o->retention, b->max_t);

    if (known && known->due_ms != INT64_MAX)
        return false; /* it is rewritten, whatever else it holds */
    if (retention && (!known || known->retention != retention))
        return true;
    for (size_t i = 0; i < n; i++)
        if (order_of(d, all[i].ulid) > (known ? known->order : 0) && reaches(&all[i], b))
            return true;
    return false;
}

static struct err *look_for_all(const struct deletions *d, const struct deletions_opts *o,
                                struct block_reader *r, const struct catalogue_block *b,
                                const struct tombstone *all, size_t n, struct looked *io)
{
    struct err *e = NULL;

    for (size_t i = 0; i < n && !e; i++) {
        uint64_t order = order_of(d, all[i].ulid);
        bool holds;

        if (order <= io->order || !reaches(&all[i], b))
            continue;
        e = o->signal->holds ? o->signal->holds(r, &all[i], o->stop, &holds)
                             : block_holds(r, &all[i], &holds);
        if (e || !holds)
            continue;
        io->due_ms = ORR_MIN(io->due_ms, all[i].created_ms + o->rewrite_after_ms);
        if (io->n_holds < DELETIONS_HOLDS)
            io->holds[io->n_holds++] = all[i].ulid;
    }
    io->order = d->order;
    io->retention = retention_hash(o->retention, b->max_t);
    if (!e && io->retention)
        e = look_for_expired(o->retention, r, b->max_t, &io->due_ms);
    return e;
}

/* Keeps what it finds; nothing on an error. */
static struct err *look_into(struct deletions *d, const struct deletions_opts *o,
                             const struct catalogue *c, const struct catalogue_block *b,
                             const struct tombstone *all, size_t n)
{
    const struct looked *known = map_get(&d->blocks, key_of(&b->ulid));
    struct looked found = known ? *known : (struct looked){.due_ms = INT64_MAX};
    struct arena *a = arena_new(0);
    struct block_reader_opts opts = {.external = b->labels}; /* matchers may name them */
    struct block_reader *r = NULL;
    struct err *e = block_reader_open(
        block_source_objstore(o->store, block_store_dir(a, c, b->ulid, b->dir)), &opts, &r);

    if (!e)
        e = look_for_all(d, o, r, b, all, n, &found);
    if (!e) {
        void **slot = map_slot(&d->blocks, key_of(&b->ulid));

        if (!*slot)
            *slot = mem_new(struct looked);
        *(struct looked *)*slot = found;
    }
    block_reader_close(r);
    arena_free(a);
    return e;
}

static bool is_due(const struct deletions_opts *o, const struct tombstone *t)
{
    return o->signal->has_states ? t->state == TOMBSTONE_BEGUN
                                 : t->created_ms <= o->now_ms - o->rewrite_after_ms;
}

/* Those that came due since; forgets those that are gone. */
static int64_t take_tombstones(struct deletions *d, const struct deletions_opts *o,
                               const struct tombstone *all, size_t n)
{
    struct map next = {0};
    int64_t due_ms = INT64_MAX;

    for (size_t i = 0; i < n; i++) {
        struct due_tombstone *t = map_del(&d->tombstones, key_of(&all[i].ulid));

        if (!is_due(o, &all[i])) {
            if (!o->signal->has_states)
                due_ms = ORR_MIN(due_ms, all[i].created_ms + o->rewrite_after_ms);
            mem_free(t); /* the time was made longer */
            continue;
        }
        if (!t) {
            t = mem_new(struct due_tombstone);
            t->order = ++d->order;
            t->clean_ms = INT64_MAX;
        }
        (void)map_put(&next, key_of(&all[i].ulid), t);
    }
    map_free(&d->tombstones);
    d->tombstones = next;
    return due_ms;
}

static void take_edges(struct deletions *d, const struct tombstone_list *l)
{
    struct arena *a = arena_new(0);
    size_t n;
    int64_t *edges = tombstone_list_edges(l, a, NULL, INT64_MIN, INT64_MAX, &n);

    vec_clear(&d->edges);
    for (size_t i = 0; i < n; i++)
        vec_push(&d->edges, edges[i]);
    arena_free(a);
}

static void forget_blocks(struct deletions *d, const struct catalogue *c)
{
    VEC(struct ulid) gone = {0};

    MAP_FOREACH (en, &d->blocks) {
        struct ulid u;

        memcpy(u.bytes, en->key.ptr, sizeof(u.bytes));
        if (!catalogue_find(c, u))
            vec_push(&gone, u);
    }
    VEC_FOREACH (u, &gone)
        mem_free(map_del(&d->blocks, key_of(u)));
    vec_done(&gone);
}

static bool is_wrong_bytes(const struct err *e)
{
    return err_is(e, ERR_CORRUPT) || err_is(e, ERR_INVALID) || err_is(e, ERR_TOO_LARGE) ||
           err_is(e, ERR_UNSUPPORTED);
}

struct err *deletions_look(struct deletions *d, const struct deletions_opts *o,
                           const struct catalogue *c, const struct tombstone_list *l,
                           bool *ret_more, int64_t *ret_due_ms)
{
    size_t n_blocks, n, looks = 0;
    const struct catalogue_block *b = catalogue_blocks(c, &n_blocks);
    const struct tombstone *all = tombstone_list_all(l, &n);
    struct err *e = NULL;

    *ret_due_ms = take_tombstones(d, o, all, n);
    *ret_more = false;
    take_edges(d, l);
    forget_blocks(d, c);
    for (size_t i = 0; i < n_blocks && o->retention; i++)
        *ret_due_ms = ORR_MIN(*ret_due_ms, retention_next_ms(o->retention, b[i].max_t));
    for (size_t i = 0; i < n_blocks && !e && !*ret_more; i++) {
        if (!is_new_to(d, o, &b[i], all, n))
            continue;
        if (o->wants && !o->wants(o->arg, &b[i])) {
            *ret_due_ms = INT64_MIN;
            continue;
        }
        if (looks++ == o->max_looks) {
            *ret_more = true;
            break;
        }
        if (o->stop && atomic_load(o->stop))
            return err_new(ERR_CANCELED, "stopping");
        e = look_into(d, o, c, &b[i], all, n);
        if (is_wrong_bytes(e)) {
            if (o->bad)
                o->bad(o->arg, b[i].ulid, err_msg(e));
            err_free(e);
            e = NULL;
        }
    }
    return err_wrap(e, "look for what is deleted");
}

/* ---- what is known ---- */

int64_t deletions_due_ms(const struct deletions *d, struct ulid block)
{
    const struct looked *k = map_get(&d->blocks, key_of(&block));

    return k ? k->due_ms : INT64_MAX;
}

void deletions_settled(struct deletions *d, struct ulid block)
{
    struct looked *k = map_get(&d->blocks, key_of(&block));

    if (k)
        k->due_ms = INT64_MAX;
}

bool deletions_cut(const struct deletions *d, const struct catalogue_block *b)
{
    for (size_t i = 0; i < d->edges.len; i++) {
        int64_t at = d->edges.ptr[i];

        if (at > b->min_t && at < b->max_t && tier_window(at, AGGR_1H_MS) != at)
            return true;
    }
    return false;
}

bool deletions_is_clean(const struct deletions *d, const struct catalogue *c,
                        const struct tombstone *t)
{
    uint64_t order = order_of(d, t->ulid);
    size_t n;
    const struct catalogue_block *b = catalogue_blocks(c, &n);

    for (size_t i = 0; i < n && order; i++) {
        const struct looked *k;

        if (!reaches(t, &b[i]))
            continue;
        k = map_get(&d->blocks, key_of(&b[i].ulid));
        if (!k || k->order < order || k->due_ms != INT64_MAX)
            return false;
    }
    return order != 0;
}

int64_t deletions_note_clean(struct deletions *d, struct ulid tombstone, bool is_clean,
                             int64_t mono_ms)
{
    struct due_tombstone *t = map_get(&d->tombstones, key_of(&tombstone));

    if (!t)
        return INT64_MAX;
    t->clean_ms = is_clean ? ORR_MIN(t->clean_ms, mono_ms) : INT64_MAX;
    return t->clean_ms;
}

size_t deletions_blocks(const struct deletions *d)
{
    size_t n = 0;

    MAP_FOREACH (en, &d->blocks)
        n += ((const struct looked *)en->value)->due_ms != INT64_MAX;
    return n;
}

/* ---- what was done, for the page ---- */

static struct record *record_of(struct deletions *d, struct ulid tombstone)
{
    VEC_FOREACH (r, &d->records)
        if (ulid_eq(r->tombstone, tombstone))
            return r;
    if (d->records.len == DELETIONS_RECORDS)
        memmove(d->records.ptr, d->records.ptr + 1, --d->records.len * sizeof(*d->records.ptr));
    vec_push(&d->records, ((struct record){.tombstone = tombstone}));
    return &vec_last(&d->records);
}

void deletions_rewritten(struct deletions *d, struct ulid from, struct ulid to)
{
    const struct looked *k = map_get(&d->blocks, key_of(&from));

    for (size_t i = 0; k && i < k->n_holds; i++) {
        struct record *r = record_of(d, k->holds[i]);
        size_t at = r->rewritten++ % DELETIONS_RECORD_BLOCKS;

        r->from[at] = from;
        r->to[at] = to;
    }
}

void deletions_forgotten(struct deletions *d, struct ulid tombstone, int64_t now_ms)
{
    record_of(d, tombstone)->forgotten_ms = now_ms;
}

void deletions_put(struct buf *out, const struct deletions *d, size_t max)
{
    size_t n = ORR_MIN(max, d->records.len);

    buf_byte(out, '[');
    for (size_t i = 0; i < n; i++) {
        const struct record *r = &d->records.ptr[d->records.len - 1 - i];

        buf_printf(out, "%s{\"tombstone\":\"%s\",\"rewritten\":%zu,\"blocks\":[", i ? "," : "",
                   ulid_print(r->tombstone).s, r->rewritten);
        for (size_t k = 0; k < r->rewritten && k < DELETIONS_RECORD_BLOCKS; k++)
            buf_printf(out, "%s{\"from\":\"%s\",\"to\":\"%s\"}", k ? "," : "",
                       ulid_print(r->from[k]).s, ulid_print(r->to[k]).s);
        buf_printf(out, "],\"forgotten\":%lld}", (long long)r->forgotten_ms);
    }
    buf_byte(out, ']');
}
