#include <pthread.h>

#include "querier/store/shard_memo.h"
#include "tests/unit/test.h"

static uint32_t shard_of(uint32_t block, uint32_t ref, uint32_t count)
{
    return (block * 7919 + ref * 31) % count;
}

static struct ulid block_id(uint32_t n)
{
    uint8_t entropy[10] = {(uint8_t)n, (uint8_t)(n >> 8)};

    return ulid_make(1700000000000, entropy);
}

TEST(shard_memo_says_what_it_was_told_or_nothing)
{
    static const uint32_t counts[] = {2, 4, 1024};
    size_t known = 0, asked = 0;

    for (size_t k = 0; k < ORR_COUNT(counts); k++)
        for (uint32_t b = 0; b < 50; b++) {
            struct shard_memo m = shard_memo_of(block_id(b), counts[k]);

            for (uint32_t ref = 0; ref < 2000; ref++)
                shard_memo_put(&m, ref, shard_of(b, ref, counts[k]));
        }
    for (size_t k = 0; k < ORR_COUNT(counts); k++)
        for (uint32_t b = 0; b < 51; b++) { /* the last one is unknown */
            struct shard_memo m = shard_memo_of(block_id(b), counts[k]);

            for (uint32_t ref = 0; ref < 2001; ref++) {
                uint32_t shard;

                asked++;
                if (!shard_memo_get(&m, ref, &shard))
                    continue;
                known++;
                CHECK(b < 50 && ref < 2000);
                CHECK_INT(shard, shard_of(b, ref, counts[k]));
            }
        }
    CHECK(known > asked / 2); /* 300,000 in 524,288 slots */
}

TEST(shard_memo_leaves_very_many_shards_alone)
{
    struct shard_memo m = shard_memo_of(block_id(1), SHARD_MEMO_MAX_COUNT + 1);
    uint32_t shard;

    shard_memo_put(&m, 5, SHARD_MEMO_MAX_COUNT);
    CHECK(!shard_memo_get(&m, 5, &shard));
}

static void *write_and_read(void *arg)
{
    uint32_t b = *(uint32_t *)arg, shard;
    struct shard_memo m = shard_memo_of(block_id(b), 100);

    for (uint32_t round = 0; round < 20; round++)
        for (uint32_t ref = 0; ref < 100000; ref += 3) {
            shard_memo_put(&m, ref, shard_of(b, ref, 100));
            if (shard_memo_get(&m, ref, &shard))
                CHECK_INT(shard, shard_of(b, ref, 100));
        }
    return NULL;
}

TEST(shard_memo_is_right_while_others_write)
{
    pthread_t threads[4];
    uint32_t blocks[4];

    for (uint32_t i = 0; i < 4; i++) {
        blocks[i] = 1000 + i;
        CHECK_INT(pthread_create(&threads[i], NULL, write_and_read, &blocks[i]), 0);
    }
    for (uint32_t i = 0; i < 4; i++)
        CHECK_INT(pthread_join(threads[i], NULL), 0);
}
