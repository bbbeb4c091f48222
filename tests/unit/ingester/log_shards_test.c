#include "common/base/mem.h"
#include "ingester/log_shards.h"
#include "tests/unit/test.h"

static struct log_batch *batch_of(const char *app, size_t lines, size_t bytes, int64_t desired)
{
    struct tenant_limits l = {.shard_streams_enabled = true, .shard_streams_desired_rate = desired};
    struct log_batch *b = log_batch_new(SLICE("t"), &l);
    struct label label = {SLICE("app"), slice_cstr(app)};
    struct slice labels = labels_canonical_dup(b->arena, (struct labels){&label, 1});
    uint32_t at = log_batch_put(b, labels_fingerprint_of_canonical(labels), labels);
    char *line = arena_alloc(b->arena, bytes);

    memset(line, 'x', bytes);
    for (size_t i = 0; i < lines; i++)
        log_batch_add(b, at,
                      &(struct log_entry){.t_ns = (int64_t)i, .line = slice_of(line, bytes)});
    return b;
}

/* A second of pushes, a tenth each; the greatest number of pieces of one, and the shards that were met. */
static uint32_t push_second(struct log_shards *s, struct clock_fake *clock, size_t lines,
                            size_t bytes, int64_t desired, size_t sets, uint64_t *io_shards)
{
    uint32_t most = 0;

    for (int i = 0; i < 10; i++) {
        struct log_batch *b = batch_of("web", lines, bytes, desired);
        uint32_t n = 0;

        log_shards_split(s, b, sets, 1);
        most = ORR_MAX(most, (uint32_t)b->streams.len);
        VEC_FOREACH (st, &b->streams) {
            n += st->n;
            *io_shards |= 1ull << st->shard;
            CHECK(log_shards_token(b, st) ==
                  labels_token(b->tenant, st->fp) + st->shard * 0x9e3779b9u);
        }
        CHECK_INT(n, lines);
        log_batch_free(b);
        clock_fake_advance(clock, NS_PER_S / 10);
    }
    return most;
}

TEST(log_shards_cut_what_is_faster_than_desired_and_nothing_else)
{
    struct clock_fake clock;
    struct log_shards *s;
    uint64_t shards = 0;

    clock_fake_init(&clock, 1700000000ll * NS_PER_S);
    s = log_shards_new(&clock.clock);
    /* 100 kB/s of 1 MB/s */
    for (int i = 0; i < 30; i++)
        CHECK_INT(push_second(s, &clock, 10, 1000, 1000000, 12, &shards), 1);
    CHECK_INT(shards, 1);
    /* 4 MB/s: four or five shards, and no more after a while */
    for (int i = 0; i < 60; i++)
        (void)push_second(s, &clock, 400, 1000, 1000000, 12, &shards);
    shards = 0;
    CHECK_INT(push_second(s, &clock, 400, 1000, 1000000, 12, &shards), 5);
    CHECK(shards == 0x1f);
    /* never more than there are places; one place is none to share out over */
    CHECK_INT(push_second(s, &clock, 400, 1000, 1000000, 3, &shards), 3);
    CHECK_INT(push_second(s, &clock, 400, 1000, 1000000, 1, &shards), 1);
    CHECK_INT(push_second(s, &clock, 400, 1000, 0, 12, &shards), 1);
    /* quiet again */
    clock_fake_advance(&clock, 120 * NS_PER_S);
    shards = 0;
    CHECK_INT(push_second(s, &clock, 10, 1000, 1000000, 12, &shards), 1);
    CHECK_INT(shards, 1);
    log_shards_free(s);
}

TEST(log_shards_forget_however_long_the_machine_has_run)
{
    struct clock_fake clock;
    struct log_shards *s;
    uint64_t shards = 0;

    clock_fake_init(&clock, 1700000000ll * NS_PER_S);
    s = log_shards_new(&clock.clock);
    for (int days = 0; days < 60; days += 12) { /* 2^31 ms are 25 days, 2^32 50 */
        for (int i = 0; i < 120; i++)
            CHECK_INT(push_second(s, &clock, 10, 1000, 1000000, 12, &shards), 1);
        clock_fake_advance(&clock, 12 * 86400 * NS_PER_S);
    }
    log_shards_free(s);
}

