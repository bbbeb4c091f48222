/*
 * The checkpoint's loader. The input is the file without its checksums, which are put in here, so that
 * the fuzzer gets behind them:  blocks of u16 length | payload.
 */
#include "common/base/mem.h"
#include "ingester/metrics/head_checkpoint_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void build(struct buf *out, struct slice input)
{
    struct reader r = reader_new(input);

    buf_append(out, head_checkpoint_magic, 8);
    buf_u32le(out, 0);
    buf_u32le(out, 1);
    buf_u64le(out, 7);
    while (reader_left(&r) > 2) {
        uint16_t len = reader_u16le(&r);
        struct slice payload = reader_bytes(&r, ORR_MIN(len, reader_left(&r)));

        buf_u32le(out, (uint32_t)payload.len);
        buf_u32le(out, hash_crc32c(payload));
        buf_slice_append(out, payload);
    }
}

static void free_tenants(struct head *h)
{
    MAP_FOREACH (en, &h->tenants) {
        struct head_tenant *t = en->value;

        vec_done(&t->windows);
        mem_free(t->id);
        mem_free(t->ts);
        mem_free(t);
    }
    map_done(&h->tenants);
}

/* What a reader does first with what was loaded. */
static void use(struct head_shard *sh)
{
    VEC_FOREACH (ts, &sh->tenants)
        roaring_bitmap_free(head_match(*ts, (struct matchers){0}));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct head h = {.n_shards = 1, .opts = {.exemplars_per_tenant = 100}};
    struct head_shard sh = {.head = &h, .scratch = arena_new(0)};
    struct buf file = {0};
    struct err *e;

    lock_init(&h.lock, LOCK_HEAD_TENANTS);
    h.shards = &sh;
    sh.regexes.m = &sh.m.regex;
    build(&file, slice_of(data, size));
    e = head_checkpoint_parse(&sh, buf_slice(&file), false);
    if (!e)
        use(&sh);
    err_free(e);
    head_shard_free(&sh);
    free_tenants(&h);
    lock_done(&h.lock);
    buf_done(&file);
    return 0;
}
