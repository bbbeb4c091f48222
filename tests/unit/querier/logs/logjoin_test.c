#include "querier/logs/logjoin.h"
#include "tests/unit/test.h"

/* An origin of a table: streams by fingerprint, each with entries that are lent for one call only. */
struct line {
    uint64_t fp;
    int64_t t;
    const char *text; /* NULL: the stream has no entries */
    const char *id;   /* structured metadata; NULL: none */
};

struct table {
    struct logjoin_origin origin;
    const struct line *lines;
    size_t n, at;
    uint64_t fp;    /* of the stream */
    uint64_t bytes; /* volume of each stream */
    uint64_t steps[3];
    bool has_steps;
    size_t fails_at; /* entry; SIZE_MAX: none */
    size_t n_closed;
    char text[64];
    struct label meta;
};

static const struct label app = {SLICE_INIT("app"), SLICE_INIT("x")};

static bool table_stream(struct logjoin_origin *o, struct logjoin_stream *ret)
{
    struct table *t = (struct table *)o;

    while (t->at < t->n && t->lines[t->at].fp == t->fp)
        t->at++;
    if (t->at == t->n)
        return false;
    t->fp = t->lines[t->at].fp;
    *ret = (struct logjoin_stream){
        {0, t->fp}, {&app, 1}, t->bytes / 10, t->bytes, t->has_steps ? t->steps : NULL};
    return true;
}

static bool table_entry(struct logjoin_origin *o, struct logsource_entry *ret)
{
    struct table *t = (struct table *)o;
    const struct line *l = &t->lines[t->at];

    memset(t->text, '?', sizeof(t->text)); /* what was lent is gone */
    if (t->at == t->n || l->fp != t->fp || !l->text)
        return false;
    if (t->at == t->fails_at) {
        o->err = err_new(ERR_IO, "the table is on fire");
        return false;
    }
    t->at++;
    memcpy(t->text, l->text, strlen(l->text));
    t->meta = (struct label){SLICE("id"), slice_cstr(l->id ? l->id : "")};
    *ret = (struct logsource_entry){
        l->t, slice_of(t->text, strlen(l->text)), {&t->meta, l->id != NULL}};
    return true;
}

static struct err *table_close(struct logjoin_origin *o)
{
    ((struct table *)o)->n_closed++;
    return NULL;
}

static const struct logjoin_origin_ops table_ops = {table_stream, table_entry, table_close};

static struct table table_of(const struct line *lines, size_t n)
{
    return (struct table){.origin = {.ops = &table_ops},
                          .lines = lines,
                          .n = n,
                          .fp = UINT64_MAX,
                          .fails_at = SIZE_MAX};
}
#define TABLE(...)                                                                                 \
    table_of((const struct line[]){__VA_ARGS__},                                                   \
             sizeof((const struct line[]){__VA_ARGS__}) / sizeof(struct line))

struct rig {
    struct arena *a;
    struct logjoin *j;
    struct table *tables;
    size_t n;
    struct buf out;
};

static void rig_up(struct rig *g, struct table *tables, size_t n, bool is_forward)
{
    struct logjoin_origin *origins[8];

    *g = (struct rig){.a = arena_new(0), .tables = tables, .n = n};
    for (size_t i = 0; i < n; i++)
        origins[i] = &tables[i].origin;
    g->j = logjoin_new(g->a, origins, n, is_forward, 2);
}

static void rig_down(struct rig *g)
{
    for (size_t i = 0; i < g->n; i++)
        CHECK_INT(g->tables[i].n_closed, 1);
    CHECK_INT(arena_used(g->a), 0);
    arena_free(g->a);
    buf_done(&g->out);
}

