#include "common/base/mem.h"
#include "querier/engine/memstore.h"
#include "querier/store/tombstone_filter.h"
#include "tests/unit/test.h"

static struct tombstone_list *list_of(int64_t min_ms, int64_t max_ms, const char *value)
{
    struct tombstone_list *l = tombstone_list_new(SLICE("t"));
    struct arena *a = arena_new(0);
    struct matcher m;
    struct tombstone t = {.min_ms = min_ms, .max_ms = max_ms, .matchers = {&m, 1}};

    CHECK_OK(matcher_init(a, MATCHER_RE, SLICE("i"), slice_cstr(value), &m));
    CHECK_OK(tombstone_list_add(l, &t));
    matchers_done(t.matchers);
    arena_free(a);
    return l;
}

/* "i=n:first..last" of what is left in 0..100. */
static void check(struct memstore *m, struct tombstone_list *l, const char *want)
{
    struct arena *a = arena_new(0);
    struct matcher any;
    struct storage_request req = {.matchers = {&any, 1}, .start_ms = 0, .end_ms = 100};
    struct storage_series s;
    struct series_set *set;
    struct buf out = {0};

    CHECK_OK(matcher_init(a, MATCHER_RE, SLICE("i"), SLICE(".+"), &any));
    CHECK_OK(storage_select(memstore_storage(m), a, &req, &set));
    set = tombstone_filter_new(set, l, 0, 100);
    while (series_set_next(set, &s)) {
        CHECK(s.n > 0);
        for (size_t i = 0; i < s.n; i++) {
            bool is_histogram = s.h && s.h[i];

            CHECK(is_histogram || s.v[i] == (double)s.t_ms[i]);
            CHECK(!is_histogram || s.h[i]->count == (double)s.t_ms[i]);
            CHECK(!s.st_ms || s.st_ms[i] == 5);
        }
        buf_printf(&out, "%s%.*s=%zu:%lld..%lld", out.len ? " " : "",
                   SLICE_ARG(labels_get(s.labels, SLICE("i"))), s.n, (long long)s.t_ms[0],
                   (long long)s.t_ms[s.n - 1]);
    }
    CHECK_OK(series_set_close(set));
    CHECK_STR(buf_cstr(&out), want);
    buf_done(&out);
    matcher_done(&any);
    arena_free(a);
    tombstone_list_unref(l);
}

TEST(tombstone_filter_takes_samples_out_of_all_columns)
{
    struct memstore *m = memstore_new();
    struct label l = {SLICE("i"), SLICE("")};

    for (int k = 0; k < 3; k++) {
        l.value = slice_of(&"abc"[k], 1);
        for (int64_t t = 10; t <= 60; t += 10) {
            struct histogram h = {.count = (double)t};

            memstore_add(m, (struct labels){&l, 1}, t, (double)t, k == 2 && t > 30 ? &h : NULL, 5);
        }
    }
    check(m, list_of(20, 30, "a"), "a=4:10..60 b=6:10..60 c=6:10..60");
    check(m, list_of(30, 1000, "b|c"), "a=6:10..60 b=2:10..20 c=2:10..20");
    check(m, list_of(INT64_MIN, INT64_MAX, "b"), "a=6:10..60 c=6:10..60");
    check(m, list_of(101, 1000, ".*"), "a=6:10..60 b=6:10..60 c=6:10..60");
    check(m, list_of(-100, 40, "c"), "a=6:10..60 b=6:10..60 c=2:50..60");
    memstore_free(m);
}

/* One series of points, n of them, read once. */
struct points_set {
    struct series_set set;
    struct storage_series s;
};

static bool points_next(struct series_set *set, struct storage_series *ret)
{
    struct points_set *p = ORR_CONTAINER(set, struct points_set, set);

    *ret = p->s;
    p->s.n = 0;
    return ret->n > 0;
}

static struct err *points_close(struct series_set *set)
{
    (void)set;
    return NULL;
}

/* Points of `samples[i]` samples at t[i], less what is deleted of [min_ms, max_ms]: "t*samples ..." */
static void check_points(const int64_t *t, const struct storage_point *points, size_t n,
                         int64_t min_ms, int64_t max_ms, const char *want)
{
    static const struct series_set_ops ops = {points_next, points_close};
    struct tombstone_list *l = list_of(min_ms, max_ms, "a");
    struct label label = {SLICE("i"), SLICE("a")};
    double *v = mem_new_array(double, n);
    struct points_set p = {{.ops = &ops}, {.labels = {&label, 1}, .n = n, .t_ms = t, .v = v}};
    struct series_set *set;
    struct storage_series s;
    struct buf out = {0};

    p.s.points = points;
    for (size_t i = 0; i < n; i++)
        v[i] = (double)t[i];
    set = tombstone_filter_new(&p.set, l, INT64_MIN, INT64_MAX);
    while (series_set_next(set, &s))
        for (size_t i = 0; i < s.n; i++) {
            CHECK(s.v[i] == (double)s.t_ms[i]);
            buf_printf(&out, "%s%lld*%g", out.len ? " " : "", (long long)s.t_ms[i],
                       s.points[i].samples);
        }
    CHECK_OK(series_set_close(set));
    CHECK_STR(buf_cstr(&out), want);
    buf_done(&out);
    mem_free(v);
    tombstone_list_unref(l);
}

TEST(tombstone_filter_keeps_what_each_point_stands_for)
{
    const int64_t t[] = {99, 199, 299, 399, 450};
    const struct storage_point p[] = {{60, 100}, {30, 100}, {12, 100}, {6, 100}, {1, 0}};

    check_points(t, p, 5, 0, 199, "299*12 399*6 450*1");
    check_points(t, p, 5, 200, 299, "99*60 199*30 399*6 450*1");
    /* a part of a window */
    check_points(t, p, 5, 120, 130, "99*60 299*12 399*6 450*1");
    check_points(t, p, 5, 199, 200, "99*60 399*6 450*1");
    check_points(t, p, 5, 400, 440, "99*60 199*30 299*12 399*6 450*1");
    check_points(t, p, 5, 300, 300, "99*60 199*30 299*12 450*1");
}
