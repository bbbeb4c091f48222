#include "common/base/rng.h"
#include "common/traces/tracepiece.h"
#include "tests/unit/test.h"

static struct otlp_value text(const char *s)
{
    return (struct otlp_value){.kind = OTLP_VALUE_TEXT, .text = slice_cstr(s)};
}

/* One of everything. */
static struct tracepiece sample(struct arena *a)
{
    struct otlp_member *list = arena_array(a, struct otlp_member, 2);
    struct otlp_member *m = arena_array(a, struct otlp_member, 7);
    struct tracepiece p = {.trace_id = {1, 2, 3}, .n_resources = 1, .n_scopes = 1, .n_spans = 2};

    list[0].value = text("a");
    list[1].value = (struct otlp_value){.kind = OTLP_VALUE_INT, .i = INT64_MIN};
    m[0] = (struct otlp_member){SLICE("service.name"), text("shop")};
    m[1] = (struct otlp_member){SLICE("yes"), {.kind = OTLP_VALUE_BOOL, .b = true}};
    m[2] = (struct otlp_member){SLICE("half"), {.kind = OTLP_VALUE_DOUBLE, .d = 0.5}};
    m[3] = (struct otlp_member){SLICE("list"), {.kind = OTLP_VALUE_LIST, .members = list, .n = 2}};
    m[4] = (struct otlp_member){SLICE("map"), {.kind = OTLP_VALUE_MAP, .members = m, .n = 1}};
    m[5] = (struct otlp_member){SLICE("raw"), {.kind = OTLP_VALUE_BYTES, .text = SLICE("\0\1")}};
    m[6] = (struct otlp_member){SLICE("none"), {.kind = OTLP_VALUE_EMPTY}};
    p.resources = arena_new_of(a, struct tracepiece_resource);
    p.resources->schema_url = SLICE("https://schema");
    p.resources->attributes = (struct tracepiece_attributes){1, 4, m};
    p.scopes = arena_new_of(a, struct tracepiece_scope);
    *p.scopes = (struct tracepiece_scope){SLICE("lib"), SLICE("1.2"), SLICE_EMPTY, {1, 0, m}};
    p.spans = arena_array(a, struct tracepiece_span, 2);
    p.spans[0] = (struct tracepiece_span){
        .span_id = 0x1122334455667788,
        .kind = 2,
        .status = 2,
        .flags = 0x301,
        .start_ns = 1700000000000000000,
        .end_ns = 1700000000000000009,
        .name = SLICE("GET /"),
        .message = SLICE("boom"),
        .state = SLICE("k=v"),
        .attributes = {7, 1, m},
        .n_events = 1,
        .dropped_events = 2,
        .n_links = 1,
        .dropped_links = 3,
        .events = arena_new_of(a, struct tracepiece_event),
        .links = arena_new_of(a, struct tracepiece_link),
    };
    *p.spans->events =
        (struct tracepiece_event){1699999999999999999, SLICE("exception"), {1, 0, m}};
    *p.spans->links = (struct tracepiece_link){{9}, 77, SLICE("s=t"), 1, {2, 5, m}};
    /* it ends before it starts, and has nothing else */
    p.spans[1] = (struct tracepiece_span){
        .span_id = 2, .parent_id = 0x1122334455667788, .start_ns = 10, .end_ns = 5};
    return p;
}

static struct slice encode(struct arena *a, const struct tracepiece *p)
{
    struct tracepiece_encoder *e = tracepiece_encoder_new();
    struct buf out = {0};
    struct slice ret;

    tracepiece_encode(e, p, &out);
    ret = arena_dup(a, buf_slice(&out));
    buf_done(&out);
    tracepiece_encoder_free(e);
    return ret;
}

TEST(tracepiece_comes_back_as_it_was)
{
    struct arena *a = arena_new(0);
    struct tracepiece p = sample(a), back;
    struct slice bytes = encode(a, &p);
    const struct tracepiece_span *s;
    const uint8_t *id;

    CHECK(tracepiece_id(bytes, &id) && !memcmp(id, p.trace_id, 16));
    CHECK_OK(tracepiece_decode(a, bytes, &back));
    s = back.spans;
    CHECK(s->span_id == p.spans->span_id && s->kind == 2 && s->status == 2 && s->flags == 0x301);
    CHECK(s->start_ns == p.spans->start_ns && s->end_ns == p.spans->end_ns);
    CHECK_SLICE(s->state, "k=v");
    CHECK(s->dropped_events == 2 && s->dropped_links == 3 && s->attributes.dropped == 1);
    CHECK(s->events->t_ns == 1699999999999999999 && s->links->span_id == 77);
    CHECK_SLICE(s->attributes.ptr[3].value.members[0].value.text, "a");
    CHECK(s->attributes.ptr[3].value.members[1].value.i == INT64_MIN);
    CHECK_SLICE(s->attributes.ptr[4].value.members[0].key, "service.name");
    CHECK(slice_eq(s->attributes.ptr[5].value.text, SLICE("\0\1")));
    CHECK(back.spans[1].end_ns == 5 && back.spans[1].parent_id == s->span_id);
    CHECK(slice_eq(encode(a, &back), bytes));
    arena_free(a);
}

