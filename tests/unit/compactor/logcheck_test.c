#include "compactor/logcheck.h"
#include "tests/unit/compactor/logseg_fixture.h"

static struct err *open_bytes(struct slice bytes, struct slice tenant, struct ulid segment,
                              struct segcheck *found, size_t *ret_sources)
{
    struct logcheck *c = NULL;
    struct err *e;

    CHECK_OK(fsx_mkdirs(tmp_path("in")));
    CHECK_OK(fsx_write_atomic(tmp_path("in/" LOGCHECK_FRAMES_FILE), bytes));
    e = logcheck_open_segment(tmp_path("in"), tenant, segment, &c, found);
    if (!e)
        *ret_sources = logcheck_n_sources(c);
    logcheck_close(c);
    return e;
}

/* Looks at all, whatever the checksums say. */
static struct err *open_deep(const struct buf *b)
{
    struct logcheck *c = NULL;
    struct segcheck found;
    struct err *e;

    CHECK_OK(fsx_write_atomic(tmp_path("in/" LOGCHECK_FRAMES_FILE), buf_slice(b)));
    if (!(e = logcheck_open_segment(tmp_path("in"), SLICE("t"), fixture_ulid(1), &c, &found)))
        e = logcheck_deep(c);
    logcheck_close(c);
    return e;
}

static struct err *open_one(const struct buf *b)
{
    struct segcheck found;
    size_t n;

    return open_bytes(buf_slice(b), SLICE("t"), fixture_ulid(1), &found, &n);
}

TEST(logcheck_takes_a_segment_that_is_whole)
{
    int64_t min_ns = INT64_MAX, max_ns = INT64_MIN;
    struct segcheck found;
    struct buf b = {0};
    struct fixture f;
    size_t n;

    fixture_make(&f, 1, 30, 4000, LOGTEXT_KINDS);
    for (size_t i = 0; i < f.n; i++) {
        min_ns = ORR_MIN(min_ns, f.s[i].e[0].ts_ns);
        max_ns = ORR_MAX(max_ns, f.s[i].e[f.s[i].n - 1].ts_ns);
    }
    logseg_make(&f, fixture_ulid(1), 3, 3, &b);
    CHECK_OK(open_bytes(buf_slice(&b), SLICE("t"), fixture_ulid(1), &found, &n));
    CHECK_OK(open_deep(&b));
    CHECK_INT(n, 3);
    CHECK_INT(found.samples, f.entries);
    CHECK_INT(found.min_t, min_ns / 1000000);
    CHECK_INT(found.max_t, max_ns / 1000000 + 1);
    CHECK_ERR(open_bytes(buf_slice(&b), SLICE("u"), fixture_ulid(1), &found, &n), ERR_CORRUPT,
              "frame 1: it says it is another tenant's");
    CHECK_ERR(open_bytes(buf_slice(&b), SLICE("t"), fixture_ulid(2), &found, &n), ERR_CORRUPT,
              "of another segment");
    CHECK_ERR(open_bytes(SLICE_EMPTY, SLICE("t"), fixture_ulid(1), &found, &n), ERR_CORRUPT,
              "no lines");
    buf_done(&b);
    fixture_done(&f);
}

/* Whatever byte is another one: it is found out, or what comes out is what went in (padding). */
TEST(logcheck_finds_any_flipped_byte)
{
    struct buf b = {0};
    struct fixture f;
    struct logframe first;
    size_t passed = 0, step;

    fixture_make(&f, 2, 6, 200, 1);
    logseg_make(&f, fixture_ulid(1), 3, 2, &b);
    CHECK_OK(logframe_open(buf_slice(&b), &first));
    step = ORR_MAX(b.len / 3000, (size_t)1);
    for (size_t i = 0; i < b.len; i += step) {
        struct err *e;

        b.ptr[i] ^= 0x10;
        e = open_one(&b);
        CHECK(!e || err_is(e, ERR_CORRUPT));
        passed += e == NULL;
        err_free(e);
        b.ptr[i] ^= 0x10;
    }
    CHECK(passed <= 14); /* zeros behind two frames */
    for (size_t n = 1; n < b.len; n += step) {
        struct buf cut = {.ptr = b.ptr, .len = n};
        struct err *e = open_one(&cut);

        CHECK(err_is(e, ERR_CORRUPT) || n == first.bytes.len);
        err_free(e);
    }
    b.ptr[LOGFRAME_DROPPED_AT] = LOGFRAME_DROPPED;
    CHECK_ERR(open_one(&b), ERR_CORRUPT, "or dropped");
    buf_done(&b);
    fixture_done(&f);
}

