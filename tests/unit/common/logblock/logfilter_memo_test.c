/* Whoever asks, in whatever pieces and at once: the answers are those of a file that is read anew, and no stripe is read twice. */
#include <pthread.h>

#include "common/base/rng.h"
#include "common/logblock/logfilter.h"
#include "tests/unit/common/logblock/logtext.h"
#include "tests/unit/test.h"

#define PAGES 1100 /* more than a group */
#define WORDS ((PAGES + 63) / 64)

struct file {
    struct buf bytes;
    struct arena *arena;
    struct logfilter *f;
    struct logfilter_io io;
    char ids[PAGES][20];
    struct logfilter_grams grams;
};

static struct err *from_buf(void *arg, uint64_t off, size_t len, struct slice *ret)
{
    const struct buf *b = arg;

    *ret = slice_sub(buf_slice(b), (size_t)off, len);
    return NULL;
}

static void make(struct file *x)
{
    struct logfilter_out *o = logfilter_out_new();
    struct buf line = {0};
    struct rng r;

    rng_seed(&r, 7);
    for (int i = 0; i < PAGES; i++) {
        struct logfilter_bits bits;

        logfilter_grams_clear(&x->grams);
        for (int k = i % 40 ? 5 : 60; k > 0; k--) {
            buf_reset(&line);
            logtext_line(&r, LOGTEXT_JSON, &line);
            sprintf(x->ids[i], "%08x%08x", rng_u32(&r), rng_u32(&r));
            buf_str(&line, x->ids[i]);
            logfilter_grams_add(&x->grams, buf_slice(&line));
        }
        bits = logfilter_bits_of(&x->grams);
        logfilter_out_add(o, &bits, &x->bytes);
    }
    logfilter_out_end(o, &x->bytes);
    logfilter_out_free(o);
    buf_done(&line);
    x->arena = arena_new(0);
    x->io = (struct logfilter_io){.fetch = from_buf, .arg = &x->bytes};
    CHECK_OK(logfilter_open(x->arena, x->bytes.len, PAGES, &x->io, &x->f));
}

static void done(struct file *x)
{
    logfilter_grams_done(&x->grams);
    arena_free(x->arena);
    buf_done(&x->bytes);
}

static void ask_for(struct file *x, int id)
{
    logfilter_grams_clear(&x->grams);
    logfilter_grams_add(&x->grams, slice_cstr(x->ids[id]));
}

TEST(logfilter_memo_pieces_read_no_stripe_twice)
{
    static struct file x;
    struct logfilter_memo *memo;
    uint64_t whole[WORDS], all = 0, of_pieces = 0, again = 0;

    make(&x);
    memo = logfilter_memo_new(x.f);
    ask_for(&x, 500);
    memset(whole, 255, sizeof(whole));
    CHECK_OK(logfilter_narrow(x.f, &x.io, &x.grams, NULL, whole, &all));
    CHECK(all > 0);
    for (int w = 0; w < WORDS; w++) { /* the pages of a word are a piece */
        uint64_t set[WORDS] = {0};

        set[w] = UINT64_MAX;
        CHECK_OK(logfilter_narrow(x.f, &x.io, &x.grams, memo, set, &of_pieces));
        CHECK(set[w] == whole[w]);
    }
    CHECK_INT(of_pieces, all);
    memset(whole, 255, sizeof(whole));
    CHECK_OK(logfilter_narrow(x.f, &x.io, &x.grams, memo, whole, &again));
    CHECK_INT(again, 0);
    CHECK(logfilter_memo_bytes(memo) <= LOGFILTER_MEMO_BYTES + 4096);
    logfilter_memo_free(memo);
    done(&x);
}

