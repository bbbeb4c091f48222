/*
 * bucket rebuild-catalogue: the list of live blocks, made from the blocks.
 *
 *   a block whose files are all there is live, unless it is an input of another that is: named by its parents, or of a
 *   lower level with all its sources among those; an output in shards counts when all of them are there
 *   an output is read whole before its inputs are left out for it
 *   what the catalogue that is there (if it can be read) has retired stays so; inputs that are left out become so
 *   entries of blocks that were adopted in place are kept from it; without it they are to be adopted again
 *   an entry of it is kept as it is: it may know segments that meta.json does not
 *
 * The new version is above any that was seen: above the one of the catalogue that is there, or that can still be made
 * out in its first bytes, else above the Unix time in seconds, of which no catalogue has had as many changes.
 */
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/vec.h"
#include "common/block/block_store.h"
#include "deploy/orreryctl/ctl_send.h"

#define MOST_VERSION (UINT64_C(1) << 53)

struct rebuilding {
    struct ctl *c;
    struct slice tenant;
    struct catalogue *old, *new; /* old: NULL when it is lost */
    char etag[OBJSTORE_ETAG_BYTES];
    uint64_t version; /* at least */
    VEC(struct ctl_block) blocks;
    uint64_t replaced, kept, retired;
};

/* ---- what there was ---- */

/* {"format":1,"version":17,…: of bytes of which the rest may be anything. */
static uint64_t version_in(struct slice text)
{
    static const struct slice member = SLICE_INIT("\"version\":");
    struct slice head = slice_sub(text, 0, 200), digits;
    ptrdiff_t at = slice_find(head, member, 0);
    uint64_t v = 0;
    size_t n = 0;

    if (at < 0)
        return 0;
    digits = slice_from(head, (size_t)at + member.len);
    while (n < digits.len && digits.ptr[n] >= '0' && digits.ptr[n] <= '9')
        n++;
    return slice_to_u64(slice_sub(digits, 0, n), &v) ? v : 0;
}

static struct err *salvage_version(struct rebuilding *rb)
{
    char *key = arena_printf(rb->c->arena, "metrics/%.*s/catalogue", SLICE_ARG(rb->tenant));
    struct buf b = {0};
    struct err *e =
        objstore_get(rb->c->store, slice_cstr(key),
                     &(struct objstore_get){.max_bytes = CATALOGUE_MAX_BYTES}, &b, NULL);

    rb->version = (uint64_t)(clock_wall_ms(&clock_system) / MS_PER_S);
    if (!e)
        rb->version = ORR_MAX(rb->version, version_in(buf_slice(&b)));
    if (rb->version > MOST_VERSION) /* nobody has written so many: it is damaged, too */
        rb->version = (uint64_t)(clock_wall_ms(&clock_system) / MS_PER_S);
    buf_done(&b);
    if (!err_is(e, ERR_NOT_FOUND))
        return e;
    err_free(e);
    return NULL;
}

static struct err *read_old(struct rebuilding *rb)
{
    struct err *e = catalogue_stat(rb->c->store, CTL_SIGNAL, rb->tenant, rb->etag);

    if (e)
        return e;
    if (!rb->etag[0]) {
        ctl_say("there is no catalogue");
        return salvage_version(rb);
    }
    e = catalogue_load(rb->c->store, CTL_SIGNAL, rb->tenant, &rb->old);
    if (!e) {
        rb->version = catalogue_version(rb->old);
        return NULL;
    }
    if (!err_is(e, ERR_CORRUPT) && !err_is(e, ERR_INVALID))
        return e;
    ctl_say("the catalogue cannot be read: %s", err_msg(e));
    err_free(e);
    return salvage_version(rb);
}

/* ---- what there is ---- */

static struct err *load_block(struct rebuilding *rb, struct slice dir)
{
    struct ctl_block b;
    struct err *e = ctl_block_load(rb->c, rb->c->arena, dir, &b);

    if (rb->old && catalogue_is_retired(rb->old, b.ulid)) {
        err_free(e);
        return NULL;
    }
    if (!e && b.meta.tenant.len && !slice_eq(b.meta.tenant, rb->tenant))
        e = err_new(ERR_CORRUPT, "meta.json: it says it is of tenant %.*s",
                    SLICE_ARG(b.meta.tenant));
    if (!e)
        e = ctl_block_check(&b);
    if (!e) {
        vec_push(&rb->blocks, b);
    } else if (err_is(e, ERR_NOT_FOUND)) {
        ctl_say("block %s: left out: it has no meta.json, so its upload never ended",
                ulid_print(b.ulid).s);
        err_free(e);
    } else if (err_is(e, ERR_CORRUPT) || err_is(e, ERR_UNSUPPORTED)) {
        ctl_wrong(rb->c, "block %s: left out: %s", ulid_print(b.ulid).s, err_msg(e));
        err_free(e);
    } else {
        return e;
    }
    return NULL;
}

