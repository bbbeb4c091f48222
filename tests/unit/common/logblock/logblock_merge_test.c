/* Several blocks and frames become one, in which each line is once. */
#include "common/base/fsx.h"
#include "common/logblock/logframe.h"
#include "tests/unit/common/logblock/logblock_fixture.h"

/* ---- what is merged ---- */

struct frame_out {
    struct logpage_builder *builder;
    struct logpage_entry *entries;
    size_t n, aim;
    struct buf bytes;
    VEC(struct logframe_page) pages;
};

static void end_page(struct frame_out *o)
{
    struct logframe_page p = {.offset = o->bytes.len,
                              .entries = (uint32_t)o->n,
                              .min_ns = INT64_MAX,
                              .max_ns = INT64_MIN};

    if (!o->n)
        return;
    CHECK_OK(logpage_build(o->builder, o->entries, o->n, 1, &o->bytes, NULL));
    p.bytes = (uint32_t)(o->bytes.len - p.offset);
    for (size_t i = 0; i < o->n; i++) {
        p.min_ns = ORR_MIN(p.min_ns, o->entries[i].ts_ns);
        p.max_ns = ORR_MAX(p.max_ns, o->entries[i].ts_ns);
    }
    vec_push(&o->pages, p);
    o->n = 0;
}

/* Each entry with chance p, in pages of at most aim entries. */
static struct buf make_frame(const struct fixture *f, uint64_t seed, double p, size_t aim)
{
    struct logframe_stream *streams = mem_new_array(struct logframe_stream, f->n);
    struct frame_out o = {.builder = logpage_builder_new(),
                          .entries = mem_new_array(struct logpage_entry, aim),
                          .aim = aim};
    struct logframe_head head = {.through = seed};
    struct buf labels = {0}, canonical = {0}, out = {0};
    struct rng r;

    rng_seed(&r, seed);
    for (size_t i = 0; i < f->n; i++) {
        struct logframe_stream *s = &streams[head.n_streams];

        for (size_t k = 0; k < f->s[i].n; k++) {
            if (!rng_chance(&r, p))
                continue;
            if (o.n == aim)
                end_page(&o);
            o.entries[o.n] = f->s[i].e[k];
            o.entries[o.n++].stream = head.n_streams;
            if (!s->entries++) {
                s->first_page = (uint32_t)o.pages.len;
                s->min_ns = f->s[i].e[k].ts_ns;
            }
            s->max_ns = f->s[i].e[k].ts_ns;
            s->last_page = (uint32_t)o.pages.len;
        }
        if (!s->entries)
            continue;
        s->fp = f->s[i].fp;
        head.n_streams++;
        head.entries += s->entries;
        buf_reset(&canonical);
        labels_canonical(&canonical, f->s[i].labels);
        buf_lstr(&labels, buf_slice(&canonical));
    }
    end_page(&o);
    head.n_pages = (uint32_t)o.pages.len;
    CHECK_OK(logframe_build(&head, SLICE("t"), streams, o.pages.ptr, buf_slice(&labels),
                            buf_slice(&o.bytes), &out));
    logpage_builder_free(o.builder);
    mem_free(o.entries);
    mem_free(streams);
    buf_done(&o.bytes);
    buf_done(&labels);
    buf_done(&canonical);
    vec_done(&o.pages);
    return out;
}

static struct logblock_source source_of_frame(const struct buf *bytes)
{
    struct logframe f;

    CHECK_OK(logframe_open(buf_slice(bytes), &f));
    return logblock_source_frame(&f);
}

static struct logblock_source source_of_block(const struct fixture_block *x)
{
    struct logblock_source s;

    CHECK_OK(logblock_source_block(x->b, &s));
    return s;
}

/* ---- what comes out ---- */

static uint64_t merge_into(uint8_t id, const struct logblock_source *sources, size_t n)
{
    struct logblock_writer *w = fixture_writer(id);
    uint64_t duplicates = 0;

    CHECK_OK(fsx_mkdirs(tmp_path("work")));
    CHECK_OK(logblock_merge(sources, n, NULL, NULL, tmp_path("work"), NULL, w, &duplicates));
    fixture_finish(w);
    return duplicates;
}

