#include "common/base/rng.h"
#include "common/logblock/logmerge.h"
#include "tests/unit/test.h"

struct list {
    struct logpage_entry e[400];
    size_t n, at;
};

static struct err *next_of_list(void *arg, struct logpage_entry *ret, bool *ret_is_end)
{
    struct list *l = arg;

    *ret_is_end = l->at == l->n;
    if (!*ret_is_end)
        *ret = l->e[l->at++];
    return NULL;
}

static void add(struct list *l, uint32_t stream, int64_t ts, const char *line)
{
    l->e[l->n++] = (struct logpage_entry){.stream = stream, .ts_ns = ts, .line = slice_cstr(line)};
}

static size_t merge(struct list *lists, size_t n, struct logpage_entry *ret, uint64_t *duplicates)
{
    struct logmerge_source sources[8];
    struct logmerge *m;
    size_t k = 0;
    bool is_end;

    for (size_t i = 0; i < n; i++)
        sources[i] = (struct logmerge_source){next_of_list, &lists[i], INT64_MIN};
    m = logmerge_new(sources, n);
    for (;;) {
        CHECK_OK(logmerge_next(m, &ret[k], &is_end));
        if (is_end)
            break;
        k++;
    }
    *duplicates = logmerge_duplicates(m);
    logmerge_free(m);
    return k;
}

TEST(logmerge_equal_ones_once_and_equal_times_in_order)
{
    struct list l[2] = {0};
    struct logpage_entry got[20];
    static const char *const want[] = {"a", "b", "c", "d", "later", "other stream"};
    uint64_t duplicates;

    add(&l[0], 1, 5, "a");
    add(&l[0], 1, 5, "b");
    add(&l[0], 1, 5, "a"); /* twice in one source */
    add(&l[0], 2, 1, "other stream");
    add(&l[1], 1, 5, "c");
    add(&l[1], 1, 5, "b");
    add(&l[1], 1, 5, "d");
    add(&l[1], 1, 6, "later");
    CHECK_INT(merge(l, 2, got, &duplicates), ORR_COUNT(want));
    for (size_t i = 0; i < ORR_COUNT(want); i++)
        CHECK_SLICE(got[i].line, want[i]);
    CHECK_INT(duplicates, 2);
}

/* What is remembered of a time grows, and is forgotten whole at the next one. */
TEST(logmerge_many_of_one_time_then_few)
{
    static struct list l[2];
    static struct logpage_entry got[700];
    static char texts[350][16];
    uint64_t duplicates;

    for (size_t i = 0; i < ORR_COUNT(texts); i++) {
        sprintf(texts[i], "line %zu", i);
        add(&l[0], 1, 5, texts[i]);
        if (i < 300)
            add(&l[1], 1, 5, texts[i]);
    }
    for (size_t i = 300; i < ORR_COUNT(texts); i++) {
        add(&l[0], 1, 6, texts[i]);
        add(&l[1], 1, 6, texts[i]);
    }
    CHECK_INT(merge(l, 2, got, &duplicates), 400);
    CHECK_INT(duplicates, 350);
    CHECK_INT(got[349].ts_ns, 5);
    CHECK_INT(got[350].ts_ns, 6);
}

TEST(logmerge_metadata_tells_entries_apart)
{
    struct label x = {SLICE("k"), SLICE("x")}, y = {SLICE("k"), SLICE("y")};
    struct list l[2] = {0};
    struct logpage_entry got[4];
    uint64_t duplicates;

    add(&l[0], 1, 5, "a");
    add(&l[0], 1, 5, "a");
    add(&l[1], 1, 5, "a");
    l[0].e[0].meta = (struct labels){&x, 1};
    l[0].e[1].meta = (struct labels){&y, 1};
    l[1].e[0].meta = (struct labels){&y, 1};
    CHECK_INT(merge(l, 2, got, &duplicates), 2);
    CHECK_INT(duplicates, 1);
}

TEST(logmerge_refuses_a_source_out_of_order)
{
    struct list l = {0};
    struct logmerge_source s = {next_of_list, &l, INT64_MIN};
    struct logmerge *m = logmerge_new(&s, 1);
    struct logpage_entry e;
    bool is_end;

    add(&l, 1, 5, "a");
    add(&l, 1, 4, "b");
    CHECK_OK(logmerge_next(m, &e, &is_end));
    CHECK_ERR(logmerge_next(m, &e, &is_end), ERR_CORRUPT, "out of order");
    logmerge_free(m);
}

/* Replicas that each lack some entries: together they have all, each once. */
TEST(logmerge_pages_of_replicas_give_what_was_written)
{
    struct arena *a = arena_new(0);
    struct logpage_builder *b = logpage_builder_new();
    struct logmerge_source sources[3];
    struct logmerge *m;
    struct logpage_entry all[900], of_one[900], e;
    struct buf pages[3] = {0};
    struct rng r;
    size_t k = 0;
    bool is_end;

    rng_seed(&r, 9);
    for (size_t i = 0; i < ORR_COUNT(all); i++)
        all[i] = (struct logpage_entry){.stream = (uint32_t)(i / 300),
                                        .ts_ns = (int64_t)(i / 3),
                                        .line = slice_cstr(arena_printf(a, "line %zu", i))};
    for (size_t s = 0; s < 3; s++) {
        struct logpage *p;
        size_t n = 0;

        for (size_t i = 0; i < ORR_COUNT(all); i++)
            if (i % 3 == s || rng_chance(&r, 0.7))
                of_one[n++] = all[i];
        CHECK_OK(logpage_build(b, of_one, n, 1, &pages[s], NULL));
        CHECK_OK(logpage_open(a, buf_slice(&pages[s]), &p));
        CHECK_OK(logmerge_page(a, p, &sources[s]));
    }
    m = logmerge_new(sources, 3);
    for (;; k++) {
        bool found = false;

        CHECK_OK(logmerge_next(m, &e, &is_end));
        if (is_end)
            break;
        for (size_t i = k / 3 * 3; i < k / 3 * 3 + 3; i++)
            found |= all[i].stream == e.stream && all[i].ts_ns == e.ts_ns &&
                     slice_eq(all[i].line, e.line);
        CHECK(found);
    }
    CHECK_INT(k, ORR_COUNT(all));
    logmerge_free(m);
    logpage_builder_free(b);
    for (size_t s = 0; s < 3; s++)
        buf_done(&pages[s]);
    arena_free(a);
}