TEST(logfilter_memo_changes_no_answer)
{
    static struct file x;
    struct logfilter_memo *memo;
    struct rng r;

    make(&x);
    memo = logfilter_memo_new(x.f);
    rng_seed(&r, 9);
    for (int i = 0; i < 2000; i++) { /* of more needles than it has room for */
        uint64_t want[WORDS], got[WORDS], touched = 0, touched_with = 0;
        uint64_t mask = rng_below(&r, 3) ? rng_u64(&r) & rng_u64(&r) & rng_u64(&r) : UINT64_MAX;

        ask_for(&x, (int)rng_below(&r, 2 * LOGFILTER_MEMO_NEEDLES));
        for (int w = 0; w < WORDS; w++)
            want[w] = got[w] = mask & rng_u64(&r);
        CHECK_OK(logfilter_narrow(x.f, &x.io, &x.grams, NULL, want, &touched));
        CHECK_OK(logfilter_narrow(x.f, &x.io, &x.grams, memo, got, &touched_with));
        CHECK(memcmp(want, got, sizeof(want)) == 0);
        CHECK(touched_with <= touched);
    }
    logfilter_memo_free(memo);
    done(&x);
}

struct asker {
    struct file *x;
    struct logfilter_memo *memo;
    const uint64_t *want;
    uint64_t touched;
    bool is_right;
};

static void *ask(void *arg)
{
    struct asker *a = arg;
    uint64_t set[WORDS];
    struct err *e;

    memset(set, 255, sizeof(set));
    e = logfilter_narrow(a->x->f, &a->x->io, &a->x->grams, a->memo, set, &a->touched);
    a->is_right = !e && memcmp(set, a->want, sizeof(set)) == 0;
    err_free(e);
    return NULL;
}

TEST(logfilter_memo_of_many_threads_one_reads)
{
    static struct file x;
    uint64_t want[WORDS], alone = 0, sum = 0;
    struct logfilter_memo *memo;
    struct asker askers[8];
    pthread_t threads[8];

    make(&x);
    memo = logfilter_memo_new(x.f);
    ask_for(&x, 77);
    memset(want, 255, sizeof(want));
    CHECK_OK(logfilter_narrow(x.f, &x.io, &x.grams, NULL, want, &alone));
    for (int i = 0; i < 8; i++) {
        askers[i] = (struct asker){.x = &x, .memo = memo, .want = want};
        CHECK(pthread_create(&threads[i], NULL, ask, &askers[i]) == 0);
    }
    for (int i = 0; i < 8; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(askers[i].is_right);
        sum += askers[i].touched;
    }
    CHECK_INT(sum, alone);
    logfilter_memo_free(memo);
    done(&x);
}

/* A stripe that could not be read is not known, and is read when it can be. */
static int fails_left;
static struct err *sometimes(void *arg, uint64_t off, size_t len, struct slice *ret)
{
    if (fails_left && --fails_left == 0)
        return err_new(ERR_IO, "not now");
    return from_buf(arg, off, len, ret);
}

TEST(logfilter_memo_of_reads_that_fail)
{
    static struct file x;
    uint64_t want[WORDS], touched = 0;

    make(&x);
    ask_for(&x, 1099);
    memset(want, 255, sizeof(want));
    CHECK_OK(logfilter_narrow(x.f, &x.io, &x.grams, NULL, want, &touched));
    x.io.fetch = sometimes;
    for (int n = 1;; n++) {
        struct logfilter_memo *memo = logfilter_memo_new(x.f);
        uint64_t set[WORDS], got[WORDS], sum = 0;
        struct err *e;

        fails_left = n;
        memset(set, 255, sizeof(set));
        e = logfilter_narrow(x.f, &x.io, &x.grams, memo, set, &sum);
        fails_left = 0;
        memset(got, 255, sizeof(got));
        CHECK_OK(logfilter_narrow(x.f, &x.io, &x.grams, memo, got, &sum));
        CHECK(memcmp(got, want, sizeof(got)) == 0);
        CHECK_INT(sum, touched);
        logfilter_memo_free(memo);
        if (!e)
            break;
        CHECK_ERR(e, ERR_IO, "not now");
    }
    done(&x);
}
