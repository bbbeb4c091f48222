#include "common/rpc/seal.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/hex.h"
#include "common/base/lock.h"
#include "common/base/mem.h"

struct cluster_key {
    uint32_t id;
    uint8_t bytes[SEAL_KEY_BYTES];
};

struct seal_keyring {
    _Atomic uint32_t refs;
    struct lock lock; /* guards what follows */
    struct cluster_key keys[SEAL_MAX_KEYS];
    size_t n;
};

struct seal_ctx {
    EVP_CIPHER_CTX *evp;
};

/* OpenSSL fails here only without memory or without its own providers: nothing a peer can cause. */
static void must(int ok)
{
    ORR_ASSERT(ok > 0);
}

static bool decode_hex(struct slice text, uint8_t out[SEAL_KEY_BYTES])
{
    for (size_t i = 0; i < SEAL_KEY_BYTES; i++) {
        int hi = hex_digit(text.ptr[2 * i]), lo = hex_digit(text.ptr[2 * i + 1]);

        if (hi < 0 || lo < 0)
            return false;
        out[i] = (uint8_t)(hi << 4 | lo);
    }
    return true;
}

static bool decode_base64(struct slice text, uint8_t out[SEAL_KEY_BYTES])
{
    uint8_t plain[SEAL_KEY_BYTES + 4];
    bool is_good;

    if (text.len != 44 || text.ptr[43] != '=' || text.ptr[42] == '=')
        return false;
    is_good = EVP_DecodeBlock(plain, text.ptr, 44) == SEAL_KEY_BYTES + 1;
    if (is_good)
        memcpy(out, plain, SEAL_KEY_BYTES);
    OPENSSL_cleanse(plain, sizeof(plain));
    return is_good;
}

static uint32_t key_id(const uint8_t key[SEAL_KEY_BYTES])
{
    static const char prefix[] = "orrery key id";
    uint8_t in[sizeof(prefix) - 1 + SEAL_KEY_BYTES], digest[SHA256_DIGEST_LENGTH];

    memcpy(in, prefix, sizeof(prefix) - 1);
    memcpy(in + sizeof(prefix) - 1, key, SEAL_KEY_BYTES);
    SHA256(in, sizeof(in), digest);
    OPENSSL_cleanse(in, sizeof(in));
    return (uint32_t)digest[0] | (uint32_t)digest[1] << 8 | (uint32_t)digest[2] << 16 |
           (uint32_t)digest[3] << 24;
}

static struct err *parse_keys(const char *const *texts, size_t n, struct cluster_key *ret)
{
    if (n < 1 || n > SEAL_MAX_KEYS)
        return err_new(ERR_INVALID, "cluster keys: %zu given, 1 to %d are possible", n,
                       SEAL_MAX_KEYS);
    for (size_t i = 0; i < n; i++) {
        struct slice text = slice_trim(slice_cstr(texts[i]));
        bool is_good =
            text.len == 64 ? decode_hex(text, ret[i].bytes) : decode_base64(text, ret[i].bytes);

        if (!is_good)
            return err_new(ERR_INVALID,
                           "cluster key %zu: not 32 bytes as 64 hex digits or 44 characters of "
                           "base64 (it has %zu characters)",
                           i + 1, text.len);
        ret[i].id = key_id(ret[i].bytes);
        for (size_t j = 0; j < i; j++) {
            if (ret[j].id == ret[i].id)
                return err_new(ERR_INVALID, "cluster key %zu: the same as key %zu", i + 1, j + 1);
        }
    }
    return NULL;
}

struct err *seal_keyring_set(struct seal_keyring *k, const char *const *keys, size_t n)
{
    struct cluster_key parsed[SEAL_MAX_KEYS] = {0};
    struct err *e = parse_keys(keys, n, parsed);

    if (!e) {
        lock_take(&k->lock);
        memcpy(k->keys, parsed, sizeof(parsed));
        k->n = n;
        lock_release(&k->lock);
    }
    OPENSSL_cleanse(parsed, sizeof(parsed));
    return e;
}

struct err *seal_keyring_new(const char *const *keys, size_t n, struct seal_keyring **ret)
{
    struct seal_keyring *k = mem_new(struct seal_keyring);
    struct err *e;

    atomic_init(&k->refs, 1);
    lock_init(&k->lock, LOCK_LEAF_MODULE);
    if ((e = seal_keyring_set(k, keys, n))) {
        seal_keyring_unref(k);
        return e;
    }
    *ret = k;
    return NULL;
}

struct seal_keyring *seal_keyring_ref(struct seal_keyring *k)
{
    if (k)
        atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
    return k;
}

void seal_keyring_unref(struct seal_keyring *k)
{
    if (!k || atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) != 1)
        return;
    OPENSSL_cleanse(k->keys, sizeof(k->keys));
    lock_done(&k->lock);
    mem_free(k);
}

uint32_t seal_keyring_first(struct seal_keyring *k)
{
    uint32_t id;

    lock_take(&k->lock);
    id = k->keys[0].id;
    lock_release(&k->lock);
    return id;
}

