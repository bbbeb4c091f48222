#include "common/traces/tracepiece_known.h"
#include "tests/unit/test.h"

/* A resource whose texts lie in buf, with a list in a map. */
struct sample {
    char text[32];
    struct otlp_member item, inner, outer[2];
    struct tracepiece_resource r;
    struct tracepiece_scope s;
};

static void make(struct sample *x, unsigned n)
{
    struct slice text;

    (void)snprintf(x->text, sizeof(x->text), "text-%u", n);
    text = slice_cstr(x->text);
    x->item = (struct otlp_member){.value = {.kind = OTLP_VALUE_BYTES, .text = text}};
    x->inner = (struct otlp_member){text, {.kind = OTLP_VALUE_LIST, .n = 1, .members = &x->item}};
    x->outer[0] =
        (struct otlp_member){text, {.kind = OTLP_VALUE_MAP, .n = 1, .members = &x->inner}};
    x->outer[1] = (struct otlp_member){SLICE("i"), {.kind = OTLP_VALUE_INT, .i = n}};
    x->r = (struct tracepiece_resource){.schema_url = text, .attributes = {2, 0, x->outer}};
    x->s = (struct tracepiece_scope){text, text, text, {1, 0, x->outer}};
}

TEST(tracepiece_known_gives_equal_ones_one_number)
{
    struct tracepiece_known k = {0};
    struct sample x;
    bool is_new;

    for (unsigned round = 0; round < 2; round++) {
        for (unsigned turn = 0; turn < 2; turn++)
            for (unsigned i = 0; i < 1000; i++) {
                make(&x, i); /* over what was there, and was copied */
                CHECK_INT(tracepiece_known_resource(&k, &x.r, &is_new), i);
                CHECK_INT(is_new, !turn);
                CHECK_INT(tracepiece_known_scope(&k, &x.s, &is_new), i);
                CHECK_INT(is_new, !turn);
            }
        x.r.attributes.dropped = 1;
        CHECK_INT(tracepiece_known_resource(&k, &x.r, &is_new), 1000);
        x.inner.value.n = 0;
        CHECK_INT(tracepiece_known_resource(&k, &x.r, &is_new), 1001);
        CHECK_INT(tracepiece_known_scope(&k, &x.s, &is_new), 1000);
        CHECK(is_new);
        tracepiece_known_clear(&k);
    }
    tracepiece_known_done(&k);
}
