#include "ingester/door/otlp_name.h"
#include "tests/unit/test.h"

static struct slice metric(struct arena *a, enum otlp_strategy s, const char *prefix,
                           const char *name, const char *unit, enum otlp_name_type type)
{
    struct slice got = SLICE_EMPTY;

    CHECK_OK(
        otlp_name_metric(a, s, slice_cstr(prefix), slice_cstr(name), slice_cstr(unit), type, &got));
    return got;
}

TEST(otlp_name_follows_each_strategy)
{
    struct arena *a = arena_new(0);

    CHECK_SLICE(
        metric(a, OTLP_UNDERSCORES_WITH_SUFFIXES, "", "http.server.duration", "s", OTLP_NAME_OTHER),
        "http_server_duration_seconds");
    CHECK_SLICE(metric(a, OTLP_UNDERSCORES, "", "http.server.duration", "s", OTLP_NAME_OTHER),
                "http_server_duration");
    CHECK_SLICE(
        metric(a, OTLP_UTF8_WITH_SUFFIXES, "", "http.server.duration", "s", OTLP_NAME_COUNTER),
        "http.server.duration_seconds_total");
    CHECK_SLICE(metric(a, OTLP_NO_TRANSLATION, "acme", "a b", "s", OTLP_NAME_COUNTER), "acme_a b");
    arena_free(a);
}

TEST(otlp_name_doubles_no_suffix)
{
    struct arena *a = arena_new(0);

    CHECK_SLICE(
        metric(a, OTLP_UNDERSCORES_WITH_SUFFIXES, "", "total.requests", "", OTLP_NAME_COUNTER),
        "requests_total");
    CHECK_SLICE(metric(a, OTLP_UNDERSCORES_WITH_SUFFIXES, "ns", "cpu_seconds_total", "s",
                       OTLP_NAME_COUNTER),
                "ns_cpu_seconds_total");
    CHECK_SLICE(metric(a, OTLP_UNDERSCORES_WITH_SUFFIXES, "", "hit.ratio", "1", OTLP_NAME_GAUGE),
                "hit_ratio");
    CHECK_SLICE(metric(a, OTLP_UTF8_WITH_SUFFIXES, "", "a_bytes_per_second_total", "By/s",
                       OTLP_NAME_COUNTER),
                "a_bytes_per_second_total");
    /* What a longer unit needs: By{x}/min and the like. */
    CHECK_SLICE(metric(a, OTLP_UNDERSCORES_WITH_SUFFIXES, "", "a", "{call}/min", OTLP_NAME_OTHER),
                "a_per_min");
    CHECK_SLICE(metric(a, OTLP_UNDERSCORES_WITH_SUFFIXES, "", "1st", "s", OTLP_NAME_GAUGE),
                "_1st_seconds");
    arena_free(a);
}

TEST(otlp_name_refuses_what_leaves_nothing)
{
    struct arena *a = arena_new(0);
    struct slice got;

    CHECK_ERR(otlp_name_metric(a, OTLP_UNDERSCORES_WITH_SUFFIXES, SLICE_EMPTY, SLICE("..."),
                               SLICE_EMPTY, OTLP_NAME_OTHER, &got),
              ERR_INVALID, "nothing is left");
    CHECK_ERR(otlp_name_metric(a, OTLP_UNDERSCORES, SLICE_EMPTY, SLICE(""), SLICE_EMPTY,
                               OTLP_NAME_OTHER, &got),
              ERR_INVALID, "nothing is left");
    arena_free(a);
}

static struct slice label(struct arena *a, struct otlp_name_labels how, struct slice name)
{
    struct slice got = SLICE_EMPTY;

    CHECK_OK(otlp_name_label(a, &how, name, &got));
    return got;
}

TEST(otlp_name_escapes_labels)
{
    struct otlp_name_labels dflt = {.has_key_prefix = true, .keeps_underscores = true};
    struct otlp_name_labels collapse = {.has_key_prefix = true};
    struct otlp_name_labels utf8 = {.is_utf8 = true};
    struct slice plain = SLICE("plain_name"), got;
    struct arena *a = arena_new(0);

    CHECK(label(a, dflt, plain).ptr == plain.ptr); /* not copied */
    CHECK_SLICE(label(a, dflt, SLICE("http.method")), "http_method");
    CHECK_SLICE(label(a, dflt, SLICE("a..b")), "a__b");
    CHECK_SLICE(label(a, collapse, SLICE("a..b")), "a_b");
    CHECK_SLICE(label(a, collapse, SLICE("__a..b__")), "__a_b__");
    CHECK_SLICE(label(a, dflt, SLICE("_private")), "key_private");
    CHECK_SLICE(label(a, dflt, SLICE("0abc")), "key_0abc");
    CHECK_SLICE(label(a, dflt,
                      SLICE("\xc3\xbc"
                            "b\xff")),
                "key_b_");
    CHECK_SLICE(label(a, utf8, SLICE("a b")), "a b");
    CHECK_ERR(otlp_name_label(a, &dflt, SLICE(""), &got), ERR_INVALID, "without a name");
    CHECK_ERR(otlp_name_label(a, &dflt, SLICE("___"), &got), ERR_INVALID, "nothing is left");
    CHECK_ERR(otlp_name_label(a, &utf8, SLICE("_"), &got), ERR_INVALID, "nothing is left");
    arena_free(a);
}
