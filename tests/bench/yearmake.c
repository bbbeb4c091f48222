/*
 * A synthetic year in a bucket that is a directory: blocks as ingesters and the first compaction leave them, and
 * the catalogue that names them.
 *
 *     yearmake BUCKET TENANT END_MS [SERIES [DAYS [STEP_S [BLOCK_HOURS]]]]     2000 365 15 12
 *
 * Four of five series are counters, year_requests_total{job, instance, code}, whose rate follows the time of day, with a
 * reset every ten days or so; the others are gauges, year_temperature{job, instance}. The bytes follow from the arguments.
 * Prints, as JSON, how much it wrote and in how many blocks.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/block/block_writer.h"
#include "common/block/catalogue.h"
#include "common/block/chunk_xor.h"
#include "common/objstore/objstore_fs.h"

#define SIGNAL SLICE("metrics")
#define CHUNK_SAMPLES 120
#define PER_DAY (86400 / 15)

struct maker {
    const char *bucket;
    struct slice tenant;
    int64_t end_ms, step_ms, block_ms;
    unsigned n_series, days;
    struct series *series;
    double day[PER_DAY]; /* how busy it is, 0.5 to 1.5 */
    struct catalogue_block *blocks;
    size_t n_blocks;
    struct arena *arena;
    uint64_t samples, bytes;
};

struct series {
    struct labels labels;
    struct rng rng;
    bool is_gauge;
    double value, rate; /* of a counter: a scrape's growth */
    int64_t reset_ms;   /* when it begins anew */
};

static void must(struct err *e)
{
    if (!e)
        return;
    fprintf(stderr, "yearmake: %s\n", err_msg(e));
    exit(1);
}

static int by_labels(const void *a, const void *b)
{
    return labels_cmp(((const struct series *)a)->labels, ((const struct series *)b)->labels);
}

static struct labels labels_of(struct arena *a, unsigned i, bool is_gauge)
{
    struct label *ls = arena_array(a, struct label, 5);
    size_t n = 0;

    ls[n++] = (struct label){SLICE("__name__"),
                             is_gauge ? SLICE("year_temperature") : SLICE("year_requests_total")};
    if (!is_gauge) {
        ls[n++] = (struct label){SLICE("code"), i % 7 ? SLICE("200") : SLICE("500")};
        ls[n++] = (struct label){SLICE("handler"), slice_cstr(arena_printf(a, "/api/%u", i % 5))};
    }
    ls[n++] = (struct label){SLICE("instance"), slice_cstr(arena_printf(a, "host-%05u", i / 5))};
    ls[n++] = (struct label){SLICE("job"), slice_cstr(arena_printf(a, "job-%02u", i / 5 % 20))};
    return (struct labels){ls, n};
}

static int64_t begin_ms(const struct maker *m)
{
    int64_t begin = m->end_ms - (int64_t)m->days * 86400000;

    return begin - begin % m->block_ms;
}

static int64_t next_reset(struct series *s, int64_t now_ms)
{
    return now_ms + (int64_t)(86400000 * (5 + 10 * rng_unit(&s->rng)));
}

static void make_series(struct maker *m)
{
    m->series = arena_array(m->arena, struct series, m->n_series);
    for (unsigned i = 0; i < m->n_series; i++) {
        struct series *s = &m->series[i];

        *s = (struct series){.is_gauge = i % 5 == 4};
        rng_seed(&s->rng, i);
        s->labels = labels_of(m->arena, i, s->is_gauge);
        s->rate = 5 + (double)(i % 100);
        s->value = s->is_gauge ? 20 + (double)(i % 30) : 0;
        s->reset_ms = next_reset(s, begin_ms(m));
    }
    qsort(m->series, m->n_series, sizeof(*m->series), by_labels);
    for (unsigned i = 0; i < PER_DAY; i++)
        m->day[i] = 1 + 0.5 * sin(2 * M_PI * i / PER_DAY);
}

static double next_value(const struct maker *m, struct series *s, int64_t t)
{
    double busy = m->day[t / 15000 % PER_DAY];
    uint32_t r = rng_u32(&s->rng);

    if (s->is_gauge) {
        if (r % 4 == 0)
            s->value = round((s->value + ((double)(r >> 16 & 7) - 3.5) / 10) * 10) / 10;
        return s->value;
    }
    if (t >= s->reset_ms) {
        s->value = 0;
        s->reset_ms = next_reset(s, t);
    }
    s->value += floor(s->rate * busy) + (double)(r & 1);
    return s->value;
}

