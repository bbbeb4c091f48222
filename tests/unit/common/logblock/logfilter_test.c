#include "common/base/hash.h"
#include "common/base/rng.h"
#include "common/logblock/logfilter_internal.h"
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

static bool holds(const struct slice *lines, size_t n, struct slice needle)
{
    for (size_t i = 0; i < n; i++)
        if (slice_find(lines[i], needle, 0) >= 0)
            return true;
    return false;
}

/* A page's filter against a plain search: needles that begin and end anywhere, also within a letter of several bytes, and those with
 * another case, or another digit, in them. */
TEST(logfilter_never_says_no_of_what_is_there)
{
    static struct logfilter_grams of_page, of_needle;
    struct buf text = {0}, needle = {0};
    struct slice lines[200];
    size_t ends[ORR_COUNT(lines)], n_no = 0;
    struct logfilter_bits bits;
    struct rng r;

    rng_seed(&r, 6);
    for (size_t i = 0; i < ORR_COUNT(lines); i++) {
        buf_printf(&text,
                   "%s %08x-%04X gr\xc3\xb6\xc3\x9f"
                   "e=%u \xe2\x82\xac User_%u;",
                   i % 2 ? "Payment" : "payment", rng_u32(&r), rng_u32(&r) & 0xffff,
                   rng_u32(&r) % 100000, rng_u32(&r) % 1000);
        ends[i] = text.len;
    }
    for (size_t i = 0; i < ORR_COUNT(lines); i++) {
        lines[i] = slice_of(text.ptr + (i ? ends[i - 1] : 0), ends[i] - (i ? ends[i - 1] : 0));
        logfilter_grams_add(&of_page, lines[i]);
    }
    bits = logfilter_bits_of(&of_page);
    for (int i = 0; i < 20000; i++) {
        struct slice line = lines[rng_below(&r, ORR_COUNT(lines))];
        size_t at = rng_below(&r, line.len), k;

        buf_reset(&needle);
        buf_slice_append(&needle, slice_sub(line, at, 1 + rng_below(&r, line.len - at)));
        k = rng_below(&r, needle.len);
        if (i % 4 == 0)
            needle.ptr[k] ^= 32;
        else if (i % 4 == 1)
            needle.ptr[k] = (uint8_t)('0' + rng_below(&r, 10));
        logfilter_grams_clear(&of_needle);
        logfilter_grams_add(&of_needle, buf_slice(&needle));
        if (logfilter_bits_may(&bits, &of_needle))
            continue;
        n_no++;
        CHECK(!holds(lines, ORR_COUNT(lines), buf_slice(&needle)));
    }
    CHECK(n_no > 3000);
    logfilter_bits_done(&bits);
    logfilter_grams_done(&of_page);
    logfilter_grams_done(&of_needle);
    buf_done(&text);
    buf_done(&needle);
}

TEST(logfilter_keeps_the_same_whatever_the_machine_has)
{
    static struct logfilter_kept fast, plain;
    uint8_t text[LOGFILTER_BATCH + LOGFILTER_MIN_NEEDLE - 1];
    struct rng r;

    rng_seed(&r, 9);
    for (int i = 0; i < 4000; i++) {
        size_t n = 1 + rng_below(&r, i % 8 ? 200 : LOGFILTER_BATCH);
        size_t len = n + LOGFILTER_MIN_NEEDLE - 1;
        /* Of a piece of memory that ends where the text does: nothing behind it is read. */
        uint8_t *exact = mem_alloc(len);

        for (size_t k = 0; k < len; k++)
            text[k] = (uint8_t)(i % 3 ? rng_u32(&r) : rng_below(&r, 3) * 255); /* many alike */
        memcpy(exact, text, len);
        fast.before = plain.before = i % 2 ? rng_u32(&r) | 1 : 0;
        logfilter_kept_of(exact, n, &fast);
        logfilter_kept_portable(exact, n, &plain);
        CHECK(fast.before == plain.before);
        CHECK(memcmp(fast.least, plain.least, n * sizeof(*fast.least)) == 0);
        CHECK(memcmp(fast.changes, plain.changes, (n + 63) / 64 * sizeof(*fast.changes)) == 0);
        mem_free(exact);
    }
}

