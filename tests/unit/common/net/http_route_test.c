#include "common/net/http_route.h"
#include "tests/unit/test.h"

static void nothing(struct http_request *r)
{
    (void)r;
}

static const char *const patterns[] = {
    "/",
    "/ready",
    "/api/v1/query",
    "/api/v1/label/{name}/values",
    "/api/v1/label/special/values",
    "/api/{version}/query",
    "/static/*",
    "/static/{one}",
    "/{tenant}/x/*",
};

static struct http_route_table *table(void)
{
    struct http_route_table *t = http_route_table_new();

    for (size_t i = 0; i < ORR_COUNT(patterns); i++)
        http_route_table_add(
            t,
            &(struct http_route){.methods = HTTP_GET, .pattern = patterns[i], .handler = nothing});
    http_route_table_add(t, &(struct http_route){.methods = HTTP_POST | HTTP_DELETE,
                                                 .pattern = "/ready",
                                                 .handler = nothing});
    return t;
}

TEST(http_route_most_literal_wins)
{
    static const struct {
        const char *path, *pattern, *captured;
    } cases[] = {
        {"/", "/", NULL},
        {"/ready", "/ready", NULL},
        {"/rea%64y", "/ready", NULL},
        {"/ready/", NULL, NULL},
        {"/api/v1/query", "/api/v1/query", NULL},
        {"/api/v2/query", "/api/{version}/query", "v2"},
        {"/api//query", NULL, NULL},
        {"/api/v1/label/job/values", "/api/v1/label/{name}/values", "job"},
        {"/api/v1/label/a%2Fb%20c/values", "/api/v1/label/{name}/values", "a/b c"},
        {"/api/v1/label/special/values", "/api/v1/label/special/values", NULL},
        {"/api%2Fv1%2Fquery", NULL, NULL},
        {"/static/", "/static/*", ""},
        {"/static", NULL, NULL},
        {"/static/a", "/static/{one}", "a"},
        {"/static/a/b%20c/d", "/static/*", "a/b c/d"},
        {"/t/x/y", "/{tenant}/x/*", "t"},
        {"/t/x", NULL, NULL},
        {"/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u", NULL, NULL},
        {"/t/x/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u", "/{tenant}/x/*", "t"},
    };
    struct http_route_table *t = table();

    for (size_t i = 0; i < ORR_COUNT(cases); i++) {
        struct arena *a = arena_new(0);
        struct http_route_match m = http_route_find(t, a, HTTP_GET, slice_cstr(cases[i].path));

        if (!m.route != !cases[i].pattern)
            test_fail(__FILE__, __LINE__, "%s", cases[i].path);
        if (m.route)
            CHECK_STR(m.route->pattern, cases[i].pattern);
        if (cases[i].captured)
            CHECK_SLICE(m.segments[0].value, cases[i].captured);
        arena_free(a);
    }
    http_route_table_free(t);
}

TEST(http_route_methods_and_malformed)
{
    struct http_route_table *t = table();
    struct arena *a = arena_new(0);
    struct http_route_match m = http_route_find(t, a, HTTP_PUT, SLICE("/ready"));

    CHECK(!m.route);
    CHECK_INT(m.allowed, HTTP_GET | HTTP_HEAD | HTTP_POST | HTTP_DELETE);
    CHECK(http_route_find(t, a, HTTP_HEAD, SLICE("/ready")).route);
    CHECK(http_route_find(t, a, HTTP_DELETE, SLICE("/ready")).route);
    CHECK(http_route_find(t, a, HTTP_GET, SLICE("/%zz")).is_malformed);
    CHECK(http_route_find(t, a, HTTP_GET, SLICE("/%00")).is_malformed);
    CHECK(!http_route_find(t, a, HTTP_OPTIONS, SLICE("*")).route);
    arena_free(a);
    http_route_table_free(t);
}
