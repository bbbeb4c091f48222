#include <stdlib.h>

#include "common/ring/tokens.h"
#include "tests/unit/test.h"

static int cmp_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* A zone that grows to n instances, one after the other. */
struct zone {
    struct tokens_owner owners[101];
    uint32_t taken[3 * 101 * TOKENS_DEFAULT];
    size_t n, n_taken;
};

static void join(struct zone *z, struct rng *rng)
{
    uint32_t *t = mem_new_array(uint32_t, TOKENS_DEFAULT);

    qsort(z->taken, z->n_taken, sizeof(uint32_t), cmp_u32);
    tokens_pick(rng, z->owners, z->n, z->taken, z->n_taken, TOKENS_DEFAULT, t);
    for (size_t i = 0; i < TOKENS_DEFAULT; i++)
        CHECK(!bsearch(&t[i], z->taken, z->n_taken, sizeof(*t), cmp_u32) &&
              (!i || t[i] > t[i - 1]));
    memcpy(z->taken + z->n_taken, t, TOKENS_DEFAULT * sizeof(*t));
    z->n_taken += TOKENS_DEFAULT;
    z->owners[z->n++] = (struct tokens_owner){t, TOKENS_DEFAULT};
}

static double worst_share(const struct zone *z)
{
    double shares[101], worst = 0, sum = 0;

    tokens_shares(z->owners, z->n, shares);
    for (size_t i = 0; i < z->n; i++) {
        double off = shares[i] * (double)z->n - 1;

        sum += shares[i];
        worst = ORR_MAX(worst, off < 0 ? -off : off);
    }
    CHECK(sum > 0.999999 && sum < 1.000001);
    return worst;
}

static void zone_free(struct zone *z)
{
    for (size_t i = 0; i < z->n; i++)
        mem_free((void *)z->owners[i].tokens);
    mem_free(z);
}

TEST(tokens_shares_are_even_within_5_percent_from_3_to_100)
{
    struct zone *z = mem_new(struct zone);
    struct rng rng;

    rng_seed(&rng, 42);
    while (z->n < 100) {
        join(z, &rng);
        if (z->n >= 3 && worst_share(z) > 0.05)
            test_fail(__FILE__, __LINE__, "%zu instances: off by %.3f", z->n, worst_share(z));
    }
    zone_free(z);
}

TEST(tokens_recover_evenness_after_a_third_has_left)
{
    struct zone *z = mem_new(struct zone);
    struct rng rng;

    rng_seed(&rng, 7);
    while (z->n < 30)
        join(z, &rng);
    for (size_t i = 0; i < 10; i++)
        mem_free((void *)z->owners[--z->n].tokens);
    while (z->n < 30)
        join(z, &rng);
    CHECK(worst_share(z) < 0.10);
    zone_free(z);
}

TEST(tokens_are_a_function_of_their_inputs_and_differ_by_seed)
{
    uint32_t a[16], b[16], c[16];
    struct rng rng;

    rng_seed(&rng, 1), tokens_pick(&rng, NULL, 0, NULL, 0, 16, a);
    rng_seed(&rng, 1), tokens_pick(&rng, NULL, 0, NULL, 0, 16, b);
    rng_seed(&rng, 2), tokens_pick(&rng, NULL, 0, a, 16, 16, c);
    CHECK(memcmp(a, b, sizeof(a)) == 0);
    for (size_t i = 0; i < 16; i++)
        CHECK(!bsearch(&c[i], a, 16, sizeof(*a), cmp_u32));
}

TEST(tokens_file_reads_back)
{
    uint32_t t[] = {1, 5, 4294967295u};
    struct tokens_file f = {.registered_ms = 12, .incarnation = 99, .tokens = t, .n = 3}, back;
    struct buf out = {0};

    tokens_file_encode(&out, &f);
    CHECK_SLICE(buf_slice(&out), "orrery-ring 1 12 99 3\n1\n5\n4294967295\nend\n");
    CHECK_OK(tokens_file_decode(buf_slice(&out), &back));
    CHECK_INT(back.n, 3);
    CHECK_INT(back.incarnation, 99);
    CHECK_INT(back.tokens[2], 4294967295u);
    tokens_file_done(&back);
    for (size_t n = 0; n + 1 < out.len; n++) {
        struct err *e = tokens_file_decode(slice_of(out.ptr, n), &back);

        CHECK(e != NULL);
        err_free(e);
    }
    CHECK_ERR(tokens_file_decode(SLICE("orrery-ring 2 0 0 0\nend\n"), &back), ERR_UNSUPPORTED, "2");
    CHECK_ERR(tokens_file_decode(SLICE("orrery-ring 1 0 0 2\n5\n5\nend\n"), &back), ERR_INVALID,
              "1");
    buf_done(&out);
}
