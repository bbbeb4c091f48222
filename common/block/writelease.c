#include "common/block/writelease.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/hash.h"

#define SEED 0x77726974ull
/* All in lease_ms; the header has the reasons. */
#define USABLE 12
#define SPARE 2 /* of R */
#define KNOWN 2 /* after the last read before it a claim is known to have taken place, or is none */
#define AWAITED 4 /* a claim of which nothing was heard, before another is made */
#define SETTLES 3 /* and waits so long */
#define RENEWS 4  /* three attempts before it cannot be used */
#define FREES 4   /* the one attempt at giving back */

unsigned writelease_shard(struct slice tenant)
{
    return (unsigned)(hash_xxh64(tenant, SEED) % WRITELEASE_SHARDS);
}

void writelease_key(unsigned shard, char ret[static WRITELEASE_KEY_BYTES])
{
    (void)snprintf(ret, WRITELEASE_KEY_BYTES, WRITELEASE_PREFIX "%u", shard);
}

bool writelease_holder(struct slice text, struct slice *ret)
{
    struct slice word;

    if (!text.len || slice_has_prefix(text, SLICE("free ")))
        return false;
    *ret = text;
    for (int i = 0; i < 4; i++) /* held, nonce, count, by */
        if (!slice_split(&text, ' ', &word) || !text.ptr)
            return true; /* nothing of ours: all of it, for whoever reads the message */
    *ret = slice_trim(text);
    return true;
}

/* Up to the count. */
static bool is_ours(const struct writelease *l, struct slice text)
{
    char head[WRITELEASE_TEXT_BYTES];
    int n = snprintf(head, sizeof(head), "held %s ", l->nonce);

    return slice_has_prefix(text, slice_of(head, (size_t)n));
}

static bool is_free(struct slice text)
{
    struct slice holder;

    return !writelease_holder(text, &holder);
}

/* U and R of the header. */
static int64_t usable_ms(const struct writelease *l)
{
    return USABLE * l->lease_ms;
}

static int64_t runs_ms(const struct writelease *l)
{
    return usable_ms(l) + 2 * l->put_ms + SPARE * l->lease_ms;
}

/* Until when writes of it may count. */
static int64_t counts_ms(const struct writelease *l)
{
    return l->valid_ms + runs_ms(l) - l->lease_ms;
}

int64_t writelease_takeover_ms(const struct writelease *l)
{
    return runs_ms(l) + SETTLES * l->lease_ms;
}

static void write_held(struct writelease *l, int64_t now_ms, int64_t until_ms,
                       struct writelease_step *ret)
{
    (void)snprintf(ret->text, sizeof(ret->text), "held %s %" PRIu64 " by %s\n", l->nonce,
                   ++l->count, l->instance);
    ret->until_ms = until_ms;
    l->tried_ms = now_ms;
}

static bool is_seen(const struct writelease *l, struct slice text)
{
    return text.len == l->seen_bytes && (!text.len || memcmp(text.ptr, l->seen, text.len) == 0);
}

/* Remembers what stands there, and since when at least. */
static void see(struct writelease *l, int64_t now_ms, struct slice text)
{
    text.len = ORR_MIN(text.len, sizeof(l->seen));
    if (l->state == WRITELEASE_WATCHED && is_seen(l, text))
        return;
    l->state = WRITELEASE_WATCHED;
    if (text.len)
        memcpy(l->seen, text.ptr, text.len);
    l->seen_bytes = text.len;
    l->seen_ms = now_ms;
}

/* ---- what a read says ---- */

/* CLAIMING, CLAIMED, HELD: what has become of it. */
static void move_on(struct writelease *l, int64_t read_began_ms, int64_t now_ms, struct slice text,
                    struct writelease_step *ret)
{
    bool ours = is_ours(l, text);
    bool is_over = now_ms >= counts_ms(l);

    if (l->state == WRITELEASE_CLAIMING && ours) {
        is_over |= now_ms >= l->basis_ms + KNOWN * l->lease_ms;
        l->state = WRITELEASE_CLAIMED;
        l->claimed_ms = now_ms;
    } else if (l->state == WRITELEASE_CLAIMING) {
        /* nobody has claimed it meanwhile, if that stands there still */
        l->basis_ms = read_began_ms;
        is_over |= !is_seen(l, text) || now_ms >= l->valid_ms + AWAITED * l->lease_ms;
    } else if (l->state == WRITELEASE_CLAIMED && !ours) {
        is_over = true; /* another's came after ours */
    } else if (l->state == WRITELEASE_HELD && !ours) {
        /* else it ran out, unseen: this process stood still, or the bucket was away */
        ret->is_lost = !is_over;
        is_over = true;
    } else if (l->state == WRITELEASE_CLAIMED &&
               read_began_ms >= l->claimed_ms + SETTLES * l->lease_ms) {
        l->state = WRITELEASE_HELD;
        l->held_ms = l->seen_bytes ? now_ms : INT64_MIN;
    }
    if (is_over)
        l->state = WRITELEASE_IDLE;
}

