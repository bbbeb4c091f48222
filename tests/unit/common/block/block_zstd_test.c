#include "common/base/rng.h"
#include "common/block/block_zstd.h"
#include "tests/unit/test.h"

/* What is as long as it was before is taken for the bytes themselves, by whoever reads it. */
TEST(block_zstd_packs_what_gets_shorter_and_nothing_else)
{
    struct block_zstd *z = block_zstd_new(3);
    struct buf raw = {0}, out = {0};
    uint8_t back[3000];
    size_t packed = 0;
    struct rng r;

    rng_seed(&r, 1);
    for (unsigned i = 0; i < 20000; i++) {
        size_t n = 1 + rng_below(&r, i % 10 ? 64 : 3000), few = 1 + rng_below(&r, 20);

        buf_reset(&raw);
        buf_reset(&out);
        buf_str(&out, "before");
        for (size_t k = 0; k < n; k++)
            buf_byte(&raw, (uint8_t)rng_below(&r, few));
        if (!block_zstd_pack(z, buf_slice(&raw), &out)) {
            CHECK_INT(out.len, 6);
            continue;
        }
        packed++;
        CHECK(out.len - 6 < n && (n < 32 || out.len - 6 <= n - n / 32));
        CHECK(block_zstd_unpack(slice_from(buf_slice(&out), 6), back, n));
        CHECK(!memcmp(back, raw.ptr, n));
        CHECK(!block_zstd_unpack(slice_from(buf_slice(&out), 6), back, n - 1));
        CHECK(!block_zstd_unpack(slice_sub(buf_slice(&out), 6, out.len - 7), back, n));
    }
    CHECK(packed > 1000);
    CHECK(!block_zstd_pack(z, SLICE_EMPTY, &out));
    buf_done(&raw);
    buf_done(&out);
    block_zstd_free(z);
}