/* Filters that lie in buckets have these hashes. */
TEST(logfilter_hashes_stay)
{
    static const uint32_t want[] = {0x0264f111, 0x49609dc5, 0x305dd8c7, 0x3f4348a3,
                                    0x02ba51db, 0x17622679, 0x2e09994b, 0x163dc127};
    static struct logfilter_grams g;

    logfilter_grams_add(&g, SLICE("user_id:67890 AND level"));
    CHECK(g.hashes.len == ORR_COUNT(want));
    CHECK(memcmp(g.hashes.ptr, want, sizeof(want)) == 0);
    logfilter_grams_done(&g);
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

/* Piece by piece what it is as a whole, for the bytes of about one of them. */
static void check_memo(const struct logfilter *f, const struct logfilter_io *io, const char *id,
                       struct logfilter_memo *memo)
{
    enum { WORDS = (PAGES + 63) / 64, PIECES = 8 };
    struct logfilter_grams *g = mem_new(struct logfilter_grams);
    uint64_t whole[WORDS], piece[WORDS], alone = 0, together = 0;

    logfilter_grams_add(g, slice_cstr(id));
    memset(whole, 255, sizeof(whole));
    CHECK_OK(logfilter_narrow(f, io, g, NULL, whole, &alone));
    for (int k = 0; k < PIECES; k++) {
        memset(piece, 0, sizeof(piece));
        for (int i = k; i < PAGES; i += PIECES)
            piece[i / 64] |= 1ull << (i % 64);
        CHECK_OK(logfilter_narrow(f, io, g, memo, piece, &together));
        for (int i = k; i < PAGES; i += PIECES)
            CHECK((piece[i / 64] >> (i % 64) & 1) == (whole[i / 64] >> (i % 64) & 1));
    }
    CHECK_INT(together, alone);
    logfilter_grams_done(g);
    mem_free(g);
}

TEST(logfilter_finds_the_page_of_an_id_and_few_others)
{
    static struct logfilter_grams g;
    struct logfilter_memo *memo;
    static char ids[PAGES][20];
    struct logfilter_out *o = logfilter_out_new();
    struct arena *a = arena_new(0);
    struct logfilter *f;
    struct buf file = {0};
    struct rng r;
    struct logfilter_io io = {.fetch = from_buf, .arg = &file};
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
    CHECK_OK(logfilter_open(a, file.len, PAGES,
                            &(struct logfilter_io){.fetch = from_buf, .arg = &file}, &f));
    for (int i = 0; i < PAGES; i += 7) {
        uint64_t set[(PAGES + 63) / 64];

        memset(set, 255, sizeof(set));
        logfilter_grams_clear(&g);
        logfilter_grams_add(&g, slice_cstr(ids[i]));
        CHECK_OK(logfilter_narrow(f, &io, &g, NULL, set, &touched));
        CHECK(set[i / 64] >> (i % 64) & 1);
        for (int k = 0; k < PAGES; k++)
            n_found += set[k / 64] >> (k % 64) & 1;
    }
    CHECK(n_found < PAGES / 7 * PAGES / 20); /* 2% of pages and less, as a rule */
    memo = logfilter_memo_new(f);
    for (int i = 0; i < PAGES; i += 97)
        check_memo(f, &io, ids[i], memo);
    logfilter_memo_free(memo);
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
    struct logfilter_io io = {.fetch = from_buf, .arg = &file};
    uint64_t set[1] = {1}, touched = 0;

    logfilter_grams_add(&g, SLICE("short"));
    CHECK(logfilter_bits_may(&bits, &g));
    logfilter_out_add(o, &bits, &file);
    logfilter_out_end(o, &file);
    CHECK_OK(logfilter_open(a, file.len, 1, &(struct logfilter_io){.fetch = from_buf, .arg = &file},
                            &f));
    CHECK_OK(logfilter_narrow(f, &io, &g, NULL, set, &touched));
    CHECK_INT(set[0], 1);
    CHECK_INT(touched, 0);
    CHECK_ERR(
        logfilter_open(a, file.len, 2, &(struct logfilter_io){.fetch = from_buf, .arg = &file}, &f),
        ERR_CORRUPT, "table");
    CHECK_ERR(logfilter_open(a, file.len - 1, 1,
                             &(struct logfilter_io){.fetch = from_buf, .arg = &file}, &f),
              ERR_CORRUPT, "footer");
    for (size_t at = 0; at < file.len; at++) {
        struct err *e;

        set[0] = 1;
        file.ptr[at] ^= 4;
        logfilter_grams_clear(&g);
        logfilter_grams_add(&g, SLICE("a text that is not there"));
        e = logfilter_open(a, file.len, 1, &(struct logfilter_io){.fetch = from_buf, .arg = &file},
                           &f);
        if (!e)
            e = logfilter_narrow(f, &io, &g, NULL, set, &touched);
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

    buf_fill(out, 0, 16);
    crc = hash_crc32c(slice_of(out->ptr, 8));
    buf_byte(&table, 2);
    for (uint8_t k = 0; k < 2; k++) {
        buf_byte(&table, k * 8); /* offset */
        buf_byte(&table, 0);     /* class */
        buf_byte(&table, 1);     /* pages */
        buf_byte(&table, k ? second_page : first_page);
        buf_u32le(&table, crc);
    }
    buf_slice_append(out, buf_slice(&table));
    buf_u64le(out, 16);
    buf_u32le(out, (uint32_t)table.len);
    buf_u32le(out, hash_crc32c(buf_slice(&table)));
    buf_append(out, "ORRLFL\0\2", 8);
    buf_done(&table);
}

TEST(logfilter_a_page_in_two_groups_hides_none)
{
    struct arena *a = arena_new(0);
    struct buf good = {0}, bad = {0};
    struct logfilter *f;

    put_two_groups(1, 0, &good);
    CHECK_OK(logfilter_open(a, good.len, 2, &(struct logfilter_io){.fetch = from_buf, .arg = &good},
                            &f));
    put_two_groups(0, 0, &bad);
    CHECK_ERR(
        logfilter_open(a, bad.len, 2, &(struct logfilter_io){.fetch = from_buf, .arg = &bad}, &f),
        ERR_CORRUPT, "of a page");
    buf_done(&good);
    buf_done(&bad);
    arena_free(a);
}

TEST(logfilter_of_version_1_takes_nothing_out)
{
    static struct logfilter_grams g;
    struct arena *a = arena_new(0);
    struct buf file = {0};
    struct logfilter_io io = {.fetch = from_buf, .arg = &file};
    struct logfilter *f;
    uint64_t set[1] = {3}, touched = 0;

    put_two_groups(0, 1, &file);
    logfilter_grams_add(&g, SLICE("a text that is not there"));
    CHECK_OK(logfilter_open(a, file.len, 2, &io, &f));
    CHECK_OK(logfilter_narrow(f, &io, &g, NULL, set, &touched));
    CHECK_INT(set[0], 0);
    file.ptr[file.len - 1] = 1; /* the same with grams of other kinds */
    set[0] = 3;
    CHECK_OK(logfilter_open(a, file.len, 2, &io, &f));
    CHECK_OK(logfilter_narrow(f, &io, &g, NULL, set, &touched));
    CHECK_INT(set[0], 3);
    file.ptr[file.len - 1] = 3;
    CHECK_ERR(logfilter_open(a, file.len, 2, &io, &f), ERR_CORRUPT, "footer");
    logfilter_grams_done(&g);
    buf_done(&file);
    arena_free(a);
}

/* Tells what is worth reading together: no more than it was asked for, and that is all that is read at first. */
struct told {
    struct logfilter_range ranges[8];
    size_t n, n_calls, n_read_beyond;
    const struct buf *file;
};

static struct err *note_ahead(void *arg, const struct logfilter_range *ranges, size_t n)
{
    struct told *t = arg;

    CHECK(n <= 8);
    memcpy(t->ranges, ranges, n * sizeof(*ranges));
    t->n = n;
    t->n_calls++;
    return NULL;
}

static struct err *from_told(void *arg, uint64_t off, size_t len, struct slice *ret)
{
    struct told *t = arg;
    bool found = false;

    for (size_t i = 0; i < t->n; i++)
        found |= t->ranges[i].off == off && t->ranges[i].len == len;
    t->n_read_beyond += !found;
    *ret = slice_sub(buf_slice(t->file), (size_t)off, len);
    return NULL;
}

TEST(logfilter_reads_ahead_what_pages_of_the_set_need)
{
    static struct logfilter_grams g;
    struct logfilter_out *o = logfilter_out_new();
    struct arena *a = arena_new(0);
    struct buf file = {0};
    struct told told = {.file = &file};
    struct logfilter_io io = {
        .fetch = from_told, .ahead = note_ahead, .ahead_max = 8, .arg = &told};
    struct logfilter *f;
    uint64_t set[1] = {0xf0}, touched = 0;
    struct rng r;
    char id[20];

    rng_seed(&r, 5);
    for (int i = 0; i < 8; i++) { /* each of a class, so a group, of its own */
        struct logfilter_bits bits;

        add_page(&r, &g, (size_t)40 << i, id);
        bits = logfilter_bits_of(&g);
        logfilter_out_add(o, &bits, &file);
    }
    logfilter_out_end(o, &file);
    CHECK_OK(logfilter_open(a, file.len, 8, &(struct logfilter_io){from_told, .arg = &told}, &f));
    told.n_read_beyond = 0;
    logfilter_grams_clear(&g);
    logfilter_grams_add(&g, slice_cstr(id)); /* of the last page */
    CHECK(g.hashes.len && g.hashes.len <= 4);
    io.ahead_max = 2 * g.hashes.len;
    CHECK_OK(logfilter_narrow(f, &io, &g, NULL, set, &touched));
    CHECK(set[0] & 0x80 && !(set[0] & 0x0f));
    CHECK(told.n_calls >= 2 && told.n_calls <= 4); /* of two groups at a time */
    CHECK_INT(told.n_read_beyond, 0);
    logfilter_grams_done(&g);
    logfilter_out_free(o);
    buf_done(&file);
    arena_free(a);
}
