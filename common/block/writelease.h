/*
 * Who may change catalogues and tombstone lists in a bucket without conditional puts where s3.one-writer asks for it
 * (objstore_needs_one_writer()): the holder of a lease, and nobody else. Without the setting there are no leases. There is
 * one for each of WRITELEASE_SHARDS shares of the tenants; each is an object, writers/<shard>, of one line of text:
 *
 *     held <nonce> <count> by <instance>\n    the count rises with every renewal, the nonce is new for every claim
 *     free <nonce> by <instance>\n            was given back: it need not run out first
 *
 * The bucket itself is the referee, not the ring: the ring says who should ask for a lease, and if two rings differ, for a
 * partition or any other reason, one of both gets it. Plain reads and writes are enough (Fischer's algorithm), given one bound:
 *
 *     put_ms    a put is given up this long after it was begun (objstore_put.within_ms)
 *     2 put_ms  and takes place by then, or never: the rest is for what a server had got and not yet done
 *
 *   to claim   read: absent, free, or the same text for 5 put_ms. Write ours within put_ms of the beginning of that read. Wait
 *              2 put_ms. Read: still ours? Then it is held, for whoever read what we read has written by now, and ours came
 *              after. Else from the beginning.
 *   to hold    write the next count every put_ms / 2. A write counts from its beginning on, if it succeeded before 5 put_ms
 *              were over since the last: after that another may be about to claim, and it is to be claimed again.
 *   to use     puts may be begun up to 3 put_ms after the last such beginning: they have taken place before the 5 are over.
 *   to end     when nothing of ours can be under way any more and a put might be begun, write "free".
 *
 * So whoever crashes is followed after 5 + 2 put_ms and some, whoever leaves after 2, and nobody changes anything in
 * between. A process that is stopped after it has looked at the clock and before it sends is outside of the bound; who holds a lease
 * reads back what he put, and says so when it is not there.
 *
 * This is the state of one lease: pure, with the times given in (monotonic ms). Owner: the caller.
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/slice.h"

#define WRITELEASE_SHARDS 16
#define WRITELEASE_PREFIX "writers/"
#define WRITELEASE_KEY_BYTES 24
#define WRITELEASE_TEXT_BYTES 256 /* more is nothing of ours */
#define WRITELEASE_NONCE_BYTES 33

enum writelease_state {
    WRITELEASE_IDLE,    /* not asked for */
    WRITELEASE_WATCHED, /* asked for; another's, or not looked at yet */
    WRITELEASE_CLAIMED, /* written; waiting whether it stays */
    WRITELEASE_HELD
};

struct writelease {
    /* given */
    const char *instance; /* printable ASCII without space, at most 128 bytes (member.h) */
    int64_t put_ms;
    /* its own */
    enum writelease_state state;
    char nonce[WRITELEASE_NONCE_BYTES];
    uint64_t count;
    char seen[WRITELEASE_TEXT_BYTES]; /* what stood there, since when */
    size_t seen_bytes;
    int64_t seen_ms;
    int64_t claimed_ms; /* the end of the claim's write */
    int64_t valid_ms;   /* HELD: the beginning of the last write that counts */
    int64_t renew_ms;   /* the beginning of the last one that was tried */
    int64_t held_ms;    /* HELD: since when */
};

/* What is to be written, "" for nothing, and whether it is a claim: within put_ms of read_began_ms. */
struct writelease_step {
    char text[WRITELEASE_TEXT_BYTES];
    bool
        is_lost; /* it was held, and another's text stands there: the bound did not hold, or somebody forced it */
};

/* The share of a tenant, and the object of a share. */
unsigned writelease_shard(struct slice tenant);
void writelease_key(unsigned shard, char ret[static WRITELEASE_KEY_BYTES]);
/* Whose lease this is by its text; false: nobody's. *ret is lent by text. */
bool writelease_holder(struct slice text, struct slice *ret);

/* The object was read, from read_began_ms on; "" when absent; now_ms: it is here. wanted: whether we should have it; nonce: random
 * text of hexadecimal digits. */
struct writelease_step writelease_read(struct writelease *l, int64_t read_began_ms, int64_t now_ms,
                                       struct slice text, bool wanted, const char *nonce);
/* What the step said was written, or may have been (ok false). */
void writelease_wrote(struct writelease *l, int64_t began_ms, int64_t now_ms, bool ok);
/* When the object should be read again. */
int64_t writelease_next_ms(const struct writelease *l, int64_t now_ms);
/* Whether a put may be begun. */
bool writelease_may_put(const struct writelease *l, int64_t now_ms);
/* When writelease_may_put() and nothing is under way: the text that gives it back. It is IDLE from now on. */
struct writelease_step writelease_release(struct writelease *l);
