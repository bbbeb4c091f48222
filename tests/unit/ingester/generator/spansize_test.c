#include "common/base/reader.h"
#include "common/traces/traceout.h"
#include "ingester/generator/spansize.h"
#include "tests/unit/test.h"

/* The bytes of field number of a message; the last of them. */
static struct slice field(struct slice message, uint64_t number)
{
    struct reader r = reader_new(message);
    struct slice ret = SLICE_EMPTY;

    while (reader_left(&r)) {
        uint64_t tag = reader_uvarint(&r);

        if ((tag & 7) == 2) {
            struct slice s = reader_lstr(&r);

            ret = tag >> 3 == number ? s : ret;
        } else if ((tag & 7) == 0) {
            (void)reader_uvarint(&r);
        } else {
            reader_skip(&r, (tag & 7) == 1 ? 8 : 4);
        }
    }
    CHECK(reader_ok(&r));
    return ret;
}

/* As the writer of OTLP has it. */
TEST(spansize_is_that_of_protobuf)
{
    struct otlp_member leaf = {SLICE("k"), {.kind = OTLP_VALUE_INT, .i = -1}};
    struct otlp_member many[] = {
        {SLICE("text"), {.kind = OTLP_VALUE_TEXT, .text = SLICE("value")}},
        {SLICE(""), {.kind = OTLP_VALUE_TEXT, .text = SLICE("")}},
        {SLICE("no"), {.kind = OTLP_VALUE_EMPTY}},
        {SLICE("yes"), {.kind = OTLP_VALUE_BOOL, .b = true}},
        {SLICE("int"), {.kind = OTLP_VALUE_INT, .i = 300}},
        {SLICE("half"), {.kind = OTLP_VALUE_DOUBLE, .d = 0.5}},
        {SLICE("map"), {.kind = OTLP_VALUE_MAP, .members = &leaf, .n = 1}},
        {SLICE("list"), {.kind = OTLP_VALUE_LIST, .members = &leaf, .n = 1}},
        {SLICE("long"), {.kind = OTLP_VALUE_BYTES, .text = SLICE_EMPTY}}};
    char big[1000] = {0};
    struct tracepiece_event event = {.t_ns = 5, .name = SLICE("e"), .attributes = {2, 3, many}};
    struct tracepiece_link l = {
        .span_id = 9, .state = SLICE("s"), .flags = 1, .attributes = {1, 200, many}};
    struct tracepiece_resource res = {0};
    struct tracepiece_scope scope = {0};

    many[8].value.text = slice_of(big, sizeof(big));
    for (unsigned bits = 0; bits < 16; bits++) {
        struct tracepiece_span s = {.span_id = 1, .status = 2, .name = SLICE("GET")};
        struct tracepiece p = {.n_resources = 1,
                               .n_scopes = 1,
                               .n_spans = 1,
                               .resources = &res,
                               .scopes = &scope,
                               .spans = &s};
        struct buf out = {0};

        if (bits & 1)
            s.attributes = (struct tracepiece_attributes){ORR_COUNT(many), 1, many};
        if (bits & 2) {
            s.n_events = s.dropped_events = 1;
            s.events = &event;
        }
        if (bits & 4) {
            s.n_links = 1;
            s.links = &l;
            s.dropped_links = 1000;
        }
        if (bits & 8) {
            s.parent_id = 4;
            s.start_ns = s.end_ns = 1;
            s.state = SLICE("a=b");
            s.message = SLICE("bad");
            s.flags = 257;
            s.kind = 3;
        } else {
            s.start_ns = s.end_ns = 77;
        }
        traceout_proto(&out, &p);
        CHECK_INT(spansize_proto(&s), field(field(field(buf_slice(&out), 1), 2), 2).len);
        buf_done(&out);
    }
}
