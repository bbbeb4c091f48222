#include "common/base/spell.h"
#include "tests/unit/test.h"

static bool tells(struct spell *s, const char *doing, enum err_code code, int64_t now_ms,
                  uint64_t *ret_left_out)
{
    struct err *e = err_new(code, "it fails");
    bool ret = spell_tells(s, doing, e, now_ms, ret_left_out);

    err_free(e);
    return ret;
}

TEST(spell_tells_of_an_outage_once_and_then_now_and_again)
{
    struct spell s = {0};
    uint64_t left_out;

    CHECK(tells(&s, "flush", ERR_UNAVAILABLE, 5, &left_out) && left_out == 0);
    for (int i = 1; i <= 1000; i++)
        CHECK(!tells(&s, "flush", ERR_UNAVAILABLE, 5 + i, &left_out));
    CHECK(!tells(&s, "flush", ERR_UNAVAILABLE, 4 + SPELL_REMIND_MS, &left_out));
    CHECK(tells(&s, "flush", ERR_UNAVAILABLE, 5 + SPELL_REMIND_MS, &left_out));
    CHECK(left_out == 1001);
    CHECK(!tells(&s, "flush", ERR_UNAVAILABLE, 6 + SPELL_REMIND_MS, &left_out));
}

TEST(spell_of_one_kind_does_not_hide_another)
{
    struct spell s = {0};
    uint64_t left_out;

    CHECK(tells(&s, "flush", ERR_NET, 0, &left_out));
    CHECK(tells(&s, "flush", ERR_TIMEOUT, 1, &left_out));
    CHECK(tells(&s, "sweep", ERR_NET, 2, &left_out));
    CHECK(!tells(&s, "flush", ERR_NET, 3, &left_out));
    CHECK(!tells(&s, "sweep", ERR_NET, 4, &left_out));
}

TEST(spell_never_hides_what_is_no_outage)
{
    struct spell s = {0};
    uint64_t left_out;

    for (int i = 0; i < 100; i++) {
        CHECK(tells(&s, "flush", ERR_CORRUPT, i, &left_out));
        CHECK(tells(&s, "flush", ERR_IO, i, &left_out));
    }
    CHECK(tells(&s, "flush", ERR_NET, 100, &left_out)); /* nor do these take its room */
}
