#include "common/model/labels.h"
#include "tests/unit/test.h"

#define L(n, v)                                                                                    \
    {                                                                                              \
        SLICE_INIT(n), SLICE_INIT(v)                                                               \
    }

static const struct label up[] = {L("__name__", "up"), L("a", "1"), L("job", "x\"y")};
static const struct labels up_set = {up, 3};

TEST(labels_get_finds_by_name)
{
    CHECK_SLICE(labels_get(up_set, SLICE("job")), "x\"y");
    CHECK_SLICE(labels_get(up_set, SLICE("z")), "");
    CHECK(labels_has(up_set, SLICE("a")));
    CHECK(!labels_has(up_set, SLICE("")));
}

TEST(labels_compare_as_prometheus_does)
{
    static const struct label b[] = {L("__name__", "up"), L("a", "2")};
    static const struct label c[] = {L("__name__", "up"), L("a", "1")};

    CHECK(labels_cmp(up_set, (struct labels){b, 2}) < 0);
    CHECK(labels_cmp((struct labels){c, 2}, up_set) < 0);
    CHECK(labels_cmp(up_set, up_set) == 0);
    CHECK(!labels_eq(up_set, (struct labels){c, 2}));
}

TEST(labels_sort_reports_a_name_that_occurs_twice)
{
    struct label ls[] = {L("b", "1"), L("a", "2"), L("b", "3")};
    struct slice dup = SLICE_EMPTY;

    CHECK(!labels_sort(ls, 3, &dup));
    CHECK_SLICE(dup, "b");
    CHECK(labels_sort(ls, 2, &dup));
    CHECK_SLICE(ls[0].name, "a");
}

TEST(labels_text_quotes_what_needs_it)
{
    static const struct label dotted[] = {L("__name__", "a.b"), L("x.y", "z")};
    struct buf b = {0};

    labels_text(&b, up_set);
    CHECK_SLICE(buf_slice(&b), "up{a=\"1\", job=\"x\\\"y\"}");
    buf_reset(&b);
    labels_text(&b, (struct labels){dotted, 2});
    CHECK_SLICE(buf_slice(&b), "{\"a.b\", \"x.y\"=\"z\"}");
    buf_reset(&b);
    labels_text(&b, (struct labels){up, 1});
    CHECK_SLICE(buf_slice(&b), "up");
    buf_reset(&b);
    labels_text(&b, (struct labels){0});
    CHECK_SLICE(buf_slice(&b), "{}");
    buf_reset(&b);
    labels_json(&b, (struct labels){up, 2});
    CHECK_SLICE(buf_slice(&b), "{\"__name__\":\"up\",\"a\":\"1\"}");
    buf_done(&b);
}

TEST(labels_canonical_bytes_are_those_of_remote_write)
{
    static const struct label ls[] = {L("a", "bc")};
    struct buf b = {0};

    labels_canonical(&b, (struct labels){ls, 1});
    CHECK_SLICE(buf_slice(&b), "\x0a\x07\x0a\x01"
                               "a\x12\x02"
                               "bc");
    CHECK(hash128_eq(labels_fingerprint((struct labels){ls, 1}),
                     labels_fingerprint_of_canonical(buf_slice(&b))));
    buf_done(&b);
}

TEST(labels_put_are_read_again_and_what_is_cut_off_is_not)
{
    struct arena *a = arena_new(0);
    struct label ls[] = {{SLICE("a"), SLICE("1")}, {SLICE("app"), SLICE("shop")}};
    struct buf b = {0};
    struct reader r;

    labels_put(&b, (struct labels){ls, 2});
    labels_put(&b, (struct labels){0});
    CHECK(slice_eq(buf_slice(&b), SLICE("\2\1a\0011\3app\4shop\0")));
    r = reader_new(buf_slice(&b));
    CHECK(labels_eq(labels_read(a, &r), (struct labels){ls, 2}));
    CHECK_INT(labels_read(a, &r).n, 0);
    CHECK(reader_ok(&r) && !reader_left(&r));
    for (size_t len = 0; len + 1 < b.len; len++) {
        r = reader_new(slice_of(b.ptr, len));
        (void)labels_read(a, &r);
        CHECK(!reader_ok(&r));
    }
    buf_done(&b);
    arena_free(a);
}

TEST(labels_hash_depends_on_every_byte)
{
    static const struct label a[] = {L("a", "bc")}, b[] = {L("ab", "c")};

    CHECK(labels_hash_prometheus((struct labels){a, 1}) !=
          labels_hash_prometheus((struct labels){b, 1}));
    CHECK(labels_hash_prometheus((struct labels){0}) == UINT64_C(0xef46db3751d8e999));
}

TEST(labels_token_differs_by_tenant_and_spreads)
{
    uint32_t buckets[16] = {0};

    for (uint64_t i = 0; i < 16000; i++) {
        uint8_t bytes[8];
        struct hash128 h;

        memcpy(bytes, &i, 8);
        h = labels_fingerprint_of_canonical(slice_of(bytes, 8));
        buckets[labels_token(SLICE("tenant-a"), h) >> 28]++;
        CHECK(labels_token(SLICE("tenant-a"), h) == labels_token(SLICE("tenant-a"), h));
    }
    for (int i = 0; i < 16; i++)
        CHECK(buckets[i] > 850 && buckets[i] < 1150);
    CHECK(labels_token(SLICE("a"), (struct hash128){1, 2}) !=
          labels_token(SLICE("b"), (struct hash128){1, 2}));
}

TEST(labels_copies_do_not_share_bytes)
{
    struct arena *a = arena_new(0);
    struct labels x = labels_dup(a, up_set), y = labels_dup_heap(up_set);

    CHECK(labels_eq(x, up_set));
    CHECK(labels_eq(y, up_set));
    CHECK(x.ptr[0].name.ptr != up[0].name.ptr);
    mem_free((void *)y.ptr);
    y = labels_dup_heap((struct labels){0});
    CHECK_INT(y.n, 0);
    mem_free((void *)y.ptr);
    arena_free(a);
}

TEST(labels_builder_sets_deletes_and_goes_on)
{
    struct arena *a = arena_new(0);
    struct labels_builder b;
    struct labels first, second;

    labels_builder_init(&b, a, up_set);
    labels_builder_set(&b, SLICE("b"), SLICE("2"));
    labels_builder_set(&b, SLICE("a"), SLICE(""));
    first = labels_builder_labels(&b);
    for (int i = 0; i < 20; i++) {
        char *name = arena_printf(a, "l%02d", 19 - i);

        labels_builder_set(&b, slice_cstr(name), SLICE("v"));
    }
    labels_builder_del(&b, SLICE("job"));
    labels_builder_del(&b, SLICE("none"));
    second = labels_builder_labels(&b);
    CHECK_INT(first.n, 3);
    CHECK_SLICE(first.ptr[1].name, "b");
    CHECK_INT(second.n, 22);
    CHECK_SLICE(second.ptr[21].name, "l19");
    CHECK_SLICE(labels_builder_get(&b, SLICE("b")), "2");
    arena_free(a);
}

TEST(labels_legacy_names)
{
    CHECK(labels_is_legacy_name(SLICE("_a1")));
    CHECK(!labels_is_legacy_name(SLICE("1a")));
    CHECK(!labels_is_legacy_name(SLICE("a:b")));
    CHECK(!labels_is_legacy_name(SLICE("")));
    CHECK(labels_is_legacy_metric(SLICE("a:b")));
    CHECK(!labels_is_legacy_metric(SLICE("a.b")));
}
