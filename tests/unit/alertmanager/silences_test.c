#include <stdlib.h>

#include "alertmanager/amroute.h"
#include "alertmanager/silences.h"
#include "common/base/rng.h"
#include "tests/unit/test.h"

#define S 1000000000ll
#define RETENTION (100 * S)

static const struct slice tenant = SLICE_INIT("t");

static struct silences *make(uint64_t seed)
{
    return silences_new(&(struct silences_opts){.retention_ns = RETENTION, .seed = seed});
}

static struct silences_spec spec_of(const struct silences_matcher *m, int64_t starts, int64_t ends)
{
    return (struct silences_spec){.created_by = SLICE("me"),
                                  .comment = SLICE("why"),
                                  .matchers = m,
                                  .n_matchers = 1,
                                  .starts_ns = starts,
                                  .ends_ns = ends};
}

/* A copy of the id that lives on. */
static struct slice set(struct silences *s, const struct silences_spec *spec, int64_t now)
{
    static char ids[16][40];
    static unsigned next;
    char *id = ids[next++ % 16];
    struct slice got;

    CHECK_OK(silences_set(s, tenant, spec, NULL, now, &got));
    snprintf(id, sizeof(ids[0]), "%.*s", SLICE_ARG(got));
    return slice_cstr(id);
}

static bool mutes(struct silences *s, const char *name, const char *value, int64_t now)
{
    struct label l = {slice_cstr(name), slice_cstr(value)};
    struct labels ls = {&l, 1};

    return silences_find(s, tenant, amroute_fingerprint(ls), ls, now, NULL);
}

static const struct silences_matcher a_is_1 = {MATCHER_EQ, SLICE_INIT("a"), SLICE_INIT("1")};
static const struct silences_matcher a_is_2 = {MATCHER_EQ, SLICE_INIT("a"), SLICE_INIT("2")};
static const struct silences_matcher a_like_1 = {MATCHER_RE, SLICE_INIT("a"), SLICE_INIT("1.*")};

TEST(silence_is_pending_active_expired_and_forgotten)
{
    struct silences *s = make(1);
    struct silences_spec spec = spec_of(&a_is_1, 10 * S, 20 * S);
    struct slice id = set(s, &spec, 0);

    CHECK_INT(id.len, 36);
    CHECK(!mutes(s, "a", "1", 9 * S));
    CHECK_INT(silence_state(silences_get(s, tenant, id), 9 * S), SILENCE_PENDING);
    CHECK(mutes(s, "a", "1", 10 * S));
    CHECK(!mutes(s, "a", "2", 10 * S));
    CHECK(!mutes(s, "b", "1", 10 * S));
    silences_gc(s, 15 * S);
    CHECK(mutes(s, "a", "1", 20 * S - 1));
    CHECK(!mutes(s, "a", "1", 20 * S));
    silences_gc(s, 20 * S + RETENTION - 1);
    CHECK_INT(silence_state(silences_get(s, tenant, id), 30 * S), SILENCE_EXPIRED);
    silences_gc(s, 20 * S + RETENTION);
    CHECK(!silences_get(s, tenant, id));
    silences_free(s);
}

TEST(silence_of_one_tenant_does_not_mute_for_another)
{
    struct silences *s = make(1);
    struct silences_spec spec = spec_of(&a_is_1, 0, 20 * S);
    struct slice id = set(s, &spec, 0);
    struct label l = {SLICE("a"), SLICE("1")};

    CHECK(!silences_find(s, SLICE("T"), 1, (struct labels){&l, 1}, S, NULL));
    CHECK(!silences_get(s, SLICE("T"), id));
    CHECK_ERR(silences_expire(s, SLICE("T"), id, S), ERR_NOT_FOUND, "");
    silences_free(s);
}

