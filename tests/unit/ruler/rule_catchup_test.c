#include "ruler/rule_catchup.h"
#include "tests/unit/test.h"

#define I 10

/* What is missing, popped one by one. */
static const char *drained(struct rule_catchup *c)
{
    static char text[512];
    int64_t t;
    size_t n = 0;

    text[0] = '\0';
    for (; rule_catchup_next(c, &t); rule_catchup_pop(c))
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%lld ", (long long)t);
    return text;
}

TEST(rule_catchup_gives_the_oldest_first_and_each_once)
{
    struct rule_catchup c;

    rule_catchup_init(&c, I);
    CHECK_INT(rule_catchup_add(&c, 100, 120), 0);
    CHECK_INT(rule_catchup_add(&c, 200, 200), 0);
    CHECK_INT(rule_catchup_add(&c, 50, 60), 0);
    CHECK_INT(rule_catchup_add(&c, 110, 130), 0); /* reaches into one */
    CHECK_INT(rule_catchup_add(&c, 70, 70), 0);   /* touches one */
    CHECK_INT(rule_catchup_add(&c, 90, 80), 0);   /* nothing */
    CHECK_INT(c.n, 3);
    CHECK_INT(rule_catchup_count(&c), 8);
    CHECK_STR(drained(&c), "50 60 70 100 110 120 130 200 ");
    CHECK_INT(c.n, 0);
    (void)rule_catchup_add(&c, 10, 10);
    (void)rule_catchup_add(&c, 30, 30);
    (void)rule_catchup_add(&c, 20, 20); /* closes the gap */
    CHECK_INT(c.n, 1);
    CHECK_STR(drained(&c), "10 20 30 ");
}

TEST(rule_catchup_gives_up_what_is_too_old)
{
    struct rule_catchup c;

    rule_catchup_init(&c, I);
    (void)rule_catchup_add(&c, 10, 30);
    (void)rule_catchup_add(&c, 50, 90);
    CHECK_INT(rule_catchup_expire(&c, 10), 0);
    CHECK_INT(rule_catchup_expire(&c, 65), 3 + 2);
    CHECK_STR(drained(&c), "70 80 90 ");
    (void)rule_catchup_add(&c, 50, 90);
    CHECK_INT(rule_catchup_expire(&c, 91), 5);
    CHECK_INT(c.n, 0);
}

TEST(rule_catchup_is_bounded)
{
    struct rule_catchup c;
    uint64_t given_up = 0;
    int64_t t;

    rule_catchup_init(&c, I);
    for (int i = 0; i < 3 * RULE_CATCHUP_MAX_RUNS; i++)
        given_up += rule_catchup_add(&c, i * 100, i * 100 + I);
    CHECK_INT(c.n, RULE_CATCHUP_MAX_RUNS);
    CHECK_INT(given_up, 2 * 2 * RULE_CATCHUP_MAX_RUNS);
    CHECK(rule_catchup_next(&c, &t) && t == 2 * RULE_CATCHUP_MAX_RUNS * 100);
}
