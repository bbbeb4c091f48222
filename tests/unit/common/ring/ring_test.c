#include "common/base/rng.h"
#include "common/base/vec.h"
#include "common/ring/ring.h"
#include "common/ring/tokens.h"
#include "tests/unit/test.h"

/* Instances i of zone z are named "z-i"; tokens are random, few, and the same for a name. */
struct cast {
    VEC(struct ring_input) in;
};

static struct member *actor(const char *zone, unsigned i, enum member_state state,
                            int64_t registered_ms, int64_t left_ms)
{
    uint32_t tokens[32];
    char name[32];
    struct rng rng;
    struct member *m;

    snprintf(name, sizeof(name), "%s-%03u", zone, i);
    rng_seed(&rng, (uint64_t)zone[0] * 1000 + i);
    for (size_t k = 0; k < ORR_COUNT(tokens); k++)
        tokens[k] = rng_u32(&rng);
    CHECK_OK(member_new(&(struct member){.instance = name,
                                         .zone = zone,
                                         .rpc_addr = name,
                                         .http_addr = name,
                                         .roles = MEMBER_INGESTER,
                                         .signals = MEMBER_METRICS,
                                         .state = state,
                                         .registered_ms = registered_ms,
                                         .left_ms = left_ms,
                                         .tokens = tokens,
                                         .n_tokens = ORR_COUNT(tokens)},
                        &m));
    return m;
}

static void add(struct cast *c, struct member *m)
{
    vec_push(&c->in, ((struct ring_input){m, true}));
}

static void add_zones(struct cast *c, const char *zones, unsigned each)
{
    for (const char *z = zones; *z; z++)
        for (unsigned i = 0; i < each; i++)
            add(c, actor((char[]){*z, 0}, i, MEMBER_ACTIVE, 1000, 0));
}

static struct ring *make(const struct cast *c, unsigned rf)
{
    return ring_new(c->in.ptr, c->in.len, &(struct ring_opts){.role = MEMBER_INGESTER, .rf = rf});
}

static void cast_done(struct cast *c)
{
    VEC_FOREACH (i, &c->in)
        member_unref(i->member);
    vec_done(&c->in);
}

/* The definition, slowly: walk from the first token >= key, take what the rules allow. */
static unsigned slow_replicas(const struct ring *r, uint32_t key, unsigned rf, unsigned allowance,
                              uint16_t *ret)
{
    unsigned n = 0;

    for (uint64_t step = 0; n < rf;) {
        uint64_t best = UINT64_MAX;
        int who = -1;

        for (size_t i = 0; i < ring_size(r); i++) {
            const struct member *m = ring_member(r, i);
            unsigned in_zone = 0;
            bool taken = m->state != MEMBER_ACTIVE || !ring_is_healthy(r, i);

            for (unsigned k = 0; k < n; k++) {
                taken |= ret[k] == i;
                in_zone += ring_zone(r, ret[k]) == ring_zone(r, i);
            }
            for (size_t t = 0; t < m->n_tokens && !taken && in_zone < allowance; t++) {
                uint64_t dist = (uint32_t)(m->tokens[t] - key);

                if (dist >= step && dist < best) {
                    best = dist;
                    who = (int)i;
                }
            }
        }
        if (who < 0)
            break;
        ret[n++] = (uint16_t)who;
        step = best;
    }
    return n;
}

static void check_all_replicas(const struct ring *r, unsigned rf, unsigned allowance)
{
    struct rng rng;

    rng_seed(&rng, 3);
    for (int k = 0; k < 500; k++) {
        uint32_t key = k == 0 ? 0 : k == 1 ? UINT32_MAX : rng_u32(&rng);
        struct ring_set got = ring_replicas(r, key);
        uint16_t want[RING_MAX_RF];
        unsigned n = slow_replicas(r, key, rf, allowance, want);

        CHECK_INT(got.n, n);
        for (unsigned i = 0; i < n; i++) {
            bool found = false;

            for (unsigned j = 0; j < n; j++)
                found |= got.instances[j] == want[i];
            CHECK(found);
        }
    }
}