static struct err *load_blocks(struct rebuilding *rb)
{
    char *parent = arena_printf(rb->c->arena, "metrics/%.*s", SLICE_ARG(rb->tenant));
    struct ctl_progress p;
    struct slice *dirs;
    struct err *e;
    size_t n;

    if ((e = ctl_block_dirs(rb->c, rb->c->arena, slice_cstr(parent), &dirs, &n)))
        return e;
    ctl_progress_begin(&p, "looking at blocks", n, false);
    for (size_t i = 0; !e && i < n; i++) {
        e = load_block(rb, dirs[i]);
        ctl_progress_add(&p, 1);
    }
    ctl_progress_end(&p);
    return e;
}

/* ---- which of them are inputs of others ---- */

static bool has_source(const struct block_meta *m, struct ulid ulid)
{
    for (size_t i = 0; i < m->n_sources; i++)
        if (ulid_eq(m->sources[i], ulid))
            return true;
    return false;
}

static bool has_sources_of(const struct block_meta *out, const struct block_meta *in)
{
    for (size_t i = 0; i < in->n_sources; i++)
        if (!has_source(out, in->sources[i]))
            return false;
    return in->n_sources != 0;
}

static bool is_made_of(const struct block_meta *out, const struct block_meta *in)
{
    if (ulid_eq(out->ulid, in->ulid) || out->resolution_ms != in->resolution_ms)
        return false;
    for (size_t i = 0; i < out->n_parents; i++)
        if (ulid_eq(out->parents[i].ulid, in->ulid))
            return true;
    return out->level > in->level && out->min_t <= in->min_t && out->max_t >= in->max_t &&
           has_sources_of(out, in);
}

/* All shards of an output in which m's samples are: of a block in shards, its own shard alone. */
static bool has_all_shards(const struct rebuilding *rb, const struct block_meta *out,
                           const struct block_meta *in)
{
    uint32_t found = 0;

    if (out->shards <= 1 || (in->shards == out->shards && in->shard == out->shard))
        return true;
    for (uint32_t s = 0; s < out->shards; s++)
        VEC_FOREACH (b, &rb->blocks)
            if (b->meta.shards == out->shards && b->meta.shard == s && is_made_of(&b->meta, in)) {
                found++;
                break;
            }
    return found == out->shards;
}

static bool is_replaced(const struct rebuilding *rb, const struct block_meta *m)
{
    VEC_FOREACH (b, &rb->blocks)
        if (is_made_of(&b->meta, m) && has_all_shards(rb, &b->meta, m))
            return true;
    return false;
}

/* Whether some block that is kept has what m has: of blocks that claim to be made of one another none would be. Those looked at
 * are marked in seen. */
static bool is_in_kept(const struct rebuilding *rb, const struct block_meta *m, bool *seen)
{
    for (size_t i = 0; i < rb->blocks.len; i++) {
        const struct block_meta *out = &rb->blocks.ptr[i].meta;

        if (seen[i] || !is_made_of(out, m) || !has_all_shards(rb, out, m))
            continue;
        seen[i] = true;
        if (!is_replaced(rb, out) || is_in_kept(rb, out, seen))
            return true;
    }
    return false;
}

static bool is_left_out(const struct rebuilding *rb, const struct block_meta *m)
{
    bool *seen, ret;

    if (!is_replaced(rb, m))
        return false;
    seen = mem_new_array(bool, rb->blocks.len + 1);
    ret = is_in_kept(rb, m, seen);
    mem_free(seen);
    return ret;
}

static bool has_inputs(const struct rebuilding *rb, const struct block_meta *m)
{
    VEC_FOREACH (b, &rb->blocks)
        if (is_made_of(m, &b->meta))
            return true;
    return false;
}

static struct err *check_whole(struct rebuilding *rb, const struct ctl_block *b)
{
    struct ctl_copy copy = {.path = NULL};
    struct err *e = ctl_copy_make(rb->c, b->dir, b->ulid, &copy);

    if (!e)
        e = ctl_whole_check(copy.path, &b->meta, b->meta.external);
    ctl_copy_done(&copy);
    return e;
}

/* Inputs are left out for an output, and deleted in the end: it has to be whole to its last byte. */
static struct err *check_outputs(struct rebuilding *rb)
{
    for (size_t i = 0; i < rb->blocks.len;) {
        struct ctl_block *b = &rb->blocks.ptr[i];
        struct err *e = has_inputs(rb, &b->meta) ? check_whole(rb, b) : NULL;

        if (e && !err_is(e, ERR_CORRUPT) && !err_is(e, ERR_NOT_FOUND))
            return e;
        if (!e) {
            i++;
            continue;
        }
        ctl_wrong(rb->c, "block %s: left out: %s", ulid_print(b->ulid).s, err_msg(e));
        err_free(e);
        vec_remove_swap(&rb->blocks, i);
    }
    return NULL;
}

