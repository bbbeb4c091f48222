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
    struct buf json;
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
        x->samples += chunk_samples(c[i].data);
        vec_push(&x->sizes, (uint32_t)c[i].data.len);
        vec_push(&x->fills, (uint32_t)chunk_samples(c[i].data));
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

/* ---- showing: tables below titles, or one JSON object ---- */

static int by_count(const void *a, const void *b)
{
    const struct count *x = a, *y = b;

    if (x->n != y->n)
        return x->n > y->n ? -1 : 1;
    return slice_cmp(x->text, y->text);
}

static void show_table(struct analysis *x, const char *name, const char *title,
                       const struct ctl_table *t, size_t n_more)
{
    if (x->c->opts.is_json) {
        buf_printf(&x->json, ",\n\"%s\": ", name);
        ctl_table_json(t, &x->json);
        return;
    }
    ctl_say("\n%s", title);
    ctl_table_print(t, false);
    if (n_more)
        ctl_say("and %zu more (--limit)", n_more);
}

static void show_counts(struct analysis *x, const char *name, const char *title,
                        const char *columns, struct count *all, size_t n)
{
    struct ctl_table t;

    ctl_table_init(&t, x->arena, columns);
    if (n)
        qsort(all, n, sizeof(*all), by_count);
    for (size_t i = 0; i < n && i < x->limit; i++)
        ctl_table_row(&t, (const char *const[]){arena_cstr(x->arena, all[i].text),
                                                ctl_u64(x->arena, all[i].n),
                                                ctl_u64(x->arena, all[i].bytes)});
    show_table(x, name, title, &t, n - ORR_MIN(n, x->limit));
}

static void show_map(struct analysis *x, const char *name, const char *title, const char *columns,
                     const struct map *m)
{
    struct count *all = arena_array(x->arena, struct count, m->len);
    size_t n = 0;

    MAP_FOREACH (e, m)
        all[n++] = *(struct count *)e->value;
    show_counts(x, name, title, columns, all, n);
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
    show_counts(x, "label_names", "Label names by the number of their values",
                "name #values #bytes", all, names.n);
    return NULL;
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

struct spread {
    uint32_t least, p50, p90, p99, most;
};

static struct spread spread_of(uint32_t *v, size_t n)
{
    if (!n)
        return (struct spread){0};
    qsort(v, n, sizeof(*v), by_size);
    return (struct spread){v[0], v[n / 2], v[n - 1 - n / 10], v[n - 1 - n / 100], v[n - 1]};
}

static void add_fact(struct ctl_table *t, const char *name, uint64_t n)
{
    ctl_table_row(t, (const char *const[]){name, ctl_u64(t->arena, n)});
}

static void add_spread(struct ctl_table *t, const char *what, struct spread s)
{
    add_fact(t, arena_printf(t->arena, "least %s of a chunk", what), s.least);
    add_fact(t, arena_printf(t->arena, "half of the chunks have at most this many %s", what),
             s.p50);
    add_fact(t, arena_printf(t->arena, "90%% of the chunks have at most this many %s", what),
             s.p90);
    add_fact(t, arena_printf(t->arena, "99%% of the chunks have at most this many %s", what),
             s.p99);
    add_fact(t, arena_printf(t->arena, "most %s of a chunk", what), s.most);
}

static void show_chunks(struct analysis *x)
{
    struct ctl_table t;

    ctl_table_init(&t, x->arena, "fact #value");
    for (size_t i = 0; i < ORR_COUNT(x->by_encoding); i++)
        if (x->by_encoding[i])
            add_fact(
                &t,
                arena_printf(x->arena, "chunks of encoding %s", chunk_encoding_name((uint8_t)i)),
                x->by_encoding[i]);
    add_spread(&t, "bytes", spread_of(x->sizes.ptr, x->sizes.len));
    add_spread(&t, "samples", spread_of(x->fills.ptr, x->fills.len));
    show_table(x, "chunks", "Chunks", &t, 0);
}

static void show_summary(struct analysis *x)
{
    const struct block_meta *m = block_reader_meta(x->r);
    struct arena *a = x->arena;
    struct ctl_table t;

    if (x->c->opts.is_json)
        buf_printf(&x->json, "{\"block\": \"%s\"", ulid_print(m->ulid).s);
    else
        ctl_say("block %s, %s to %s, %.2f bytes a sample", ulid_print(m->ulid).s,
                ctl_time(a, m->min_t), ctl_time(a, m->max_t),
                x->samples ? (double)x->chunk_bytes / (double)x->samples : 0);
    ctl_table_init(&t, a, "fact #value");
    add_fact(&t, "series", x->series);
    add_fact(&t, "samples", x->samples);
    add_fact(&t, "chunks", x->chunks);
    add_fact(&t, "bytes of chunks", x->chunk_bytes);
    add_fact(&t, "series that begin inside", x->begin);
    add_fact(&t, "series that end inside", x->end);
    add_fact(&t, "series that begin and end inside", x->both);
    show_table(x, "summary", "Summary", &t, 0);
}

static struct err *show(struct analysis *x)
{
    struct err *e;

    show_summary(x);
    show_chunks(x);
    if ((e = show_names(x)))
        return e;
    show_map(x, "pairs", "Label pairs by series", "pair #series", &x->pairs);
    show_map(x, "metrics", "Metrics by series", "metric #series", &x->metrics);
    show_map(x, "churn", "Metrics by series that begin or end inside", "metric #series", &x->churn);
    if (x->c->opts.is_json)
        ctl_say("%s}", buf_cstr(&x->json));
    return NULL;
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
    if (!e)
        e = show(&x);
    block_reader_close(r);
    map_done(&x.metrics);
    map_done(&x.pairs);
    map_done(&x.churn);
    vec_done(&x.sizes);
    vec_done(&x.fills);
    buf_done(&x.json);
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