TEST(ring_replicas_follow_the_definition)
{
    static const struct {
        const char *zones;
        unsigned each, rf, allowance;
    } cases[] = {{"a", 1, 1, 1},   {"a", 5, 3, 3},    {"ab", 3, 3, 2},
                 {"abc", 4, 3, 1}, {"abcd", 3, 3, 1}, {"abc", 1, 3, 1},
                 {"a", 2, 3, 3},   {"ab", 4, 2, 1},   {"abcde", 2, 5, 1}};

    for (size_t i = 0; i < ORR_COUNT(cases); i++) {
        struct cast c = {0};
        struct ring *r;

        add_zones(&c, cases[i].zones, cases[i].each);
        r = make(&c, cases[i].rf);
        check_all_replicas(r, cases[i].rf, cases[i].allowance);
        ring_unref(r);
        c.in.ptr[0].is_healthy = false;
        r = make(&c, cases[i].rf);
        check_all_replicas(r, cases[i].rf, cases[i].allowance);
        ring_unref(r);
        cast_done(&c);
    }
}

TEST(ring_set_index_groups_equal_sets)
{
    struct cast c = {0};
    struct ring *r;

    add_zones(&c, "abc", 1);
    r = make(&c, 3);
    CHECK_INT(ring_set_count(r), 1); /* three instances: one set */
    CHECK_INT(ring_set_index(r, 5), ring_set_index(r, 4000000000u));
    ring_unref(r);
    cast_done(&c);
    r = make(&c, 3); /* empty */
    CHECK_INT(ring_set(r, ring_set_index(r, 1)).n, 0);
    CHECK_INT(ring_owner(r, 1), -1);
    ring_unref(r);
}

TEST(ring_keeps_the_place_of_a_zone_that_is_down)
{
    struct cast c = {0};
    struct ring *r;

    add_zones(&c, "abc", 3);
    for (size_t i = 0; i < 3; i++)
        c.in.ptr[6 + i].is_healthy = false;
    r = make(&c, 3);
    for (uint32_t s = 0; s < ring_set_count(r); s++) {
        struct ring_set set = ring_set(r, s);

        CHECK_INT(set.n, 2);
        CHECK(ring_zone(r, set.instances[0]) != ring_zone(r, set.instances[1]));
    }
    CHECK_INT(ring_write_quorum(r), 2);
    ring_unref(r);
    /* The same when its only instances are restarting, that is JOINING. */
    for (size_t i = 0; i < 3; i++) {
        member_unref(c.in.ptr[6 + i].member);
        c.in.ptr[6 + i] =
            (struct ring_input){actor("c", (unsigned)i, MEMBER_JOINING, 1000, 0), true};
    }
    r = make(&c, 3);
    CHECK_INT(ring_zones(r), 3);
    for (uint32_t s = 0; s < ring_set_count(r); s++)
        CHECK_INT(ring_set(r, s).n, 2);
    ring_unref(r);
    cast_done(&c);
}

TEST(ring_leaves_out_other_roles_signals_and_those_who_left)
{
    struct cast c = {0};
    struct ring *r;

    add_zones(&c, "a", 2);
    add(&c, actor("a", 7, MEMBER_LEFT, 1000, 2000));
    add(&c, actor("a", 8, MEMBER_LEAVING, 1000, 2000));
    r = make(&c, 1);
    CHECK_INT(ring_size(r), 3);
    CHECK_INT(ring_active(r), 2);
    CHECK_INT(ring_find(r, SLICE("a-008")), 2);
    CHECK_INT(ring_find(r, SLICE("a-007")), -1);
    ring_unref(r);
    r = ring_new(c.in.ptr, c.in.len, &(struct ring_opts){.role = MEMBER_RULER, .rf = 1});
    CHECK_INT(ring_size(r), 0);
    ring_unref(r);
    r = ring_new(c.in.ptr, c.in.len,
                 &(struct ring_opts){.role = MEMBER_INGESTER, .signal = MEMBER_LOGS, .rf = 1});
    CHECK_INT(ring_size(r), 0);
    ring_unref(r);
    cast_done(&c);
}

