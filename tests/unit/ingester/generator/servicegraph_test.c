#include "ingester/generator/servicegraph.h"
#include "tests/unit/test.h"

enum { SERVER = 2, CLIENT = 3, PRODUCER = 4, CONSUMER = 5 };

struct world {
    struct arena *a;
    struct generator_rules rules;
    struct gentable table;
    struct servicegraph g;
    struct buf halves;
    int64_t now_ms;
};

static void begin(struct world *w, const char *yaml)
{
    struct yaml_node *root = NULL;

    *w = (struct world){.a = arena_new(0), .now_ms = 1000000};
    CHECK_OK(yaml_load("t", slice_cstr(yaml), w->a, &root));
    CHECK_OK(generator_rules_parse("t", root, w->a, &w->rules));
    gentable_init(&w->table, &(struct gentable_opts){0, true, false});
    servicegraph_init(&w->g, &w->rules, w->a);
}

static void end(struct world *w)
{
    servicegraph_done(&w->g);
    gentable_done(&w->table);
    generator_rules_done(&w->rules);
    buf_done(&w->halves);
    arena_free(w->a);
}

/* A span of trace 1, from start to end in milliseconds; key: an attribute with value v. */
static void span(struct world *w, uint64_t id, uint64_t parent, uint8_t kind, const char *service,
                 uint64_t start_ms, uint64_t end_ms, uint8_t status, const char *key, const char *v)
{
    struct otlp_member name = {SLICE("service.name"),
                               {.kind = OTLP_VALUE_TEXT, .text = slice_cstr(service)}};
    struct otlp_member attribute = {slice_cstr(key ? key : ""),
                                    {.kind = OTLP_VALUE_TEXT, .text = slice_cstr(v ? v : "")}};
    struct tracepiece_resource res = {.attributes = {1, 0, &name}};
    struct tracepiece_span s = {.span_id = id,
                                .parent_id = parent,
                                .kind = kind,
                                .status = status,
                                .start_ns = start_ms * 1000000,
                                .end_ns = end_ms * 1000000,
                                .attributes = {key ? 1 : 0, 0, &attribute}};
    struct tracepiece p = {
        .trace_id = {1}, .n_resources = 1, .n_spans = 1, .resources = &res, .spans = &s};

    buf_reset(&w->halves);
    buf_byte(&w->halves, SERVICEGRAPH_FORMAT);
    if (servicegraph_half(&w->rules, w->a, &p, &s, &w->halves))
        CHECK_OK(servicegraph_take(&w->g, &w->table, buf_slice(&w->halves), w->now_ms));
}

/* "name value count sum/…": labels, counters and histograms of all rows, in the order they came. */
static void check_rows(struct world *w, const char *want)
{
    struct buf out = {0};

    VEC_FOREACH (row, &w->table.rows) {
        labels_text(&out, (*row)->labels);
        for (size_t i = 0; i < GENTABLE_KIND_MAX; i++)
            if ((*row)->counters[i].born_ms)
                buf_printf(&out, " %zu:%g", i, (*row)->counters[i].v);
        for (size_t i = 0; i < GENTABLE_KIND_MAX; i++)
            if ((*row)->hists[i])
                buf_printf(&out, " h%zu:%g/%g", i, (*row)->hists[i]->sum, (*row)->hists[i]->count);
        buf_byte(&out, '\n');
    }
    CHECK_STR(buf_cstr(&out), want);
    buf_done(&out);
}

static void expire(struct world *w, int64_t ms)
{
    w->now_ms += ms;
    servicegraph_expire(&w->g, &w->table, w->now_ms, false);
}

TEST(servicegraph_pairs_halves_in_either_order)
{
    struct world w;

    begin(&w, "processors: [service-graphs]");
    span(&w, 1, 9, CLIENT, "a", 0, 3000, 0, NULL, NULL);
    span(&w, 2, 1, SERVER, "b", 1000, 2000, 0, NULL, NULL);
    span(&w, 4, 3, SERVER, "b", 1000, 3000, 2, NULL, NULL);
    span(&w, 3, 9, CLIENT, "a", 0, 3000, 0, NULL, NULL);
    span(&w, 5, 9, 1, "a", 0, 3000, 0, NULL, NULL); /* internal */
    check_rows(&w, "{client=\"a\", server=\"b\"} 0:2 1:1 h0:3/2 h1:6/2\n");
    CHECK_INT(w.g.waiting.len, 0);
    expire(&w, 60000);
    CHECK_INT(w.g.unpaired, 0);
    end(&w);
}

