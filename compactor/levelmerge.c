#include "compactor/levelmerge.h"

#include <stdlib.h>

#include "common/base/fsx.h"
#include "common/base/log.h"
#include "common/base/metric.h"
#include "common/base/vec.h"
#include "common/block/block_store.h"
#include "common/block/tiers.h"
#include "compactor/downsample.h"

#define ATTEMPTS 2 /* at bytes that came wrong */

struct merging {
    const struct levelmerge_opts *opts;
    const struct levels_job *job;
    struct slice tenant;
    struct arena *arena;
    int64_t now_ms;
    const char *dir;
    struct blockmake_input *inputs; /* of all that are open so far */
    size_t n;
    struct tombstone_list *tombs; /* what is left out */
    struct slice *anew;           /* segments that the output does not name: sorted */
    size_t n_anew;
    struct ulid block, bad; /* the first: the job's name */
    const char *bad_reason;
    struct block_meta made[LEVELS_MAX_SHARDS]; /* with series; or one without any */
    size_t n_made, n_written;                  /* the others an earlier attempt has uploaded */
};

static struct err *load_catalogue(const struct merging *m, struct catalogue **ret)
{
    return catalogue_load(m->opts->store, signal_name(m->opts->signal), m->tenant, ret);
}

/* ---- inputs ---- */

static struct err *open_once(struct merging *m, const struct catalogue_block *b,
                             struct blockmake_input *in)
{
    const char *parent = arena_printf(m->arena, "%s/in", m->dir);
    struct slice from =
        b->dir.len ? b->dir
                   : block_store_prefix(m->arena, signal_name(m->opts->signal), m->tenant, b->ulid);
    struct err *e;

    if ((e = fsx_remove_tree(in->dir)) || (e = fsx_mkdirs(parent)) ||
        (e = block_store_download(m->opts->store, from, b->ulid, parent)))
        return e;
    METRIC_ADD(m->opts->metrics->read_bytes, b->bytes);
    return m->opts->signal->open_block(in, m->tenant, b->labels);
}

static bool is_wrong_bytes(const struct err *e)
{
    return err_is(e, ERR_CORRUPT) || err_is(e, ERR_INVALID) || err_is(e, ERR_LIMIT) ||
           err_is(e, ERR_TOO_LARGE) || err_is(e, ERR_UNSUPPORTED) || err_is(e, ERR_NOT_FOUND);
}

static struct err *is_live(struct merging *m, struct ulid block, bool *ret)
{
    struct catalogue *c;
    struct err *e = load_catalogue(m, &c);

    if (e)
        return e;
    *ret = catalogue_find(c, block) != NULL;
    catalogue_free(c);
    return NULL;
}

/* Takes e, the fault of an input. What is not there may have been compacted away since the plan. */
static struct err *put_aside(struct merging *m, struct ulid block, struct err *fault)
{
    bool live = true;
    struct err *e = err_is(fault, ERR_NOT_FOUND) ? is_live(m, block, &live) : NULL;

    if (!e && live) {
        METRIC_ADD(m->opts->metrics->bad_blocks, 1);
        LOG_ERROR(compactor, "block does not verify, it is left out of compaction",
                  KV_SLICE("tenant", m->tenant), KV_STR("block", ulid_print(block).s),
                  KV_ERR(fault));
        m->bad = block;
        m->bad_reason = arena_strdup(m->arena, err_msg(fault));
    } else if (!e) {
        METRIC_ADD(m->opts->metrics->outdated, 1);
    }
    err_free(fault);
    return e;
}

/* *ret_ok false: the job is at its end. */
static struct err *open_input(struct merging *m, const struct catalogue_block *b, bool *ret_ok)
{
    struct blockmake_input *in = &m->inputs[m->n];
    struct err *e = NULL;

    *ret_ok = true;
    in->ulid = b->ulid;
    in->dir = arena_printf(m->arena, "%s/in/%s", m->dir, ulid_print(b->ulid).s);
    for (int i = 0; i < ATTEMPTS; i++) {
        err_free(e);
        e = open_once(m, b, in);
        if (!is_wrong_bytes(e))
            break;
    }
    if (!e) {
        METRIC_ADD(m->opts->metrics->inputs, 1);
        m->n++;
        return NULL;
    }
    *ret_ok = false;
    return is_wrong_bytes(e) ? put_aside(m, b->ulid, e) : e;
}