TEST(ring_reads_ask_all_who_may_hold_data)
{
    struct cast c = {0};
    struct ring_read_set s;
    struct ring *r;

    add_zones(&c, "abc", 1);
    add(&c, actor("a", 1, MEMBER_LEAVING, 1000, 5000));
    add(&c, actor("a", 2, MEMBER_JOINING, 0, 0));
    add(&c, actor("a", 3, MEMBER_PENDING, 0, 0));
    add(&c, actor("a", 4, MEMBER_PENDING, 1000, 0)); /* restarted */
    c.in.ptr[0].is_healthy = false;                  /* still holds data */
    r = make(&c, 3);
    ring_read_set(r, INT64_MAX - 1, &s);
    CHECK_INT(s.n, 6);
    CHECK_INT(s.n_zones, 3);
    CHECK_INT(s.max_fail, 1);
    CHECK(s.by_zone);
    ring_read_set_done(&s);
    ring_unref(r);
    cast_done(&c);
}

static bool reads_by_zone(struct cast *c, int64_t from_ms)
{
    struct ring *r = make(c, 3);
    struct ring_read_set s;
    bool by_zone;

    ring_read_set(r, from_ms, &s);
    by_zone = s.by_zone;
    ring_read_set_done(&s);
    ring_unref(r);
    return by_zone;
}

TEST(ring_reads_lean_on_zones_only_as_far_back_as_there_were_enough)
{
    struct cast c = {0};

    add_zones(&c, "ab", 2);
    CHECK(!reads_by_zone(&c, INT64_MAX - 1));
    add(&c, actor("c", 0, MEMBER_ACTIVE, 50000, 0));
    CHECK(!reads_by_zone(&c, 40000));
    CHECK(!reads_by_zone(&c, 50000 + RING_ZONE_SLACK_MS - 1));
    CHECK(reads_by_zone(&c, 50000 + RING_ZONE_SLACK_MS));
    /* c-0 leaves at 100 s, c-1 came at 200 s: a gap of a hundred seconds. */
    member_unref(c.in.ptr[4].member);
    c.in.ptr[4].member = actor("c", 0, MEMBER_LEFT, 50000, 100000);
    CHECK(!reads_by_zone(&c, INT64_MAX - 1));
    add(&c, actor("c", 1, MEMBER_ACTIVE, 200000, 0));
    CHECK(!reads_by_zone(&c, 150000));
    CHECK(reads_by_zone(&c, 230000));
    /* without the gap */
    member_unref(c.in.ptr[5].member);
    c.in.ptr[5].member = actor("c", 1, MEMBER_ACTIVE, 90000, 0);
    CHECK(reads_by_zone(&c, 80000));
    cast_done(&c);
}

static bool has(const struct ring *r, const char *name)
{
    return ring_find(r, slice_cstr(name)) >= 0;
}

static size_t differences(const struct ring *a, const struct ring *b)
{
    size_t n = 0;

    for (size_t i = 0; i < ring_size(a); i++)
        n += !has(b, ring_member(a, i)->instance);
    for (size_t i = 0; i < ring_size(b); i++)
        n += !has(a, ring_member(b, i)->instance);
    return n;
}

TEST(ring_subring_is_spread_stable_and_cached)
{
    struct cast c = {0};
    struct ring *before, *after;

    add_zones(&c, "abc", 10);
    before = make(&c, 3);
    add(&c, actor("b", 10, MEMBER_ACTIVE, 2000, 0));
    after = make(&c, 3);
    for (unsigned t = 0; t < 100; t++) {
        char tenant[16];
        struct ring *x, *y, *again;

        snprintf(tenant, sizeof(tenant), "tenant-%u", t);
        x = ring_subring(before, slice_cstr(tenant), 6, INT64_MAX);
        y = ring_subring(after, slice_cstr(tenant), 6, INT64_MAX);
        again = ring_subring(before, slice_cstr(tenant), 6, INT64_MAX);
        CHECK(x == again);
        CHECK_INT(ring_size(x), 6);
        CHECK_INT(ring_zones(x), 3);
        for (uint32_t s = 0; s < ring_set_count(x); s++)
            CHECK_INT(ring_set(x, s).n, 3);
        CHECK(differences(x, y) <= 2); /* one out, one in */
        ring_unref(again);
        /* A reader that looks back before b-010 came asks all who were there before, too. */
        again = ring_subring(after, slice_cstr(tenant), 6, 1500);
        for (size_t i = 0; i < ring_size(x); i++)
            CHECK(has(again, ring_member(x, i)->instance));
        for (size_t i = 0; i < ring_size(y); i++)
            CHECK(has(again, ring_member(y, i)->instance));
        ring_unref(x), ring_unref(y), ring_unref(again);
    }
    ring_unref(before);
    ring_unref(after);
    cast_done(&c);
}