TEST(silence_that_changes_keeps_its_id_only_while_it_mutes_the_same)
{
    struct silences *s = make(1);
    struct silences_spec spec = spec_of(&a_is_1, 0, 20 * S);
    struct slice id = set(s, &spec, 5 * S), other;

    CHECK_INT(silences_get(s, tenant, id)->starts_ns, 5 * S); /* not before it was asked for */
    spec.id = id;
    spec.starts_ns = 5 * S + 1; /* within the second */
    spec.ends_ns = 30 * S;
    spec.comment = SLICE("longer");
    CHECK_SLICE(set(s, &spec, 6 * S), (const char *)id.ptr);
    CHECK(mutes(s, "a", "1", 25 * S));
    CHECK_SLICE(silences_get(s, tenant, id)->comment, "longer");
    spec.matchers = &a_is_2;
    other = set(s, &spec, 7 * S);
    CHECK(!slice_eq(other, id));
    CHECK_INT(silence_state(silences_get(s, tenant, id), 7 * S), SILENCE_EXPIRED);
    CHECK(!mutes(s, "a", "1", 8 * S));
    CHECK(mutes(s, "a", "2", 8 * S));
    spec.id = other; /* an active one that starts at another time */
    spec.starts_ns = 20 * S;
    CHECK(!slice_eq(set(s, &spec, 9 * S), other));
    CHECK(!mutes(s, "a", "2", 10 * S));
    CHECK(mutes(s, "a", "2", 20 * S));
    spec.id = id; /* an expired one comes back as another */
    spec.matchers = &a_is_1;
    CHECK(!slice_eq(set(s, &spec, 9 * S), id));
    silences_free(s);
}

TEST(silence_that_is_expired_ends_at_once)
{
    struct silences *s = make(1);
    struct silences_spec spec = spec_of(&a_like_1, 10 * S, 20 * S);
    struct slice pending = set(s, &spec, 0), active = set(s, &spec, 0);

    CHECK_OK(silences_expire(s, tenant, pending, 5 * S));
    CHECK_INT(silences_get(s, tenant, pending)->starts_ns, 5 * S);
    CHECK_INT(silences_get(s, tenant, pending)->ends_ns, 5 * S);
    CHECK(mutes(s, "a", "11", 11 * S));
    CHECK_OK(silences_expire(s, tenant, active, 12 * S));
    CHECK(!mutes(s, "a", "11", 12 * S));
    CHECK(!mutes(s, "a", "12", 12 * S)); /* nobody remembers this one */
    CHECK_OK(silences_expire(s, tenant, active, 13 * S));
    CHECK_INT(silences_get(s, tenant, active)->ends_ns, 12 * S);
    CHECK_ERR(silences_expire(s, tenant, SLICE("x"), 13 * S), ERR_NOT_FOUND, "");
    silences_free(s);
}

