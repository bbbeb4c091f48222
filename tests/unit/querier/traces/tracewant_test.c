/* Which columns and services a filter asks for, and that with those columns alone it finds the same. */
#include "querier/traces/tracecond.h"
#include "querier/traces/tracewant.h"
#include "tests/unit/test.h"

static void want_of(struct arena *a, const char *text, struct tracewant *ret)
{
    struct tracecond cond;
    struct traceql q;

    CHECK_OK(traceql_parse(a, slice_cstr(text), &q));
    cond = tracecond_of(a, &q);
    tracewant_init(ret, a, cond.ptr, cond.n);
}

/* "service service …"; "any" */
static const char *services_of(struct arena *a, const char *text)
{
    struct tracewant w;
    const char *out = "";

    want_of(a, text, &w);
    if (!w.n_services)
        return "any";
    CHECK_SLICE(w.services[w.n_services - 1], TRACEBLOCK_NO_SERVICE);
    for (size_t i = 0; i + 1 < w.n_services; i++)
        out = arena_printf(a, "%s%s%.*s", out, i ? " " : "", SLICE_ARG(w.services[i]));
    return out;
}

TEST(tracewant_knows_services_that_a_span_must_be_of)
{
    struct arena *a = arena_new(0);

    CHECK_STR(services_of(a, "{ resource.service.name = \"web\" }"), "web");
    CHECK_STR(services_of(a, "{ \"web\" = resource.service.name && .x = 1 }"), "web");
    CHECK_STR(services_of(a, "{ .x = 1 && (.y = 2 && resource.service.name = \"web\") }"), "web");
    CHECK_STR(services_of(a, "{ resource.service.name = \"a\" || resource.service.name = \"b\" }"),
              "a b");
    /* of what both sides must say one will do */
    CHECK_STR(services_of(a, "{ resource.service.name = \"a\" && resource.service.name = \"b\" }"),
              "a");
    CHECK_STR(services_of(a, "{ (resource.service.name = \"a\" || .x = 1) && "
                             "resource.service.name = \"b\" }"),
              "b");
    CHECK_STR(services_of(a, "{ resource.service.name = \"a\" } || { resource.service.name = \"b\" "
                             "&& name = \"x\" }"),
              "a b");
    /* the right side is what is kept */
    CHECK_STR(
        services_of(a, "{ resource.service.name = \"a\" } >> { resource.service.name = \"b\" }"),
        "b");
    CHECK_STR(services_of(a, "{ resource.service.name = \"a\" || .x = 1 }"), "any");
    CHECK_STR(services_of(a, "{ resource.service.name = \"a\" } || { .x = 1 }"), "any");
    CHECK_STR(services_of(a, "{ .service.name = \"a\" }"), "any"); /* a span may have one itself */
    CHECK_STR(services_of(a, "{ span.service.name = \"a\" }"), "any");
    CHECK_STR(services_of(a, "{ resource.service.name != \"a\" }"), "any");
    CHECK_STR(services_of(a, "{ !(resource.service.name = \"a\") }"), "any");
    CHECK_STR(services_of(a, "{ resource.service.name =~ \"a|b\" }"), "any");
    CHECK_STR(services_of(a, "{ resource.service.name = 1 }"), "any");
    CHECK_STR(services_of(a, "{}"), "any");
    arena_free(a);
}

static bool has_key(const struct tracewant *w, enum tracetable table, const char *key)
{
    for (size_t i = 0; i < w->columns.n_keys; i++)
        if (w->columns.keys[i].table == table && slice_eq_cstr(w->columns.keys[i].key, key))
            return true;
    return false;
}

TEST(tracewant_reads_the_columns_that_a_filter_is_about)
{
    struct arena *a = arena_new(0);
    struct tracewant w;

    want_of(a, "{ duration > 1s }", &w);
    CHECK_INT(w.columns.fields, 0);
    CHECK_INT(w.columns.n_keys, 0);
    want_of(a, "{ name = \"x\" && status = error && span.a = 1 && span.a < 3 }", &w);
    CHECK_INT(w.columns.fields, TRACEGROUP_NAME | TRACEGROUP_KIND);
    CHECK_INT(w.columns.n_keys, 1);
    CHECK(has_key(&w, TRACE_SPANS, "a"));
    want_of(a, "{ .a = 1 } || { !(event.b != nil) && instrumentation:name = \"l\" }", &w);
    CHECK_INT(w.columns.fields, TRACEGROUP_LIBRARY);
    CHECK_INT(w.columns.n_keys, TRACE_TABLES + 1);
    for (int t = 0; t < TRACE_TABLES; t++)
        CHECK(has_key(&w, (enum tracetable)t, "a"));
    CHECK(has_key(&w, TRACE_EVENTS, "b"));
    want_of(a,
            "{ event:name = \"x\" || link:spanID = \"1\" || span:id = \"2\" || statusMessage = "
            "\"m\" }",
            &w);
    CHECK_INT(w.columns.fields,
              TRACEGROUP_EVENTS | TRACEGROUP_LINKS | TRACEGROUP_IDS | TRACEGROUP_MESSAGE);
    arena_free(a);
}
