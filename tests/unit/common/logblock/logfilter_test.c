#include "common/base/hash.h"
#include "common/base/rng.h"
#include "common/logblock/logfilter.h"
#include "tests/unit/common/logblock/logtext.h"
#include "tests/unit/test.h"

static struct err *from_buf(void *arg, uint64_t off, size_t len, struct slice *ret)
{
    const struct buf *b = arg;

    *ret = slice_sub(buf_slice(b), (size_t)off, len);
    return ret->len == len ? NULL : err_new(ERR_CORRUPT, "outside");
}

static bool is_in(const struct logfilter_grams *all, const struct logfilter_grams *some)
{
    VEC_FOREACH (h, &some->hashes) {
        bool found = false;

        VEC_FOREACH (o, &all->hashes)
            found |= *o == *h;
        if (!found)
            return false;
    }
    return true;
}

TEST(logfilter_what_a_needle_keeps_its_line_keeps)
{
    static struct logfilter_grams of_line, of_needle;
    struct buf line = {0};
    struct rng r;

    rng_seed(&r, 2);
    for (int i = 0; i < 3000; i++) {
        size_t at, len;

        buf_reset(&line);
        for (int k = i % 100 ? 1 : 60; k > 0; k--) /* some are longer than a batch */
            logtext_line(&r, LOGTEXT_KINDS, &line);
        at = rng_below(&r, line.len + 1);
        len = rng_below(&r, line.len - at + 1);
        logfilter_grams_clear(&of_line);
        logfilter_grams_add(&of_line, buf_slice(&line));
        logfilter_grams_clear(&of_needle);
        logfilter_grams_add(&of_needle, slice_of(line.ptr + at, len));
        CHECK((of_needle.hashes.len > 0) == (len >= LOGFILTER_MIN_NEEDLE));
        CHECK(is_in(&of_line, &of_needle));
    }
    logfilter_grams_done(&of_line);
    logfilter_grams_done(&of_needle);
    buf_done(&line);
}

/* Lines of a page: each has an id of its own. */
static void add_page(struct rng *r, struct logfilter_grams *g, size_t n, char *id)
{
    struct buf line = {0};

    logfilter_grams_clear(g);
    for (size_t i = 0; i < n; i++) {
        buf_reset(&line);
        logtext_line(r, LOGTEXT_JSON, &line);
        sprintf(id, "%08x%08x", rng_u32(r), rng_u32(r));
        buf_str(&line, id);
        logfilter_grams_add(g, buf_slice(&line));
    }
    buf_done(&line);
}

#define PAGES 1300

TEST(logfilter_finds_the_page_of_an_id_and_few_others)
{
    static struct logfilter_grams g;
    static char ids[PAGES][20];
    struct logfilter_out *o = logfilter_out_new();
    struct arena *a = arena_new(0);
    struct logfilter *f;
    struct buf file = {0};
    struct rng r;
    size_t n_found = 0;
    uint64_t touched = 0;

    rng_seed(&r, 3);
    for (int i = 0; i < PAGES; i++) {
        struct logfilter_bits bits;

        add_page(&r, &g, i % 50 ? 10 : 100, ids[i]);
        bits = logfilter_bits_of(&g);
        logfilter_grams_clear(&g);
        logfilter_grams_add(&g, slice_cstr(ids[i]));
        CHECK(logfilter_bits_may(&bits, &g));
        logfilter_out_add(o, &bits, &file);
    }
    logfilter_out_end(o, &file);
    CHECK_OK(logfilter_open(a, file.len, PAGES, from_buf, &file, &f));
    for (int i = 0; i < PAGES; i += 7) {
        uint64_t set[(PAGES + 63) / 64] = {0};

        logfilter_grams_clear(&g);
        logfilter_grams_add(&g, slice_cstr(ids[i]));
        CHECK_OK(logfilter_candidates(f, &g, set, &touched));
        CHECK(set[i / 64] >> (i % 64) & 1);
        for (int k = 0; k < PAGES; k++)
            n_found += set[k / 64] >> (k % 64) & 1;
    }
    CHECK(n_found < PAGES / 7 * PAGES / 20); /* 2% of pages and less, as a rule */
    logfilter_grams_done(&g);
    logfilter_out_free(o);
    buf_done(&file);
    arena_free(a);
}

TEST(logfilter_short_needles_are_anywhere)
{
    static struct logfilter_grams g;
    struct logfilter_out *o = logfilter_out_new();
    struct arena *a = arena_new(0);
    struct logfilter_bits bits = logfilter_bits_of(&g);
    struct buf file = {0};
    struct logfilter *f;
    uint64_t set[1] = {0}, touched = 0;

    logfilter_grams_add(&g, SLICE("short"));
    CHECK(logfilter_bits_may(&bits, &g));
    logfilter_out_add(o, &bits, &file);
    logfilter_out_end(o, &file);
    CHECK_OK(logfilter_open(a, file.len, 1, from_buf, &file, &f));
    CHECK_OK(logfilter_candidates(f, &g, set, &touched));
    CHECK_INT(set[0], 1);
    CHECK_INT(touched, 0);
    CHECK_ERR(logfilter_open(a, file.len, 2, from_buf, &file, &f), ERR_CORRUPT, "table");
    CHECK_ERR(logfilter_open(a, file.len - 1, 1, from_buf, &file, &f), ERR_CORRUPT, "footer");
    for (size_t at = 0; at < file.len; at++) {
        struct err *e;

        set[0] = 0;
        file.ptr[at] ^= 4;
        logfilter_grams_clear(&g);
        logfilter_grams_add(&g, SLICE("a text that is not there"));
        e = logfilter_open(a, file.len, 1, from_buf, &file, &f);
        if (!e)
            e = logfilter_candidates(f, &g, set, &touched);
        CHECK(e || set[0] == 0);
        err_free(e);
        file.ptr[at] ^= 4;
    }
    logfilter_grams_done(&g);
    logfilter_out_free(o);
    buf_done(&file);
    arena_free(a);
}

/* Of two groups of one page each, whose bits are all 0. */
static void put_two_groups(uint8_t first_page, uint8_t second_page, struct buf *out)
{
    struct buf table = {0};
    uint32_t crc;

    buf_fill(out, 0, 64);
    crc = hash_crc32c(slice_of(out->ptr, 32));
    buf_byte(&table, 2);
    for (uint8_t k = 0; k < 2; k++) {
        buf_byte(&table, k * 32); /* offset */
        buf_byte(&table, 0);      /* class */
        buf_byte(&table, 1);      /* pages */
        buf_byte(&table, k ? second_page : first_page);
        buf_u32le(&table, crc);
    }
    buf_slice_append(out, buf_slice(&table));
    buf_u64le(out, 64);
    buf_u32le(out, (uint32_t)table.len);
    buf_u32le(out, hash_crc32c(buf_slice(&table)));
    buf_append(out, "ORRLFL\0\1", 8);
    buf_done(&table);
}

TEST(logfilter_a_page_in_two_groups_hides_none)
{
    struct arena *a = arena_new(0);
    struct buf good = {0}, bad = {0};
    struct logfilter *f;

    put_two_groups(1, 0, &good);
    CHECK_OK(logfilter_open(a, good.len, 2, from_buf, &good, &f));
    put_two_groups(0, 0, &bad);
    CHECK_ERR(logfilter_open(a, bad.len, 2, from_buf, &bad, &f), ERR_CORRUPT, "of a page");
    buf_done(&good);
    buf_done(&bad);
    arena_free(a);
}