TEST(silence_that_makes_no_sense_is_refused)
{
    static const struct silences_matcher empty = {MATCHER_EQ, SLICE_INIT("a"), SLICE_INIT("")};
    static const struct silences_matcher any = {MATCHER_RE, SLICE_INIT("a"), SLICE_INIT(".*")};
    static const struct silences_matcher bad = {MATCHER_RE, SLICE_INIT("a"), SLICE_INIT("(")};
    static const struct silences_matcher nameless = {MATCHER_EQ, SLICE_INIT(""), SLICE_INIT("1")};
    static const struct silences_matcher latin1 = {MATCHER_EQ, SLICE_INIT("a"), SLICE_INIT("\xff")};
    static const struct silences_matcher utf8 = {MATCHER_NE, SLICE_INIT("\xc3\xa4 b"),
                                                 SLICE_INIT("y")};
    struct silences *s = make(1);
    struct silences_spec spec = spec_of(&a_is_1, 0, S);
    struct slice id;

    CHECK_ERR(silences_set(s, tenant, &spec, NULL, 2 * S, &id), ERR_INVALID, "in the past");
    spec = spec_of(&a_like_1, 0, 2 * S); /* over at this very moment: no expression is compiled */
    CHECK_ERR(silences_set(s, tenant, &spec, NULL, 2 * S, &id), ERR_INVALID, "in the past");
    spec = spec_of(&a_is_1, 20 * S, 20 * S);
    CHECK_ERR(silences_set(s, tenant, &spec, NULL, 2 * S, &id), ERR_INVALID, "before end time");
    spec = spec_of(&empty, 0, 20 * S);
    CHECK_ERR(silences_set(s, tenant, &spec, NULL, 2 * S, &id), ERR_INVALID,
              "must not match the empty");
    spec.matchers = &any;
    CHECK_ERR(silences_set(s, tenant, &spec, NULL, 2 * S, &id), ERR_INVALID,
              "must not match the empty");
    spec.matchers = &bad;
    CHECK_ERR(silences_set(s, tenant, &spec, NULL, 2 * S, &id), ERR_INVALID,
              "invalid label matcher 0");
    spec.matchers = &nameless;
    CHECK_ERR(silences_set(s, tenant, &spec, NULL, 2 * S, &id), ERR_INVALID,
              "invalid label matcher 0");
    spec.matchers = &latin1;
    CHECK_ERR(silences_set(s, tenant, &spec, NULL, 2 * S, &id), ERR_INVALID,
              "invalid label matcher 0");
    spec.n_matchers = 0;
    CHECK_ERR(silences_set(s, tenant, &spec, NULL, 2 * S, &id), ERR_INVALID,
              "at least one matcher");
    spec = spec_of(&a_is_1, 0, 20 * S);
    spec.id = SLICE("nowhere");
    CHECK_ERR(silences_set(s, tenant, &spec, NULL, 2 * S, &id), ERR_NOT_FOUND, "");
    spec = spec_of(&utf8, 0, 20 * S);
    (void)set(s, &spec, 2 * S);
    CHECK(mutes(s, "\xc3\xa4 b", "x", 3 * S));
    CHECK(mutes(s, "b", "y", 3 * S));
    CHECK(!mutes(s, "\xc3\xa4 b", "y", 3 * S));
    silences_free(s);
}

TEST(silences_have_bounds)
{
    struct silences *s = make(1);
    struct silences_limits few = {.max_silences = 2}, small = {.max_bytes = 100000};
    struct silences_spec spec = spec_of(&a_like_1, 0, 20 * S);
    char *text = calloc(1, SILENCES_MAX_BYTES + 1), kept[40];
    struct slice id, first = set(s, &spec, 0);

    CHECK_OK(silences_set(s, tenant, &spec, &few, 0, &id));
    CHECK_ERR(silences_set(s, tenant, &spec, &few, 0, &id), ERR_LIMIT, "max_silences_count");
    CHECK_OK(silences_set(s, SLICE("other"), &spec, &few, 0, &id));
    spec.id = first; /* instead of itself */
    spec.ends_ns = 30 * S;
    CHECK_OK(silences_set(s, tenant, &spec, &few, 0, &id));
    spec.id = SLICE_EMPTY;
    CHECK_OK(silences_expire(s, tenant, first, S));
    CHECK_OK(silences_set(s, tenant, &spec, &few, S, &id));
    silences_free(s);

    s = make(1);
    memset(text, 'x', SILENCES_MAX_BYTES);
    spec.comment = slice_of(text, SILENCES_MAX_BYTES);
    CHECK_ERR(silences_set(s, tenant, &spec, &small, S, &id), ERR_LIMIT, "65536 bytes");
    spec.comment = slice_of(text, 60000);
    CHECK_OK(silences_set(s, tenant, &spec, &small, S, &id));
    snprintf(kept, sizeof(kept), "%.*s", SLICE_ARG(id));
    first = slice_cstr(kept);
    CHECK_ERR(silences_set(s, tenant, &spec, &small, S, &id), ERR_LIMIT, "max_silences_bytes");
    CHECK_OK(silences_expire(s, tenant, first, S)); /* those expired are memory too */
    CHECK_ERR(silences_set(s, tenant, &spec, &small, S, &id), ERR_LIMIT, "max_silences_bytes");
    free(text);
    silences_free(s);
}

