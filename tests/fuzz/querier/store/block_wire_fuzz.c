/* Any bytes as a question for a block, and as series and the end of the answer: they decode or fail; what decodes
 * encodes to what decodes to the same. */
#include "querier/store/block_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void question(struct arena *a, struct slice bytes)
{
    struct block_wire_ask ask, again;
    struct buf b = {0};
    struct err *e = block_wire_ask_decode(a, bytes, &ask);

    if (!e) {
        block_wire_ask_encode(&b, &ask);
        ORR_ASSERT(!(e = block_wire_ask_decode(a, buf_slice(&b), &again)));
        ORR_ASSERT(ulid_eq(ask.block.ulid, again.block.ulid) &&
                   slice_eq(ask.block.dir, again.block.dir) &&
                   labels_eq(ask.block.labels, again.block.labels) &&
                   ask.n_together == again.n_together && ask.select.min_ms == again.select.min_ms);
        matchers_done(again.select.matchers);
        matchers_done(ask.select.matchers);
    }
    err_free(e);
    buf_done(&b);
}

static void answer(struct arena *a, struct slice bytes, bool is_keyed)
{
    struct block_wire_series s = {.series = {.is_keyed = is_keyed}};
    struct reader r = reader_new(bytes);
    struct block_wire_end end;
    struct buf b = {0};

    while (block_wire_series_decode(a, &r, &s)) {
        struct block_wire_series again = {.series = {.is_keyed = is_keyed}};
        struct reader r2;

        buf_reset(&b);
        block_wire_series_encode(&b, &s);
        r2 = reader_new(buf_slice(&b));
        ORR_ASSERT(block_wire_series_decode(a, &r2, &again) && !reader_left(&r2));
        ORR_ASSERT(again.n_deleted == s.n_deleted && again.series.n_chunks == s.series.n_chunks &&
                   labels_eq(again.series.labels, s.series.labels));
    }
    r = reader_new(bytes);
    (void)block_wire_end_decode(&r, &end);
    buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(0);

    question(a, slice_of(data, size));
    answer(a, slice_of(data, size), false);
    answer(a, slice_of(data, size), true);
    arena_free(a);
    return 0;
}