/* The entries of the fixture, each once; those of one time in any order. */
static void check_union(const struct fixture *f, uint8_t id)
{
    struct fixture_block x = fixture_open(id);
    struct logblock_source s = source_of_block(&x);
    struct logblock_stream st;
    bool is_end;

    for (size_t i = 0; i < f->n; i++) {
        const struct fixture_stream *want = &f->s[i];
        bool *seen = mem_new_array(bool, want->n);

        CHECK_OK(s.stream(s.arg, &st, &is_end));
        CHECK(!is_end && hash128_eq(st.fp, want->fp) && labels_eq(st.labels, want->labels));
        CHECK_INT(st.entries, want->n);
        for (size_t k = 0; k < want->n; k++) {
            struct logpage_entry e;
            size_t at = k;

            CHECK_OK(s.entry(s.arg, &e, &is_end));
            CHECK(!is_end && e.ts_ns == want->e[k].ts_ns);
            while (at && want->e[at - 1].ts_ns == e.ts_ns)
                at--;
            while (seen[at] || !slice_eq(want->e[at].line, e.line) ||
                   !labels_eq(want->e[at].meta, e.meta)) {
                at++;
                CHECK(at < want->n && want->e[at].ts_ns == e.ts_ns);
            }
            seen[at] = true;
        }
        CHECK_OK(s.entry(s.arg, &(struct logpage_entry){0}, &is_end));
        CHECK(is_end);
        mem_free(seen);
    }
    CHECK_OK(s.stream(s.arg, &st, &is_end));
    CHECK(is_end);
    s.close(s.arg);
    fixture_close(x);
}

static void check_same_bytes(uint8_t a, uint8_t b)
{
    static const char *const files[] = {"index", LOGBLOCK_PAGES_FILE, LOGBLOCK_DIRECTORY_FILE,
                                        LOGBLOCK_FILTER_FILE};

    for (size_t i = 0; i < ORR_COUNT(files); i++) {
        struct arena *tmp = arena_new(0);
        struct buf x = {0}, y = {0};

        CHECK_OK(fsx_read(arena_printf(tmp, "%s/%s", fixture_path(a), files[i]), 1u << 30, &x));
        CHECK_OK(fsx_read(arena_printf(tmp, "%s/%s", fixture_path(b), files[i]), 1u << 30, &y));
        CHECK(slice_eq(buf_slice(&x), buf_slice(&y)));
        buf_done(&x);
        buf_done(&y);
        arena_free(tmp);
    }
}

/* ---- */

/* Each replica lacks some of each stream, and what one lacks another has. */
TEST(logblock_merge_of_replicas_with_gaps_is_what_was_written)
{
    static const uint8_t orders[][3] = {{0, 1, 2}, {2, 1, 0}, {1, 2, 0}};
    struct fixture f;
    struct rng r;

    fixture_make(&f, 20, 50, 9000, LOGTEXT_KINDS);
    rng_seed(&r, 21);
    {
        struct logblock_writer *w[3];

        for (uint8_t i = 0; i < 3; i++)
            w[i] = fixture_writer((uint8_t)(i + 1));
        for (size_t i = 0; i < f.n; i++) {
            for (int k = 0; k < 3; k++)
                CHECK_OK(logblock_writer_stream(w[k], f.s[i].fp, f.s[i].labels));
            for (size_t e = 0; e < f.s[i].n; e++) {
                size_t sure = rng_below(&r, 3);

                for (size_t k = 0; k < 3; k++)
                    if (k == sure || rng_chance(&r, 0.8))
                        CHECK_OK(logblock_writer_entry(w[k], &f.s[i].e[e]));
            }
        }
        for (int i = 0; i < 3; i++)
            fixture_finish(w[i]);
    }
    for (uint8_t k = 0; k < ORR_COUNT(orders); k++) {
        struct logblock_source s[3];
        struct fixture_block x[3];

        for (uint8_t i = 0; i < 3; i++)
            x[i] = fixture_open((uint8_t)(i + 1));
        for (size_t i = 0; i < 3; i++)
            s[i] = source_of_block(&x[orders[k][i]]);
        CHECK(merge_into((uint8_t)(10 + k), s, 3) > f.entries);
        for (int i = 0; i < 3; i++)
            fixture_close(x[i]);
        check_union(&f, (uint8_t)(10 + k));
        if (k)
            check_same_bytes(10, (uint8_t)(10 + k));
    }
    fixture_done(&f);
}