/* ---- merging ---- */

static void state_of(const struct silences *s, struct buf *out)
{
    silence_vec v = {0};
    struct buf key = {0};

    silences_list(s, tenant, 0, &v);
    VEC_FOREACH (x, &v) { /* times and texts, in an order of their own */
        buf_reset(&key);
        silences_key(&key, tenant, (*x)->id);
        silences_entry(s, buf_slice(&key), out);
    }
    vec_done(&v);
    buf_done(&key);
}

static void merge_all(struct silences *into, const struct silences *from, int64_t now)
{
    struct buf b = {0};

    silences_write_state(from, &b);
    CHECK_OK(silences_merge_state(into, buf_slice(&b), now));
    buf_done(&b);
}

static void check_same(const struct silences *a, const struct silences *b)
{
    struct buf x = {0}, y = {0};

    state_of(a, &x);
    state_of(b, &y);
    CHECK(slice_eq(buf_slice(&x), buf_slice(&y)));
    buf_done(&x);
    buf_done(&y);
}

/* Something is set, changed or expired. */
static void random_step(struct silences *s, struct rng *rng, int64_t now)
{
    struct silences_spec spec =
        spec_of(rng_chance(rng, 0.5) ? &a_is_1 : &a_like_1, now + (int64_t)rng_below(rng, 3) * S,
                now + (int64_t)(5 + rng_below(rng, 50)) * S);
    silence_vec v = {0};
    struct slice id;

    silences_list(s, tenant, now, &v);
    if (v.len && rng_chance(rng, 0.6))
        spec.id = v.ptr[rng_below(rng, v.len)]->id;
    vec_done(&v);
    if (spec.id.len && rng_chance(rng, 0.4))
        CHECK_OK(silences_expire(s, tenant, spec.id, now));
    else
        CHECK_OK(silences_set(s, tenant, &spec, NULL, now, &id));
}

TEST(silences_merge_commutatively_associatively_idempotently)
{
    struct rng rng;

    rng_seed(&rng, 7);
    for (int round = 0; round < 200; round++) {
        struct silences *s[3], *left = make(1), *right = make(2);
        int64_t now = 10 * S;

        for (int i = 0; i < 3; i++)
            s[i] = make(100u + (unsigned)i);
        for (int step = 0; step < 20; step++, now += S / 2) {
            random_step(s[rng_below(&rng, 3)], &rng, now);
            if (rng_chance(&rng, 0.3))
                merge_all(s[rng_below(&rng, 3)], s[rng_below(&rng, 3)], now);
        }
        for (int i = 0; i < 3; i++)
            merge_all(left, s[i], now);
        for (int i = 2; i >= 0; i--)
            merge_all(right, s[i], now);
        merge_all(right, left, now);
        check_same(left, right);
        for (int i = 0; i < 3; i++) {
            merge_all(s[i], right, now);
            check_same(s[i], left);
            silences_free(s[i]);
        }
        silences_free(left);
        silences_free(right);
    }
}

static void count_dirty(void *arg, struct slice key, struct slice entry)
{
    int *n = arg;

    CHECK(key.len);
    n[entry.len ? 0 : 1]++;
}

