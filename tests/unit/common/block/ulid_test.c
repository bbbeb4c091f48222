#include "common/base/rng.h"
#include "common/block/ulid.h"
#include "tests/unit/test.h"

TEST(ulid_prints_and_parses)
{
    static const uint8_t entropy[10] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 255};
    struct ulid u = ulid_make(1469918176385, entropy), v;

    CHECK_SLICE(slice_cstr(ulid_print(u).s), "01ARYZ6S41041061050R3GG2FZ");
    CHECK(ulid_parse(slice_cstr(ulid_print(u).s), &v) && ulid_eq(u, v));
    CHECK(ulid_parse(SLICE("01aryz6s41041061050r3gg2fz"), &v) && ulid_eq(u, v));
    CHECK_INT(ulid_time_ms(u), 1469918176385);
    CHECK(ulid_parse(SLICE("7ZZZZZZZZZZZZZZZZZZZZZZZZZ"), &v));
    CHECK(!ulid_parse(SLICE("8ZZZZZZZZZZZZZZZZZZZZZZZZZ"), &v));
    CHECK(!ulid_parse(SLICE("01ARYZ6S410G2R40R50R30E27"), &v));
    CHECK(!ulid_parse(SLICE("01ARYZ6S410G2R40R50R30E27U"), &v));
}

TEST(ulid_text_orders_as_bytes_and_times)
{
    struct ulid last = {{0}};
    struct rng r;

    rng_seed(&r, 4);
    for (int i = 0; i < 300; i++) {
        struct slice part = slice_of(&i, sizeof(i));
        struct ulid u = ulid_derive(1000 * i, &part, 1), v;

        CHECK(ulid_cmp(last, u) < 0);
        CHECK(strcmp(ulid_print(last).s, ulid_print(u).s) < 0);
        CHECK(ulid_parse(slice_cstr(ulid_print(u).s), &v) && ulid_eq(u, v));
        last = u;
    }
}

TEST(ulid_derives_the_same_id_from_the_same_inputs)
{
    struct slice ab[] = {SLICE("a"), SLICE("b")}, joined[] = {SLICE("ab"), SLICE("")};

    CHECK(ulid_eq(ulid_derive(5, ab, 2), ulid_derive(5, ab, 2)));
    CHECK(!ulid_eq(ulid_derive(5, ab, 2), ulid_derive(6, ab, 2)));
    CHECK(!ulid_eq(ulid_derive(5, ab, 2), ulid_derive(5, joined, 2)));
    CHECK(ulid_is_zero((struct ulid){{0}}) && !ulid_is_zero(ulid_derive(0, ab, 1)));
}