/* ---- the new one ---- */

/* A segment that its ingester uploaded by itself is its own source (ingester/flush_upload.c). */
static void add_block(struct rebuilding *rb, const struct ctl_block *found)
{
    const struct block_meta *m = &found->meta;
    const struct catalogue_block *was = rb->old ? catalogue_find(rb->old, m->ulid) : NULL;
    struct ulid_text text = ulid_print(m->ulid);
    struct slice segment = slice_cstr(text.s);
    struct catalogue_block b = catalogue_block_of_meta(m);

    if (!b.bytes)
        b.bytes = found->bytes;
    if (!b.n_segments && slice_eq(m->origin, SLICE("ingester"))) {
        b.segments = &segment;
        b.n_segments = 1;
    }
    catalogue_add(rb->new, was && !was->dir.len ? was : &b);
}

static void add_blocks(struct rebuilding *rb, int64_t now_ms)
{
    VEC_FOREACH (b, &rb->blocks) {
        if (!is_left_out(rb, &b->meta)) {
            add_block(rb, b);
            continue;
        }
        ctl_say("block %s: left out: another one was made of it", ulid_print(b->ulid).s);
        rb->replaced += catalogue_retire_orphan(rb->new, b->ulid, now_ms);
    }
}

static struct err *keep_adopted(struct rebuilding *rb, const struct catalogue_block *b)
{
    struct arena *a = arena_new(0);
    struct ctl_block at;
    struct err *e;

    if (!(e = ctl_block_load(rb->c, a, b->dir, &at)))
        e = ctl_block_check(&at);
    if (!e) {
        catalogue_add(rb->new, b);
        rb->kept++;
    } else if (err_is(e, ERR_NOT_FOUND) || err_is(e, ERR_CORRUPT)) {
        ctl_wrong(rb->c, "%.*s: adopted, and left out now: %s", SLICE_ARG(b->dir), err_msg(e));
        err_free(e);
        e = NULL;
    }
    arena_free(a);
    return e;
}

static struct err *keep_old(struct rebuilding *rb)
{
    const struct catalogue_retired *r;
    const struct catalogue_block *b;
    struct err *e = NULL;
    size_t n, n_retired;

    if (!rb->old) {
        ctl_say(
            "blocks that were adopted in place are to be adopted again (orreryctl bucket adopt)");
        return NULL;
    }
    b = catalogue_blocks(rb->old, &n);
    for (size_t i = 0; !e && i < n; i++) {
        if (b[i].dir.len)
            e = keep_adopted(rb, &b[i]);
        else if (!catalogue_find(rb->new, b[i].ulid) && !catalogue_is_retired(rb->new, b[i].ulid))
            ctl_wrong(rb->c, "block %s: it was live, and is not in the bucket whole",
                      ulid_print(b[i].ulid).s);
    }
    r = catalogue_retired(rb->old, &n_retired);
    for (size_t i = 0; i < n_retired; i++)
        rb->retired += catalogue_retire_again(rb->new, &r[i]);
    catalogue_copy_expired(rb->new, rb->old);
    return e;
}

static struct err *put_new(struct rebuilding *rb)
{
    size_t n;
    struct err *e = NULL;

    (void)catalogue_blocks(rb->new, &n);
    catalogue_raise(rb->new, rb->version);
    if (!rb->c->opts.is_dry && !(e = catalogue_replace(rb->c->store, rb->etag, rb->new)))
        e = ctl_send_news(rb->c, rb->tenant);
    if (err_is(e, ERR_CONFLICT))
        return err_wrap(e, "somebody changed the catalogue meanwhile, so nothing was done");
    if (!e)
        ctl_say(
            "%s: %zu blocks, of them %llu adopted; %llu retired, of them %llu just now; version "
            "%llu",
            rb->c->opts.is_dry ? "the catalogue would be" : "the catalogue is", n,
            (unsigned long long)rb->kept, (unsigned long long)(rb->retired + rb->replaced),
            (unsigned long long)rb->replaced,
            (unsigned long long)(catalogue_version(rb->new) + rb->c->opts.is_dry));
    return e;
}

struct err *ctl_bucket_rebuild(struct ctl *c)
{
    struct rebuilding rb = {.c = c, .tenant = slice_cstr(c->args[0])};
    struct err *e;

    rb.new = catalogue_new(CTL_SIGNAL, rb.tenant);
    if (!(e = read_old(&rb)) && !(e = load_blocks(&rb)) && !(e = check_outputs(&rb))) {
        add_blocks(&rb, clock_wall_ms(&clock_system));
        if (!(e = keep_old(&rb)))
            e = put_new(&rb);
    }
    vec_done(&rb.blocks);
    catalogue_free(rb.old);
    catalogue_free(rb.new);
    return e;
}