/* All entries in 150 frames, most of them in several; with one that has all, as a block. */
TEST(logblock_merge_of_more_sources_than_are_open_at_once)
{
    enum { FRAMES = 150 };
    static struct logblock_source s[FRAMES + 1];
    static struct buf frames[FRAMES];
    uint64_t sum = 0, duplicates;
    struct fixture_block x;
    struct fixture f;
    char **names;
    size_t n;

    fixture_make(&f, 22, 30, 2000, LOGTEXT_WORDS);
    fixture_write(&f, 1, 0, 1);
    x = fixture_open(1);
    for (size_t i = 0; i < FRAMES; i++)
        frames[i] = make_frame(&f, i + 1, 0.05, 70);
    for (int round = 0; round < 2; round++) {
        s[FRAMES] = source_of_block(&x);
        for (size_t i = 0; i < FRAMES; i++) {
            size_t at = round ? i : FRAMES - 1 - i;

            s[at] = source_of_frame(&frames[i]);
        }
        duplicates = merge_into((uint8_t)(2 + round), s, FRAMES + 1);
        check_union(&f, (uint8_t)(2 + round));
        CHECK_OK(fsx_list(tmp_path("work"), &names, &n));
        fsx_names_free(names, n);
        CHECK_INT(n, 0);
    }
    for (size_t i = 0; i < FRAMES; i++) {
        struct logframe fr;

        CHECK_OK(logframe_open(buf_slice(&frames[i]), &fr));
        sum += fr.head.entries;
        buf_done(&frames[i]);
    }
    CHECK_INT(duplicates, sum);
    check_same_bytes(2, 3);
    fixture_close(x);
    fixture_done(&f);
}

/* In one go or in two: the same. */
TEST(logblock_merge_in_several_goes_gives_the_bytes_of_one)
{
    enum { FRAMES = LOGBLOCK_MERGE_SOURCES + 9 };
    static struct buf frames[FRAMES];
    static struct logblock_source s[FRAMES];
    struct fixture f;
    struct buf whole = {0};

    fixture_make(&f, 23, 12, 600, LOGTEXT_JSON);
    whole = make_frame(&f, 1000, 1, 100);
    for (size_t i = 0; i < FRAMES; i++)
        frames[i] = make_frame(&f, i + 1, 0.2, 50);
    for (size_t i = 0; i + 10 < FRAMES; i++)
        s[i] = source_of_frame(&frames[i]);
    s[FRAMES - 10] = source_of_frame(&whole);
    (void)merge_into(1, s, FRAMES - 9); /* one go */
    for (size_t i = 0; i + 10 < FRAMES; i++)
        s[i] = source_of_frame(&frames[i]);
    for (size_t i = FRAMES - 9; i < FRAMES; i++) /* these have nothing new */
        s[i] = source_of_frame(&frames[0]);
    s[FRAMES - 10] = source_of_frame(&whole);
    (void)merge_into(2, s, FRAMES);
    check_union(&f, 1);
    check_same_bytes(1, 2);
    for (size_t i = 0; i < FRAMES; i++)
        buf_done(&frames[i]);
    buf_done(&whole);
    fixture_done(&f);
}

static bool keeps_even(void *arg, struct labels labels, const struct logpage_entry *e)
{
    size_t *asked = arg;

    (*asked)++;
    return !slice_eq(labels_get(labels, SLICE("app")), SLICE("app-3")) && e->ts_ns % 2 == 0;
}