TEST(silences_tell_what_is_to_be_kept)
{
    struct silences *s = make(1), *copy = make(2);
    struct silences_spec spec = spec_of(&a_is_1, 0, 20 * S);
    struct buf b = {0}, key = {0};
    int n[2] = {0};
    bool news = false;
    struct slice id = set(s, &spec, 0);

    silences_take_dirty(s, count_dirty, n);
    silences_take_dirty(s, count_dirty, n);
    CHECK_INT(n[0], 1);
    silences_key(&key, tenant, id);
    silences_mark_dirty(s, buf_slice(&key));
    silences_take_dirty(s, count_dirty, n);
    CHECK_INT(n[0], 2);
    silences_entry(s, buf_slice(&key), &b);
    CHECK_OK(silences_merge(copy, buf_slice(&b), S, &news));
    CHECK(news);
    CHECK_OK(silences_merge(copy, buf_slice(&b), S, &news));
    CHECK(!news);
    CHECK(mutes(copy, "a", "1", 2 * S));
    silences_gc(s, 20 * S + RETENTION);
    silences_take_dirty(s, count_dirty, n);
    CHECK_INT(n[1], 1);
    CHECK_OK(silences_merge(s, buf_slice(&b), 20 * S + RETENTION, &news));
    CHECK(!news); /* it is over */
    buf_done(&b);
    buf_done(&key);
    silences_free(s);
    silences_free(copy);
}

/* A peer whose clock is ahead has changed it: what is done after that here counts. */
TEST(silence_changes_in_the_order_of_causes_whatever_the_clocks_say)
{
    struct silences *here = make(1), *ahead = make(2);
    struct silences_spec spec = spec_of(&a_is_1, 0, 200 * S);
    struct slice id = set(ahead, &spec, 90 * S);

    merge_all(here, ahead, 30 * S);
    CHECK_OK(silences_expire(here, tenant, id, 30 * S));
    merge_all(here, ahead, 31 * S);
    merge_all(ahead, here, 91 * S);
    CHECK(!mutes(here, "a", "1", 100 * S));
    CHECK(!mutes(ahead, "a", "1", 100 * S));
    silences_free(here);
    silences_free(ahead);
}

/* ---- many ---- */

static void number(char *text, size_t n, unsigned i)
{
    snprintf(text, n, "v%u", i);
}

TEST(silences_that_are_many_cost_an_alert_little)
{
    enum { MANY = 10000, ALERTS = 200 };
    struct silences *s = make(1);
    struct silences_matcher m[2] = {{MATCHER_EQ, SLICE_INIT("cluster"), SLICE_INIT("eu")}};
    struct silences_spec spec = spec_of(m, 0, 1000 * S);
    struct slice id;
    char text[16];
    size_t before;

    spec.n_matchers = 2;
    for (unsigned i = 0; i < MANY; i++) {
        number(text, sizeof(text), i);
        m[1] = (struct silences_matcher){MATCHER_EQ, SLICE("instance"), slice_cstr(text)};
        CHECK_OK(silences_set(s, tenant, &spec, NULL, 0, &id));
    }
    for (int round = 0; round < 3; round++)
        for (unsigned i = 0; i < ALERTS; i++) {
            struct label l[2] = {{SLICE("cluster"), SLICE("eu")}};
            struct labels ls = {l, 2};

            number(text, sizeof(text), i * 50);
            l[1] = (struct label){SLICE("instance"), slice_cstr(text)};
            CHECK(silences_find(s, tenant, amroute_fingerprint(ls), ls, S, NULL));
        }
    CHECK_INT(silences_count(s, S).by_state[SILENCE_ACTIVE], MANY);
    before = silences_count(s, S).tests;
    CHECK(before <= 2 * ALERTS); /* of 2,000,000 pairs, and once */
    m[1] = a_is_2;               /* one more */
    CHECK_OK(silences_set(s, tenant, &spec, NULL, S, &id));
    CHECK(!mutes(s, "cluster", "eu", S));
    for (unsigned i = 0; i < ALERTS; i++) {
        struct label l[2] = {{SLICE("cluster"), SLICE("eu")}};
        struct labels ls = {l, 2};

        number(text, sizeof(text), i * 50);
        l[1] = (struct label){SLICE("instance"), slice_cstr(text)};
        CHECK(silences_find(s, tenant, amroute_fingerprint(ls), ls, S, NULL));
    }
    CHECK(silences_count(s, S).tests - before <= ALERTS + 1);
    silences_free(s);
}