/* Cut anywhere it is refused; with a byte changed it is refused or is something else, but no crash. */
TEST(tracepiece_takes_no_broken_bytes)
{
    struct arena *a = arena_new(0);
    struct tracepiece p = sample(a), back;
    struct slice bytes = encode(a, &p);
    uint8_t *copy = arena_alloc(a, bytes.len + 1);

    for (size_t n = 0; n < bytes.len; n++)
        CHECK_ERR(tracepiece_decode(a, slice_of(bytes.ptr, n), &back), ERR_CORRUPT, "");
    memcpy(copy, bytes.ptr, bytes.len);
    copy[bytes.len] = 0;
    CHECK_ERR(tracepiece_decode(a, slice_of(copy, bytes.len + 1), &back), ERR_CORRUPT,
              "more than its spans");
    for (size_t i = 0; i < bytes.len; i++) {
        copy[i] ^= 0xff;
        err_free(tracepiece_decode(a, slice_of(copy, bytes.len), &back));
        copy[i] ^= 0xff;
    }
    arena_free(a);
}

TEST(tracepiece_remembers_more_texts_than_it_had_room_for)
{
    struct arena *a = arena_new(0);
    struct tracepiece p = sample(a), back;
    struct otlp_member *m = arena_array(a, struct otlp_member, 4000);

    for (size_t i = 0; i < 4000; i++)
        m[i] = (struct otlp_member){slice_cstr(arena_printf(a, "key %zu", i % 2000)),
                                    text(arena_printf(a, "value %zu", i % 3000))};
    p.spans[1].attributes = (struct tracepiece_attributes){4000, 0, m};
    CHECK_OK(tracepiece_decode(a, encode(a, &p), &back));
    for (size_t i = 0; i < 4000; i++) {
        CHECK(slice_eq(back.spans[1].attributes.ptr[i].key, m[i].key));
        CHECK(slice_eq(back.spans[1].attributes.ptr[i].value.text, m[i].value.text));
    }
    arena_free(a);
}

/* Whatever the order of the pieces, and however often each came: the same bytes. */
TEST(tracepiece_unites_pieces_in_any_order)
{
    struct arena *a = arena_new(0);
    struct tracepiece whole = sample(a), parts[6], one;
    struct tracepiece_resource other = {.schema_url = SLICE("other")};
    struct tracepiece_span differs[2] = {whole.spans[1], whole.spans[1]}, twin = whole.spans[0];
    struct rng rng;
    struct slice first = SLICE_EMPTY;

    rng_seed(&rng, 1);
    twin.kind = 3; /* shares its id with another */
    differs[1].name = SLICE("said otherwise");
    for (size_t i = 0; i < 4; i++)
        parts[i] = whole;
    parts[0].n_spans = 1;
    parts[1].spans = &twin;
    parts[1].n_spans = 1;
    parts[2].resources = &other;
    parts[2].spans = &differs[1];
    parts[2].n_spans = 1;
    for (unsigned round = 0; round < 50; round++) {
        for (size_t i = 0; i < 4; i++) {
            size_t j = (size_t)rng_below(&rng, 4);
            struct tracepiece t = parts[i];

            parts[i] = parts[j];
            parts[j] = t;
        }
        parts[4] = parts[(size_t)rng_below(&rng, 4)];
        tracepiece_unite(a, parts, 5, &one);
        CHECK_INT(one.n_spans, 3);
        CHECK_INT(one.spans[0].span_id, 2);
        CHECK(one.spans[1].kind == 2 && one.spans[2].kind == 3);
        /* which text of the two that differ is kept does not go by the order */
        if (!first.len)
            first = one.spans[0].name.len ? one.spans[0].name : SLICE("none");
        CHECK(slice_eq(first, one.spans[0].name.len ? one.spans[0].name : SLICE("none")));
    }
    arena_free(a);
}

/* Spans that are told apart by all of their texts alone take memory once, not with each comparison. */
TEST(tracepiece_unites_many_of_one_id_in_little_memory)
{
    enum { N = 3000 };
    struct arena *a = arena_new(0), *small = arena_new(1u << 20);
    struct tracepiece p = sample(a), out;

    p.n_spans = N;
    p.spans = arena_array(a, struct tracepiece_span, N);
    for (unsigned i = 0; i < N; i++)
        p.spans[i] = (struct tracepiece_span){
            .span_id = 1, .name = slice_cstr(arena_printf(a, "%04u", (i * 7919) % N))};
    tracepiece_unite(small, &p, 1, &out);
    CHECK(!arena_over(small));
    CHECK_INT(out.n_spans, 1);
    CHECK_SLICE(out.spans[0].name, "0000");
    arena_free(small);
    arena_free(a);
}

TEST(tracepieces_become_columns)
{
    struct arena *a = arena_new(0);
    struct tracebuild *b = tracebuild_new(a);
    struct tracepiece p = sample(a), q = sample(a);
    const struct tracecols *c;
    struct tracepiece_rows rows;

    q.trace_id[0] = 7;
    tracepiece_rows_init(&rows, b);
    tracepiece_build(&rows, a, &p);
    tracepiece_build(&rows, a, &q);
    tracepiece_rows_done(&rows);
    c = tracebuild_end(b);
    CHECK(c->n_traces == 2 && c->n_spans == 4 && c->traces[1].id[0] == 7);
    CHECK(c->n_rows[TRACE_RESOURCES] == 1 && c->n_rows[TRACE_LIBRARIES] == 1);
    CHECK(c->n_rows[TRACE_EVENTS] == 2 && c->n_rows[TRACE_LINKS] == 2);
    CHECK_SLICE(c->dict[c->service[3]], "shop");
    CHECK(c->parent[1] == 0 && c->parent[3] == 2);
    CHECK(tracecols_find(c, TRACE_SPANS, SLICE("half"))->types[0] == TRACECELL_FLOAT);
    CHECK(tracecols_find(c, TRACE_SPANS, SLICE("list"))->types[0] == TRACECELL_ARRAY);
    CHECK(!tracecols_find(c, TRACE_SPANS, SLICE("map")) &&
          !tracecols_find(c, TRACE_SPANS, SLICE("raw")));
    arena_free(a);
}