TEST(logblock_merge_keeps_what_it_is_told_to)
{
    struct logblock_writer *w = fixture_writer(2);
    struct logblock_source s[2];
    struct buf frame;
    struct fixture f;
    size_t asked = 0;

    fixture_make(&f, 24, 20, 500, LOGTEXT_JSON);
    frame = make_frame(&f, 1, 1, 1000);
    s[0] = source_of_frame(&frame);
    s[1] = source_of_frame(&frame);
    CHECK_OK(logblock_merge(s, 2, keeps_even, &asked, NULL, NULL, w, NULL));
    fixture_finish(w);
    CHECK_INT(asked, f.entries); /* once each */
    {
        size_t kept_streams = 0;

        f.entries = 0;
        for (size_t i = 0; i < f.n; i++) {
            struct fixture_stream x = f.s[i];
            size_t n = 0;

            for (size_t k = 0; k < x.n; k++)
                if (keeps_even(&asked, x.labels, &x.e[k]))
                    x.e[n++] = x.e[k];
            x.n = n;
            if (n)
                f.s[kept_streams++] = x;
        }
        f.n = kept_streams;
    }
    check_union(&f, 2);
    buf_done(&frame);
    fixture_done(&f);
}

/* ---- pages as they are ---- */

/* Entries [n * k / of, n * (k + 1) / of) of each stream, less the last back of them and more of those before, in pages of their own with
 * filters. */
static struct buf make_own(const struct fixture *f, size_t k, size_t of, size_t back)
{
    struct logframe_stream *streams = mem_new_array(struct logframe_stream, f->n);
    struct logframe_head head = {.through = k + 1, .min_ns = INT64_MAX, .max_ns = INT64_MIN};
    struct logfilter_grams *grams = mem_new(struct logfilter_grams);
    struct logpage_builder *builder = logpage_builder_new();
    struct buf labels = {0}, canonical = {0}, bytes = {0}, out = {0};
    VEC(struct logframe_page) pages = {0};
    VEC(struct logpage_entry) page = {0};

    for (uint32_t i = 0; i < f->n; i++) {
        const struct fixture_stream *s = &f->s[i];
        size_t from = s->n * k / of, end = s->n * (k + 1) / of, raw = 0;

        from -= ORR_MIN(from, back);
        streams[i] = (struct logframe_stream){.fp = s->fp,
                                              .min_ns = s->e[from].ts_ns,
                                              .max_ns = s->e[end - 1].ts_ns,
                                              .entries = (uint32_t)(end - from),
                                              .first_page = (uint32_t)pages.len};
        for (size_t at = from; at < end; at++) {
            struct logframe_page p = {.offset = bytes.len};
            struct logfilter_bits bits;

            vec_push(&page, s->e[at]);
            vec_last(&page).stream = i;
            raw += logpage_entry_bytes(&s->e[at]);
            if (raw < LOGPAGE_AIM_BYTES / 3 && at + 1 < end)
                continue;
            CHECK_OK(logpage_build(builder, page.ptr, page.len, 1, &bytes, grams));
            p.bytes = (uint32_t)(bytes.len - p.offset);
            p.entries = (uint32_t)page.len;
            p.min_ns = page.ptr[0].ts_ns;
            p.max_ns = vec_last(&page).ts_ns;
            bits = logfilter_bits_of(grams);
            p.filter_class = bits.size_class;
            p.filter_bytes = (uint32_t)logfilter_bits_bytes(&bits);
            logfilter_bits_write(&bits, &bytes);
            logfilter_bits_done(&bits);
            vec_push(&pages, p);
            vec_clear(&page);
            raw = 0;
            head.min_ns = ORR_MIN(head.min_ns, p.min_ns);
            head.max_ns = ORR_MAX(head.max_ns, p.max_ns);
        }
        streams[i].last_page = (uint32_t)pages.len - 1;
        head.entries += streams[i].entries;
        buf_reset(&canonical);
        labels_canonical(&canonical, s->labels);
        buf_lstr(&labels, buf_slice(&canonical));
    }
    head.n_streams = (uint32_t)f->n;
    head.n_pages = (uint32_t)pages.len;
    CHECK_OK(logframe_build(&head, SLICE("t"), streams, pages.ptr, buf_slice(&labels),
                            buf_slice(&bytes), &out));
    logpage_builder_free(builder);
    logfilter_grams_done(grams);
    mem_free(grams);
    mem_free(streams);
    buf_done(&labels);
    buf_done(&canonical);
    buf_done(&bytes);
    vec_done(&pages);
    vec_done(&page);
    return out;
}

