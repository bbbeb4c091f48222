#include "common/lang/traceql.h"
#include "querier/api/tagquery.h"
#include "tests/unit/test.h"

/* And TraceQL takes it. */
static void is(struct buf *got, const char *want)
{
    struct arena *a = arena_new(0);
    struct traceql q;

    CHECK_STR(buf_cstr(got), want);
    CHECK_OK(traceql_parse(a, slice_cstr(arena_printf(a, "{ %s }", buf_cstr(got))), &q));
    arena_free(a);
    buf_done(got);
}

TEST(tagquery_equals_by_what_a_value_reads_as)
{
    struct buf b = {0};

    tagquery_equals(&b, SLICE("k"), SLICE("v"));
    is(&b, "(span.\"k\" = \"v\" || resource.\"k\" = \"v\" || event.\"k\" = \"v\")");
    tagquery_equals(&b, SLICE("a b\"\\"), SLICE("-1.5"));
    is(&b, "(span.\"a b\\\"\\\\\" = \"-1.5\" || span.\"a b\\\"\\\\\" = -1.5 || "
           "resource.\"a b\\\"\\\\\" = \"-1.5\" || resource.\"a b\\\"\\\\\" = -1.5 || "
           "event.\"a b\\\"\\\\\" = \"-1.5\" || event.\"a b\\\"\\\\\" = -1.5)");
    tagquery_equals(&b, SLICE("k"), SLICE("true"));
    is(&b, "(span.\"k\" = \"true\" || span.\"k\" = true || resource.\"k\" = \"true\" || "
           "resource.\"k\" = true || event.\"k\" = \"true\" || event.\"k\" = true)");
    static const char *const texts[] = {
        "1.", ".5", "-", "1.2.3", "1e5", "12345678901234567890", "a\nb", "\"} | select(.x)", ""};
    for (size_t i = 0; i < ORR_COUNT(texts); i++) {
        struct arena *a = arena_new(0);
        struct traceql q;

        tagquery_equals(&b, SLICE("k"), slice_cstr(texts[i]));
        CHECK(slice_find(buf_slice(&b), SLICE("span.\"k\" = \""), 0) == 1);
        CHECK(slice_find(buf_slice(&b), SLICE("|| span"), 0) < 0);
        CHECK_OK(traceql_parse(a, slice_cstr(arena_printf(a, "{ %s }", buf_cstr(&b))), &q));
        CHECK_INT(q.pipeline.n, 1);
        arena_free(a);
        buf_done(&b);
    }
}

TEST(tagquery_of_tags_that_became_something_else)
{
    struct buf b = {0};

    tagquery_equals(&b, SLICE("error"), SLICE("true"));
    is(&b, "status = error");
    tagquery_equals(&b, SLICE("error"), SLICE("false"));
    is(&b, "status != error");
    tagquery_equals(&b, SLICE("otel.status_code"), SLICE("OK"));
    is(&b, "status = ok");
    tagquery_equals(&b, SLICE("span.kind"), SLICE("CLIENT"));
    is(&b, "kind = client");
    tagquery_equals(&b, SLICE("otel.scope.name"), SLICE("lib"));
    is(&b, "instrumentation:name = \"lib\"");
    tagquery_equals(&b, SLICE("otel.scope.version"), SLICE("1"));
    is(&b, "instrumentation:version = \"1\"");
    tagquery_exists(&b, SLICE("error"));
    is(&b, "status = error");
    tagquery_exists(&b, SLICE("k"));
    is(&b, "(span.\"k\" != nil || resource.\"k\" != nil || event.\"k\" != nil || "
           "event:name = \"k\")");
    tagquery_service(&b, SLICE("a\"b"));
    is(&b, "resource.service.name = \"a\\\"b\"");
}

TEST(tagquery_joins_conditions)
{
    struct buf b = {0};

    tagquery_end(&b);
    CHECK_STR(buf_cstr(&b), "{ }");
    buf_reset(&b);
    tagquery_also(&b);
    tagquery_service(&b, SLICE("shop"));
    tagquery_also(&b);
    tagquery_name(&b, SLICE("a \"b\""));
    tagquery_also(&b);
    tagquery_duration(&b, ">=", 1500);
    tagquery_end(&b);
    CHECK_STR(buf_cstr(&b), "{ resource.service.name = \"shop\" && name = \"a \\\"b\\\"\" && "
                            "duration >= 1500ns }");
    buf_done(&b);
}
