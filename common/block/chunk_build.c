#include "common/block/chunk_build.h"

void chunk_build_init(struct chunk_build *b)
{
    *b = (struct chunk_build){0};
    b->hist = chunk_hist_appender_new();
}

void chunk_build_done(struct chunk_build *b)
{
    vec_done(&b->chunks);
    buf_done(&b->floats);
    chunk_hist_appender_free(b->hist);
}

void chunk_build_begin(struct chunk_build *b, struct arena *a)
{
    b->arena = a;
    b->open = CHUNK_NONE;
    vec_clear(&b->chunks);
    chunk_hist_appender_next(b->hist, CHUNK_HIST_ADDED);
}

static void open_chunk(struct chunk_build *b, uint8_t encoding, int64_t t)
{
    b->open = encoding;
    b->min_t = t;
    b->floats_at = (struct chunk_xor_appender){0};
}

void chunk_build_end(struct chunk_build *b)
{
    struct slice data;

    if (b->open == CHUNK_NONE)
        return;
    if (b->open == CHUNK_XOR)
        data = slice_of(b->floats.ptr, chunk_xor_bytes(&b->floats_at));
    else
        data = chunk_hist_appender_data(b->hist);
    vec_push(&b->chunks, ((struct chunk){b->open, b->min_t, b->max_t, arena_dup(b->arena, data)}));
    b->open = CHUNK_NONE;
}

void chunk_build_float(struct chunk_build *b, int64_t t, double v)
{
    if (b->open != CHUNK_XOR || b->floats_at.n == CHUNK_SAMPLES) {
        chunk_build_end(b);
        chunk_hist_appender_next(b->hist, CHUNK_HIST_ADDED);
        open_chunk(b, CHUNK_XOR, t);
    }
    b->floats.len = chunk_xor_bytes(&b->floats_at);
    (void)buf_reserve(&b->floats, CHUNK_XOR_ROOM);
    chunk_xor_append(&b->floats_at, b->floats.ptr, t, v);
    b->max_t = t;
}

void chunk_build_histogram(struct chunk_build *b, int64_t t, const struct histogram *h)
{
    enum chunk_hist_fit fit;

    if (b->open == CHUNK_XOR || b->open == CHUNK_NONE) {
        chunk_build_end(b);
        chunk_hist_appender_next(b->hist, CHUNK_HIST_ADDED);
    }
    fit = chunk_hist_append(b->hist, t, h, CHUNK_SAMPLES);
    if (fit != CHUNK_HIST_ADDED) {
        chunk_build_end(b);
        chunk_hist_appender_next(b->hist, fit);
        fit = chunk_hist_append(b->hist, t, h, CHUNK_SAMPLES);
        ORR_ASSERT(fit == CHUNK_HIST_ADDED);
    }
    if (chunk_hist_appender_samples(b->hist) == 1)
        open_chunk(b, chunk_hist_appender_encoding(b->hist), t);
    b->max_t = t;
}

void chunk_build_copy(struct chunk_build *b, const struct chunk *c)
{
    struct chunk copy = *c;

    chunk_build_end(b);
    chunk_hist_appender_next(b->hist, CHUNK_HIST_ADDED);
    copy.data = arena_dup(b->arena, c->data);
    vec_push(&b->chunks, copy);
}
