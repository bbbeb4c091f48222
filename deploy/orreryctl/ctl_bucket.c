/* bucket ls, bucket inspect. */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/reader.h"
#include "common/block/block_store.h"
#include "deploy/orreryctl/ctl_block.h"
#include "deploy/orreryctl/ctl_show.h"

/* ---- ls ---- */

static const char *text_of(struct arena *a, struct slice s)
{
    return s.len ? arena_cstr(a, s) : NULL;
}

static const char *labels_of(struct arena *a, struct labels ls)
{
    struct buf b = {0};
    const char *text = NULL;

    if (ls.n) {
        labels_text(&b, ls);
        text = arena_cstr(a, buf_slice(&b));
    }
    buf_done(&b);
    return text;
}

static const char *i64_of(struct arena *a, int64_t n)
{
    return arena_printf(a, "%lld", (long long)n);
}

static struct err *add_tenant(struct ctl *c, struct ctl_table *t, struct slice signal,
                              struct slice tenant)
{
    struct arena *a = c->arena;
    int64_t min_t = INT64_MAX, max_t = INT64_MIN;
    uint64_t samples = 0, bytes = 0;
    const struct catalogue_block *b;
    struct catalogue *cat;
    struct err *e;
    size_t n, n_retired;

    if ((e = catalogue_load(c->store, signal, tenant, &cat)))
        return e;
    b = catalogue_blocks(cat, &n);
    (void)catalogue_retired(cat, &n_retired);
    for (size_t i = 0; i < n; i++) {
        min_t = ORR_MIN(min_t, b[i].min_t);
        max_t = ORR_MAX(max_t, b[i].max_t);
        samples += b[i].samples;
        bytes += b[i].bytes;
    }
    ctl_table_row(t, (const char *const[]){arena_cstr(a, tenant), ctl_u64(a, n),
                                           ctl_u64(a, n_retired), n ? ctl_time(a, min_t) : NULL,
                                           n ? ctl_time(a, max_t) : NULL, ctl_u64(a, samples),
                                           ctl_u64(a, bytes), ctl_u64(a, catalogue_version(cat))});
    catalogue_free(cat);
    return NULL;
}

static struct err *ls_tenants(struct ctl *c, struct slice signal)
{
    struct ctl_table t;
    struct slice *tenants;
    struct err *e;
    size_t n;

    ctl_table_init(&t, c->arena, "tenant #blocks #retired from to #samples #bytes #version");
    if ((e = catalogue_tenants(c->store, c->arena, signal, &tenants, &n)))
        return e;
    for (size_t i = 0; i < n; i++)
        if ((e = add_tenant(c, &t, signal, tenants[i]))) {
            ctl_wrong(c, "tenant %.*s: %s", SLICE_ARG(tenants[i]), err_msg(e));
            err_free(e);
        }
    ctl_table_print(&t, c->opts.is_json);
    return NULL;
}

static void add_block(struct ctl_table *t, struct arena *a, const struct catalogue_block *b)
{
    ctl_table_row(t,
                  (const char *const[]){
                      arena_strdup(a, ulid_print(b->ulid).s), ctl_time(a, b->min_t),
                      ctl_time(a, b->max_t), i64_of(a, b->level), ctl_u64(a, b->series),
                      ctl_u64(a, b->samples), ctl_u64(a, b->bytes), i64_of(a, b->resolution_ms),
                      b->shards > 1 ? arena_printf(a, "%u of %u", b->shard + 1, b->shards) : NULL,
                      b->is_pinned ? "yes" : NULL, labels_of(a, b->labels), text_of(a, b->dir)});
}

static struct err *ls_blocks(struct ctl *c, struct slice signal, struct slice tenant)
{
    const struct catalogue_block *b;
    struct catalogue *cat;
    struct ctl_table t;
    struct err *e;
    size_t n;

    ctl_table_init(
        &t, c->arena,
        "block from to #level #series #samples #bytes #resolution shard pinned labels where");
    if ((e = catalogue_load(c->store, signal, tenant, &cat)))
        return e;
    b = catalogue_blocks(cat, &n);
    for (size_t i = 0; i < n; i++)
        add_block(&t, c->arena, &b[i]);
    ctl_table_print(&t, c->opts.is_json);
    catalogue_free(cat);
    return NULL;
}

struct err *ctl_bucket_ls(struct ctl *c)
{
    struct slice signal;
    struct err *e = ctl_signal(c, &signal);

    if (e)
        return e;
    return c->n_args ? ls_blocks(c, signal, slice_cstr(c->args[0])) : ls_tenants(c, signal);
}

/* ---- inspect ---- */

/* X(name): what the index' table of contents names, in the order of its offsets. */
static const char *const toc_names[] = {"symbols",       "series",   "label indices",
                                        "label offsets", "postings", "postings table"};
#define TOC_BYTES (6 * 8 + 4)

static int cmp_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* Each section reaches to where the next one begins. */
static void add_sections(struct ctl_table *t, struct arena *a, struct slice toc, uint64_t end)
{
    struct reader in = reader_new(toc);
    uint64_t at[ORR_COUNT(toc_names)], sorted[ORR_COUNT(toc_names) + 1];

    for (size_t i = 0; i < ORR_COUNT(toc_names); i++)
        sorted[i] = at[i] = reader_u64be(&in);
    sorted[ORR_COUNT(toc_names)] = end;
    qsort(sorted, ORR_COUNT(sorted), sizeof(*sorted), cmp_u64);
    for (size_t i = 0; i < ORR_COUNT(toc_names); i++) {
        uint64_t next = end;

        if (!at[i]) /* there is none */
            continue;
        for (size_t k = ORR_COUNT(sorted); k > 0; k--)
            if (sorted[k - 1] > at[i])
                next = sorted[k - 1];
        ctl_table_row(t, (const char *const[]){arena_printf(a, "index: %s", toc_names[i]),
                                               ctl_u64(a, next - ORR_MIN(next, at[i]))});
    }
}

