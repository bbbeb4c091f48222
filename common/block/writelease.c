#include "common/block/writelease.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/hash.h"

#define SEED 0x77726974ull
#define LANDS 2  /* a put takes place within so many put_ms, or never */
#define RUNS 5   /* an unchanged text is worth nothing after so many */
#define USABLE 3 /* RUNS - LANDS */

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

static void write_held(struct writelease *l, struct writelease_step *ret)
{
    (void)snprintf(ret->text, sizeof(ret->text), "held %s %" PRIu64 " by %s\n", l->nonce,
                   ++l->count, l->instance);
}

/* Remembers what stands there, and since when at least. */
static void see(struct writelease *l, int64_t now_ms, struct slice text)
{
    text.len = ORR_MIN(text.len, sizeof(l->seen));
    if (l->state == WRITELEASE_WATCHED && text.len == l->seen_bytes &&
        memcmp(text.ptr, l->seen, text.len) == 0)
        return;
    l->state = WRITELEASE_WATCHED;
    if (text.len)
        memcpy(l->seen, text.ptr, text.len);
    l->seen_bytes = text.len;
    l->seen_ms = now_ms;
}

static void claim(struct writelease *l, const char *nonce, struct writelease_step *ret)
{
    (void)snprintf(l->nonce, sizeof(l->nonce), "%s", nonce);
    l->count = 0;
    write_held(l, ret);
}

struct writelease_step writelease_read(struct writelease *l, int64_t read_began_ms, int64_t now_ms,
                                       struct slice text, bool wanted, const char *nonce)
{
    struct writelease_step step = {.text = ""};
    bool is_fresh = now_ms - read_began_ms < l->put_ms;

    if (l->state == WRITELEASE_CLAIMED && !is_ours(l, text))
        l->state = WRITELEASE_IDLE; /* another's came after ours */
    if (l->state == WRITELEASE_HELD && !is_ours(l, text)) {
        step.is_lost = true;
        l->state = WRITELEASE_IDLE;
    }
    if (l->state == WRITELEASE_CLAIMED && read_began_ms >= l->claimed_ms + LANDS * l->put_ms) {
        l->state = WRITELEASE_HELD;
        l->held_ms = now_ms;
        l->renew_ms = INT64_MIN;
    }
    if (l->state == WRITELEASE_HELD && now_ms >= l->valid_ms + RUNS * l->put_ms)
        l->state = WRITELEASE_IDLE; /* it ran out: another may be claiming it */
    if (l->state == WRITELEASE_CLAIMED)
        return step;
    if (l->state == WRITELEASE_HELD) {
        if (wanted && now_ms >= writelease_next_ms(l, now_ms))
            write_held(l, &step);
        return step;
    }
    if (!wanted) {
        l->state = WRITELEASE_IDLE;
        return step;
    }
    see(l, now_ms, text);
    if (is_fresh && (is_free(text) || now_ms - l->seen_ms >= RUNS * l->put_ms))
        claim(l, nonce, &step);
    return step;
}

void writelease_wrote(struct writelease *l, int64_t began_ms, int64_t now_ms, bool ok)
{
    if (l->state == WRITELEASE_HELD) {
        l->renew_ms = began_ms;
        if (ok &&
            now_ms < l->valid_ms + RUNS * l->put_ms) /* nobody can have taken it to have run out */
            l->valid_ms = began_ms;
    } else if (ok) {
        l->state = WRITELEASE_CLAIMED;
        l->claimed_ms = now_ms;
        l->valid_ms = began_ms;
    } else {
        l->state = WRITELEASE_IDLE; /* it may come to stand there: then it has to run out */
    }
}

int64_t writelease_next_ms(const struct writelease *l, int64_t now_ms)
{
    if (l->state == WRITELEASE_CLAIMED)
        return l->claimed_ms + LANDS * l->put_ms;
    if (l->state == WRITELEASE_HELD)
        return l->renew_ms == INT64_MIN ? now_ms : l->renew_ms + l->put_ms / 2;
    return l->state == WRITELEASE_WATCHED ? now_ms + l->put_ms / 4 : now_ms;
}

bool writelease_may_put(const struct writelease *l, int64_t now_ms)
{
    return l->state == WRITELEASE_HELD && now_ms <= l->valid_ms + USABLE * l->put_ms;
}

struct writelease_step writelease_release(struct writelease *l)
{
    struct writelease_step step = {.text = ""};

    (void)snprintf(step.text, sizeof(step.text), "free %s by %s\n", l->nonce, l->instance);
    l->state = WRITELEASE_IDLE;
    return step;
}