TEST(log_shards_take_turns_when_writes_are_small)
{
    struct clock_fake clock;
    struct log_shards *s;
    uint64_t shards = 0;

    clock_fake_init(&clock, 1700000000ll * NS_PER_S);
    s = log_shards_new(&clock.clock);
    for (int i = 0; i < 60; i++)
        CHECK_INT(push_second(s, &clock, 10, 1000, 20000, 64, &shards), 1);
    shards = 0;
    (void)push_second(s, &clock, 10, 1000, 20000, 64, &shards); /* 100 kB/s: 5 or 6 shards */
    CHECK_INT(__builtin_popcountll(shards), 6);
    log_shards_free(s);
}

TEST(log_shards_count_streams_apart)
{
    struct clock_fake clock;
    struct log_shards *s;

    clock_fake_init(&clock, 1700000000ll * NS_PER_S);
    s = log_shards_new(&clock.clock);
    for (int i = 0; i < 100; i++) {
        char app[32];
        struct log_batch *b;

        (void)snprintf(app, sizeof(app), "app-%d", i);
        b = batch_of(app, 100, 1000, 100000); /* at once: 10 kB/s over the last ten seconds */
        log_shards_split(s, b, 12, 1);
        CHECK_INT(b->streams.len, 1);
        log_batch_free(b);
    }
    log_shards_free(s);
}

TEST(log_shards_do_not_cut_lines_without_bytes)
{
    struct clock_fake clock;
    struct log_shards *s;
    struct log_batch *b;
    uint64_t shards = 0;

    clock_fake_init(&clock, 1700000000ll * NS_PER_S);
    s = log_shards_new(&clock.clock);
    for (int i = 0; i < 60; i++)
        (void)push_second(s, &clock, 400, 1000, 1000000, 12, &shards);
    b = batch_of("web", 1000, 0, 1000000); /* of the fast stream, all empty, each of another time */
    log_shards_split(s, b, 12, 1);
    CHECK_INT(b->streams.len, 1);
    CHECK_INT(b->streams.ptr[0].n, 1000);
    log_batch_free(b);
    log_shards_free(s);
}

/* ---- where a stream is at home ---- */

#define INSTANCES 6
#define RF 3

static struct ring *ring_of(void)
{
    struct ring_input in[INSTANCES];
    struct ring *r;

    for (uint32_t i = 0; i < INSTANCES; i++) {
        char name[] = "i0", zone[] = "a", addr[] = "h:0";
        uint32_t tokens[16];
        struct member *m;

        name[1] = addr[2] = (char)('0' + i);
        zone[0] = (char)('a' + i % RF);
        for (uint32_t k = 0; k < ORR_COUNT(tokens); k++)
            tokens[k] = (k * INSTANCES + i) * 0x02a3b5c7u;
        CHECK_OK(member_new(&(struct member){.instance = name,
                                             .zone = zone,
                                             .rpc_addr = addr,
                                             .http_addr = addr,
                                             .roles = MEMBER_INGESTER,
                                             .signals = MEMBER_LOGS,
                                             .state = MEMBER_ACTIVE,
                                             .registered_ms = 1,
                                             .tokens = tokens,
                                             .n_tokens = ORR_COUNT(tokens)},
                            &m));
        in[i] = (struct ring_input){m, true};
    }
    r = ring_new(in, INSTANCES, &(struct ring_opts){.role = MEMBER_INGESTER, .rf = RF});
    for (size_t i = 0; i < INSTANCES; i++)
        member_unref(in[i].member);
    return r;
}

TEST(log_shards_a_stream_is_at_home_at_as_many_instances_as_hold_it)
{
    struct ring *r = ring_of();

    for (unsigned app = 0; app < 50; app++) {
        struct log_batch *b = batch_of((char[]){(char)('A' + app), 0}, 1, 1, 1);
        const struct log_stream *st = b->streams.ptr;
        struct ring_set set = ring_replicas(r, log_shards_token(b, st));
        unsigned homes = 0;

        for (uint16_t i = 0; i < INSTANCES; i++) {
            enum loghead_place place =
                log_shards_place(r, slice_cstr(ring_member(r, i)->instance), b->tenant, st->fp);
            bool is_in = false;

            for (unsigned k = 0; k < set.n; k++)
                is_in |= set.instances[k] == i;
            CHECK_INT(place, is_in ? LOGHEAD_HOME : LOGHEAD_AWAY);
            homes += place == LOGHEAD_HOME;
        }
        CHECK_INT(homes, RF);
        CHECK_INT(log_shards_place(r, SLICE("nobody"), b->tenant, st->fp), LOGHEAD_UNPLACED);
        log_batch_free(b);
    }
    ring_unref(r);
}
