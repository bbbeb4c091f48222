/* What an owner answers is of no account until all of it was of use, and none of it is where it is not what was asked for. */
#include "common/objstore/objstore.h"
#include "tests/unit/querier/logs/piece_fixture.h"

/* ---- lies: well-formed up to what each is about ---- */

/* Of an answer whose end looks like a great deal of work, and whose beginning is malformed. */
static void lie_in_the_middle(const struct logpiece_wire_what *what, struct buf *made,
                              struct logpiece_wire_end *end)
{
    static const struct slice warnings[] = {SLICE("a lie")};

    (void)what;
    logpiece_wire_stats_encode(made, &(struct logquery_stats){.lines = 1000000});
    buf_byte(made, 99);
    *end = (struct logpiece_wire_end){.gets = 1000000,
                                      .bytes = 1u << 30,
                                      .mark = 1u << 30, /* no catalogue is as new */
                                      .failed_streams = 7,
                                      .warnings = warnings,
                                      .n_warnings = 1};
}

/* One sample of {app="a"}. */
static void put_sample(struct buf *made, int64_t t_ns)
{
    logpiece_wire_stats_encode(made, &(struct logquery_stats){0});
    buf_uvarint(made, 1);
    buf_uvarint(made, 1);
    buf_lstr(made, SLICE("app"));
    buf_lstr(made, SLICE("a"));
    buf_fill(made, 0, 16); /* the stream */
    buf_byte(made, 0);
    buf_uvarint(made, 1);
    buf_varint(made, t_ns);
    buf_f64le(made, 1e6);
}

static void lie_of_a_sample_before(const struct logpiece_wire_what *what, struct buf *made,
                                   struct logpiece_wire_end *end)
{
    (void)end;
    put_sample(made, what->at.from_ns - 1);
}

static void lie_of_a_sample_behind(const struct logpiece_wire_what *what, struct buf *made,
                                   struct logpiece_wire_end *end)
{
    (void)end;
    put_sample(made, what->at.to_ns);
}

/* What is true looks like that: the tests of the others would pass if it did not. */
static void truth_of_a_sample(const struct logpiece_wire_what *what, struct buf *made,
                              struct logpiece_wire_end *end)
{
    (void)end;
    put_sample(made, what->at.from_ns);
}

static void lie_of_an_order(const struct logpiece_wire_what *what, struct buf *made,
                            struct logpiece_wire_end *end)
{
    put_sample(made, what->at.from_ns + 1);
    made->ptr[made->len - 8 - 9 - 1] = 2; /* samples, in front of a time of 9 bytes and a value */
    buf_varint(made, -1);
    buf_f64le(made, 1e6);
    (void)end;
}

static void lie_of_a_count(const struct logpiece_wire_what *what, struct buf *made,
                           struct logpiece_wire_end *end)
{
    (void)what, (void)end;
    logpiece_wire_stats_encode(made, &(struct logquery_stats){0});
    buf_append(made, "\1\0\1\0", 4); /* a series without labels, a step, the first */
    buf_f64le(made, (double)INFINITY);
    buf_f64le(made, 1);
}

#define MEMORY (30u << 20)
#define MANY 60000 /* series, of a step or two: of each piece more than its share of the memory */

static void lie_of_many_series(const struct logpiece_wire_what *what, struct buf *made,
                               struct logpiece_wire_end *end)
{
    (void)what, (void)end;
    logpiece_wire_stats_encode(made, &(struct logquery_stats){0});
    buf_uvarint(made, MANY);
    for (unsigned i = 0; i < MANY; i++) {
        buf_append(made, "\1\3app", 5);
        buf_byte(made, 1000 > i ? 3 : 5);
        buf_printf(made, i < 1000 ? "%03u" : "%05u", i);
        buf_byte(made, 0);
    }
}

/* Lines that are well but for how many bytes they are together. */
static void lie_of_size(const struct logpiece_wire_what *what, struct buf *made, size_t bytes)
{
    static const uint8_t key[] = "\1\3app\1a\0\0"; /* with one zero of its own at the end */
    struct buf line = {0};

    logpiece_wire_stats_encode(made, &(struct logquery_stats){0});
    buf_uvarint(made, 1);
    buf_varint(made, what->at.from_ns);
    buf_lstr(made, slice_of(key, sizeof(key) - 1));
    buf_fill(&line, 'x', bytes - made->len - 4); /* the length is of as many bytes */
    buf_lstr(made, buf_slice(&line));
    buf_done(&line);
    CHECK_INT(made->len, bytes);
}