/* Renews it, or gives it back once nothing of ours can take place any more. */
static void hold(struct writelease *l, int64_t now_ms, bool wanted, struct writelease_step *ret)
{
    if (!wanted && !l->is_busy && now_ms >= l->quiet_ms && writelease_may_put(l, now_ms)) {
        (void)snprintf(ret->text, sizeof(ret->text), "free %s by %s\n", l->nonce, l->instance);
        ret->until_ms = ORR_MIN(now_ms + FREES * l->lease_ms, l->valid_ms + usable_ms(l));
        ret->is_end = true;
        l->state = WRITELEASE_IDLE;
    } else if (now_ms >= writelease_next_ms(l, true, now_ms)) {
        write_held(l, now_ms, ORR_MIN(now_ms + l->lease_ms, counts_ms(l)), ret);
    }
}

static void claim(struct writelease *l, int64_t read_began_ms, int64_t now_ms, const char *nonce,
                  struct writelease_step *ret)
{
    (void)snprintf(l->nonce, sizeof(l->nonce), "%s", nonce);
    l->count = 0;
    l->state = WRITELEASE_CLAIMING;
    l->basis_ms = read_began_ms;
    l->valid_ms = now_ms;
    write_held(l, now_ms, read_began_ms + l->lease_ms, ret);
}

struct writelease_step writelease_read(struct writelease *l, int64_t read_began_ms, int64_t now_ms,
                                       struct slice text, bool wanted, const char *nonce)
{
    struct writelease_step step = {.text = ""};
    bool is_fresh = now_ms - read_began_ms < l->lease_ms;

    if (l->state >= WRITELEASE_CLAIMING)
        move_on(l, read_began_ms, now_ms, text, &step);
    if (l->state >= WRITELEASE_CLAIMING) {
        if (l->state == WRITELEASE_HELD)
            hold(l, now_ms, wanted, &step);
        return step;
    }
    if (!wanted) {
        l->state = WRITELEASE_IDLE;
        return step;
    }
    see(l, now_ms, text);
    if (is_fresh && (is_free(text) || read_began_ms - l->seen_ms >= runs_ms(l)))
        claim(l, read_began_ms, now_ms, nonce, &step);
    return step;
}

void writelease_wrote(struct writelease *l, int64_t now_ms, bool ok)
{
    if (!ok)
        return; /* a claim: it is looked for; a renewal: it does not count */
    if (l->state == WRITELEASE_HELD && now_ms < counts_ms(l))
        l->valid_ms = l->tried_ms;
    if (l->state == WRITELEASE_CLAIMING && now_ms < l->basis_ms + KNOWN * l->lease_ms) {
        l->state = WRITELEASE_CLAIMED;
        l->claimed_ms = now_ms;
    }
}

int64_t writelease_next_ms(const struct writelease *l, bool wanted, int64_t now_ms)
{
    switch (l->state) {
    case WRITELEASE_WATCHED:
        return now_ms + l->lease_ms / 2;
    case WRITELEASE_CLAIMING:
        return now_ms + l->lease_ms / 4;
    case WRITELEASE_CLAIMED:
        return l->claimed_ms + SETTLES * l->lease_ms;
    case WRITELEASE_HELD:
        if (!wanted && !l->is_busy && now_ms >= l->quiet_ms)
            return now_ms;
        return l->tried_ms > l->valid_ms ? l->tried_ms + l->lease_ms / 2
                                         : l->valid_ms + RENEWS * l->lease_ms;
    case WRITELEASE_IDLE:
    default:
        return now_ms;
    }
}

/* ---- what it is for ---- */

bool writelease_may_put(const struct writelease *l, int64_t now_ms)
{
    return l->state == WRITELEASE_HELD && now_ms <= l->valid_ms + usable_ms(l);
}

enum writelease_turn writelease_put_begins(struct writelease *l, int64_t now_ms, bool wanted)
{
    if (l->is_busy)
        return WRITELEASE_BUSY;
    if (now_ms < l->quiet_ms)
        return WRITELEASE_QUIET;
    if (!wanted || !writelease_may_put(l, now_ms))
        return WRITELEASE_NOT_OURS;
    l->is_busy = true;
    l->put_until_ms = now_ms + l->put_ms;
    return WRITELEASE_GO;
}

void writelease_put_ended(struct writelease *l, bool is_known)
{
    l->is_busy = false;
    if (!is_known)
        l->quiet_ms = l->put_until_ms + l->put_ms;
}