/* "fp: t=text(id) …; " of all streams, of each no more than max entries. */
static void read_all(struct rig *g, size_t max)
{
    struct logsource_entry en;
    struct logjoin_stream st;

    while (logjoin_stream(g->j, &st)) {
        buf_printf(&g->out, "%llu:", (unsigned long long)st.fp.hi + (unsigned long long)st.fp.lo);
        for (size_t i = 0; i < max && logjoin_entry(g->j, &en); i++) {
            buf_printf(&g->out, " %lld=%.*s", (long long)en.ts_ns, SLICE_ARG(en.line));
            if (en.metadata.n)
                buf_printf(&g->out, "(%.*s)", SLICE_ARG(en.metadata.ptr[0].value));
        }
        buf_str(&g->out, "; ");
    }
}

static void check_join(struct table *tables, size_t n, bool is_forward, size_t max,
                       const char *want, uint64_t duplicates)
{
    struct rig g;

    rig_up(&g, tables, n, is_forward);
    read_all(&g, max);
    CHECK_SLICE(buf_slice(&g.out), want);
    CHECK_INT(logjoin_duplicates(g.j), duplicates);
    CHECK_OK(logjoin_close(g.j));
    rig_down(&g);
}

TEST(logjoin_one_origin_is_handed_through)
{
    struct table t[] = {TABLE({1, 10, "a", NULL}, {1, 10, "b", "x"}, {1, 20, "c", NULL},
                              {2, 0, NULL, NULL}, {3, 5, "d", NULL})};

    check_join(t, 1, true, 99, "1: 10=a 10=b(x) 20=c; 2:; 3: 5=d; ", 0);
}

TEST(logjoin_none_and_empty_ones)
{
    struct table t[] = {table_of(NULL, 0), table_of(NULL, 0)};

    check_join(NULL, 0, true, 99, "", 0);
    check_join(t, 2, true, 99, "", 0);
}

TEST(logjoin_lines_of_several_come_once_in_order)
{
    struct table t[] = {
        TABLE({1, 10, "a", NULL}, {1, 10, "b", NULL}, {1, 30, "e", NULL}, {4, 1, "only", NULL}),
        TABLE({1, 10, "b", NULL}, {1, 10, "c", NULL}, {1, 20, "d", NULL}, {1, 30, "e", "m"}),
        TABLE({0, 7, "first", NULL}, {1, 20, "d", NULL}, {1, 40, "f", NULL}),
    };

    check_join(t, 3, true, 99, "0: 7=first; 1: 10=a 10=b 10=c 20=d 30=e 30=e(m) 40=f; 4: 1=only; ",
               2);
}

TEST(logjoin_backward)
{
    struct table t[] = {
        TABLE({1, 30, "c", NULL}, {1, 10, "b", NULL}, {1, 10, "a", NULL}),
        TABLE({1, 30, "c", NULL}, {1, 20, "x", NULL}, {1, 10, "a", NULL}),
    };

    check_join(t, 2, false, 99, "1: 30=c 20=x 10=b 10=a; ", 2);
}

TEST(logjoin_passes_over_what_is_left_of_a_stream)
{
    struct table t[] = {
        TABLE({1, 10, "a", NULL}, {1, 20, "b", NULL}, {2, 10, "c", NULL}, {2, 30, "d", NULL}),
        TABLE({1, 10, "a", NULL}, {1, 15, "x", NULL}, {3, 10, "e", NULL}),
    };

    check_join(t, 2, true, 1, "1: 10=a; 2: 10=c; 3: 10=e; ", 1);
}

TEST(logjoin_many_lines_of_one_moment)
{
    enum { N = 200 };
    static char texts[N][8];
    static struct line lines[2][N];
    struct buf want = {0};
    struct table t[2];

    for (unsigned i = 0; i < N; i++) {
        snprintf(texts[i], sizeof(texts[i]), "%u", i);
        lines[0][i] = (struct line){1, 10, texts[i], NULL};
        lines[1][N - 1 - i] = (struct line){1, 10, texts[i], i % 3 ? NULL : "m"};
    }
    buf_str(&want, "1:");
    for (unsigned i = 0; i < N; i++)
        buf_printf(&want, " 10=%u", i);
    for (unsigned i = N; i-- > 0;)
        if (i % 3 == 0)
            buf_printf(&want, " 10=%u(m)", i);
    buf_str(&want, "; ");
    t[0] = table_of(lines[0], N);
    t[1] = table_of(lines[1], N);
    check_join(t, 2, true, SIZE_MAX, buf_cstr(&want), N - (N + 2) / 3);
    buf_done(&want);
}

