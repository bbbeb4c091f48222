/* The demo's shop: the same again, what it tells of is whole, and things go wrong when they should. */
#include <jansson.h>
#include <string.h>

#include "deploy/orreryctl/demo_shop.h"
#include "tests/unit/test.h"

#define FROM_S 1767225600
#define CYCLE_S 400
#define LOCK_S (FROM_S + 100)

struct said {
    struct buf traces, lines, events, metrics;
};

static void tell(struct demo_shop *s, int64_t from_s, int64_t to_s, struct said *ret)
{
    *ret = (struct said){0};
    for (int64_t t = from_s; t < to_s; t++)
        demo_shop_tick(s, t);
    (void)demo_shop_traces(s, &ret->traces);
    (void)demo_shop_lines(s, &ret->lines);
    (void)demo_shop_events(s, &ret->events);
    demo_shop_metrics(s, &ret->metrics);
}

static void said_done(struct said *s)
{
    buf_done(&s->traces);
    buf_done(&s->lines);
    buf_done(&s->events);
    buf_done(&s->metrics);
}

static struct demo_shop *shop(void)
{
    return demo_shop_new(
        &(struct demo_shop_opts){.seed = 7, .rate = 5, .cycle_s = CYCLE_S, .lock_s = LOCK_S},
        FROM_S);
}

static bool has(const struct buf *b, const char *text)
{
    return slice_find(buf_slice(b), slice_cstr(text), 0) >= 0;
}

static json_t *parse(const struct buf *b)
{
    json_error_t error;
    json_t *v = json_loadb((const char *)b->ptr, b->len, 0, &error);

    CHECK(v != NULL);
    return v;
}

/* How many items there are below {kind: [{members: [{items: […]}]}]}. */
static size_t count(const struct buf *b, const char *kind, const char *members, const char *items)
{
    json_t *root = parse(b), *resource;
    size_t i, n = 0;

    json_array_foreach(json_object_get(root, kind), i, resource) n += json_array_size(
        json_object_get(json_array_get(json_object_get(resource, members), 0), items));
    json_decref(root);
    return n;
}

TEST(demo_shop_says_the_same_again)
{
    struct demo_shop *a = shop(), *b = shop();
    struct said x, y;

    tell(a, FROM_S, FROM_S + CYCLE_S, &x);
    tell(b, FROM_S, FROM_S + CYCLE_S, &y);
    CHECK(slice_eq(buf_slice(&x.traces), buf_slice(&y.traces)));
    CHECK(slice_eq(buf_slice(&x.lines), buf_slice(&y.lines)));
    CHECK(slice_eq(buf_slice(&x.metrics), buf_slice(&y.metrics)));
    said_done(&x);
    said_done(&y);
    demo_shop_free(a);
    demo_shop_free(b);
}

TEST(demo_shop_is_whole_json_of_all_kinds)
{
    struct demo_shop *s = shop();
    struct said x, rest;
    json_t *events;

    tell(s, FROM_S, FROM_S + CYCLE_S, &x);
    CHECK(count(&x.traces, "resourceSpans", "scopeSpans", "spans") > CYCLE_S * 5 * 3);
    CHECK(count(&x.lines, "resourceLogs", "scopeLogs", "logRecords") > CYCLE_S * 5 * 2);
    CHECK(count(&x.metrics, "resourceMetrics", "scopeMetrics", "metrics") > 8);
    events = parse(&x.events);
    CHECK(json_array_size(events) == 3); /* the batch job, the deployment, and back */
    json_decref(events);
    tell(s, FROM_S + CYCLE_S, FROM_S + CYCLE_S, &rest); /* nothing was said since */
    CHECK(!has(&rest.traces, "spanId") && !has(&rest.lines, "body") && !rest.events.len);
    said_done(&x);
    said_done(&rest);
    demo_shop_free(s);
}

TEST(demo_shop_goes_wrong_when_it_should)
{
    struct demo_shop *s = shop();
    struct said calm, locked, after, storm;

    tell(s, FROM_S + 60, LOCK_S, &calm);
    CHECK(!has(&calm.lines, "could not obtain lock") && !has(&calm.traces, "deadline exceeded"));
    tell(s, LOCK_S, LOCK_S + DEMO_SHOP_LOCK_S, &locked);
    CHECK(has(&locked.lines, "could not obtain lock"));
    CHECK(has(&locked.traces, "deadline exceeded while charging"));
    CHECK(has(&locked.events, "nightly reconciliation"));
    CHECK(has(&locked.metrics, "\"504\""));
    tell(s, LOCK_S + DEMO_SHOP_LOCK_S, LOCK_S + CYCLE_S / 4 - 1, &after);
    CHECK(!has(&after.lines, "could not obtain lock"));
    tell(s, LOCK_S + CYCLE_S / 4, LOCK_S + CYCLE_S - 1, &storm);
    CHECK(has(&storm.events, "checkout 1.4.2") && has(&storm.events, "checkout back to 1.4.1"));
    CHECK(has(&storm.traces, "no price for item"));
    CHECK(has(&storm.lines, "connection to cache refused"));
    CHECK(has(&storm.metrics, "session.id"));
    said_done(&calm);
    said_done(&locked);
    said_done(&after);
    said_done(&storm);
    demo_shop_free(s);
}
