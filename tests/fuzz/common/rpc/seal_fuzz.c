/*
 * Any bytes to whoever opens sealed frames: as a key's text, and as sealed bytes, which must never
 * open; and damage (the first byte of the input says where) to bytes that would.
 */
#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/rpc/seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const keys[] = {
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"};
    static const uint8_t random[SEAL_RANDOM_BYTES];
    static struct seal_keyring *k;
    static struct seal_ctx *tx, *rx;
    static uint64_t seq;
    struct slice part = slice_of(data, size);
    uint8_t *sealed = mem_alloc(size + SEAL_TAG_BYTES), *out = mem_alloc(size + 1);
    char *text = slice_dup(part);

    if (!k) {
        struct err *e = seal_keyring_new(keys, 1, &k);

        ORR_ASSERT(!e);
        tx = seal_ctx_new(k, seal_keyring_first(k), SEAL_C2S, random, random, true);
        rx = seal_ctx_new(k, seal_keyring_first(k), SEAL_C2S, random, random, false);
    }
    err_free(seal_keyring_set(k, (const char *const[]){text}, 1));
    ORR_ASSERT(!seal_open(rx, seq, SLICE_EMPTY, part, out));
    seal_parts(tx, ++seq, SLICE("aad"), &part, 1, sealed);
    if (size) {
        size_t at = data[0] % (size + SEAL_TAG_BYTES);

        sealed[at] ^= 0x10;
        ORR_ASSERT(!seal_open(rx, seq, SLICE("aad"), slice_of(sealed, size + SEAL_TAG_BYTES), out));
        sealed[at] ^= 0x10;
    }
    ORR_ASSERT(seal_open(rx, seq, SLICE("aad"), slice_of(sealed, size + SEAL_TAG_BYTES), out));
    ORR_ASSERT(size == 0 || memcmp(out, data, size) == 0);
    mem_free(sealed);
    mem_free(out);
    mem_free(text);
    return 0;
}
