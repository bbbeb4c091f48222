#include "common/base/arena.h"
#include "common/rpc/frame.h"
#include "common/rpc/seal.h"
#include "tests/unit/test.h"

#define KEY_A "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_A_BASE64 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define KEY_B "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"

static const uint8_t client_random[SEAL_RANDOM_BYTES] = {1, 2, 3};
static const uint8_t server_random[SEAL_RANDOM_BYTES] = {4, 5, 6};

static struct seal_keyring *ring(const char *a, const char *b)
{
    const char *keys[] = {a, b};
    struct seal_keyring *k;

    CHECK_OK(seal_keyring_new(keys, b ? 2 : 1, &k));
    return k;
}

static struct seal_ctx *ctx(struct seal_keyring *k, enum seal_label label, bool is_sealing)
{
    return seal_ctx_new(k, seal_keyring_first(k), label, client_random, server_random, is_sealing);
}

TEST(seal_opens_what_was_sealed_and_nothing_else)
{
    struct seal_keyring *k = ring(KEY_A, NULL);
    struct seal_ctx *tx = ctx(k, SEAL_C2S, true), *rx = ctx(k, SEAL_C2S, false);
    struct slice parts[] = {SLICE("hello "), SLICE_EMPTY, SLICE("world")};
    uint8_t sealed[11 + SEAL_TAG_BYTES], out[11];

    seal_parts(tx, 7, SLICE("head"), parts, 3, sealed);
    CHECK(seal_open(rx, 7, SLICE("head"), slice_of(sealed, sizeof(sealed)), out));
    CHECK_SLICE(slice_of(out, 11), "hello world");
    CHECK(!seal_open(rx, 8, SLICE("head"), slice_of(sealed, sizeof(sealed)), out));
    CHECK(!seal_open(rx, 7, SLICE("heat"), slice_of(sealed, sizeof(sealed)), out));
    CHECK(!seal_open(rx, 7, SLICE("head"), slice_of(sealed, 10), out));
    CHECK(!seal_open(rx, 7, SLICE("head"), slice_of(sealed, sizeof(sealed) - 1), out));
    for (size_t i = 0; i < sizeof(sealed); i++) {
        sealed[i] ^= 1;
        CHECK(!seal_open(rx, 7, SLICE("head"), slice_of(sealed, sizeof(sealed)), out));
        sealed[i] ^= 1;
    }
    CHECK(seal_open(rx, 7, SLICE("head"), slice_of(sealed, sizeof(sealed)), sealed)); /* in place */
    seal_ctx_free(tx);
    seal_ctx_free(rx);
    seal_keyring_unref(k);
}

TEST(seal_keys_differ_by_direction_connection_and_cluster_key)
{
    struct seal_keyring *k = ring(KEY_A, NULL), *other = ring(KEY_B, NULL);
    struct seal_ctx *tx = ctx(k, SEAL_C2S, true), *back = ctx(k, SEAL_S2C, false);
    struct seal_ctx *stranger = ctx(other, SEAL_C2S, false);
    struct seal_ctx *later =
        seal_ctx_new(k, seal_keyring_first(k), SEAL_C2S, client_random, client_random, false);
    struct slice part = SLICE("secret");
    uint8_t sealed[6 + SEAL_TAG_BYTES], out[6];

    seal_parts(tx, 1, SLICE_EMPTY, &part, 1, sealed);
    CHECK(!seal_open(back, 1, SLICE_EMPTY, slice_of(sealed, sizeof(sealed)), out));
    CHECK(!seal_open(stranger, 1, SLICE_EMPTY, slice_of(sealed, sizeof(sealed)), out));
    CHECK(!seal_open(later, 1, SLICE_EMPTY, slice_of(sealed, sizeof(sealed)), out));
    CHECK(
        !seal_ctx_new(other, seal_keyring_first(k), SEAL_C2S, client_random, server_random, true));
    seal_ctx_free(tx);
    seal_ctx_free(back);
    seal_ctx_free(stranger);
    seal_ctx_free(later);
    seal_keyring_unref(k);
    seal_keyring_unref(other);
}

