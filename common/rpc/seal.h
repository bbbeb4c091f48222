/*
 * Seals what travels between processes: AES-256-GCM under keys derived from the cluster key.
 *
 * A keyring holds the cluster keys: the first seals, all open, so a key is rotated without a gap:
 * add the new one second everywhere, then make it first everywhere, then remove the old one. A
 * key is 32 bytes, written as 64 hex digits or 44 characters of base64. Its id on the wire is the
 * first 4 bytes of SHA-256("orrery key id" | key).
 *
 * Two processes that connect exchange 16 random bytes each (frame.h: HELLO, WELCOME). Every
 * connection has its own two traffic keys, one per direction:
 *
 *     key(label) = HKDF-SHA256(secret = cluster key, salt = client random | server random,
 *                              info = "orrery rpc v1 " label)         label: "c2s", "s2c"
 *     HELLO itself is sealed under key("hello"), its server random being zeros.
 *
 *     nonce (12 bytes) = u32le 0 | u64le sequence number of the frame       AAD = frame header
 *
 * What this gives:
 * - No nonce is ever used twice with a key: a key belongs to one direction of one connection of
 *   one process, and the sequence number only counts up. (A random nonce prefix under the cluster
 *   key itself would collide among many restarts; a fresh key cannot.)
 * - Replay: a receiver takes sequence number n+1 after n and nothing else; frames recorded from
 *   another connection were sealed under another key. A replayed HELLO opens a session the
 *   replayer cannot speak in; it is dropped after seconds and such sessions are bounded.
 * - Reflection: the two directions have different keys.
 * - A process without a cluster key can neither read nor write one frame.
 * - Not given: forward secrecy. Who learns a cluster key can read recorded traffic.
 *
 * Threads: a keyring may be used from any thread. A seal_ctx belongs to one thread at a time.
 */
#pragma once
#include "common/base/err.h"
#include "common/base/slice.h"

#define SEAL_KEY_BYTES 32
#define SEAL_RANDOM_BYTES 16
#define SEAL_TAG_BYTES 16
#define SEAL_MAX_KEYS 4

struct seal_keyring;

/* keys: 1..SEAL_MAX_KEYS texts as above. ERR_INVALID says which key is wrong and why, without
 * printing it. One reference. */
ORR_CHECKED struct err *seal_keyring_new(const char *const *keys, size_t n,
                                         struct seal_keyring **ret);
/* Replaces the keys while it is in use. Connections made under a key that is gone are dropped at
 * the next check of their owner. */
ORR_CHECKED struct err *seal_keyring_set(struct seal_keyring *k, const char *const *keys, size_t n);
struct seal_keyring *seal_keyring_ref(struct seal_keyring *k); /* NULL stays NULL */
void seal_keyring_unref(struct seal_keyring *k);
uint32_t seal_keyring_first(struct seal_keyring *k); /* id of the key that seals */
bool seal_keyring_has(struct seal_keyring *k, uint32_t key_id);

/* One direction of one connection: the key schedule is done once. */
struct seal_ctx;
enum seal_label { SEAL_HELLO, SEAL_C2S, SEAL_S2C };

/* NULL when the keyring has no key of that id. randoms: client's, then server's. */
struct seal_ctx *seal_ctx_new(struct seal_keyring *k, uint32_t key_id, enum seal_label label,
                              const uint8_t client_random[SEAL_RANDOM_BYTES],
                              const uint8_t server_random[SEAL_RANDOM_BYTES], bool is_sealing);
void seal_ctx_free(struct seal_ctx *c);

/*
 * Seals the parts, in order, into out (parts' bytes + SEAL_TAG_BYTES). Never with a seq that was
 * used before.
 */
void seal_parts(struct seal_ctx *c, uint64_t seq, struct slice aad, const struct slice *parts,
                size_t n, uint8_t *out);
/*
 * Opens sealed (ciphertext, then tag) into out, which has sealed.len - SEAL_TAG_BYTES bytes and may
 * be sealed.ptr itself. False if it is too short or the tag is wrong: then what was written is
 * garbage and must not be used.
 */
bool seal_open(struct seal_ctx *c, uint64_t seq, struct slice aad, struct slice sealed,
               uint8_t *out);

/* From the system's generator; aborts when there is none. */
void seal_random(uint8_t *out, size_t n);
