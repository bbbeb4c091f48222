#include "ruler/rule_object.h"
#include "tests/unit/test.h"

static struct slice key_of(struct arena *a, const char *ns)
{
    return rule_object_key(a, SLICE("t"), RULE_PROMQL, slice_cstr(ns));
}

TEST(rule_object_keys_say_what_they_are_of)
{
    struct arena *a = arena_new(0);
    static const char *const names[] = {"a",   "team/a b.yml", "..",   ".x",     "!21",
                                        "%2F", "\xc3\xbc",     "a\\b", "A.b-c_d"};
    struct slice tenant, ns;
    enum rule_lang lang;

    CHECK_SLICE(key_of(a, "team/a b.yml"), "rules/t/metrics/team!2Fa!20b.yml");
    CHECK_SLICE(key_of(a, ".."), "rules/t/metrics/!2E.");
    CHECK_SLICE(rule_object_key(a, SLICE("t"), RULE_LOGQL, SLICE("x")), "rules/t/logs/x");
    for (size_t i = 0; i < ORR_COUNT(names); i++) {
        CHECK_OK(rule_object_check_ns(slice_cstr(names[i])));
        CHECK(rule_object_key_read(a, key_of(a, names[i]), &tenant, &lang, &ns));
        CHECK_SLICE(tenant, "t");
        CHECK_SLICE(ns, names[i]);
        CHECK_INT(lang, RULE_PROMQL);
    }
    arena_free(a);
}

TEST(rule_object_refuses_names_and_keys_that_are_none)
{
    struct arena *a = arena_new(0);
    static const char *const keys[] = {
        "rules/t/metrics",     "rules/t/metrics/",    "rules/t/traces/x",    "rules/t/metrics/a/b",
        "other/t/metrics/x",   "rules/../metrics/x",  "rules/t/metrics/a b", "rules/t/metrics/!2e",
        "rules/t/metrics/!41", "rules/t/metrics/a!0", "rules/t/logs/a!0A"};
    struct slice tenant, ns;
    enum rule_lang lang;
    char long_name[300];

    memset(long_name, 'x', sizeof(long_name));
    CHECK_OK(rule_object_check_ns(slice_of(long_name, 240)));
    CHECK_ERR(rule_object_check_ns(slice_of(long_name, 241)), ERR_INVALID, "too long");
    memset(long_name, '/', sizeof(long_name));
    CHECK_OK(rule_object_check_ns(slice_of(long_name, 80)));
    CHECK_ERR(rule_object_check_ns(slice_of(long_name, 81)), ERR_INVALID, "too long");
    CHECK_ERR(rule_object_check_ns(SLICE("")), ERR_INVALID, "a namespace must be provided");
    CHECK_ERR(rule_object_check_ns(SLICE("a\n")), ERR_INVALID, "control byte");
    CHECK_ERR(rule_object_check_ns(SLICE("\xff")), ERR_INVALID, "UTF-8");
    for (size_t i = 0; i < ORR_COUNT(keys); i++)
        CHECK(!rule_object_key_read(a, slice_cstr(keys[i]), &tenant, &lang, &ns));
    arena_free(a);
}

static void set(struct arena *a, struct rule_object *o, const char *name, const char *yaml)
{
    rule_object_set(a, o, (struct rule_object_group){slice_cstr(name), slice_cstr(yaml)});
}

TEST(rule_object_reads_back_what_was_written)
{
    struct arena *a = arena_new(0);
    struct rule_object o = {.ns = SLICE("ns")}, again;
    struct buf b = {0};

    set(a, &o, "a", "1");
    set(a, &o, "b", "2");
    set(a, &o, "c", "3");
    set(a, &o, "b", "22");
    CHECK(rule_object_remove(&o, SLICE("a")));
    CHECK(!rule_object_remove(&o, SLICE("a")));
    CHECK_OK(rule_object_write(&b, &o));
    CHECK_OK(rule_object_parse(a, buf_slice(&b), &again));
    CHECK_SLICE(again.ns, "ns");
    CHECK_INT(again.n, 2);
    CHECK_SLICE(again.groups[0].name, "b");
    CHECK_SLICE(again.groups[0].yaml, "22");
    CHECK_SLICE(again.groups[1].yaml, "3");
    CHECK(!rule_object_find(&again, SLICE("a")));
    buf_done(&b);
    arena_free(a);
}

TEST(rule_object_bytes_are_as_the_header_says)
{
    struct arena *a = arena_new(0);
    struct rule_object o = {.ns = SLICE("ns")};
    struct buf b = {0};

    set(a, &o, "g", "name: g\n");
    CHECK_OK(rule_object_write(&b, &o));
    CHECK_INT(b.len, 8 + 3 + 1 + 2 + 9 + 4);
    CHECK(memcmp(b.ptr, "ORRRUL\0\1\2ns\1\1g\10name: g\n", b.len - 4) == 0);
    buf_done(&b);
    arena_free(a);
}

/* Each byte counts, and each cut. */
TEST(rule_object_notices_damage)
{
    struct arena *a = arena_new(0);
    struct rule_object o = {.ns = SLICE("ns")}, again;
    struct buf b = {0};

    set(a, &o, "g", "name: g\n");
    set(a, &o, "h", "name: h\n");
    CHECK_OK(rule_object_write(&b, &o));
    for (size_t i = 0; i < b.len; i++) {
        CHECK_ERR(rule_object_parse(a, slice_of(b.ptr, i), &again), ERR_CORRUPT, "");
        b.ptr[i] ^= 1;
        CHECK_ERR(rule_object_parse(a, buf_slice(&b), &again), ERR_CORRUPT, "");
        b.ptr[i] ^= 1;
    }
    CHECK_OK(rule_object_parse(a, buf_slice(&b), &again));
    buf_done(&b);
    arena_free(a);
}