static void lie_of_much(const struct logpiece_wire_what *what, struct buf *made,
                        struct logpiece_wire_end *end)
{
    (void)end;
    lie_of_size(what, made, LOGPIECE_WIRE_MAX_ANSWER + 1);
}

static void truth_of_as_much(const struct logpiece_wire_what *what, struct buf *made,
                             struct logpiece_wire_end *end)
{
    (void)end;
    lie_of_size(what, made, LOGPIECE_WIRE_MAX_ANSWER);
}

/* ---- what comes of them ---- */

struct outcome {
    struct objstore_tally tally;
    struct logquery_stats stats;
    uint64_t returned; /* pieces that were asked in vain */
    char *text;        /* of the answer */
};

static void told(struct town *t, bool is_forward)
{
    struct line recent[200];
    size_t n = fill(t, recent, ORR_COUNT(recent));

    for (size_t i = 0; i < t->rig.peers.n; i++)
        tell(&t->rig, &t->rig.peers.p[i], recent, n, is_forward);
}

static struct outcome outcome_of(const char *expr, lie_fn *lie, size_t memory)
{
    struct outcome o = {0};
    struct objstore_tally *before = objstore_tally_set(&o.tally);
    struct town t;
    struct buf text = {0};
    const struct engine_result *m;

    town_up_with(
        &t, &(struct town_opts){.one = lie ? LIES : OLD, .other = lie ? LIES : OLD, .lie = lie});
    told(&t, true);
    arena_free(t.rig.arena);
    t.rig.arena = arena_new(memory);
    CHECK_OK(ask_of(&t, t.asker, query_of(expr, true, 1000), 1, 0));
    (void)all_of(&t.rig, &text);
    m = &t.rig.r.metric;
    for (size_t i = 0; i < m->n_series; i++)
        for (size_t k = 0; k < m->series[i].n; k++)
            buf_printf(&text, " %g", m->series[i].v[k]);
    CHECK_INT(t.rig.sq.failed_streams, 0);
    CHECK_INT(t.rig.sq.warnings.len, 0);
    o.stats = t.rig.r.stats;
    o.returned = asker_stats(&t).returned;
    o.text = mem_strdup(buf_cstr(&text));
    buf_done(&text);
    town_down(&t);
    (void)objstore_tally_set(before);
    return o;
}

/* As if nobody had been asked. */
static void check_lie_within(const char *expr, lie_fn *lie, size_t memory)
{
    struct outcome want = outcome_of(expr, NULL, memory), got = outcome_of(expr, lie, memory);

    CHECK(got.returned > 0);
    CHECK_STR(got.text, want.text);
    /* what is read ahead may read a little more, or less */
    CHECK(got.tally.gets < 1000000 && got.tally.bytes < 1u << 30);
    CHECK_INT(got.stats.lines, want.stats.lines);
    CHECK_INT(got.stats.source.blocks, want.stats.source.blocks);
    mem_free(want.text);
    mem_free(got.text);
}

static void check_lie(const char *expr, lie_fn *lie)
{
    check_lie_within(expr, lie, 0);
}

static void check_truth(const char *expr, lie_fn *lie)
{
    struct outcome want = outcome_of(expr, NULL, 0), got = outcome_of(expr, lie, 0);

    CHECK(got.stats.source.away > 0);
    CHECK(strcmp(got.text, want.text) != 0);
    mem_free(want.text);
    mem_free(got.text);
}

#define LINES "{app=~\".+\"}"
#define SAMPLES "sum_over_time({app=~\"a|b\"} | logfmt | unwrap n [3h])"
#define COUNTS "sum(count_over_time({app=~\".+\"}[1h]))"

TEST(logpiece_ask_counts_an_answer_of_no_use_for_nothing)
{
    check_lie(LINES, lie_in_the_middle);
    check_lie(SAMPLES, lie_in_the_middle);
    check_lie(COUNTS, lie_in_the_middle);
}

TEST(logpiece_ask_reads_a_piece_in_memory_of_its_own_after_an_answer_has_taken_all)
{
    check_lie_within(COUNTS, lie_of_many_series, MEMORY);
}

TEST(logpiece_ask_believes_no_sample_of_another_time)
{
    check_truth(SAMPLES, truth_of_a_sample);
    check_lie(SAMPLES, lie_of_a_sample_before);
    check_lie(SAMPLES, lie_of_a_sample_behind);
    check_lie(SAMPLES, lie_of_an_order);
    check_lie(COUNTS, lie_of_a_count);
}

TEST(logpiece_ask_takes_no_answer_that_is_too_large)
{
    check_truth(LINES, truth_of_as_much);
    check_lie(LINES, lie_of_much);
}
