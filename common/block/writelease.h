/*
 * Who may change catalogues and tombstone lists in a bucket without conditional puts (objstore_needs_one_writer()): the
 * holder of a lease, and nobody else. There is one for each of WRITELEASE_SHARDS shares of the tenants; each is an object,
 * writers/<shard>, of one line of text:
 *
 *     held <nonce> <count> by <instance>\n    the count rises with every renewal, the nonce is new for every claim
 *     free <nonce> by <instance>\n            was given back: it need not run out first
 *
 * No text is written twice. The bucket itself is the referee, not the ring: the ring says who should ask for a lease, and if two
 * rings differ, for a partition or any other reason, one of both gets it. Plain reads and writes are enough (Fischer's algorithm),
 * given what is known of a put that is made in one attempt (objstore_put.until_ms):
 *
 *     it is acknowledged before it is given up, or never, and has taken place when it is
 *     one that is given up takes place within C of that, or never: C is what a server may take for what it had got
 *
 *     L  lease_ms   how long a read or write of a lease may take    (s3.lease-timeout)
 *     C  put_ms     how long a put of a catalogue may take          (s3.request-timeout)
 *     U  = 12 L     a lease is used for so long after the beginning of the last write of it that counts
 *     R  = U + 2 C + 2 L   an unchanged text is worth nothing after so long
 *
 *   to claim   read: absent, free, or the same text for R, at the beginning of that read. Write ours, given up L after that
 *              beginning. It has to be known that it took place, by its acknowledgement or by reading it, 2 L after the
 *              beginning of the last read that still showed what that one did; else from the beginning, and so after 4 L.
 *              Wait 3 L. Read: still ours? Then it is held. Else from the beginning.
 *   to hold    every 4 L read, and if it is still ours write the next count. A write counts, from its beginning on, if it was
 *              acknowledged before R - L were over since the beginning of the last that did: later another may be claiming.
 *   to use     puts are begun up to U after the last such beginning, one at a time, and given up after C. After one that failed
 *              none is begun for C more.
 *   to end     when nothing of ours can be under way any more, up to U, and no put is begun from now on: write "free", once.
 *
 * Why two never change something at a time. Say X holds it by a claim that took place at c, and Y by one that did at d.
 *
 *   Y's last such read was before c, and X's before d.  Both took place less than 2 L after the beginnings of those, so c < d +
 *       2 L and d < c + 2 L: by the time of either's last look, 3 L after its own, both had taken place; and it sees the later
 *       one. It is not held by both. (A claim of which that is not known in time is nobody's: whoever sees it waits for R.)
 *   Y's read was after c, of "free".  That was X's own, which had ended; or of a Z that held it before X, and then X had seen Z's
 *       text unchanged for R from a beginning v that counts on, while "free" was given up by v + U, so it took place by
 *       v + U + C, before X's claim did.
 *   Y's read was after c, of a text that it had seen for R.  A write of X that counts and took place in that time would
 *       have changed it, one that took place before was begun before: and whatever X began up to U after that
 *       beginning has taken place when 2 C more are over. One that took place after it was acknowledged within R - L of the
 *       beginning of one before: too late. Also if the text is not X's, but something late that was written over it:
 *       X sees that it is not its own, and ends.
 *
 * So it matters to nobody's safety when a write of a lease that was given up takes place, save "free", which has C for it like any
 * put; and clocks need not agree, only run alike: the bounds have L to spare, of R or less (1 % with the defaults, and
 * the clocks of machines are set right by less than a tenth of that). They are monotonic ones, which a suspended machine may stop.
 *
 *   how long until somebody may write    nobody held it, or who did left   3 L and three requests     6 to 7 s
 *                                        who held it crashed               R + 3 L = 17 L + 2 C       94 s
 *
 * (with 2 s and 30 s). A process that is stopped after its last look at the clock, which is on the thread that sends, and goes on
 * after all of that is outside of the bound by what it had not yet sent; who holds a lease reads back what he put, and says so when
 * it is not there.
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
    WRITELEASE_IDLE,     /* not asked for */
    WRITELEASE_WATCHED,  /* asked for; another's, or not looked at yet */
    WRITELEASE_CLAIMING, /* a claim is being written, or failed and may take place */
    WRITELEASE_CLAIMED,  /* it took place; waiting whether it stays */
    WRITELEASE_HELD
};

struct writelease {
    /* given */
    const char *instance; /* printable ASCII without space, at most 128 bytes (member.h) */
    int64_t lease_ms, put_ms;
    /* its own */
    enum writelease_state state;
    char nonce[WRITELEASE_NONCE_BYTES];
    uint64_t count;
    char seen[WRITELEASE_TEXT_BYTES]; /* what stood there, since when */
    size_t seen_bytes;
    int64_t seen_ms;
    int64_t basis_ms;   /* CLAIMING: the beginning of the last read that showed what allowed it */
    int64_t claimed_ms; /* CLAIMED: when that it took place was known */
    int64_t valid_ms;   /* from CLAIMING on: the beginning of the last write that counts */
    int64_t tried_ms;   /* the beginning of the last write */
    int64_t held_ms;    /* HELD: since when; INT64_MIN: nobody had it before */
    /* puts of catalogues */
    bool is_busy;         /* one is under way */
    int64_t put_until_ms; /* that, or the last: when it is given up */
    int64_t quiet_ms;     /* until then one may take place that was given up */
};

/* What is to be written, "" for nothing, and when that is to be given up. */
struct writelease_step {
    char text[WRITELEASE_TEXT_BYTES];
    int64_t until_ms;
    /* it gives the lease back; else the caller tells writelease_wrote() what became of it */
    bool is_end;
    /* it was held and had not run out, and another's text stands there: a write came very late, or somebody forced it */
    bool is_lost;
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
/* What the step said was written, by now, or may have been (ok false). */
void writelease_wrote(struct writelease *l, int64_t now_ms, bool ok);
/* When the object should be read again. */
int64_t writelease_next_ms(const struct writelease *l, bool wanted, int64_t now_ms);
/* Whether it is ours to use. */
bool writelease_may_put(const struct writelease *l, int64_t now_ms);

enum writelease_turn { WRITELEASE_GO, WRITELEASE_BUSY, WRITELEASE_QUIET, WRITELEASE_NOT_OURS };
/* A put of a catalogue is to be begun, with the time looked at just before. WRITELEASE_GO: it is to be given up at
 * l->put_until_ms, and writelease_put_ended() is called when it has ended. */
enum writelease_turn writelease_put_begins(struct writelease *l, int64_t now_ms, bool wanted);
/* is_known: whether it took place or not is known. */
void writelease_put_ended(struct writelease *l, bool is_known);

/* How long after its death the holder's place is another's, at most, without the requests: R + 3 L. */
int64_t writelease_takeover_ms(const struct writelease *l);
