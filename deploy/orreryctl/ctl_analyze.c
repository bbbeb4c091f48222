/* tsdb analyze: what is in a block, and what of it costs. */
#include <stdlib.h>

#include "common/base/map.h"
#include "common/base/vec.h"
#include "common/block/block_store.h"
#include "deploy/orreryctl/ctl_block.h"
#include "deploy/orreryctl/ctl_show.h"

#define CHURN_MS                                                                                   \
    (5 * 60 *                                                                                      \
     1000) /* a series that is away from an end of the block for longer begins (ends) inside */
#define MAX_LIMIT 100000

struct count {
    struct slice text;
    uint64_t n, bytes;
};

struct analysis {
    struct ctl *c;
    const struct block_reader *r;
    struct arena *arena, *one;
    struct map metrics, pairs; /* struct count in the arena */
    struct map churn;          /* metrics whose series begin or end inside */
    uint64_t series, begin, end, both, chunks, chunk_bytes, samples;
    uint64_t by_encoding[256];
    VEC(uint32_t) sizes, fills; /* of chunks: bytes, samples */
    size_t limit;
};

static struct count *count_of(struct analysis *x, struct map *m, struct slice text)
{
    void **slot = map_slot(m, text);
    struct count *k = *slot;

    if (!k) {
        *slot = k = arena_new_of(x->arena, struct count);
        k->text = arena_dup(x->arena, text);
    }
    return k;
}

/* ---- reading ---- */

static void count_labels(struct analysis *x, struct labels ls)
{
    struct buf b = {0};

    for (size_t i = 0; i < ls.n; i++) {
        buf_reset(&b);
        buf_printf(&b, "%.*s=", SLICE_ARG(ls.ptr[i].name));
        buf_json_str(&b, ls.ptr[i].value);
        count_of(x, &x->pairs, buf_slice(&b))->n++;
    }
    buf_done(&b);
}

static struct err *count_chunks(struct analysis *x, const struct block_reader_series *s)
{
    struct chunk *c = arena_array(x->one, struct chunk, s->n_chunks);
    struct err *e = block_reader_chunks(x->r, x->one, s->chunks, s->n_chunks, c);

    for (size_t i = 0; !e && i < s->n_chunks; i++) {
        x->by_encoding[c[i].encoding]++;
        x->chunk_bytes += c[i].data.len;
        x->samples += chunk_points(c[i].encoding, c[i].data);
        vec_push(&x->sizes, (uint32_t)c[i].data.len);
        vec_push(&x->fills, (uint32_t)chunk_points(c[i].encoding, c[i].data));
    }
    x->chunks += s->n_chunks;
    return e;
}

static void count_churn(struct analysis *x, const struct block_reader_series *s)
{
    const struct block_meta *m = block_reader_meta(x->r);
    bool begins, ends;

    if (!s->n_chunks)
        return;
    begins = s->chunks[0].min_t > m->min_t + CHURN_MS;
    ends = s->chunks[s->n_chunks - 1].max_t < m->max_t - CHURN_MS;
    x->begin += begins;
    x->end += ends;
    x->both += begins && ends;
    if (begins || ends)
        count_of(x, &x->churn, labels_get(s->labels, SLICE(LABEL_NAME)))->n++;
}

static struct err *read_series(struct analysis *x)
{
    struct arena *a = arena_new(0);
    struct block_reader_series s;
    struct block_refs refs;
    struct ctl_progress p;
    struct err *e = block_reader_select(x->r, a, (struct matchers){.n = 0}, &refs);

    ctl_progress_begin(&p, "reading series", e ? 0 : refs.n, false);
    for (size_t i = 0; !e && i < refs.n; i++) {
        arena_reset(x->one);
        if ((e = block_reader_series(x->r, x->one, refs.ptr[i], &s)))
            break;
        count_labels(x, s.labels);
        count_of(x, &x->metrics, labels_get(s.labels, SLICE(LABEL_NAME)))->n++;
        count_churn(x, &s);
        e = count_chunks(x, &s);
        ctl_progress_add(&p, 1);
    }
    x->series = e ? 0 : refs.n;
    ctl_progress_end(&p);
    arena_free(a);
    return e;
}

/* ---- showing ---- */

static int by_count(const void *a, const void *b)
{
    const struct count *x = a, *y = b;

    if (x->n != y->n)
        return x->n > y->n ? -1 : 1;
    return slice_cmp(x->text, y->text);
}

static void show_counts(struct analysis *x, const char *title, const char *columns,
                        struct count *all, size_t n)
{
    struct ctl_table t;

    ctl_say("\n%s", title);
    ctl_table_init(&t, x->arena, columns);
    if (n)
        qsort(all, n, sizeof(*all), by_count);
    for (size_t i = 0; i < n && i < x->limit; i++)
        ctl_table_row(&t, (const char *const[]){arena_cstr(x->arena, all[i].text),
                                                ctl_u64(x->arena, all[i].n),
                                                ctl_u64(x->arena, all[i].bytes)});
    ctl_table_print(&t, false);
    if (n > x->limit)
        ctl_say("and %zu more (--limit)", n - x->limit);
}