/* How many pages of the block are one of a frame's, but for the number of the stream. */
static size_t count_taken(uint8_t id, const struct buf *frames, size_t n)
{
    struct arena *a = arena_new(0);
    struct buf pages = {0}, page = {0};
    size_t taken = 0;

    CHECK_OK(
        fsx_read(arena_printf(a, "%s/" LOGBLOCK_PAGES_FILE, fixture_path(id)), 1u << 30, &pages));
    for (size_t i = 0; i < n; i++) {
        struct logframe f;

        CHECK_OK(logframe_open(buf_slice(&frames[i]), &f));
        for (uint32_t k = 0; k < f.head.n_pages; k++)
            for (uint32_t st = 0; st < f.head.n_streams; st++) {
                buf_reset(&page);
                CHECK_OK(logpage_renumber(logframe_page_bytes(&f, k), st, &page));
                taken += memmem(pages.ptr, pages.len, page.ptr, page.len) != NULL;
            }
    }
    buf_done(&pages);
    buf_done(&page);
    arena_free(a);
    return taken;
}

static void check_needle(uint8_t id, struct slice needle)
{
    struct fixture_block x = fixture_open(id);
    struct arena *a = arena_new(0);
    struct logblock_query q = {
        .from_ns = 0, .to_ns = INT64_MAX, .needles = &needle, .n_needles = 1};
    struct logblock_stream st;
    struct logpage_entry e;
    struct logblock_set *s;
    size_t n = 0;

    CHECK_OK(logblock_select(x.b, a, &q, &s));
    while (logblock_set_stream(s, &st))
        while (logblock_set_entry(s, &e))
            n++;
    CHECK_OK(logblock_set_close(s));
    CHECK(n > 0);
    arena_free(a);
    fixture_close(x);
}

static void check_own(const struct fixture *f, uint8_t id, const struct buf *frames, size_t n,
                      size_t least, size_t most)
{
    struct fixture_block x;
    size_t taken = count_taken(id, frames, n);

    CHECK(taken >= least && taken <= most);
    check_union(f, id);
    x = fixture_open(id);
    CHECK_OK(logblock_verify(x.b));
    fixture_close(x);
    for (size_t i = 0; i < f->n; i++)
        for (size_t k = 0; k < f->s[i].n; k += f->s[i].n / 5 + 1)
            if (f->s[i].e[k].line.len >= 20)
                check_needle(id, slice_sub(f->s[i].e[k].line, 2, 18));
}

