#include "common/block/catalogue.h"

#include <stdlib.h>

#include "common/base/mem.h"
#include "common/base/vec.h"
#include "common/block/block_summary.h"
#include "common/block/catalogue_internal.h"

struct catalogue *catalogue_new(struct slice signal, struct slice tenant)
{
    struct catalogue *c = mem_new(struct catalogue);

    c->arena = arena_new(0);
    c->signal = arena_dup(c->arena, signal);
    c->tenant = arena_dup(c->arena, tenant);
    return c;
}

void catalogue_free(struct catalogue *c)
{
    if (!c)
        return;
    vec_done(&c->blocks);
    vec_done(&c->retired);
    vec_done(&c->expired);
    arena_free(c->arena);
    mem_free(c);
}

uint64_t catalogue_version(const struct catalogue *c)
{
    return c->version;
}

void catalogue_bump(struct catalogue *c)
{
    c->version++;
}

void catalogue_raise(struct catalogue *c, uint64_t at_least)
{
    c->version = ORR_MAX(c->version, at_least);
}

struct slice catalogue_signal(const struct catalogue *c)
{
    return c->signal;
}

struct slice catalogue_tenant(const struct catalogue *c)
{
    return c->tenant;
}

const struct catalogue_block *catalogue_blocks(const struct catalogue *c, size_t *ret_n)
{
    *ret_n = c->blocks.len;
    return c->blocks.ptr;
}

const struct catalogue_retired *catalogue_retired(const struct catalogue *c, size_t *ret_n)
{
    *ret_n = c->retired.len;
    return c->retired.ptr;
}

static size_t find(const struct catalogue *c, struct ulid ulid)
{
    size_t i = 0;

    while (i < c->blocks.len && !ulid_eq(c->blocks.ptr[i].ulid, ulid))
        i++;
    return i;
}

const struct catalogue_block *catalogue_find(const struct catalogue *c, struct ulid ulid)
{
    size_t i = find(c, ulid);

    return i < c->blocks.len ? &c->blocks.ptr[i] : NULL;
}

