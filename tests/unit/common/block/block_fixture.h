/*
 * Blocks for the tests of common/block.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/rng.h"
#include "common/block/block_reader.h"
#include "common/block/block_writer.h"
#include "common/block/start_runs.h"
#include "tests/unit/test.h"

#define FIXTURE_T0 1700000000000ll

/* Labels from "a=1,b=2" (sorted by the caller). */
static struct labels labels_from(struct arena *a, const char *text)
{
    struct slice rest = slice_cstr(text), pair;
    struct label *ls = arena_array(a, struct label, 16);
    size_t n = 0;

    while (slice_split(&rest, ',', &pair)) {
        struct slice value = pair, name;

        (void)slice_split(&value, '=', &name);
        ls[n++] = (struct label){arena_dup(a, name), arena_dup(a, value)};
    }
    return (struct labels){ls, n};
}

/* n floats from t, step apart; value v0, v0+1, … */
static struct chunk floats(struct arena *a, int64_t t, int64_t step, size_t n, double v0)
{
    int64_t *ts = arena_array(a, int64_t, n);
    double *vs = arena_array(a, double, n);
    struct buf b = {0};
    struct chunk c;

    for (size_t i = 0; i < n; i++) {
        ts[i] = t + (int64_t)i * step;
        vs[i] = v0 + (double)i;
    }
    chunk_xor_encode(&b, ts, vs, n);
    c = (struct chunk){CHUNK_XOR, ts[0], ts[n - 1], arena_dup(a, buf_slice(&b))};
    buf_done(&b);
    return c;
}

static struct ulid fixture_ulid(unsigned i)
{
    uint8_t entropy[10] = {0};

    entropy[9] = (uint8_t)i;
    return ulid_make(FIXTURE_T0, entropy);
}

__attribute__((unused)) static struct block_writer *open_writer(unsigned i)
{
    struct block_writer_opts o = {.dir = tmp_path(""), .no_sync = true};
    struct block_writer *w;

    o.meta.ulid = fixture_ulid(i);
    o.meta.level = 1;
    o.meta.tenant = SLICE("t");
    o.meta.origin = SLICE("compactor");
    CHECK_OK(block_writer_open(&o, &w));
    return w;
}

static void finish_writer(struct block_writer *w, struct arena *a, struct block_meta *ret)
{
    CHECK_OK(block_writer_finish(w, a, ret));
    block_writer_close(w);
}

__attribute__((unused)) static const char *block_path(unsigned i)
{
    return tmp_path(ulid_print(fixture_ulid(i)).s);
}

__attribute__((unused)) static struct block_reader *open_reader(unsigned i)
{
    struct block_source *src;
    struct block_reader *r;

    CHECK_OK(block_source_dir(block_path(i), &src));
    CHECK_OK(block_reader_open(src, &(struct block_reader_opts){.verify_all = true}, &r));
    return r;
}

__attribute__((unused)) static struct matcher matcher_from(struct arena *a, enum matcher_op op,
                                                           const char *name, const char *value)
{
    struct matcher m;

    CHECK_OK(matcher_init(a, op, slice_cstr(name), slice_cstr(value), &m));
    return m;
}

/* All samples of a series as "t:v t:v …", t relative to FIXTURE_T0; histograms as t:h<count>. */
__attribute__((unused)) static void samples_text(const struct block_reader *r, struct arena *a,
                                                 uint32_t ref, struct buf *out)
{
    struct block_reader_series s;
    struct chunk *c;

    buf_reset(out);
    CHECK_OK(block_reader_series(r, a, ref, &s));
    c = arena_array(a, struct chunk, s.n_chunks);
    CHECK_OK(block_reader_chunks(r, a, s.chunks, s.n_chunks, c));
    for (size_t i = 0; i < s.n_chunks; i++) {
        struct chunk_columns cols;

        CHECK_OK(chunk_decode(a, c[i].encoding, c[i].data, &cols));
        for (size_t k = 0; k < cols.n; k++) {
            buf_printf(out, "%s%lld:", out->len ? " " : "", (long long)(cols.t[k] - FIXTURE_T0));
            if (cols.v)
                buf_printf(out, "%g", cols.v[k]);
            else
                buf_printf(out, "h%g", cols.h[k].count);
        }
    }
}

/* Start timestamps of a series as "from-to@start …", relative to FIXTURE_T0. */
__attribute__((unused)) static void starts_text(const struct block_reader *r, uint32_t ref,
                                                struct buf *out)
{
    struct start_set set = {0};
    struct chunk c;

    buf_reset(out);
    if (block_reader_starts(r, ref, &c)) {
        CHECK_INT(c.encoding, CHUNK_STARTS);
        CHECK_OK(start_set_add(&set, c.data));
    }
    VEC_FOREACH (run, &set.runs)
        buf_printf(out, "%s%lld-%lld@%lld", out->len ? " " : "",
                   (long long)(run->from_ms - FIXTURE_T0), (long long)(run->to_ms - FIXTURE_T0),
                   (long long)(run->st_ms - FIXTURE_T0));
    start_set_done(&set);
}
