#include <math.h>

#include "common/model/otlp_value.h"
#include "tests/unit/test.h"

static struct otlp_value number(double d)
{
    return (struct otlp_value){.kind = OTLP_VALUE_DOUBLE, .d = d};
}
static struct otlp_value text(const char *s)
{
    return (struct otlp_value){.kind = OTLP_VALUE_TEXT, .text = slice_cstr(s)};
}

static void check(struct otlp_value v, const char *want)
{
    struct arena *a = arena_new(0);

    CHECK_SLICE(otlp_value_text(a, &v), want);
    arena_free(a);
}

TEST(otlp_value_writes_scalars)
{
    check(text("a\"b"), "a\"b");
    check((struct otlp_value){.kind = OTLP_VALUE_BOOL, .b = true}, "true");
    check((struct otlp_value){.kind = OTLP_VALUE_BOOL}, "false");
    check((struct otlp_value){.kind = OTLP_VALUE_INT, .i = INT64_MIN}, "-9223372036854775808");
    check((struct otlp_value){.kind = OTLP_VALUE_EMPTY}, "");
    check(number(5), "5");
    check(number(-0.25), "-0.25");
    check(number(1e-6), "0.000001");
    check(number(1e-7), "1e-7");
    check(number(2.5e-12), "2.5e-12");
    check(number(1e20), "100000000000000000000");
    check(number(1e21), "1e+21");
    check(number(INFINITY), "json: unsupported value: +Inf");
    check((struct otlp_value){.kind = OTLP_VALUE_BYTES, .text = SLICE("")}, "");
    check((struct otlp_value){.kind = OTLP_VALUE_BYTES, .text = SLICE("f")}, "Zg==");
    check((struct otlp_value){.kind = OTLP_VALUE_BYTES, .text = SLICE("fo")}, "Zm8=");
    check((struct otlp_value){.kind = OTLP_VALUE_BYTES, .text = SLICE("\xff\xfe\xfd")}, "//79");
}

TEST(otlp_value_writes_lists_and_maps_as_json)
{
    struct otlp_member inner[] = {
        {SLICE_EMPTY, text("p<&>\n")},
        {SLICE_EMPTY, {.kind = OTLP_VALUE_INT, .i = 2}},
        {SLICE_EMPTY, {.kind = OTLP_VALUE_EMPTY}},
        {SLICE_EMPTY, {.kind = OTLP_VALUE_BYTES, .text = SLICE("f")}},
    };
    struct otlp_member map[] = {
        {SLICE("b"), number(1.5)},
        {SLICE("a<"), {.kind = OTLP_VALUE_LIST, .members = inner, .n = ORR_COUNT(inner)}},
        {SLICE("b"), {.kind = OTLP_VALUE_BOOL, .b = true}},
    };
    struct otlp_member bad[] = {{SLICE_EMPTY, number(NAN)}};

    check((struct otlp_value){.kind = OTLP_VALUE_MAP, .members = map, .n = ORR_COUNT(map)},
          "{\"a\\u003c\":[\"p\\u003c\\u0026\\u003e\\n\",2,null,\"Zg==\"],\"b\":true}");
    check((struct otlp_value){.kind = OTLP_VALUE_LIST}, "[]");
    check((struct otlp_value){.kind = OTLP_VALUE_LIST, .members = bad, .n = 1}, "");
}