TEST(ring_subring_of_reads_keeps_those_who_leave)
{
    struct cast c = {0};
    struct ring *r, *writes, *reads, *was;

    add_zones(&c, "a", 8);
    r = make(&c, 1);
    was = ring_subring(r, SLICE("t"), 2, INT64_MAX);
    ring_unref(r);
    for (size_t i = 0; i < c.in.len; i++) { /* its first instance leaves */
        if (strcmp(c.in.ptr[i].member->instance, ring_member(was, 0)->instance) == 0) {
            member_unref(c.in.ptr[i].member);
            c.in.ptr[i].member = actor("a", (unsigned)i, MEMBER_LEAVING, 1000, 5000);
        }
    }
    r = make(&c, 1);
    writes = ring_subring(r, SLICE("t"), 2, INT64_MAX);
    reads = ring_subring(r, SLICE("t"), 2, 2000);
    CHECK_INT(ring_size(writes), 2);
    CHECK(!has(writes, ring_member(was, 0)->instance));
    CHECK_INT(ring_size(reads), 3);
    CHECK(has(reads, ring_member(was, 0)->instance));
    ring_unref(writes), ring_unref(reads), ring_unref(was), ring_unref(r);
    cast_done(&c);
}

TEST(ring_owner_passes_the_unhealthy)
{
    struct cast c = {0};
    struct ring *r;
    uint16_t order[8];

    add_zones(&c, "a", 3);
    r = make(&c, 1);
    CHECK_INT(ring_order(r, 77, order, 8), 3);
    CHECK_INT(ring_owner(r, 77), order[0]);
    ring_unref(r);
    c.in.ptr[order[0]].is_healthy = false;
    r = make(&c, 1);
    CHECK_INT(ring_owner(r, 77), order[1]);
    ring_unref(r);
    cast_done(&c);
}

/* Zones with an instance each have their tokens on lattices of the same pitch, so that following the
 * tokens gives each instance the gap to its neighbour, whatever it happens to be. */
TEST(work_is_shared_evenly_among_zones_of_one)
{
    enum { KEYS = 30000 };
    struct cast c = {0};
    struct ring *all, *without;
    unsigned owned[3] = {0}, moved = 0;

    add_zones(&c, "abc", 1);
    all = make(&c, 3);
    c.in.ptr[1].is_healthy = false;
    without = make(&c, 3);
    for (uint32_t k = 0; k < KEYS; k++) {
        uint32_t key = k * 2654435761u;
        uint16_t order[3];
        int owner = ring_owner(all, key);

        CHECK_INT(ring_order(all, key, order, 3), 3);
        CHECK_INT(order[0], owner);
        owned[owner]++;
        moved += owner != 1 && ring_owner(without, key) != owner;
        if (owner == 1)
            CHECK_INT(ring_owner(without, key), order[1]);
    }
    for (unsigned i = 0; i < 3; i++)
        CHECK(owned[i] > KEYS / 3 * 95 / 100 && owned[i] < KEYS / 3 * 105 / 100);
    CHECK_INT(moved, 0);
    ring_unref(all), ring_unref(without);
    cast_done(&c);
}

TEST(ring_fingerprint_says_whether_observers_agree)
{
    struct cast c = {0};
    struct ring *a, *b;

    add_zones(&c, "ab", 2);
    a = make(&c, 2);
    c.in.ptr[1].is_healthy = false;
    b = make(&c, 2);
    CHECK(ring_fingerprint(a) == ring_fingerprint(b));
    ring_unref(b);
    member_unref(c.in.ptr[1].member);
    c.in.ptr[1].member = actor("a", 1, MEMBER_LEAVING, 1000, 0);
    b = make(&c, 2);
    CHECK(ring_fingerprint(a) != ring_fingerprint(b));
    ring_unref(a), ring_unref(b);
    cast_done(&c);
}