TEST(servicegraph_has_virtual_nodes_and_databases)
{
    struct world w;

    begin(&w, "{processors: [service-graphs], processor: {service_graphs: "
              "{enable_virtual_node_label: true}}}");
    span(&w, 1, 0, SERVER, "a", 0, 1000, 0, NULL, NULL);
    span(&w, 2, 1, CLIENT, "a", 0, 2000, 2, "db.system", "redis");
    span(&w, 3, 1, CLIENT, "a", 0, 3000, 0, "peer.service", "bank");
    span(&w, 4, 1, CLIENT, "a", 0, 4000, 0, NULL, NULL);
    span(&w, 5, 77, SERVER, "a", 0, 4000, 0, NULL, NULL);
    check_rows(
        &w,
        "{client=\"user\", connection_type=\"virtual_node\", server=\"a\", "
        "virtual_node=\"client\"} 0:1 h0:1/1 h1:1/1\n"
        "{client=\"a\", connection_type=\"database\", server=\"redis\"} 0:1 1:1 h0:2/1 h1:2/1\n");
    expire(&w, 9999);
    CHECK_INT(w.table.rows.len, 2);
    expire(&w, 1);
    check_rows(
        &w, "{client=\"user\", connection_type=\"virtual_node\", server=\"a\", "
            "virtual_node=\"client\"} 0:1 h0:1/1 h1:1/1\n"
            "{client=\"a\", connection_type=\"database\", server=\"redis\"} 0:1 1:1 h0:2/1 h1:2/1\n"
            "{client=\"a\", connection_type=\"virtual_node\", server=\"bank\", "
            "virtual_node=\"server\"} 0:1 h0:3/1 h1:3/1\n"
            "{client=\"a\"} 0:1\n"
            "{server=\"a\"} 0:1\n");
    end(&w);
}

TEST(servicegraph_knows_messages_and_dimensions)
{
    struct world w;

    begin(&w, "{processors: [service-graphs], processor: {service_graphs: {dimensions: [x.y], "
              "enable_client_server_prefix: true, "
              "enable_messaging_system_latency_histogram: true}}}");
    span(&w, 1, 9, PRODUCER, "a", 0, 1000, 0, "x.y", "p");
    span(&w, 2, 1, CONSUMER, "b", 3000, 4000, 0, "x.y", "c");
    check_rows(&w, "{client=\"a\", client_x_y=\"p\", connection_type=\"messaging_system\", "
                   "server=\"b\", server_x_y=\"c\"} "
                   "0:1 h0:1/1 h1:1/1 h2:2/1\n");
    end(&w);
}

TEST(servicegraph_holds_no_more_than_it_may)
{
    struct world w;

    begin(&w, "{processors: [service-graphs], processor: {service_graphs: {max_items: 2}}}");
    for (uint64_t i = 1; i <= 3; i++)
        span(&w, i, 9, CLIENT, "a", 0, 1000, 0, NULL, NULL);
    check_rows(&w, "{client=\"a\"} 1:1\n");
    span(&w, 1, 9, CLIENT, "a", 0, 1000, 0, NULL, NULL); /* sent twice */
    span(&w, 9, 1, SERVER, "b", 0, 1000, 0, NULL, NULL);
    CHECK(w.g.waiting.len == 1 && w.g.edges == 1 && w.g.dropped == 1);
    end(&w);
}

TEST(servicegraph_refuses_what_is_malformed)
{
    struct world w;

    begin(&w, "{processors: [service-graphs], processor: {service_graphs: {dimensions: [k]}}}");
    span(&w, 1, 9, CLIENT, "a", 0, 1000, 0, "k", "v");
    servicegraph_done(&w.g);
    servicegraph_init(&w.g, &w.rules, w.a);
    CHECK_ERR(servicegraph_take(&w.g, &w.table, SLICE("\2"), 1), ERR_INVALID, "version");
    for (size_t n = 2; n < w.halves.len; n++)
        CHECK_ERR(servicegraph_take(&w.g, &w.table, slice_of(w.halves.ptr, n), 1), ERR_INVALID,
                  "malformed");
    CHECK_INT(w.g.waiting.len, 0);
    CHECK_OK(servicegraph_take(&w.g, &w.table, buf_slice(&w.halves), 1));
    CHECK_INT(w.g.waiting.len, 1);
    end(&w);
}
