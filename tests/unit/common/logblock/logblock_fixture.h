/* Streams of log lines as they may come, written as blocks and read back. */
#pragma once
#include <stdlib.h>

#include "common/base/rng.h"
#include "common/logblock/logblock.h"
#include "tests/unit/common/logblock/logtext.h"
#include "tests/unit/test.h"

#define FIXTURE_T0 1764400000123456789ll

struct fixture_stream {
    struct labels labels;
    struct hash128 fp;
    struct logpage_entry *e;
    size_t n;
};
struct fixture {
    struct arena *a;
    struct fixture_stream *s; /* by fingerprint */
    size_t n, entries;
};

static inline int fixture_cmp(const void *a, const void *b)
{
    return hash128_cmp(((const struct fixture_stream *)a)->fp,
                       ((const struct fixture_stream *)b)->fp);
}

static inline struct labels fixture_labels(struct fixture *f, size_t i)
{
    struct label *l = arena_array(f->a, struct label, 3);

    l[0] = (struct label){SLICE("app"), slice_cstr(arena_printf(f->a, "app-%zu", i % 5))};
    l[1] = (struct label){SLICE("job"), SLICE("test")};
    l[2] = (struct label){SLICE("pod"), slice_cstr(arena_printf(f->a, "pod-%05zu", i))};
    return (struct labels){l, 3};
}

static inline struct labels fixture_meta(struct fixture *f, struct rng *r)
{
    struct label *l = arena_array(f->a, struct label, 2);

    l[0] = (struct label){SLICE("span"), slice_cstr(arena_printf(f->a, "%08x", rng_u32(r) % 16))};
    l[1] = (struct label){SLICE("user"), rng_chance(r, 0.5) ? SLICE("a") : SLICE_EMPTY};
    return (struct labels){l, rng_below(r, 3)};
}

/* Entries of one stream: times ascend, often equal; equal (time, line, metadata) once. */
static inline void fixture_fill(struct fixture *f, struct fixture_stream *s, struct rng *r,
                                size_t n, int kind)
{
    struct buf line = {0};
    int64_t t = FIXTURE_T0 + (int64_t)rng_below(r, 1000000000);

    s->e = arena_array(f->a, struct logpage_entry, n);
    for (size_t i = 0; i < n; i++) {
        struct logpage_entry e;
        bool is_twice = false;

        buf_reset(&line);
        if (!rng_chance(r, 0.02))
            logtext_line(r, kind, &line);
        t += rng_chance(r, 0.5) ? (int64_t)rng_below(r, 3000000) : 0;
        e = (struct logpage_entry){
            .ts_ns = t, .line = arena_dup(f->a, buf_slice(&line)), .meta = fixture_meta(f, r)};
        for (size_t k = s->n; k-- > 0 && s->e[k].ts_ns == t && !is_twice;)
            is_twice = slice_eq(s->e[k].line, e.line) && labels_eq(s->e[k].meta, e.meta);
        if (!is_twice)
            s->e[s->n++] = e;
    }
    f->entries += s->n;
    buf_done(&line);
}

static inline void fixture_make(struct fixture *f, uint64_t seed, size_t n_streams, size_t most,
                                int kind)
{
    struct rng r;

    rng_seed(&r, seed);
    *f = (struct fixture){.a = arena_new(0), .n = n_streams};
    f->s = arena_array(f->a, struct fixture_stream, n_streams);
    for (size_t i = 0; i < n_streams; i++) {
        f->s[i].labels = fixture_labels(f, i);
        f->s[i].fp = labels_fingerprint(f->s[i].labels);
        fixture_fill(f, &f->s[i], &r, 1 + rng_below(&r, rng_chance(&r, 0.1) ? most : most / 8 + 1),
                     kind);
    }
    qsort(f->s, n_streams, sizeof(*f->s), fixture_cmp);
}

static inline void fixture_done(struct fixture *f)
{
    arena_free(f->a);
}

static inline struct ulid fixture_ulid(uint8_t id)
{
    uint8_t entropy[10] = {id};

    return ulid_make(1764400000000, entropy);
}

static inline const char *fixture_path(uint8_t id)
{
    return tmp_path(ulid_print(fixture_ulid(id)).s);
}

static inline struct logblock_writer *fixture_writer(uint8_t id)
{
    struct logblock_writer *w;

    CHECK_OK(logblock_writer_open(
        &(struct logblock_writer_opts){.dir = tmp_path(""),
                                       .meta = {.ulid = fixture_ulid(id), .level = 1},
                                       .level = 1,
                                       .no_sync = true},
        &w));
    return w;
}

static inline void fixture_finish(struct logblock_writer *w)
{
    struct arena *a = arena_new(0);
    struct block_meta m;

    CHECK_OK(logblock_writer_finish(w, a, &m));
    logblock_writer_close(w);
    arena_free(a);
}

/* Each entry with chance p; p 1: all. */
static inline void fixture_write(const struct fixture *f, uint8_t id, uint64_t seed, double p)
{
    struct logblock_writer *w = fixture_writer(id);
    struct rng r;

    rng_seed(&r, seed);
    for (size_t i = 0; i < f->n; i++) {
        CHECK_OK(logblock_writer_stream(w, f->s[i].fp, f->s[i].labels));
        for (size_t k = 0; k < f->s[i].n; k++)
            if (p >= 1 || rng_chance(&r, p))
                CHECK_OK(logblock_writer_entry(w, &f->s[i].e[k]));
    }
    fixture_finish(w);
}

struct fixture_block {
    struct block_reader *streams;
    struct logblock *b;
};

static inline struct fixture_block fixture_open(uint8_t id)
{
    struct fixture_block x;

    CHECK_OK(block_reader_open_dir(fixture_path(id), &x.streams));
    CHECK_OK(logblock_open(x.streams, &x.b));
    return x;
}

static inline void fixture_close(struct fixture_block x)
{
    logblock_close(x.b);
    block_reader_close(x.streams);
}

static inline void fixture_check_entry(const struct logpage_entry *got,
                                       const struct logpage_entry *want)
{
    CHECK_INT(got->ts_ns, want->ts_ns);
    CHECK(slice_eq(got->line, want->line));
    CHECK(labels_eq(got->meta, want->meta));
}