/* Computed independently (Python's hmac and cryptography): what other versions of us must keep. */
TEST(seal_bytes_are_golden)
{
    static const uint8_t want[] = {0xe8, 0xaa, 0x79, 0xc8, 0x30, 0x05, 0x5d, 0x7e,
                                   0x47, 0x4a, 0x1a, 0xc9, 0xb2, 0x46, 0xd2, 0xdd,
                                   0x09, 0x0c, 0x33, 0xd5, 0xd3, 0xa5};
    struct seal_keyring *k = ring(KEY_A, NULL);
    struct seal_ctx *tx = ctx(k, SEAL_C2S, true);
    struct slice part = SLICE("golden");
    uint8_t sealed[6 + SEAL_TAG_BYTES];

    CHECK_INT(seal_keyring_first(k), 0x45d4c39c);
    seal_parts(tx, 258, SLICE("aad"), &part, 1, sealed);
    CHECK(memcmp(sealed, want, sizeof(want)) == 0);
    seal_ctx_free(tx);
    seal_keyring_unref(k);
}

TEST(seal_reads_hex_and_base64_keys_and_names_the_bad_one)
{
    struct seal_keyring *a = ring(KEY_A, NULL), *b = ring(KEY_A_BASE64, KEY_B), *k;

    CHECK_INT(seal_keyring_first(a), seal_keyring_first(b));
    CHECK_ERR(seal_keyring_new((const char *[]){KEY_A, "short"}, 2, &k), ERR_INVALID,
              "cluster key 2");
    CHECK_ERR(seal_keyring_new((const char *[]){KEY_A, KEY_A_BASE64}, 2, &k), ERR_INVALID,
              "the same as key 1");
    CHECK_ERR(seal_keyring_new((const char *[]){KEY_A "x"}, 1, &k), ERR_INVALID, "cluster key 1");
    CHECK_ERR(seal_keyring_new(NULL, 0, &k), ERR_INVALID, "0 given");
    CHECK_ERR(seal_keyring_set(a, (const char *[]){"zz"}, 1), ERR_INVALID, "cluster key 1");
    CHECK(seal_keyring_has(a, seal_keyring_first(b))); /* a failed set changes nothing */
    CHECK_OK(seal_keyring_set(a, (const char *[]){KEY_B}, 1));
    CHECK(!seal_keyring_has(a, seal_keyring_first(b)));
    seal_keyring_unref(a);
    seal_keyring_unref(b);
}

TEST(frame_head_bytes_are_golden)
{
    static const uint8_t want[FRAME_HEAD_BYTES] = {'O', 'R', 'R', 1, 5, 1, 3, 0, 8, 7, 6, 5, 4, 3,
                                                   2,   1,   2,   1, 0, 0, 0, 0, 0, 0, 4, 3, 2, 1};
    struct frame_head h = {.type = FRAME_DATA,
                           .is_sealed = true,
                           .reason = 3,
                           .session = 0x0102030405060708,
                           .seq = 258,
                           .key_id = 0x01020304};
    struct frame_head back;
    uint8_t out[FRAME_HEAD_BYTES];

    frame_head_put(&h, out);
    CHECK(memcmp(out, want, sizeof(want)) == 0);
    CHECK(frame_head_get(slice_of(out, sizeof(out)), &back));
    CHECK_INT(back.session, h.session);
    CHECK_INT(back.seq, 258);
    CHECK_INT(back.key_id, h.key_id);
    CHECK_INT(back.reason, 3);
    CHECK(!frame_head_get(slice_of(out, 31), &back));
    for (size_t i = 0; i < 6; i++) {
        out[i] ^= 0x40;
        CHECK(!frame_head_get(slice_of(out, sizeof(out)), &back));
        out[i] ^= 0x40;
    }
}