static struct err *add_index(struct ctl *c, struct ctl_table *t, struct slice dir)
{
    char *key = arena_printf(c->arena, "%.*s/index", SLICE_ARG(dir));
    struct objstore_info info;
    struct buf b = {0};
    struct err *e = objstore_stat(c->store, slice_cstr(key), &info);

    if (!e && info.bytes < TOC_BYTES)
        e = err_new(ERR_CORRUPT, "index: it is too short");
    if (!e)
        e = objstore_get(c->store, slice_cstr(key),
                         &(struct objstore_get){.off = info.bytes - TOC_BYTES, .len = TOC_BYTES},
                         &b, NULL);
    if (!e)
        add_sections(t, c->arena, buf_slice(&b), info.bytes - TOC_BYTES);
    buf_done(&b);
    return e;
}

static void inspect_json(const struct ctl_table *meta, const struct ctl_table *files)
{
    struct buf b = {0};

    buf_str(&b, "{\"facts\": ");
    ctl_table_json(meta, &b);
    buf_str(&b, ",\"parts\": ");
    ctl_table_json(files, &b);
    buf_str(&b, "}\n");
    fputs(buf_cstr(&b), stdout);
    buf_done(&b);
}

static void add_fact(struct ctl_table *t, const char *name, const char *value)
{
    if (value)
        ctl_table_row(t, (const char *const[]){name, value});
}

static const char *parents_of(struct arena *a, const struct block_meta *m)
{
    const char *text = NULL;

    for (size_t i = 0; i < m->n_parents; i++)
        text = arena_printf(a, "%s%s%s", text ? text : "", text ? " " : "",
                            ulid_print(m->parents[i].ulid).s);
    return text;
}

static const char *segments_of(struct arena *a, const struct block_meta *m)
{
    const char *text = NULL;

    for (size_t i = 0; i < m->n_segments; i++)
        text = arena_printf(a, "%s%s%.*s", text ? text : "", text ? " " : "",
                            SLICE_ARG(m->segments[i]));
    return text;
}

static void add_meta(struct ctl_table *t, struct arena *a, const struct block_meta *m)
{
    add_fact(t, "from", ctl_time(a, m->min_t));
    add_fact(t, "to", ctl_time(a, m->max_t));
    add_fact(t, "level", i64_of(a, m->level));
    add_fact(t, "series", ctl_u64(a, m->stats.series));
    add_fact(t, "samples", ctl_u64(a, m->stats.samples));
    add_fact(t, "float samples", ctl_u64(a, m->stats.float_samples));
    add_fact(t, "histogram samples", ctl_u64(a, m->stats.histogram_samples));
    add_fact(t, "chunks", ctl_u64(a, m->stats.chunks));
    add_fact(t, "tombstones", ctl_u64(a, m->stats.tombstones));
    add_fact(t, "written by", text_of(a, m->origin));
    add_fact(t, "resolution in ms", m->resolution_ms ? i64_of(a, m->resolution_ms) : NULL);
    add_fact(t, "shard",
             m->shards > 1 ? arena_printf(a, "%u of %u", m->shard + 1, m->shards) : NULL);
    add_fact(t, "external labels", labels_of(a, m->external));
    add_fact(t, "sources", ctl_u64(a, m->n_sources));
    add_fact(t, "parents", parents_of(a, m));
    add_fact(t, "segments", segments_of(a, m));
}

static const char *state_of(const struct catalogue *cat, struct ulid ulid)
{
    if (catalogue_find(cat, ulid))
        return "live";
    return catalogue_is_retired(cat, ulid) ? "retired" : "not there";
}

static struct slice dir_of(struct arena *a, const struct catalogue *cat, struct ulid ulid)
{
    const struct catalogue_block *b = catalogue_find(cat, ulid);

    return block_store_dir(a, cat, ulid, b ? b->dir : SLICE_EMPTY);
}

struct err *ctl_bucket_inspect(struct ctl *c)
{
    struct arena *a = c->arena;
    struct ctl_table facts, parts;
    struct catalogue *cat;
    struct ctl_block b = {.n_files = 0};
    struct ulid ulid;
    struct slice dir, signal;
    struct err *e;

    if (!ulid_parse(slice_cstr(c->args[1]), &ulid))
        return ctl_usage(c, "that is no ULID");
    if ((e = ctl_signal(c, &signal)) ||
        (e = catalogue_load(c->store, signal, slice_cstr(c->args[0]), &cat)))
        return e;
    ctl_table_init(&facts, a, "fact value");
    ctl_table_init(&parts, a, "part #bytes");
    dir = arena_dup(a, dir_of(a, cat, ulid));
    add_fact(&facts, "block", c->args[1]);
    add_fact(&facts, "where", arena_cstr(a, dir));
    add_fact(&facts, "in the catalogue", state_of(cat, ulid));
    catalogue_free(cat);
    if ((e = ctl_block_load(c, a, dir, &b)))
        return e;
    add_meta(&facts, a, &b.meta);
    for (size_t i = 0; i < b.n_files; i++)
        ctl_table_row(&parts, (const char *const[]){arena_cstr(a, b.files[i].path),
                                                    ctl_u64(a, b.files[i].bytes)});
    if ((e = add_index(c, &parts, dir)))
        return e;
    if (c->opts.is_json) {
        inspect_json(&facts, &parts);
        return NULL;
    }
    ctl_table_print(&facts, false);
    printf("\n");
    ctl_table_print(&parts, false);
    return NULL;
}