/* Its samples of [from, to), as chunks. */
static void add_series(struct maker *m, struct block_writer *w, struct series *s, int64_t from,
                       int64_t to, struct arena *a)
{
    size_t cap = (size_t)((to - from) / m->step_ms / CHUNK_SAMPLES) + 1;
    struct chunk *chunks = arena_array(a, struct chunk, cap);
    struct block_series out = {.labels = s->labels, .chunks = chunks};
    int64_t t[CHUNK_SAMPLES];
    double v[CHUNK_SAMPLES];
    size_t n = 0;

    for (int64_t at = from; at < to; at += m->step_ms) {
        t[n] = at;
        v[n++] = next_value(m, s, at);
        if (n == CHUNK_SAMPLES || at + m->step_ms >= to) {
            struct buf b = {0};

            chunk_xor_encode(&b, t, v, n);
            chunks[out.n_chunks++] =
                (struct chunk){CHUNK_XOR, t[0], t[n - 1], arena_dup(a, buf_slice(&b))};
            buf_done(&b);
            m->samples += n;
            n = 0;
        }
    }
    must(block_writer_add(w, &out));
}

static void make_block(struct maker *m, int64_t from, int64_t to)
{
    const char *dir =
        arena_printf(m->arena, "%s/%.*s/%.*s", m->bucket, SLICE_ARG(SIGNAL), SLICE_ARG(m->tenant));
    struct block_writer_opts o = {.dir = dir, .no_sync = true};
    struct arena *a = arena_new(0);
    uint8_t entropy[10] = {'y', 'e', 'a', 'r'};
    struct block_meta meta;
    struct block_writer *w;

    o.meta = (struct block_meta){.ulid = ulid_make(to, entropy),
                                 .min_t = from,
                                 .max_t = to,
                                 .level = 1,
                                 .origin = SLICE("yearmake"),
                                 .tenant = m->tenant};
    must(block_writer_open(&o, &w));
    for (unsigned i = 0; i < m->n_series; i++) {
        add_series(m, w, &m->series[i], from, to, a);
        arena_reset(a);
    }
    must(block_writer_finish(w, a, &meta));
    block_writer_close(w);
    meta = block_meta_dup(m->arena, &meta);
    m->bytes += block_meta_bytes(&meta);
    m->blocks[m->n_blocks++] = catalogue_block_of_meta(&meta);
    arena_free(a);
}

static struct err *add_all(void *arg, struct catalogue *c, bool *ret_changed)
{
    struct maker *m = arg;

    for (size_t i = 0; i < m->n_blocks; i++)
        catalogue_add(c, &m->blocks[i]);
    *ret_changed = true;
    return NULL;
}

static void publish(struct maker *m)
{
    struct catalogue *c;
    struct objstore *store;

    must(objstore_fs_open(m->bucket, NULL, &store));
    must(catalogue_update(store, SIGNAL, m->tenant, add_all, m, &c));
    catalogue_free(c);
    objstore_close(store);
}

static unsigned number(int argc, char **argv, int i, unsigned otherwise)
{
    return i < argc ? (unsigned)strtoul(argv[i], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    struct maker m = {.arena = arena_new(0)};

    if (argc < 4) {
        fprintf(stderr, "yearmake BUCKET TENANT END_MS [SERIES [DAYS [STEP_S [BLOCK_HOURS]]]]\n");
        return 2;
    }
    m.bucket = argv[1];
    m.tenant = slice_cstr(argv[2]);
    m.end_ms = strtoll(argv[3], NULL, 10);
    m.n_series = number(argc, argv, 4, 2000);
    m.days = number(argc, argv, 5, 365);
    m.step_ms = number(argc, argv, 6, 15) * 1000ll;
    m.block_ms = number(argc, argv, 7, 12) * 3600000ll;
    if (!m.n_series || !m.days || m.step_ms <= 0 || m.block_ms <= 0)
        must(err_new(ERR_INVALID, "series, days, step and block length are at least 1"));
    m.blocks = arena_array(m.arena, struct catalogue_block,
                           (size_t)(m.days * 86400000ll / m.block_ms) + 2);
    make_series(&m);
    for (int64_t t = begin_ms(&m); t + m.block_ms <= m.end_ms; t += m.block_ms)
        make_block(&m, t, t + m.block_ms);
    publish(&m);
    printf("{\"blocks\":%zu,\"samples\":%llu,\"bytes\":%llu}\n", m.n_blocks,
           (unsigned long long)m.samples, (unsigned long long)m.bytes);
    arena_free(m.arena);
    return 0;
}