TEST(logblock_merge_takes_pages_over_that_no_other_frame_overlaps)
{
    enum { FRAMES = 3 };
    struct logblock_source s[FRAMES + 1];
    struct buf frames[FRAMES];
    struct fixture f;
    struct rng r;
    uint64_t raw = 0;
    size_t n_pages = 0;

    rng_seed(&r, 31);
    f = (struct fixture){.a = arena_new(0), .n = 1};
    f.s = arena_array(f.a, struct fixture_stream, f.n);
    for (size_t i = 0; i < f.n; i++) {
        f.s[i].labels = fixture_labels(&f, i);
        f.s[i].fp = labels_fingerprint(f.s[i].labels);
        fixture_fill(&f, &f.s[i], &r, 80000, LOGTEXT_JSON);
        for (size_t k = 0; k < f.s[i].n; k++)
            raw += f.s[i].e[k].line.len;
    }
    qsort(f.s, f.n, sizeof(*f.s), fixture_cmp);
    CHECK(raw > 3 * LOGPAGE_AIM_BYTES);
    for (size_t i = 0; i < FRAMES; i++) {
        struct logframe fr;

        frames[i] = make_own(&f, i, FRAMES, 0);
        CHECK_OK(logframe_open(buf_slice(&frames[i]), &fr));
        n_pages += fr.head.n_pages;
        s[i] = source_of_frame(&frames[i]);
    }
    /* Where frames have times in common, and the small pages at the end of some, are read; all else is taken over. */
    CHECK_INT(merge_into(1, s, FRAMES), 0);
    check_own(&f, 1, frames, FRAMES, n_pages / 3, n_pages);

    /* Twice the same, as of two replicas: nothing is taken over, and each line is there once. */
    for (size_t i = 0; i < 2; i++)
        s[i] = source_of_frame(&frames[i]);
    s[2] = source_of_frame(&frames[0]);
    s[3] = source_of_frame(&frames[2]);
    CHECK(merge_into(2, s, FRAMES + 1) > 0);
    check_own(&f, 2, frames, FRAMES, 1, n_pages * 3 / 4);
    for (size_t i = 0; i < FRAMES; i++)
        buf_done(&frames[i]);

    /* Frames that have the last lines of the one before. */
    for (size_t i = 0; i < FRAMES; i++) {
        frames[i] = make_own(&f, i, FRAMES, 900);
        s[i] = source_of_frame(&frames[i]);
    }
    CHECK(merge_into(3, s, FRAMES) > 0);
    check_own(&f, 3, frames, FRAMES, 2, n_pages);
    for (size_t i = 0; i < FRAMES; i++)
        buf_done(&frames[i]);
    fixture_done(&f);
}

/* As many as would not be open at once are merged in one go, as few of them are at any time. */
TEST(logblock_merge_of_many_frames_that_follow_one_another)
{
    enum { FRAMES = LOGBLOCK_MERGE_SOURCES + 20 };
    static struct logblock_source s[FRAMES];
    static struct buf frames[FRAMES];
    struct logblock_writer *w = fixture_writer(1);
    struct fixture f;

    f = (struct fixture){.a = arena_new(0), .n = 1};
    f.s = arena_array(f.a, struct fixture_stream, 1);
    f.s[0].labels = fixture_labels(&f, 0);
    f.s[0].fp = labels_fingerprint(f.s[0].labels);
    {
        struct rng r;

        rng_seed(&r, 33);
        fixture_fill(&f, &f.s[0], &r, FRAMES * 40, LOGTEXT_JSON);
    }
    for (size_t i = 0; i < FRAMES; i++) {
        frames[i] = make_own(&f, i, FRAMES, 2);
        s[i] = source_of_frame(&frames[i]);
    }
    CHECK_OK(logblock_merge(s, FRAMES, NULL, NULL, "/nowhere/to/write", NULL, w, NULL));
    fixture_finish(w);
    check_union(&f, 1);
    for (size_t i = 0; i < FRAMES; i++)
        buf_done(&frames[i]);
    fixture_done(&f);
}

/* Times that a frame says of itself only tell how many are opened at once. */
TEST(logblock_merge_of_many_frames_whose_times_are_upside_down)
{
    enum { FRAMES = LOGBLOCK_MERGE_SOURCES + 20 };
    static struct logblock_source s[FRAMES];
    struct logblock_writer *w = fixture_writer(1);
    struct buf frame;
    struct fixture f;

    fixture_make(&f, 35, 1, 4000, 1);
    frame = make_own(&f, 0, 1, 0);
    for (size_t i = 0; i < FRAMES; i++) {
        s[i] = source_of_frame(&frame);
        s[i].min_ns = INT64_MAX;
        s[i].max_ns = INT64_MIN;
    }
    CHECK_OK(logblock_merge(s, FRAMES, NULL, NULL, tmp_path("between"), NULL, w, NULL));
    fixture_finish(w);
    check_union(&f, 1);
    buf_done(&frame);
    fixture_done(&f);
}