static void show_map(struct analysis *x, const char *title, const char *columns,
                     const struct map *m)
{
    struct count *all = arena_array(x->arena, struct count, m->len);
    size_t n = 0;

    MAP_FOREACH (e, m)
        all[n++] = *(struct count *)e->value;
    show_counts(x, title, columns, all, n);
}

static struct err *show_names(struct analysis *x)
{
    struct block_names names, values;
    struct count *all;
    struct err *e = block_reader_label_names(x->r, x->arena, &names);

    if (e)
        return e;
    all = arena_array(x->arena, struct count, names.n);
    for (size_t i = 0; i < names.n; i++) {
        struct arena *a = arena_new(0);

        all[i].text = names.ptr[i];
        e = block_reader_label_values(x->r, a, names.ptr[i], &values);
        all[i].n = e ? 0 : values.n;
        for (size_t k = 0; k < all[i].n; k++)
            all[i].bytes += values.ptr[k].len;
        arena_free(a);
        if (e)
            return e;
    }
    show_counts(x, "Label names by the number of their values", "name #values #bytes", all,
                names.n);
    return NULL;
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void show_spread(const char *what, uint32_t *v, size_t n)
{
    if (!n)
        return;
    qsort(v, n, sizeof(*v), by_size);
    ctl_say("%s: least %u, half below %u, 90%% below %u, 99%% below %u, most %u", what, v[0],
            v[n / 2], v[n - 1 - n / 10], v[n - 1 - n / 100], v[n - 1]);
}

static void show_summary(struct analysis *x)
{
    const struct block_meta *m = block_reader_meta(x->r);
    struct arena *a = x->arena;

    ctl_say("block %s, %s to %s", ulid_print(m->ulid).s, ctl_time(a, m->min_t),
            ctl_time(a, m->max_t));
    ctl_say("series %llu, samples %llu, chunks %llu of %s (%.2f bytes a sample)",
            (unsigned long long)x->series, (unsigned long long)x->samples,
            (unsigned long long)x->chunks, ctl_bytes(a, x->chunk_bytes),
            x->samples ? (double)x->chunk_bytes / (double)x->samples : 0);
    ctl_say("churn: %llu series begin inside the block, %llu end inside, %llu do both",
            (unsigned long long)x->begin, (unsigned long long)x->end, (unsigned long long)x->both);
    ctl_say("\nChunks");
    for (size_t i = 0; i < 256; i++)
        if (x->by_encoding[i])
            ctl_say("encoding %s: %llu", chunk_encoding_name((uint8_t)i),
                    (unsigned long long)x->by_encoding[i]);
    show_spread("bytes", x->sizes.ptr, x->sizes.len);
    show_spread("samples", x->fills.ptr, x->fills.len);
}

static struct err *analyze(struct ctl *c, const char *path, struct labels labels, size_t limit)
{
    const struct block_reader_opts opts = {.external = labels};
    struct analysis x = {.c = c, .arena = c->arena, .one = arena_new(0), .limit = limit};
    struct block_reader *r = NULL;
    struct block_source *src;
    struct err *e = block_source_dir(path, &src);

    if (!e && !(e = block_reader_open(src, &opts, &r))) {
        x.r = r;
        e = read_series(&x);
    }
    if (!e) {
        show_summary(&x);
        if (!(e = show_names(&x))) {
            show_map(&x, "Label pairs by series", "pair #series", &x.pairs);
            show_map(&x, "Metrics by series", "metric #series", &x.metrics);
            show_map(&x, "Metrics by series that begin or end inside", "metric #series", &x.churn);
        }
    }
    block_reader_close(r);
    map_done(&x.metrics);
    map_done(&x.pairs);
    map_done(&x.churn);
    vec_done(&x.sizes);
    vec_done(&x.fills);
    arena_free(x.one);
    return e;
}

static struct err *analyze_stored(struct ctl *c, struct ulid ulid, size_t limit)
{
    struct slice tenant = slice_cstr(c->opts.tenant);
    const struct catalogue_block *b;
    struct ctl_copy copy = {.path = NULL};
    struct catalogue *cat;
    struct slice dir;
    struct err *e = catalogue_load(c->store, CTL_SIGNAL, tenant, &cat);

    if (e)
        return e;
    b = catalogue_find(cat, ulid);
    dir = block_store_dir(c->arena, cat, ulid, b ? b->dir : SLICE_EMPTY);
    if (!(e = ctl_copy_make(c, dir, ulid, &copy)))
        e = analyze(c, copy.path, b ? b->labels : (struct labels){.n = 0}, limit);
    ctl_copy_done(&copy);
    catalogue_free(cat);
    return e;
}

struct err *ctl_tsdb_analyze(struct ctl *c)
{
    uint64_t limit = 10;
    struct ulid ulid;

    if (c->opts.limit && (!slice_to_u64(slice_cstr(c->opts.limit), &limit) || limit > MAX_LIMIT))
        return ctl_usage(c, "--limit is a number");
    if (!c->opts.tenant)
        return analyze(c, c->args[0], (struct labels){.n = 0}, (size_t)limit);
    if (!ulid_parse(slice_cstr(c->args[0]), &ulid))
        return ctl_usage(c, "that is no ULID");
    return analyze_stored(c, ulid, (size_t)limit);
}