static struct err *open_inputs(struct merging *m, bool *ret_ok)
{
    struct err *e = NULL;

    m->inputs = arena_array(m->arena, struct blockmake_input, m->job->n);
    *ret_ok = true;
    for (size_t i = 0; i < m->job->n && !e && *ret_ok; i++) {
        if (m->opts->stop && atomic_load(m->opts->stop))
            return err_new(ERR_CANCELED, "stopping");
        e = open_input(m, m->job->inputs[i], ret_ok);
        if (m->opts->progress)
            atomic_store_explicit(&m->opts->progress->inputs, i + 1, memory_order_relaxed);
    }
    return e;
}

/* ---- what the output says of itself ---- */

static int cmp_ulid(const void *a, const void *b)
{
    return ulid_cmp(*(const struct ulid *)a, *(const struct ulid *)b);
}

static int cmp_text(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

/* Sorts and drops repeats; returns how many are left. */
static size_t sort_unique(void *items, size_t n, size_t each,
                          int (*cmp)(const void *a, const void *b))
{
    uint8_t *p = items;
    size_t kept = 0;

    if (n)
        qsort(p, n, each, cmp);
    for (size_t i = 0; i < n; i++) {
        if (kept && cmp(p + (kept - 1) * each, p + i * each) == 0)
            continue;
        memmove(p + kept++ * each, p + i * each, each);
    }
    return kept;
}

static void put_sources(struct merging *m, struct block_meta *meta)
{
    struct ulid *sources;
    size_t n = 0;

    for (size_t i = 0; i < m->n; i++)
        n += ORR_MAX(block_reader_meta(m->inputs[i].reader)->n_sources, (size_t)1);
    sources = arena_array(m->arena, struct ulid, n);
    n = 0;
    for (size_t i = 0; i < m->n; i++) {
        const struct block_meta *in = block_reader_meta(m->inputs[i].reader);

        if (in->n_sources == 0)
            sources[n++] = in->ulid;
        for (size_t k = 0; k < in->n_sources; k++)
            sources[n++] = in->sources[k];
    }
    meta->sources = sources;
    meta->n_sources = sort_unique(sources, n, sizeof(*sources), cmp_ulid);
}

static bool is_made_anew(const struct merging *m, struct slice segment)
{
    return m->n_anew && bsearch(&segment, m->anew, m->n_anew, sizeof(segment), cmp_text);
}

/* From the catalogue: what an ingester uploaded by itself has them only there. A block that names none goes by its own
 * id (tiers.h). */
static void put_segments(struct merging *m, struct block_meta *meta)
{
    struct slice *segments;
    size_t n = 0;

    for (size_t i = 0; i < m->job->n; i++)
        n += ORR_MAX(m->job->inputs[i]->n_segments, (size_t)1);
    segments = arena_array(m->arena, struct slice, n);
    n = 0;
    for (size_t i = 0; i < m->job->n; i++) {
        size_t n_names;
        struct slice *names = tier_names_of(m->arena, m->job->inputs[i], &n_names);

        for (size_t k = 0; k < n_names; k++)
            if (!is_made_anew(m, names[k]))
                segments[n++] = names[k];
    }
    meta->segments = segments;
    meta->n_segments = sort_unique(segments, n, sizeof(*segments), cmp_text);
}

static void put_parents(struct merging *m, struct block_meta *meta)
{
    struct block_parent *parents = arena_array(m->arena, struct block_parent, m->n);

    for (size_t i = 0; i < m->n; i++) {
        const struct block_meta *in = block_reader_meta(m->inputs[i].reader);

        parents[i] = (struct block_parent){in->ulid, in->min_t, in->max_t};
        meta->level = ORR_MAX(
            meta->level, ORR_MAX(in->level, m->job->inputs[i]->level) +
                             (m->job->kind != LEVELS_REWRITE && m->job->kind != LEVELS_DOWNSAMPLE));
    }
    meta->parents = parents;
    meta->n_parents = m->n;
}

static struct ulid name_of_shard(const struct merging *m, uint32_t shard)
{
    const uint32_t place[2] = {shard, m->job->shards};
    const struct slice parts[] = {SLICE("split"), slice_of(m->block.bytes, sizeof(m->block.bytes)),
                                  slice_of(place, sizeof(place))};

    return ulid_derive(ulid_time_ms(m->block), parts, ORR_COUNT(parts));
}

/* As meta says. */
static struct err *write_block(struct merging *m, struct block_meta *meta, struct block_meta *ret)
{
    _Atomic uint64_t *done_series = m->opts->progress ? &m->opts->progress->series : NULL;
    const struct blockmake_opts opts = {.inputs = m->inputs,
                                        .n = m->n,
                                        .tombstones = m->tombs,
                                        .keeps_cut = m->job->kind != LEVELS_REWRITE,
                                        .retention = m->opts->retention,
                                        .dir = arena_printf(m->arena, "%s/out", m->dir),
                                        .meta = meta,
                                        .is_split = m->job->shards > 1,
                                        .stop = m->opts->stop,
                                        .done_series = done_series,
                                        .stats = &m->opts->metrics->make};

    if (m->job->kind == LEVELS_DOWNSAMPLE)
        return downsample(&(struct downsample_opts){.input = &m->inputs[0],
                                                    .tombstones = m->tombs,
                                                    .dir = opts.dir,
                                                    .meta = meta,
                                                    .stop = m->opts->stop,
                                                    .done_series = done_series,
                                                    .stats = &m->opts->metrics->make},
                          m->arena, ret);
    return m->opts->signal->make(&opts, m->arena, ret);
}

/* shard: of job->shards; 0 if the job does not split. What an earlier attempt has uploaded is not made again. */
static struct err *find_or_write(struct merging *m, const struct block_meta *common, uint32_t shard,
                                 struct block_meta *ret)
{
    struct block_meta meta = *common;
    bool is_there;
    struct err *e;

    if (m->job->shards > 1) {
        meta.ulid = name_of_shard(m, shard);
        meta.shard = shard;
        meta.shards = m->job->shards;
    }
    e = block_store_find(m->opts->store, signal_name(m->opts->signal), m->tenant, meta.ulid,
                         m->arena, ret, &is_there);
    METRIC_ADD(m->opts->metrics->taken_up, !e && is_there);
    if (e || is_there || (e = write_block(m, &meta, ret)))
        return e;
    m->n_written += ret->stats.series > 0; /* one without any is not always needed */
    return NULL;
}

/* Blocks of no series are not needed, but for one that names the segments. */
static struct err *write_blocks(struct merging *m)
{
    struct block_meta common = {.ulid = m->block,
                                .origin = SLICE("compactor"),
                                .tenant = m->tenant,
                                .resolution_ms = m->job->kind == LEVELS_DOWNSAMPLE
                                                     ? m->job->resolution_ms
                                                     : m->job->inputs[0]->resolution_ms,
                                .shard = m->job->inputs[0]->shard,
                                .shards = m->job->inputs[0]->shards};
    uint32_t shards = ORR_MAX(m->job->shards, 1u);
    struct err *e = NULL;

    put_sources(m, &common);
    put_segments(m, &common);
    put_parents(m, &common);
    for (uint32_t i = 0; i < shards && !e; i++) {
        struct block_meta made;

        if ((e = find_or_write(m, &common, i, &made)))
            break;
        if (made.stats.series || (m->n_made == 0 && i + 1 == shards))
            m->made[m->n_made++] = made;
    }
    return e;
}

/* ---- the bucket ---- */

struct replacement {
    const struct merging *m;
    bool is_there, is_made;           /* before the edit, all of it; by it */
    bool is_known[LEVELS_MAX_SHARDS]; /* before the edit, as live or retired */
};

static bool may_replace(struct replacement *r, const struct catalogue *c)
{
    const struct merging *m = r->m;
    size_t there = 0, live = 0;

    for (size_t i = 0; i < m->n_made; i++) {
        bool is_live = catalogue_find(c, m->made[i].ulid) != NULL;

        there += is_live;
        r->is_known[i] = is_live || catalogue_is_retired(c, m->made[i].ulid);
    }
    for (size_t i = 0; i < m->job->n; i++)
        live += catalogue_find(c, m->job->inputs[i]->ulid) != NULL;
    r->is_there = there == m->n_made;
    return there == 0 && live == m->job->n;
}

static struct err *replace(void *arg, struct catalogue *c, bool *ret_changed)
{
    struct replacement *r = arg;
    const struct merging *m = r->m;
    struct err *e;

    *ret_changed = r->is_made = may_replace(r, c);
    if (!r->is_made)
        return NULL;
    for (size_t i = 0; i < m->n_made; i++)
        if ((e = block_store_addable(m->opts->store, c, &m->made[i])))
            return e;
    for (size_t i = 0; i < m->job->n && m->job->kind != LEVELS_DOWNSAMPLE; i++)
        (void)catalogue_retire(c, m->job->inputs[i]->ulid, m->now_ms);
    for (size_t i = 0; i < m->n_made; i++) {
        struct catalogue_block b = catalogue_block_of_meta(&m->made[i]);

        b.is_pinned = m->job->kind == LEVELS_REWRITE && m->job->inputs[0]->is_pinned;
        catalogue_add(c, &b);
    }
    return NULL;
}

/* An input is gone from the catalogue for good, so nobody can add this block any more. */
static void take_back(struct merging *m, struct ulid block)
{
    struct err *e = block_store_delete(
        m->opts->store,
        block_store_prefix(m->arena, signal_name(m->opts->signal), m->tenant, block));

    if (e)
        LOG_WARN(compactor, "block that is not needed was not deleted",
                 KV_SLICE("tenant", m->tenant), KV_STR("block", ulid_print(block).s), KV_ERR(e));
    err_free(e); /* a sweep finds it */
}

static void sum_up(const struct merging *m, uint64_t version, struct levelmerge_result *ret)
{
    *ret = (struct levelmerge_result){
        .block = m->made[0].ulid, .blocks = m->n_made, .version = version};
    for (size_t i = 0; i < m->n_made; i++) {
        ret->series += m->made[i].stats.series;
        ret->samples += m->made[i].stats.samples;
        ret->bytes += block_meta_bytes(&m->made[i]);
    }
}

static struct err *upload_all(struct merging *m)
{
    struct err *e = NULL;

    for (size_t i = 0; i < m->n_made && !e; i++) {
        const char *dir =
            arena_printf(m->arena, "%s/out/%s", m->dir, ulid_print(m->made[i].ulid).s);

        e = block_store_upload(m->opts->store, signal_name(m->opts->signal), m->tenant, dir,
                               &m->made[i]);
    }
    return e;
}

static void count_waste(const struct merging *m, const struct replacement *r, const struct err *e)
{
    struct blockmake_waste *w = &m->opts->metrics->waste;

    METRIC_ADD(w->failed, e ? m->n_written : 0);
    METRIC_ADD(w->twice, !e && !r->is_made && r->is_there ? m->n_written : 0);
    METRIC_ADD(w->outdated, !e && !r->is_made && !r->is_there ? m->n_written : 0);
}

static struct err *publish(struct merging *m, struct levelmerge_result *ret)
{
    struct levelmerge_metrics *met = m->opts->metrics;
    struct replacement r = {.m = m};
    struct catalogue *c = NULL;
    struct err *e;

    if (!(e = upload_all(m)))
        e = catalogue_update(m->opts->store, signal_name(m->opts->signal), m->tenant, replace, &r,
                             &c);
    count_waste(m, &r, e);
    if (e)
        return e;
    if (r.is_made || r.is_there)
        sum_up(m, catalogue_version(c), ret);
    catalogue_free(c);
    if (r.is_made) {
        METRIC_ADD(met->done, 1);
        METRIC_ADD(met->rewritten, m->job->kind == LEVELS_REWRITE);
        METRIC_ADD(met->split, m->job->shards > 1);
        METRIC_ADD(met->written_bytes, ret->bytes);
        METRIC_ADD(met->samples, ret->samples);
    } else if (r.is_there) {
        METRIC_ADD(met->repeated, 1);
    } else {
        METRIC_ADD(met->outdated, 1);
        for (size_t i = 0; i < m->n_made; i++)
            if (!r.is_known[i])
                take_back(m, m->made[i].ulid);
    }
    return NULL;
}

/* ---- what of a downsampled block is to be made anew ---- */

struct window_list {
    VEC(int64_t) starts;
};

/* Windows of the input that t deletes a part of, if it has any series that t means. */
static struct err *add_cut_windows(struct merging *m, const struct tombstone *t,
                                   struct window_list *io)
{
    const struct blockmake_input *in = &m->inputs[0];
    int64_t each = block_reader_meta(in->reader)->resolution_ms;
    int64_t starts[2] = {tier_window(t->min_ms, each), tier_window(t->max_ms, each)};
    bool is_cut[2] = {starts[0] != t->min_ms, starts[1] + each - 1 != t->max_ms};
    struct block_refs refs = {.n = 0};
    struct err *e = NULL;

    for (int i = 0; i < 2; i++)
        is_cut[i] = is_cut[i] && starts[i] <= in->found.max_t && starts[i] + each > in->found.min_t;
    if (is_cut[0] || is_cut[1])
        e = block_reader_select(in->reader, m->arena, t->matchers, &refs);
    for (int i = 0; i < 2; i++)
        if (refs.n && is_cut[i])
            vec_push(&io->starts, starts[i]);
    return e;
}

static bool is_finer(const struct catalogue_block *b, const struct catalogue_block *than)
{
    return b->resolution_ms < than->resolution_ms && b->shard == than->shard &&
           ORR_MAX(b->shards, 1u) == ORR_MAX(than->shards, 1u);
}

static bool reaches_any(const struct catalogue_block *b, const struct window_list *w,
                        int64_t each_ms)
{
    VEC_FOREACH (start, &w->starts)
        if (b->min_t < *start + each_ms && b->max_t > *start)
            return true;
    return false;
}

/* What live finer blocks name that have samples, or finer points, of those windows. */
static struct err *find_names(struct merging *m, const struct window_list *w)
{
    const struct catalogue_block *in = m->job->inputs[0], *b;
    VEC(struct slice) found = {0};
    struct catalogue *c;
    struct err *e = load_catalogue(m, &c);
    size_t n;

    if (e)
        return e;
    b = catalogue_blocks(c, &n);
    for (size_t i = 0; i < n; i++) {
        size_t n_names = 0;
        struct slice *names = NULL;

        if (is_finer(&b[i], in) && reaches_any(&b[i], w, in->resolution_ms))
            names = tier_names_of(m->arena, &b[i], &n_names);
        for (size_t k = 0; k < n_names; k++)
            vec_push(&found, arena_dup(m->arena, names[k]));
    }
    catalogue_free(c);
    m->n_anew = sort_unique(found.ptr, found.len, sizeof(*found.ptr), cmp_text);
    m->anew = arena_copy(m->arena, found.ptr, m->n_anew);
    vec_done(&found);
    return NULL;
}

/* A window loses its point when any of it is deleted; where what it was made of is there it is not stood for any more. */
static struct err *find_what_is_made_anew(struct merging *m)
{
    struct window_list w = {{0}};
    struct err *e = NULL;
    size_t n;
    const struct tombstone *all = tombstone_list_all(m->tombs, &n);

    for (size_t i = 0; i < n && !e; i++)
        e = add_cut_windows(m, &all[i], &w);
    if (!e && w.starts.len)
        e = find_names(m, &w);
    vec_done(&w.starts);
    return e;
}

/* ---- all of it ---- */

static struct err *take_tombstones(struct merging *m)
{
    struct err *e = signal_tombstones(m->opts->signal, m->opts->store, m->tenant, &m->tombs);

    if (e || m->job->kind != LEVELS_REWRITE || m->job->inputs[0]->resolution_ms == 0)
        return e;
    return find_what_is_made_anew(m);
}

/* What is left out is part of the name. */
static struct ulid name_of(const struct merging *m)
{
    struct ulid id = blockmake_id(m->block, m->tombs, m->inputs, m->n);
    int64_t max_t = INT64_MIN;
    uint64_t hash;

    for (size_t i = 0; i < m->n; i++)
        max_t = ORR_MAX(max_t, m->inputs[i].found.max_t);
    /* what is downsampled is rewritten by itself later */
    if (m->job->kind != LEVELS_DOWNSAMPLE && (hash = retention_hash(m->opts->retention, max_t))) {
        const struct slice parts[] = {SLICE("retention"), slice_of(id.bytes, sizeof(id.bytes)),
                                      slice_of(&hash, sizeof(hash))};

        id = ulid_derive(ulid_time_ms(id), parts, ORR_COUNT(parts));
    }
    for (size_t i = 0; i < m->n_anew; i++) {
        const struct slice parts[] = {SLICE("unnamed"), slice_of(id.bytes, sizeof(id.bytes)),
                                      m->anew[i]};

        id = ulid_derive(ulid_time_ms(id), parts, ORR_COUNT(parts));
    }
    return id;
}

static bool is_any_retired(const struct merging *m, const struct catalogue *c)
{
    for (uint32_t i = 0; i < m->job->shards; i++)
        if (catalogue_is_retired(c, name_of_shard(m, i)))
            return true;
    return catalogue_is_retired(c, m->block);
}

static bool are_live(const struct merging *m, const struct catalogue *c)
{
    for (size_t i = 0; i < m->job->n; i++)
        if (!catalogue_find(c, m->job->inputs[i]->ulid))
            return false;
    return true;
}

/* *ret_ok false: some input is not live any more, so the job is done by others or never will be. */
static struct err *look_first(struct merging *m, bool *ret_ok)
{
    struct catalogue *c;
    struct err *e = load_catalogue(m, &c);

    if (e)
        return e;
    *ret_ok = are_live(m, c);
    catalogue_free(c);
    METRIC_ADD(m->opts->metrics->outdated, !*ret_ok);
    return NULL;
}

/* *ret_ok as above. */
static struct err *take_free_name(struct merging *m, bool *ret_ok)
{
    const struct ulid first = m->block;
    struct catalogue *c;
    struct err *e = load_catalogue(m, &c);

    if (e)
        return e;
    *ret_ok = are_live(m, c);
    METRIC_ADD(m->opts->metrics->outdated, !*ret_ok);
    for (uint32_t i = 1; is_any_retired(m, c); i++)
        m->block = blockmake_again(first, i);
    catalogue_free(c);
    return NULL;
}

/* Of a rewrite: or it would be made again and again. */
static bool leaves_nothing_out(const struct merging *m)
{
    const struct block_stats *in = &block_reader_meta(m->inputs[0].reader)->stats;

    return m->made[0].stats.series == in->series && m->made[0].stats.samples == in->samples;
}

static struct err *merge(struct merging *m, struct levelmerge_result *ret)
{
    struct ulid name;
    bool ok;
    struct err *e = look_first(m, &ok);

    if (e || !ok || (e = open_inputs(m, &ok)) || !ok)
        return e;
    /* before the name, of which they are part */
    if ((e = take_tombstones(m)))
        return e;
    name = name_of(m);
    if (m->job->kind == LEVELS_REWRITE && ulid_eq(name, m->block)) {
        METRIC_ADD(m->opts->metrics->outdated, 1); /* nothing of it is to go any more */
        return NULL;
    }
    m->block = name;
    if ((e = take_free_name(m, &ok)) || !ok || (e = write_blocks(m)))
        return e;
    if (m->job->kind == LEVELS_REWRITE && leaves_nothing_out(m)) {
        METRIC_ADD(m->opts->metrics->outdated, 1);
        METRIC_ADD(m->opts->metrics->waste.nothing, 1);
        return NULL;
    }
    return publish(m, ret);
}

struct err *levelmerge_run(const struct levelmerge_opts *opts, struct slice tenant,
                           const struct levels_job *job, int64_t now_ms, struct arena *a,
                           struct levelmerge_result *ret)
{
    struct merging m = {.opts = opts,
                        .job = job,
                        .tenant = tenant,
                        .arena = a,
                        .now_ms = now_ms,
                        .block = levels_block_id(tenant, job)};
    struct levelmerge_result result = {.version = 0};
    struct err *e, *e2;

    m.dir = arena_printf(a, "%s/%s", opts->work_dir, ulid_print(m.block).s);
    if (!(e = fsx_remove_tree(m.dir)))
        e = merge(&m, &result);
    for (size_t i = 0; i < m.n; i++)
        opts->signal->close(&m.inputs[i]);
    tombstone_list_unref(m.tombs);
    if ((e2 = fsx_remove_tree(m.dir)))
        LOG_WARN(compactor, "working directory not removed", KV_STR("path", m.dir), KV_ERR(e2));
    err_free(e2);
    result.bad = m.bad;
    result.bad_reason = m.bad_reason;
    *ret = result;
    return err_wrap(e, "compact %s of tenant %.*s, %lld to %lld", opts->signal->name,
                    SLICE_ARG(tenant), (long long)job->min_ms, (long long)job->max_ms);
}