/* The index against a look at every one. */
TEST(silences_found_are_those_that_match)
{
    struct silences *s = make(1);
    struct rng rng;
    int64_t now = 0;

    rng_seed(&rng, 3);
    for (int step = 0; step < 4000; step++, now += S / 4) {
        struct silences_matcher m[2];
        struct silences_spec spec = spec_of(m, now + (int64_t)rng_below(&rng, 3) * S,
                                            now + (int64_t)(4 + rng_below(&rng, 40)) * S);
        char values[4][4];
        struct label l[2] = {{SLICE("a"), SLICE_EMPTY}, {SLICE("b"), SLICE_EMPTY}};
        struct labels ls = {l, 2};
        silence_vec found = {0}, all = {0};
        struct slice id;
        size_t n = 0;

        for (int i = 0; i < 4; i++)
            snprintf(values[i], 4, "%u", (unsigned)rng_below(&rng, 4) + 1);
        m[0] = (struct silences_matcher){(enum matcher_op)rng_below(&rng, 4), SLICE("a"),
                                         slice_cstr(values[0])};
        m[1] = (struct silences_matcher){(enum matcher_op)rng_below(&rng, 4), SLICE("b"),
                                         slice_cstr(values[1])};
        spec.n_matchers = 1 + rng_below(&rng, 2);
        silences_list(s, tenant, now, &all);
        if (all.len && rng_chance(&rng, 0.3))
            err_free(silences_expire(s, tenant, all.ptr[rng_below(&rng, all.len)]->id, now));
        else
            err_free(silences_set(s, tenant, &spec, NULL, now, &id));
        if (rng_chance(&rng, 0.1))
            silences_gc(s, now);
        l[0].value = slice_cstr(values[2]);
        l[1].value = slice_cstr(values[3]);
        vec_done(&all);
        if (rng_chance(&rng, 0.05))
            silences_forget(s, tenant, amroute_fingerprint(ls));
        silences_find(s, tenant, amroute_fingerprint(ls), ls, now, &found);
        silences_list(s, tenant, now, &all);
        VEC_FOREACH (x, &all)
            n += silence_state(*x, now) == SILENCE_ACTIVE &&
                 ammatch_list_matches(&(*x)->matchers, ls);
        CHECK_INT(found.len, n);
        VEC_FOREACH (x, &found) {
            CHECK(ammatch_list_matches(&(*x)->matchers, ls));
            CHECK(x == found.ptr || slice_cmp(x[-1]->id, x[0]->id) < 0);
        }
        vec_done(&found);
        vec_done(&all);
    }
    silences_free(s);
}

TEST(silences_list_those_that_matter_first)
{
    struct silences *s = make(1);
    struct silences_spec spec = spec_of(&a_is_1, 0, 90 * S);
    struct slice long_one = set(s, &spec, 0), short_one, late, soon, over;
    silence_vec v = {0};

    spec.ends_ns = 50 * S;
    short_one = set(s, &spec, 0);
    over = set(s, &spec, 0);
    CHECK_OK(silences_expire(s, tenant, over, S));
    spec.starts_ns = 40 * S;
    late = set(s, &spec, 0);
    spec.starts_ns = 30 * S;
    soon = set(s, &spec, 0);
    silences_list(s, tenant, 2 * S, &v);
    CHECK_INT(v.len, 5);
    CHECK(slice_eq(v.ptr[0]->id, short_one));
    CHECK(slice_eq(v.ptr[1]->id, long_one));
    CHECK(slice_eq(v.ptr[2]->id, soon));
    CHECK(slice_eq(v.ptr[3]->id, late));
    CHECK(slice_eq(v.ptr[4]->id, over));
    vec_done(&v);
    silences_free(s);
}
