/* The summary of a block. As it stands, the first byte says whether it gets the right magic and checksum: whatever it says,
 * it must not read beyond its bytes. And the input taken as pairs of labels: a summary made of them must lose none. */
#include <stdlib.h>

#include "common/base/arena.h"
#include "common/base/hash.h"
#include "common/base/vec.h"
#include "common/block/block_summary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BLOCK ((struct ulid){{0x1f}})

#define MUST(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond))                                                                               \
            abort();                                                                               \
    } while (0)

static void check_file(const uint8_t *data, size_t size, bool is_mended)
{
    struct block_summary s;
    struct buf in = {0};
    struct err *e;

    if (is_mended) {
        buf_append(&in, "ORRSUM\0\2", 8);
        buf_append(&in, BLOCK.bytes, sizeof(BLOCK.bytes));
    }
    buf_append(&in, data, size);
    if (is_mended)
        buf_u32le(&in, hash_crc32c(buf_slice(&in)));
    if ((e = block_summary_open(buf_slice(&in), BLOCK, &s)))
        err_free(e);
    else
        for (size_t i = 0; i < size && i < 64; i++) {
            (void)block_summary_has_name(&s, slice_of(data + i, size - i));
            (void)block_summary_has_pair(&s, slice_of(data, i), slice_of(data + i, size - i));
        }
    buf_done(&in);
}

/* Each byte is a pair: the upper half names it. */
static void check_pairs(const uint8_t *data, size_t size, size_t room)
{
    VEC(struct block_summary_pair) pairs = {0};
    struct block_summary s;
    bool seen[256] = {false};
    struct buf out = {0};

    for (size_t i = 0; i < size; i++) {
        if (!seen[data[i]])
            vec_push(&pairs,
                     ((struct block_summary_pair){slice_of(&"0123456789abcdef"[data[i] >> 4], 1),
                                                  slice_of(data + i, 1), data[i] >> 4}));
        seen[data[i]] = true;
    }
    block_summary_build(BLOCK, pairs.ptr, pairs.len, 16, room, &out);
    MUST(out.len <= room);
    if (out.len) {
        MUST(!block_summary_open(buf_slice(&out), BLOCK, &s));
        VEC_FOREACH (p, &pairs)
            MUST(block_summary_has_name(&s, p->name) &&
                 block_summary_has_pair(&s, p->name, p->value));
    }
    vec_done(&pairs);
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    check_file(data + 1, size - 1, data[0] & 1);
    check_pairs(data + 1, size - 1, (size_t)data[0] * 4);
    return 0;
}