static bool find_key(struct seal_keyring *k, uint32_t id, uint8_t ret[SEAL_KEY_BYTES])
{
    bool is_found = false;

    lock_take(&k->lock);
    for (size_t i = 0; i < k->n && !is_found; i++) {
        is_found = k->keys[i].id == id;
        if (is_found && ret)
            memcpy(ret, k->keys[i].bytes, SEAL_KEY_BYTES);
    }
    lock_release(&k->lock);
    return is_found;
}

bool seal_keyring_has(struct seal_keyring *k, uint32_t key_id_wanted)
{
    return find_key(k, key_id_wanted, NULL);
}

static void derive(const uint8_t cluster_key[SEAL_KEY_BYTES], enum seal_label label,
                   const uint8_t *client_random, const uint8_t *server_random,
                   uint8_t ret[SEAL_KEY_BYTES])
{
    static const char *const infos[] = {"orrery rpc v1 hello", "orrery rpc v1 c2s",
                                        "orrery rpc v1 s2c"};
    uint8_t salt[2 * SEAL_RANDOM_BYTES];
    char digest[] = "SHA256", *info = mem_strdup(infos[label]);
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    OSSL_PARAM params[5];

    ORR_ASSERT(ctx);
    memcpy(salt, client_random, SEAL_RANDOM_BYTES);
    memcpy(salt + SEAL_RANDOM_BYTES, server_random, SEAL_RANDOM_BYTES);
    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
    params[1] =
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)cluster_key, SEAL_KEY_BYTES);
    params[2] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt, sizeof(salt));
    params[3] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, strlen(info));
    params[4] = OSSL_PARAM_construct_end();
    must(EVP_KDF_derive(ctx, ret, SEAL_KEY_BYTES, params));
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    mem_free(info);
}

struct seal_ctx *seal_ctx_new(struct seal_keyring *k, uint32_t id, enum seal_label label,
                              const uint8_t client_random[SEAL_RANDOM_BYTES],
                              const uint8_t server_random[SEAL_RANDOM_BYTES], bool is_sealing)
{
    uint8_t cluster_key[SEAL_KEY_BYTES], traffic_key[SEAL_KEY_BYTES];
    struct seal_ctx *c;

    if (!find_key(k, id, cluster_key))
        return NULL;
    derive(cluster_key, label, client_random, server_random, traffic_key);
    c = mem_new(struct seal_ctx);
    c->evp = EVP_CIPHER_CTX_new();
    ORR_ASSERT(c->evp);
    must(EVP_CipherInit_ex(c->evp, EVP_aes_256_gcm(), NULL, traffic_key, NULL, is_sealing));
    OPENSSL_cleanse(cluster_key, sizeof(cluster_key));
    OPENSSL_cleanse(traffic_key, sizeof(traffic_key));
    return c;
}

void seal_ctx_free(struct seal_ctx *c)
{
    if (!c)
        return;
    EVP_CIPHER_CTX_free(c->evp);
    mem_free(c);
}

static void start(struct seal_ctx *c, uint64_t seq, struct slice aad)
{
    uint8_t nonce[12] = {0};
    int n;

    for (size_t i = 0; i < 8; i++)
        nonce[4 + i] = (uint8_t)(seq >> (8 * i));
    must(EVP_CipherInit_ex(c->evp, NULL, NULL, NULL, nonce, -1));
    must(EVP_CipherUpdate(c->evp, NULL, &n, aad.ptr, (int)aad.len));
}

void seal_parts(struct seal_ctx *c, uint64_t seq, struct slice aad, const struct slice *parts,
                size_t n, uint8_t *out)
{
    int written;

    start(c, seq, aad);
    for (size_t i = 0; i < n; i++) {
        if (parts[i].len == 0)
            continue; /* EVP takes a NULL pointer for something else */
        must(EVP_CipherUpdate(c->evp, out, &written, parts[i].ptr, (int)parts[i].len));
        out += written;
    }
    must(EVP_CipherFinal_ex(c->evp, out, &written));
    must(EVP_CIPHER_CTX_ctrl(c->evp, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG_BYTES, out));
}

bool seal_open(struct seal_ctx *c, uint64_t seq, struct slice aad, struct slice sealed,
               uint8_t *out)
{
    uint8_t tag[SEAL_TAG_BYTES];
    size_t len;
    int written = 0;

    if (sealed.len < SEAL_TAG_BYTES || sealed.len > INT32_MAX)
        return false;
    len = sealed.len - SEAL_TAG_BYTES;
    memcpy(tag, sealed.ptr + len, SEAL_TAG_BYTES);
    start(c, seq, aad);
    if (len > 0)
        must(EVP_CipherUpdate(c->evp, out, &written, sealed.ptr, (int)len));
    must(EVP_CIPHER_CTX_ctrl(c->evp, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG_BYTES, tag));
    return EVP_CipherFinal_ex(c->evp, out + written, &written) > 0;
}

void seal_random(uint8_t *out, size_t n)
{
    must(RAND_bytes(out, (int)n));
}
