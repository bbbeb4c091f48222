#include "common/base/buf.h"
#include "common/base/mem.h"
#include "querier/store/block_owners.h"
#include "tests/unit/test.h"

#define BLOCKS 6000
#define TENANT SLICE("t")

/* Queriers "<zone><number>", each zones[i] one. */
static struct ring *ring_of(const char *zones, int without)
{
    struct ring_input in[16] = {0};
    struct ring *r;
    size_t n = 0;

    for (int i = 0; zones[i]; i++) {
        uint32_t token = (uint32_t)i * 1000003u + 5;
        char name[16], zone[2] = {zones[i], 0};
        struct member *m;

        if (i == without)
            continue;
        snprintf(name, sizeof(name), "%c%d", zones[i], i);
        CHECK_OK(member_new(&(struct member){.instance = name,
                                             .zone = zone,
                                             .rpc_addr = "h:1",
                                             .http_addr = "h:2",
                                             .roles = MEMBER_QUERIER,
                                             .state = MEMBER_ACTIVE,
                                             .registered_ms = 1000,
                                             .tokens = &token,
                                             .n_tokens = 1},
                            &m));
        in[n++] = (struct ring_input){m, true};
    }
    r = ring_new(in, n, &(struct ring_opts){.role = MEMBER_QUERIER, .rf = 3});
    for (size_t i = 0; i < n; i++)
        member_unref(in[i].member);
    return r;
}

static struct ulid block(unsigned i)
{
    return ulid_make(i * 7200000, (const uint8_t[10]){(uint8_t)i, (uint8_t)(i >> 8)});
}

static bool owns(const struct ring *r, const char *name, unsigned i, unsigned n)
{
    uint16_t owners[BLOCK_OWNERS_MAX];
    unsigned found = block_owners_of(r, TENANT, block(i), n, owners);

    for (unsigned k = 0; k < found; k++)
        if (strcmp(ring_member(r, owners[k])->instance, name) == 0)
            return true;
    return false;
}

TEST(block_owners_have_even_shares)
{
    struct ring *r = ring_of("aaabbbccc", -1);

    for (unsigned n = 1; n <= 3; n++) {
        unsigned share[9] = {0};

        for (unsigned i = 0; i < BLOCKS; i++) {
            uint16_t owners[BLOCK_OWNERS_MAX];

            CHECK_INT(block_owners_of(r, TENANT, block(i), n, owners), n);
            for (unsigned k = 0; k < n; k++)
                share[owners[k]]++;
        }
        for (size_t i = 0; i < ORR_COUNT(share); i++) { /* within 12 % of what is even */
            CHECK(share[i] > BLOCKS * n / 9 * 88 / 100);
            CHECK(share[i] < BLOCKS * n / 9 * 112 / 100);
        }
    }
    ring_unref(r);
}

TEST(block_owners_are_in_different_zones_while_there_are_some)
{
    struct ring *r = ring_of("aaaabbc", -1);
    uint16_t o[BLOCK_OWNERS_MAX];

    for (unsigned i = 0; i < 500; i++) {
        unsigned per_zone[3] = {0};

        CHECK_INT(block_owners_of(r, TENANT, block(i), 3, o), 3);
        CHECK(ring_zone(r, o[0]) != ring_zone(r, o[1]) &&
              ring_zone(r, o[0]) != ring_zone(r, o[2]) && ring_zone(r, o[1]) != ring_zone(r, o[2]));
        CHECK_INT(block_owners_of(r, TENANT, block(i), 6, o), 6); /* c has but one */
        for (unsigned k = 0; k < 6; k++) {
            per_zone[ring_zone(r, o[k])]++;
            for (unsigned j = 0; j < k; j++)
                CHECK(o[j] != o[k]);
        }
        CHECK_INT(per_zone[2], 1);
        CHECK_INT(block_owners_of(r, TENANT, block(i), 15, o), 7);
    }
    ring_unref(r);
}

/* Who comes takes its share, of which each place is one that it has now; nobody else's places move. */
TEST(block_owners_move_little_when_one_comes)
{
    struct ring *before = ring_of("aaaaaaaa", 5), *after = ring_of("aaaaaaaa", -1);
    unsigned moved = 0;

    for (unsigned i = 0; i < BLOCKS; i++)
        for (int who = 0; who < 8; who++) {
            char name[16];
            bool had, has;

            snprintf(name, sizeof(name), "a%d", who);
            had = owns(before, name, i, 2);
            has = owns(after, name, i, 2);
            CHECK(who == 5 || had || !has); /* nobody else gains */
            moved += had && !has;
        }
    CHECK(moved < BLOCKS * 2 / 8 * 112 / 100);
    CHECK(moved > BLOCKS * 2 / 8 * 88 / 100);
    ring_unref(before);
    ring_unref(after);
}

TEST(block_owners_of_nobody_and_of_one)
{
    struct ring *none = ring_of("", -1), *one = ring_of("a", -1);
    uint16_t o[BLOCK_OWNERS_MAX];

    CHECK_INT(block_owners_of(none, TENANT, block(1), 2, o), 0);
    CHECK_INT(block_owners_of(one, TENANT, block(1), 2, o), 1);
    CHECK_INT(o[0], 0);
    ring_unref(none);
    ring_unref(one);
}