/* Frames whose sums are right and whose contents contradict one another. */
enum lie {
    LIE_LABELS,
    LIE_FINGERPRINT,
    LIE_STREAM_ENTRIES,
    LIE_STREAM_TIMES,
    LIE_STREAM_PAGES,
    LIE_PAGE_ENTRIES,
    LIE_PAGE_TIMES,
    LIE_ENTRIES,
    LIE_FIRST_TIME,
    LIE_LAST_TIME,
    LIE_MISSING_LABELS,
    LIE_MORE_LABELS,
    LIE_TEXTS,
    LIE_FILTER,
    LIES
};

static void make_lie(struct logseg_frame *fr, const struct fixture *f, enum lie lie)
{
    struct fixture_stream other = f->s[0];

    logseg_begin_stream(fr,
                        lie == LIE_LABELS ? &(struct fixture_stream){.fp = f->s[0].fp} : &other);
    for (size_t i = 0; i < f->s[0].n; i++)
        logseg_add(fr, &f->s[0].e[i]);
    logseg_end_page(fr);
    fr->streams.ptr[0].fp.lo += lie == LIE_FINGERPRINT;
    fr->streams.ptr[0].entries += lie == LIE_STREAM_ENTRIES;
    fr->streams.ptr[0].min_ns += lie == LIE_STREAM_TIMES;
    fr->streams.ptr[0].last_page -= lie == LIE_STREAM_PAGES;
    fr->pages.ptr[0].entries += lie == LIE_PAGE_ENTRIES;
    fr->pages.ptr[0].max_ns -= lie == LIE_PAGE_TIMES;
    fr->head.entries += lie == LIE_ENTRIES;
    fr->head.min_ns += lie == LIE_FIRST_TIME;
    fr->head.max_ns += lie == LIE_LAST_TIME;
    if (lie == LIE_MISSING_LABELS)
        buf_reset(&fr->labels);
    if (lie == LIE_MORE_LABELS)
        buf_lstr(&fr->labels, SLICE("x"));
    if (lie == LIE_TEXTS)
        fr->bytes.ptr[fr->pages.ptr[0].bytes - 3] ^= 1;
    if (lie == LIE_FILTER) { /* of another length than its class */
        buf_u64le(&fr->bytes, 0);
        vec_last(&fr->pages).filter_bytes = 8;
        vec_last(&fr->pages).filter_class = 8; /* of 16 bytes */
    }
}

TEST(logcheck_finds_what_contradicts_itself)
{
    static const char *const said[LIES] = {
        "no labels",
        "fingerprint",
        "another number of entries than it says",
        "not those of",
        "not in",
        "than the frame says",
        "than the frame",
        "than it says",
        "other times than it says",
        "other times than it says",
        "cut off",
        "more labels",
        "",
        "filter",
    };
    struct fixture f;

    fixture_make(&f, 3, 1, 80000, 1);
    CHECK(f.s[0].n > LOGSEG_PAGE_ENTRIES);
    for (int lie = 0; lie < LIES; lie++) {
        struct logseg_frame fr = logseg_begin(fixture_ulid(1), 1);
        struct buf b = {0};

        make_lie(&fr, &f, (enum lie)lie);
        logseg_end(&fr, SLICE("t"), &b);
        if (lie >= LIE_TEXTS) /* the ingester's own nonsense: the checksum of the page is of it */
            CHECK_OK(open_one(&b));
        CHECK_ERR(lie >= LIE_TEXTS ? open_deep(&b) : open_one(&b), ERR_CORRUPT, said[lie]);
        buf_done(&b);
    }
    fixture_done(&f);
}

/* Whoever reads the stream asks each of its pages for it. */
TEST(logcheck_finds_a_stream_that_is_not_in_all_of_its_pages)
{
    struct fixture f;

    fixture_make(&f, 4, 2, 100, 1);
    for (int lie = 0; lie < 3; lie++) {
        struct logseg_frame fr = logseg_begin(fixture_ulid(1), 1);
        struct buf b = {0};

        for (size_t s = 0; s < f.n; s++) {
            logseg_begin_stream(&fr, &f.s[s]);
            for (size_t i = 0; i < f.s[s].n; i++)
                logseg_add(&fr, &f.s[s].e[i]);
            logseg_end_page(&fr);
        }
        fr.streams.ptr[0].last_page += lie == 1;
        fr.streams.ptr[1].first_page -= lie == 2;
        logseg_end(&fr, SLICE("t"), &b);
        if (lie)
            CHECK_ERR(open_one(&b), ERR_CORRUPT, "has no lines of it");
        else
            CHECK_OK(open_one(&b));
        buf_done(&b);
    }
    fixture_done(&f);
}