static int by_text(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

bool catalogue_is_among(const struct slice *segments, size_t n, struct slice segment)
{
    return n && bsearch(&segment, segments, n, sizeof(*segments), by_text);
}

bool catalogue_has_segment(const struct catalogue *c, struct slice segment)
{
    VEC_FOREACH (b, &c->blocks)
        if (catalogue_is_among(b->segments, b->n_segments, segment))
            return true;
    VEC_FOREACH (x, &c->expired)
        if (catalogue_is_among(x->segments, x->n_segments, segment))
            return true;
    return false;
}

struct slice *catalogue_segments(const struct catalogue *c, size_t *ret_n)
{
    VEC(struct slice) all = {0};

    VEC_FOREACH (b, &c->blocks)
        for (size_t i = 0; i < b->n_segments; i++)
            vec_push(&all, b->segments[i]);
    VEC_FOREACH (x, &c->expired)
        for (size_t i = 0; i < x->n_segments; i++)
            vec_push(&all, x->segments[i]);
    if (all.len)
        qsort(all.ptr, all.len, sizeof(*all.ptr), by_text);
    *ret_n = all.len;
    return all.ptr;
}

static bool is_before(const struct catalogue_block *a, const struct catalogue_block *b)
{
    return a->min_t != b->min_t ? a->min_t < b->min_t : ulid_cmp(a->ulid, b->ulid) < 0;
}

static void remove_at(struct catalogue *c, size_t i)
{
    memmove(&c->blocks.ptr[i], &c->blocks.ptr[i + 1],
            (c->blocks.len - i - 1) * sizeof(*c->blocks.ptr));
    c->blocks.len--;
}

static bool is_sorted(const struct slice *texts, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (slice_cmp(texts[i - 1], texts[i]) > 0)
            return false;
    return true;
}

/* Whoever wrote them: they are looked for as sorted ones. */
static const struct slice *sorted(struct catalogue *c, const struct slice *texts, size_t n)
{
    struct slice *copy;

    if (is_sorted(texts, n))
        return texts;
    copy = arena_array(c->arena, struct slice, n);
    memcpy(copy, texts, n * sizeof(*copy));
    qsort(copy, n, sizeof(*copy), by_text);
    return copy;
}

static const struct slice *copy_texts(struct catalogue *c, const struct slice *texts, size_t n)
{
    struct slice *copy = arena_array(c->arena, struct slice, n);

    for (size_t i = 0; i < n; i++)
        copy[i] = arena_dup(c->arena, texts[i]);
    return sorted(c, copy, n);
}

void catalogue_add(struct catalogue *c, const struct catalogue_block *b)
{
    struct catalogue_block copy = *b;
    size_t at = find(c, b->ulid);

    copy.segments = copy_texts(c, b->segments, b->n_segments);
    copy.dir = arena_dup(c->arena, b->dir);
    copy.labels = labels_dup(c->arena, b->labels);
    copy.origin.zone = arena_dup(c->arena, b->origin.zone);
    copy.origin.instance = arena_dup(c->arena, b->origin.instance);
    if (at < c->blocks.len)
        remove_at(c, at);
    vec_push(&c->blocks, copy);
    for (at = c->blocks.len - 1; at > 0 && is_before(&copy, &c->blocks.ptr[at - 1]); at--)
        c->blocks.ptr[at] = c->blocks.ptr[at - 1];
    c->blocks.ptr[at] = copy;
}

bool catalogue_retire(struct catalogue *c, struct ulid ulid, int64_t at_ms)
{
    size_t i = find(c, ulid);
    struct catalogue_retired r = {.ulid = ulid, .at_ms = at_ms};

    if (i == c->blocks.len)
        return false;
    r.dir = c->blocks.ptr[i].dir;
    remove_at(c, i);
    vec_push(&c->retired, r);
    return true;
}

bool catalogue_is_retired(const struct catalogue *c, struct ulid ulid)
{
    for (size_t i = 0; i < c->retired.len; i++)
        if (ulid_eq(c->retired.ptr[i].ulid, ulid))
            return true;
    return false;
}

bool catalogue_retire_orphan(struct catalogue *c, struct ulid ulid, int64_t at_ms)
{
    return catalogue_retire_again(c, &(struct catalogue_retired){.ulid = ulid, .at_ms = at_ms});
}

bool catalogue_retire_again(struct catalogue *c, const struct catalogue_retired *r)
{
    struct catalogue_retired copy = *r;

    if (find(c, r->ulid) < c->blocks.len || catalogue_is_retired(c, r->ulid))
        return false;
    copy.dir = arena_dup(c->arena, r->dir);
    vec_push(&c->retired, copy);
    return true;
}

bool catalogue_forget(struct catalogue *c, struct ulid ulid)
{
    for (size_t i = 0; i < c->retired.len; i++)
        if (ulid_eq(c->retired.ptr[i].ulid, ulid)) {
            vec_remove_swap(&c->retired, i);
            return true;
        }
    return false;
}

/* ---- what has expired ---- */

static void forget_first_expired(struct catalogue *c, size_t n)
{
    c->expired.len -= n;
    memmove(c->expired.ptr, c->expired.ptr + n, c->expired.len * sizeof(*c->expired.ptr));
}

static int by_expiry(const void *a, const void *b)
{
    const struct catalogue_expired *x = a, *y = b;

    return (x->at_ms > y->at_ms) - (x->at_ms < y->at_ms);
}

static bool is_by_expiry(const struct catalogue *c)
{
    for (size_t i = 1; i < c->expired.len; i++)
        if (by_expiry(&c->expired.ptr[i - 1], &c->expired.ptr[i]) > 0)
            return false;
    return true;
}

/* After any were pushed: in order, and no more than are kept (catalogue.h). */
static void settle_expired(struct catalogue *c)
{
    size_t named = 0, keep = 0;

    if (c->expired.len == 0)
        return;
    if (!is_by_expiry(c)) /* what is stays as it is: equal times keep their order */
        qsort(c->expired.ptr, c->expired.len, sizeof(*c->expired.ptr), by_expiry);
    for (; keep < c->expired.len; keep++) {
        named += c->expired.ptr[c->expired.len - 1 - keep].n_segments;
        if (keep && named > CATALOGUE_MAX_EXPIRED)
            break;
    }
    forget_first_expired(c, c->expired.len - keep);
}

static int by_time(const void *a, const void *b)
{
    return is_before(a, b) ? -1 : is_before(b, a);
}

void catalogue_settle(struct catalogue *c)
{
    VEC_FOREACH (b, &c->blocks)
        b->segments = sorted(c, b->segments, b->n_segments);
    VEC_FOREACH (x, &c->expired)
        x->segments = sorted(c, x->segments, x->n_segments);
    if (c->blocks.len)
        qsort(c->blocks.ptr, c->blocks.len, sizeof(*c->blocks.ptr), by_time);
    settle_expired(c);
}

bool catalogue_expire(struct catalogue *c, struct ulid ulid, int64_t at_ms)
{
    const struct catalogue_block *b = catalogue_find(c, ulid);

    if (b && b->n_segments) { /* its texts are the arena's */
        vec_push(&c->expired, ((struct catalogue_expired){at_ms, b->segments, b->n_segments}));
        settle_expired(c);
    }
    return catalogue_retire(c, ulid, at_ms);
}

bool catalogue_forget_expired(struct catalogue *c, int64_t before_ms)
{
    size_t n = 0;

    while (n < c->expired.len && c->expired.ptr[n].at_ms < before_ms)
        n++;
    if (n)
        forget_first_expired(c, n);
    return n > 0;
}

int64_t catalogue_oldest_expired_ms(const struct catalogue *c)
{
    return c->expired.len ? c->expired.ptr[0].at_ms : INT64_MAX;
}

void catalogue_copy_expired(struct catalogue *c, const struct catalogue *from)
{
    VEC_FOREACH (x, &from->expired)
        vec_push(&c->expired,
                 ((struct catalogue_expired){x->at_ms, copy_texts(c, x->segments, x->n_segments),
                                             x->n_segments}));
    settle_expired(c);
}

/* Another system's file of this name is none of ours. */
static uint64_t summary_bytes_of(const struct block_meta *m)
{
    bool has = block_meta_has_sidecar(m, BLOCK_SUMMARY_FILE);

    for (size_t i = 0; i < m->n_files && has; i++)
        if (slice_eq_cstr(m->files[i].path, BLOCK_SUMMARY_FILE))
            return m->files[i].bytes;
    return 0;
}

struct catalogue_block catalogue_block_of_meta(const struct block_meta *m)
{
    return (struct catalogue_block){.ulid = m->ulid,
                                    .min_t = m->min_t,
                                    .max_t = m->max_t,
                                    .level = m->level,
                                    .segments = m->segments,
                                    .n_segments = m->n_segments,
                                    .series = m->stats.series,
                                    .samples = m->stats.samples,
                                    .bytes = block_meta_bytes(m),
                                    .shard = m->shard,
                                    .shards = m->shards,
                                    .resolution_ms = m->resolution_ms,
                                    .labels = m->external,
                                    .summary_bytes = summary_bytes_of(m)};
}
