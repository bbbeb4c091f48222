#include "common/base/rng.h"
#include "common/logblock/logskel_internal.h"
#include "tests/unit/common/logblock/logtext.h"
#include "tests/unit/test.h"

enum how { LINE, COARSE, FINE };

static enum logskel_kind spans_of(struct logskel *s, struct slice text, enum how how)
{
    if (how == LINE)
        return logskel_line(s, text);
    logskel_words(s, text, how == FINE);
    return how == FINE ? LOGSKEL_FINE : LOGSKEL_COARSE;
}

/* Of what decides where a value ends, and what the text is. */
static void some_value(struct rng *r, struct buf *out)
{
    static const char *const bits[] = {"\"", "\\", "\n", " ", "=",  "7",    "x", "{",
                                       "[",  "]",  "}",  ",", "-1", "null", ":", "."};
    size_t n = rng_below(r, 4);

    if (n == 0)
        logtext_value(r, out);
    while (n--)
        buf_str(out, bits[rng_below(r, ORR_COUNT(bits))]);
}

/* The template with other values, or parts of them the same. */
static void vary(struct rng *r, struct slice text, const struct logskel_span *spans, size_t n,
                 struct buf *out)
{
    size_t at = 0;

    for (size_t k = 0; k < n; k++) {
        buf_slice_append(out, slice_sub(text, at, spans[k].at - at));
        at = (size_t)spans[k].at + spans[k].len;
        if (rng_below(r, 3))
            buf_slice_append(out, slice_sub(text, spans[k].at, spans[k].len));
        else
            some_value(r, out);
    }
    buf_slice_append(out, slice_from(text, at));
    if (rng_below(r, 16) == 0 && out->len)
        out->len--;
}

static void some_text(struct rng *r, struct buf *out)
{
    if (rng_below(r, 3))
        logtext_line(r, LOGTEXT_KINDS, out);
    else
        for (size_t n = 1 + rng_below(r, 6); n; n--)
            some_value(r, out);
}

TEST(logskel_a_text_that_is_like_another_has_the_spans_it_has_anyway)
{
    struct logskel first = {0}, like = {0}, whole = {0};
    struct arena *a = arena_new(0);
    struct buf text = {0}, other = {0};
    size_t n_like[LOGSKEL_KINDS] = {0};
    struct rng r;

    rng_seed(&r, 5);
    for (int i = 0; i < 60000; i++) {
        enum how how = (enum how)(i % 3);
        const struct logskel_form *f;
        enum logskel_kind kind;

        arena_reset(a);
        buf_reset(&text);
        vec_clear(&first.spans);
        some_text(&r, &text);
        kind = spans_of(&first, buf_slice(&text), how);
        f = logskel_form_of(a, buf_slice(&text), first.spans.ptr, (uint32_t)first.spans.len, kind,
                            how == LINE);
        for (int k = 0; f && k < 4; k++) {
            buf_reset(&other);
            vec_clear(&like.spans);
            vec_clear(&whole.spans);
            vary(&r, buf_slice(&text), first.spans.ptr, first.spans.len, &other);
            if (!logskel_like(&like, buf_slice(&other), f)) {
                CHECK(like.spans.len == 0);
                continue;
            }
            n_like[kind]++;
            CHECK(spans_of(&whole, buf_slice(&other), how) == kind);
            CHECK(like.spans.len == whole.spans.len);
            CHECK(!like.spans.len || memcmp(like.spans.ptr, whole.spans.ptr,
                                            like.spans.len * sizeof(*like.spans.ptr)) == 0);
        }
    }
    CHECK(n_like[LOGSKEL_JSON] > 1000 && n_like[LOGSKEL_LOGFMT_PAIRS] > 1000);
    CHECK(n_like[LOGSKEL_COARSE] > 1000 && n_like[LOGSKEL_FINE] > 1000);
    logskel_done(&first);
    logskel_done(&like);
    logskel_done(&whole);
    buf_done(&text);
    buf_done(&other);
    arena_free(a);
}

TEST(logskel_words_are_the_same_whatever_the_machine_has)
{
    struct logskel fast = {0}, plain = {0};
    struct buf text = {0};
    struct rng r;

    rng_seed(&r, 6);
    for (int i = 0; i < 60000; i++) {
        struct slice exact;

        buf_reset(&text);
        for (size_t n = rng_below(&r, 4); n; n--)
            some_text(&r, &text);
        for (size_t n = rng_below(&r, 100); i % 4 == 0 && n; n--)
            buf_byte(&text, (uint8_t)rng_u32(&r));           /* each byte is of a class */
        exact = slice_of(mem_alloc(text.len + 1), text.len); /* nothing behind it is looked at */
        memcpy((uint8_t *)exact.ptr, text.ptr, text.len);
        vec_clear(&fast.spans);
        vec_clear(&plain.spans);
        logskel_words(&fast, exact, i % 2);
        logskel_words_plain(&plain, exact, i % 2);
        CHECK(fast.spans.len == plain.spans.len);
        CHECK(!fast.spans.len || memcmp(fast.spans.ptr, plain.spans.ptr,
                                        fast.spans.len * sizeof(*fast.spans.ptr)) == 0);
        mem_free((void *)exact.ptr);
    }
    logskel_done(&fast);
    logskel_done(&plain);
    buf_done(&text);
}