TEST(logblock_merge_of_nothing_is_an_empty_block)
{
    struct fixture_block x;

    CHECK_INT(merge_into(1, NULL, 0), 0);
    x = fixture_open(1);
    CHECK_INT(block_reader_meta(x.streams)->stats.samples, 0);
    fixture_close(x);
}

/* ---- errors: all sources are closed (sanitizers would say so), and it is said what is wrong ---- */

TEST(logblock_merge_stops_when_told_to)
{
    struct logblock_writer *w = fixture_writer(2);
    enum { N = LOGBLOCK_MERGE_SOURCES + 3 };
    struct logblock_source s[N];
    atomic_bool stop = true;
    struct buf frame;
    struct fixture f;

    fixture_make(&f, 25, 5, 100, LOGTEXT_JSON);
    frame = make_frame(&f, 1, 1, 1000);
    CHECK_OK(fsx_mkdirs(tmp_path("work")));
    for (size_t i = 0; i < N; i++)
        s[i] = source_of_frame(&frame);
    CHECK_ERR(logblock_merge(s, 2, NULL, NULL, NULL, &stop, w, NULL), ERR_CANCELED, "stopped");
    CHECK_ERR(logblock_merge(s + 2, N - 2, NULL, NULL, tmp_path("work"), &stop, w, NULL),
              ERR_CANCELED, "stopped");
    logblock_writer_close(w);
    buf_done(&frame);
    fixture_done(&f);
}

TEST(logblock_merge_with_a_broken_frame_is_corrupt)
{
    struct fixture f;
    struct buf frame;
    struct rng r;

    fixture_make(&f, 26, 8, 300, LOGTEXT_WORDS);
    rng_seed(&r, 27);
    for (int round = 0; round < 60; round++) {
        struct logblock_writer *w = fixture_writer(2);
        struct logblock_source s[2];
        struct logframe fr;
        struct err *e;
        struct buf good = make_frame(&f, 1, 1, 40);

        frame = make_frame(&f, 1, 1, 40);
        CHECK_OK(logframe_open(buf_slice(&frame), &fr));
        CHECK(fr.head.n_pages > 3);
        /* in a page: the frame's own tables have a checksum */
        frame.ptr[logframe_page_at(&fr, 0).offset +
                  rng_below(&r, frame.len - logframe_page_at(&fr, 0).offset - 8)] ^= 16;
        s[0] = source_of_frame(&frame);
        s[1] = source_of_frame(&good);
        e = logblock_merge(s, 2, NULL, NULL, NULL, NULL, w, NULL);
        CHECK(!e || err_is(e, ERR_CORRUPT));
        err_free(e);
        logblock_writer_close(w);
        buf_done(&frame);
        buf_done(&good);
    }
    fixture_done(&f);
}

TEST(logblock_merge_closes_all_whichever_call_fails)
{
    enum { N = LOGBLOCK_MERGE_SOURCES + 2 };
    static struct logblock_source s[N];
    struct buf frame;
    struct fixture f;

    fixture_make(&f, 28, 3, 20, LOGTEXT_JSON);
    frame = make_frame(&f, 1, 1, 1000);
    CHECK_OK(fsx_mkdirs(tmp_path("work")));
    FAULT_SWEEP (n) {
        struct arena *a = arena_new(0);
        struct logblock_writer *w = NULL;
        struct block_meta m;
        struct err *e = logblock_writer_open(
            &(struct logblock_writer_opts){.dir = tmp_path("d"), .meta.ulid = fixture_ulid(1)}, &w);

        if (!e) {
            for (size_t i = 0; i < N; i++)
                s[i] = source_of_frame(&frame);
            e = logblock_merge(s, N, NULL, NULL, tmp_path("work"), NULL, w, NULL);
        }
        if (!e)
            e = logblock_writer_finish(w, a, &m);
        CHECK(e || m.stats.samples == f.entries);
        logblock_writer_close(w);
        err_free(e);
        arena_free(a);
    }
    buf_done(&frame);
    fixture_done(&f);
}