TEST(logjoin_of_replicas_the_greatest_volume_counts_others_add_up)
{
    struct table t[] = {TABLE({1, 0, NULL, NULL}), TABLE({1, 0, NULL, NULL}),
                        TABLE({1, 0, NULL, NULL}), TABLE({1, 0, NULL, NULL})};
    struct logjoin_stream st;
    struct rig g;

    for (size_t i = 0; i < 4; i++) {
        t[i].bytes = 100 + 10 * i;
        t[i].origin.is_replica = i < 2;
    }
    rig_up(&g, t, 4, true);
    CHECK(logjoin_stream(g.j, &st));
    CHECK_INT(st.bytes, 110 + 120 + 130);
    CHECK_INT(st.entries, 11 + 12 + 13);
    CHECK(!logjoin_stream(g.j, &st));
    CHECK_OK(logjoin_close(g.j));
    rig_down(&g);
}

TEST(logjoin_of_each_step_the_fullest_replica_counts)
{
    struct table t[] = {TABLE({1, 0, NULL, NULL}), TABLE({1, 0, NULL, NULL}, {2, 0, NULL, NULL}),
                        TABLE({1, 0, NULL, NULL})};
    const uint64_t steps[3][3] = {{5, 0, 7}, {4, 1, 9}, {100, 0, 0}};
    struct logjoin_stream st;
    struct rig g;

    for (size_t i = 0; i < 3; i++) {
        memcpy(t[i].steps, steps[i], sizeof(steps[i]));
        t[i].has_steps = true;
        t[i].origin.is_replica = i < 2;
    }
    rig_up(&g, t, 3, true);
    logjoin_take_steps(g.j, 3);
    CHECK(logjoin_stream(g.j, &st));
    CHECK(st.steps[0] == 105 && st.steps[1] == 1 && st.steps[2] == 9);
    CHECK(logjoin_stream(g.j, &st));
    CHECK(st.steps[0] == 4 && st.steps[1] == 1 && st.steps[2] == 9);
    CHECK(!logjoin_stream(g.j, &st));
    CHECK_OK(logjoin_close(g.j));
    rig_down(&g);
}

TEST(logjoin_of_parts_of_a_stream_all_volumes_count_by_their_copies)
{
    struct table t[] = {TABLE({1, 0, NULL, NULL}), TABLE({1, 0, NULL, NULL}),
                        TABLE({1, 0, NULL, NULL}), TABLE({1, 0, NULL, NULL})};
    struct logjoin_stream st;
    struct rig g;

    for (size_t i = 0; i < 4; i++) { /* 100 bytes on two, 300 on two others */
        t[i].bytes = i < 2 ? 100 : 300;
        t[i].origin.is_replica = true;
    }
    rig_up(&g, t, 4, true);
    CHECK(logjoin_stream(g.j, &st));
    CHECK_INT(st.bytes, 400);
    CHECK(!logjoin_stream(g.j, &st));
    CHECK_OK(logjoin_close(g.j));
    rig_down(&g);
}

TEST(logjoin_ends_with_the_first_error)
{
    struct table t[] = {
        TABLE({1, 10, "a", NULL}, {1, 20, "b", NULL}, {2, 30, "c", NULL}),
        TABLE({1, 10, "a", NULL}, {1, 25, "x", NULL}, {3, 10, "e", NULL}),
    };
    struct rig g;

    t[1].fails_at = 1;
    rig_up(&g, t, 2, true);
    read_all(&g, 99);
    CHECK_ERR(logjoin_close(g.j), ERR_IO, "on fire");
    rig_down(&g);
}
