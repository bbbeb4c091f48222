/* Distribution over fake rings and fake replicas: what goes where, and what the answers make. */
#include <pthread.h>

#include "common/block/chunk.h"
#include "ingester/distribute_internal.h"
#include "ingester/metrics/head.h"
#include "tests/unit/ingester/ring_fixture.h"
#include "tests/unit/test.h"

#define MAX_SENT 32

/* A batch that a replica was sent and has not answered. */
struct sent {
    char to[16];
    bool is_local, is_late;
    struct buf bytes;
    struct batch batch; /* of bytes */
    distribute_local_fn *local_done;
    rpc_reply_fn *remote_done;
    void *arg;
};

struct world {
    struct loop *loop;
    struct ring *ring;
    struct distribute *d;
    struct sent sent[MAX_SENT];
    size_t n;
    /* the end */
    int told;
    enum err_code code;
    bool is_ok;
    struct buf msg;
    struct distribute_result result;
};

static struct ring *world_ring(void *arg)
{
    return ring_ref(((struct world *)arg)->ring);
}

static struct sent *note(struct world *w, const char *to, struct slice bytes, void *arg)
{
    struct sent *s = &w->sent[w->n++];

    CHECK(w->n <= MAX_SENT);
    *s = (struct sent){.arg = arg};
    (void)snprintf(s->to, sizeof(s->to), "%s", to);
    buf_slice_append(&s->bytes, bytes);
    CHECK_OK(batch_open(buf_slice(&s->bytes), &s->batch));
    return s;
}

static struct err *world_local(void *arg, struct slice tenant, struct slice bytes, bool is_late,
                               distribute_local_fn *done, void *done_arg)
{
    struct sent *s = note(arg, "a", bytes, done_arg);

    CHECK_SLICE(tenant, "t");
    s->is_local = true;
    s->is_late = is_late;
    s->local_done = done;
    return NULL;
}

static void world_remote(void *arg, const struct member *to, struct slice tenant,
                         struct slice bytes, bool is_late, int64_t timeout_ms,
                         rpc_reply_fn *on_reply, void *reply_arg)
{
    struct sent *s = note(arg, to->instance, bytes, reply_arg);

    CHECK_SLICE(tenant, "t");
    CHECK(timeout_ms > 0 && timeout_ms <= 60000);
    s->remote_done = on_reply;
    s->is_late = is_late;
}

/* n instances; those in down (letters) are unhealthy. */
static void begin(struct world *w, size_t n, unsigned rf, const char *down)
{
    struct ring_fixture_opts ring = {.signal = MEMBER_METRICS, .n = n, .rf = rf};

    for (; *down; down++)
        ring.down |= 1u << (*down - 'a');
    *w = (struct world){0};
    CHECK_OK(loop_new("t", &w->loop));
    w->ring = ring_fixture_new(&ring);
    w->d = distribute_new(
        &(struct distribute_opts){.ops = {world_ring, world_local, world_remote, w, NULL},
                                  .instance = "a",
                                  .timeout_ms = 60000,
                                  .max_inflight_bytes = 1 << 20});
}

static void end(struct world *w)
{
    CHECK_INT(distribute_inflight(w->d), 0);
    for (size_t i = 0; i < w->n; i++)
        buf_done(&w->sent[i].bytes);
    buf_done(&w->msg);
    distribute_free(w->d);
    ring_unref(w->ring);
    loop_free(w->loop);
}

static void on_done(void *arg, const struct push *p, const struct distribute_result *r)
{
    struct world *w = arg;

    CHECK(p != NULL);
    w->told++;
    w->is_ok = r->error == NULL;
    if (r->error) {
        w->code = err_code(r->error);
        buf_reset(&w->msg);
        buf_str(&w->msg, err_msg(r->error));
    }
    w->result = *r;
}

/* n series with one sample each; the first known ones without labels. */
static struct push *make_push(size_t n, size_t known)
{
    struct push *p = push_new(SLICE("t"), &(struct tenant_limits){.generation = 1});

    for (size_t i = 0; i < n; i++) {
        char value[24];
        struct label ls[] = {{SLICE(LABEL_NAME), SLICE("up")}, {SLICE("i"), SLICE_EMPTY}};
        struct buf canonical = {0};
        struct push_series s = {.sample = {(int64_t)i, (double)i}, .is_known = i < known};

        (void)snprintf(value, sizeof(value), "%zu", i);
        ls[1].value = slice_cstr(value);
        labels_canonical(&canonical, (struct labels){ls, 2});
        s.labels = arena_dup(p->arena, buf_slice(&canonical));
        s.fp = labels_fingerprint_of_canonical(s.labels);
        vec_push(&p->series, s);
        buf_done(&canonical);
    }
    p->samples = n;
    return p;
}

static void push(struct world *w, struct push *p)
{
    distribute_push(w->d, w->loop, p, on_done, w);
    CHECK_INT(w->told, 0);
}

static void turn(struct world *w)
{
    for (int i = 0; i < 4; i++)
        loop_run_once(w->loop, 0);
}

static void answer(struct world *w, size_t i, struct err *e, struct batch_reply *r)
{
    struct batch_reply none = {0};
    struct buf bytes = {0};

    if (!r)
        r = &none;
    if (w->sent[i].is_local) {
        w->sent[i].local_done(w->sent[i].arg, e, r);
    } else {
        batch_reply_encode(&bytes, r);
        w->sent[i].remote_done(w->sent[i].arg, e ? SLICE_EMPTY : buf_slice(&bytes), true, e);
        err_free(e);
    }
    buf_done(&bytes);
    batch_reply_done(r);
    turn(w);
}

static struct err *broken(void)
{
    return err_new(ERR_IO, "disk is gone");
}

TEST(distribute_rf1_hands_one_batch_over)
{
    struct world w;
    struct batch_entry en;

    begin(&w, 1, 1, "");
    push(&w, make_push(3, 2));
    CHECK_INT(w.n, 1);
    CHECK(w.sent[0].is_local);
    CHECK_INT(w.sent[0].batch.n, 3);
    CHECK(batch_entry_get(&w.sent[0].batch, 0, &en));
    CHECK(!en.labels.ptr && en.has_inline && en.inline_sample.v == 0);
    CHECK(batch_entry_get(&w.sent[0].batch, 2, &en));
    CHECK(en.labels.ptr != NULL);
    answer(&w, 0, NULL, NULL);
    CHECK(w.told == 1 && w.is_ok);
    end(&w);
}

TEST(distribute_waits_for_a_majority_and_no_longer)
{
    struct world w;

    begin(&w, 3, 3, "");
    push(&w, make_push(10, 10));
    CHECK_INT(w.n, 3);
    answer(&w, 1, NULL, NULL);
    CHECK_INT(w.told, 0);
    answer(&w, 2, NULL, NULL);
    CHECK(w.told == 1 && w.is_ok);
    CHECK_INT(distribute_inflight(w.d), 1);
    answer(&w, 0, broken(), NULL);
    CHECK_INT(w.told, 1);
    end(&w);
}

TEST(distribute_fails_when_the_majority_cannot_be_reached)
{
    struct world w;

    begin(&w, 3, 3, "");
    push(&w, make_push(10, 10));
    answer(&w, 0, broken(), NULL);
    CHECK_INT(w.told, 0);
    answer(&w, 1, broken(), NULL);
    CHECK(w.told == 1 && !w.is_ok && w.code == ERR_UNAVAILABLE);
    CHECK(strstr(buf_cstr(&w.msg), "disk is gone"));
    answer(&w, 2, NULL, NULL);
    end(&w);
}

TEST(distribute_says_so_when_too_few_are_healthy)
{
    struct world w;

    begin(&w, 3, 3, "bc");
    push(&w, make_push(2, 2));
    turn(&w);
    CHECK(w.told == 1 && !w.is_ok && w.code == ERR_UNAVAILABLE);
    CHECK(strstr(buf_cstr(&w.msg), "1 are active and healthy, a write needs 2"));
    end(&w);
    begin(&w, 3, 3, "c"); /* one zone less is enough */
    push(&w, make_push(2, 2));
    CHECK_INT(w.n, 2);
    answer(&w, 0, NULL, NULL);
    answer(&w, 1, NULL, NULL);
    CHECK(w.told == 1 && w.is_ok);
    end(&w);
}

TEST(distribute_sends_unknown_series_again_with_labels)
{
    struct world w;
    struct batch_reply r = {0};
    struct batch_entry en;

    begin(&w, 3, 3, "");
    push(&w, make_push(5, 5));
    vec_push(&r.unknown, 1);
    vec_push(&r.unknown, 4);
    answer(&w, 0, NULL, &r);
    CHECK_INT(w.n, 4);
    CHECK_INT(w.sent[3].batch.n, 2);
    CHECK(batch_entry_get(&w.sent[3].batch, 1, &en));
    CHECK(en.labels.ptr && en.inline_sample.v == 4);
    answer(&w, 1, NULL, NULL);
    CHECK_INT(w.told, 0); /* the first has not taken all yet */
    answer(&w, 3, NULL, NULL);
    CHECK(w.told == 1 && w.is_ok);
    /* The last one gets its labels too, though the client has its answer. */
    r = (struct batch_reply){0};
    vec_push(&r.unknown, 0);
    answer(&w, 2, NULL, &r);
    CHECK_INT(w.n, 5);
    answer(&w, 4, NULL, NULL);
    end(&w);
}

/* Something that this process's replica takes as it is. */
struct goods {
    struct world *w;
    int encoded, stored, ended, told;
    struct buf items; /* of each storing "n: items"; * are all */
    bool is_ok, with_labels;
    distribute_local_fn *done;
    void *done_arg;
};

static uint32_t goods_token(const void *arg, size_t i)
{
    (void)arg;
    return (uint32_t)hash_xxh64(slice_of(&i, sizeof(i)), 7);
}

static void goods_encode(const void *arg, const uint32_t *items, size_t n, bool with_labels,
                         struct buf *out)
{
    struct batch_writer w;

    (void)items;
    (void)n;
    (void)with_labels;
    ((struct goods *)(uintptr_t)arg)->encoded++;
    batch_writer_init(&w, 0);
    batch_finish(&w, out);
    batch_writer_done(&w);
}

static size_t goods_memory(const void *arg)
{
    (void)arg;
    return 1;
}

static struct err *goods_store(void *arg, const uint32_t *items, size_t n, bool with_labels,
                               distribute_local_fn *done, void *done_arg)
{
    struct goods *g = arg;

    g->stored++;
    g->with_labels = with_labels;
    g->done = done;
    g->done_arg = done_arg;
    buf_printf(&g->items, "%zu:%s", n, items ? "" : "*");
    for (size_t i = 0; items && i < n; i++)
        buf_printf(&g->items, " %u", items[i]);
    buf_str(&g->items, ";");
    return NULL;
}

static void goods_end(void *arg)
{
    ((struct goods *)arg)->ended++;
}

static void goods_done(void *arg, const struct push *none, const struct distribute_result *r)
{
    struct goods *g = arg;

    CHECK(!none);
    g->told++;
    g->is_ok = r->error == NULL;
}

static const struct distribute_cargo_ops goods_ops = {.token = goods_token,
                                                      .encode = goods_encode,
                                                      .memory = goods_memory,
                                                      .store = goods_store,
                                                      .end = goods_end};

static void bring(struct world *w, struct goods *g, size_t n)
{
    *g = (struct goods){.w = w};
    distribute_bring(w->d, w->loop,
                     &(struct distribute_cargo){
                         .ops = &goods_ops, .arg = g, .tenant = SLICE("t"), .n = n, .n_series = n},
                     goods_done, g);
}

TEST(distribute_makes_no_bytes_for_its_own_replica_if_that_takes_items)
{
    struct world w;
    struct goods g;
    struct batch_reply r = {0};

    begin(&w, 1, 1, "");
    bring(&w, &g, 3);
    CHECK(g.encoded == 0 && g.stored == 1 && !g.with_labels && w.n == 0);
    vec_push(&r.unknown, 0);
    vec_push(&r.unknown, 2);
    g.done(g.done_arg, NULL, &r);
    batch_reply_done(&r);
    turn(&w);
    CHECK(g.encoded == 0 && g.stored == 2 && g.with_labels && g.told == 0);
    CHECK_STR(buf_cstr(&g.items), "3:*;2: 0 2;");
    r = (struct batch_reply){0};
    g.done(g.done_arg, NULL, &r);
    turn(&w);
    CHECK(g.told == 1 && g.is_ok && g.ended == 1);
    buf_done(&g.items);
    end(&w);

    begin(&w, 3, 3, "");
    bring(&w, &g, 3);
    CHECK(g.encoded == 1 && g.stored == 1 && w.n == 2); /* one batch of bytes for both others */
    CHECK(!w.sent[0].is_local && !w.sent[1].is_local);
    answer(&w, 0, NULL, NULL);
    CHECK_INT(g.told, 0);
    g.done(g.done_arg, broken(), NULL);
    turn(&w);
    answer(&w, 1, NULL, NULL);
    CHECK(g.told == 1 && g.is_ok && g.ended == 1);
    buf_done(&g.items);
    end(&w);

    begin(&w, 4, 1, ""); /* each has a part */
    bring(&w, &g, 64);
    CHECK_INT(w.n, 3);
    CHECK_INT(g.encoded, 3);
    CHECK_INT(g.stored, 1);
    CHECK(g.items.len > 3 && !strchr(buf_cstr(&g.items), '*'));
    r = (struct batch_reply){0};
    g.done(g.done_arg, NULL, &r);
    turn(&w);
    for (size_t i = 0; i < 3; i++)
        answer(&w, i, NULL, NULL);
    CHECK(g.told == 1 && g.is_ok && g.ended == 1);
    buf_done(&g.items);
    end(&w);
}

TEST(distribute_distrusts_answers)
{
    struct world w;
    struct batch_reply r = {0};

    begin(&w, 1, 1, "");
    push(&w, make_push(2, 2));
    vec_push(&r.unknown, 7); /* there is no series 7 */
    answer(&w, 0, NULL, &r);
    CHECK(w.told == 1 && !w.is_ok && w.code == ERR_UNAVAILABLE);
    end(&w);
    begin(&w, 1, 1, "");
    push(&w, make_push(2, 2));
    r = (struct batch_reply){0};
    vec_push(&r.unknown, 1);
    answer(&w, 0, NULL, &r);
    r = (struct batch_reply){0};
    vec_push(&r.unknown, 0); /* still does not know it */
    answer(&w, 1, NULL, &r);
    CHECK(w.told == 1 && !w.is_ok);
    end(&w);
    begin(&w, 3, 3, "");
    push(&w, make_push(2, 2));
    w.sent[1].remote_done(w.sent[1].arg, SLICE("\x07garbage"), true, NULL);
    w.sent[2].remote_done(w.sent[2].arg, SLICE(""), true, NULL);
    CHECK(w.told == 1 && !w.is_ok);
    answer(&w, 0, NULL, NULL);
    end(&w);
}

TEST(distribute_splits_over_replica_sets_once_per_instance)
{
    struct world w;
    size_t total = 0, seen[200] = {0};

    begin(&w, 6, 3, "");
    push(&w, make_push(200, 200));
    CHECK_INT(w.n, 6);
    for (size_t i = 0; i < w.n; i++)
        for (uint32_t k = 0; k < w.sent[i].batch.n; k++) {
            struct batch_entry en;

            CHECK(batch_entry_get(&w.sent[i].batch, k, &en));
            seen[(size_t)en.inline_sample.v]++;
            total++;
        }
    CHECK_INT(total, 600);
    for (size_t i = 0; i < 200; i++)
        CHECK_INT(seen[i], 3);
    for (size_t i = 0; i < 6; i++)
        answer(&w, i, NULL, NULL);
    CHECK(w.told == 1 && w.is_ok);
    end(&w);
}

/* A set that has lost two of three fails the write though all the others answer. */
TEST(distribute_every_set_needs_its_quorum)
{
    struct world w;

    begin(&w, 6, 3, "");
    push(&w, make_push(200, 200));
    answer(&w, 0, broken(), NULL);
    answer(&w, 1, broken(), NULL);
    for (size_t i = 2; i < 6; i++)
        answer(&w, i, NULL, NULL);
    CHECK(w.told == 1 && !w.is_ok && w.code == ERR_UNAVAILABLE);
    end(&w);
}

/* An answer that refuses the sample of series 3; once more for each further time. */
static void refuse(struct world *w, size_t target, unsigned times)
{
    struct batch_reply r = {0};

    for (unsigned i = 0; i < times; i++)
        batch_reject(&r, BATCH_OUT_OF_ORDER, 3, 3);
    answer(w, target, NULL, &r);
}

TEST(distribute_reports_what_no_quorum_took)
{
    struct world w;

    begin(&w, 3, 3, "");
    push(&w, make_push(5, 5));
    refuse(&w, 0, 1);
    refuse(&w, 1, 1); /* the third alone makes no quorum: not waited for */
    CHECK(w.told == 1 && w.is_ok);
    CHECK_INT(w.result.rejected[BATCH_OUT_OF_ORDER], 1);
    CHECK_INT(w.result.n_examples, 1);
    CHECK_INT(w.result.examples[0].series, 3);
    CHECK_INT(w.result.examples[0].t_ms, 3);
    answer(&w, 2, NULL, NULL);
    CHECK_INT(w.n, 3); /* no quorum took it: to nobody is it late */
    end(&w);
}

TEST(distribute_sends_a_late_push_to_all_as_late)
{
    struct world w;
    struct push *p = make_push(5, 5);

    begin(&w, 3, 3, "");
    p->is_late = true;
    push(&w, p);
    CHECK_INT(w.n, 3);
    for (size_t i = 0; i < 3; i++) {
        CHECK(w.sent[i].is_late);
        answer(&w, i, NULL, NULL);
    }
    CHECK(w.told == 1 && w.is_ok);
    end(&w);
}

/* Two of three have answered, but only one of them has the sample: that is no quorum for it. */
TEST(distribute_waits_for_the_replica_that_decides)
{
    struct world w;

    begin(&w, 3, 3, "");
    push(&w, make_push(5, 5));
    refuse(&w, 0, 1);
    answer(&w, 1, NULL, NULL);
    CHECK(w.told == 0);
    answer(&w, 2, NULL, NULL);
    CHECK(w.told == 1 && w.is_ok);
    CHECK_INT(w.result.rejected[BATCH_OUT_OF_ORDER], 0);
    CHECK(w.n == 4 && w.sent[3].is_late);
    answer(&w, 3, NULL, NULL);
    end(&w);

    begin(&w, 3, 3, "");
    push(&w, make_push(5, 5));
    answer(&w, 0, NULL, NULL);
    refuse(&w, 1, 1);
    CHECK(w.told == 0);
    refuse(&w, 2, 1);
    CHECK(w.told == 1 && w.is_ok);
    CHECK_INT(w.result.rejected[BATCH_OUT_OF_ORDER], 1);
    end(&w);
}

TEST(distribute_rejects_what_one_replica_alone_has)
{
    struct world w;

    begin(&w, 3, 3, "");
    push(&w, make_push(5, 5));
    answer(&w, 0, broken(), NULL); /* down */
    answer(&w, 1, NULL, NULL);
    refuse(&w, 2, 1);
    CHECK(w.told == 1 && w.is_ok);
    CHECK_INT(w.result.rejected[BATCH_OUT_OF_ORDER], 1);
    end(&w);
}

/* Samples of one series and time: what counts is how many of them. */
TEST(distribute_counts_refusals_of_equal_samples)
{
    struct world w;

    begin(&w, 3, 3, "");
    push(&w, make_push(5, 5));
    refuse(&w, 0, 3);
    refuse(&w, 1, 1);
    CHECK(w.told == 0);
    refuse(&w, 2, 2);
    CHECK(w.told == 1 && w.is_ok);
    CHECK_INT(w.result.rejected[BATCH_OUT_OF_ORDER], 2);
    CHECK(w.n == 4 && w.sent[3].is_local && w.sent[3].is_late); /* who refused one too many */
    answer(&w, 3, NULL, NULL);
    end(&w);
}

/* Where series n of the push is in what was sent to target i; false: not there. */
static bool index_in_batch(struct world *w, size_t i, size_t n, uint32_t *ret)
{
    const struct batch *b = &w->sent[i].batch;
    struct batch_entry en;

    for (*ret = 0; *ret < b->n; (*ret)++)
        if (batch_entry_get(b, *ret, &en) && en.inline_sample.v == (double)n)
            return true;
    return false;
}

/* With many sets a refusal concerns the three of its series, whatever the others say. */
TEST(distribute_judges_each_sample_in_its_own_set)
{
    for (unsigned refusing = 0; refusing <= 3; refusing++) {
        struct world w;
        unsigned holders = 0;
        uint32_t at;

        begin(&w, 6, 3, "");
        push(&w, make_push(200, 200));
        for (size_t i = 0; i < 6; i++) {
            struct batch_reply r = {0};

            if (index_in_batch(&w, i, 7, &at) && holders++ < refusing)
                batch_reject(&r, BATCH_TOO_OLD, at, 7);
            answer(&w, i, NULL, &r);
        }
        CHECK_INT(holders, 3);
        CHECK(w.told == 1 && w.is_ok);
        CHECK_INT(w.n, refusing == 1 ? 7 : 6);
        if (refusing == 1)
            answer(&w, 6, NULL, NULL);
        CHECK_INT(w.result.rejected[BATCH_TOO_OLD], refusing >= 2);
        CHECK_INT(w.result.n_examples, refusing >= 2);
        if (refusing >= 2)
            CHECK_INT(w.result.examples[0].series, 7);
        end(&w);
    }
}

TEST(distribute_tells_when_the_deciding_replica_takes_too_long)
{
    struct world w;

    begin(&w, 3, 3, "");
    distribute_free(w.d);
    w.d = distribute_new(&(struct distribute_opts){
        .ops = {world_ring, world_local, world_remote, &w, NULL},
        .instance = "a",
        .timeout_ms = 500, /* a busy machine gets as far as CHECK(w.told == 0) */
        .max_inflight_bytes = 1 << 20});
    push(&w, make_push(5, 5));
    refuse(&w, 0, 1);
    answer(&w, 1, NULL, NULL);
    CHECK(w.told == 0);
    while (!w.told)
        loop_run_once(w.loop, 10);
    CHECK(w.is_ok);
    CHECK_INT(w.result.rejected[BATCH_OUT_OF_ORDER], 1);
    answer(&w, 2, NULL, NULL);
    CHECK(w.n == 4 && w.sent[3].is_late); /* a quorum has it after all */
    answer(&w, 3, NULL, NULL);
    end(&w);
}

/* ---- late at one replica ---- */

static void check_late(const struct world *w, uint64_t late, uint64_t missed)
{
    CHECK_INT(w->d->m.late_samples, late);
    CHECK_INT(w->d->m.missed_samples, missed);
}

TEST(distribute_brings_late_samples_to_the_replica_that_refused_them)
{
    for (size_t k = 0; k < 3; k++) {
        struct world w;
        struct batch_entry en;

        begin(&w, 3, 3, "");
        push(&w, make_push(5, 5));
        answer(&w, (k + 1) % 3, NULL, NULL);
        answer(&w, (k + 2) % 3, NULL, NULL);
        CHECK(w.told == 1 && w.is_ok);
        refuse(&w, k, 1);
        CHECK_INT(w.n, 4);
        CHECK_STR(w.sent[3].to, w.sent[k].to);
        CHECK(w.sent[3].is_late && !w.sent[k].is_late);
        CHECK_INT(w.sent[3].batch.n, 1);
        CHECK(batch_entry_get(&w.sent[3].batch, 0, &en));
        CHECK(en.labels.ptr && en.has_inline && en.inline_sample.t_ms == 3);
        CHECK(en.inline_sample.v == 3 && en.n_samples == 0);
        CHECK_INT(distribute_inflight(w.d), 1);
        answer(&w, 3, NULL, NULL);
        CHECK_INT(w.told, 1);
        check_late(&w, 1, 0);
        end(&w);
    }
}

/* What is refused once more, or not answered, is missed; nobody is told a second time. */
TEST(distribute_counts_what_one_replica_misses)
{
    struct batch_reply r = {0};
    struct world w;

    begin(&w, 3, 3, "");
    push(&w, make_push(5, 5));
    answer(&w, 0, NULL, NULL);
    answer(&w, 1, NULL, NULL);
    refuse(&w, 2, 1);
    answer(&w, 3, broken(), NULL);
    check_late(&w, 0, 1);

    push(&w, (w.told = 0, make_push(5, 5)));
    answer(&w, 4, NULL, NULL);
    answer(&w, 5, NULL, NULL);
    refuse(&w, 6, 1);
    batch_reject(&r, BATCH_TOO_OLD, 0, 3); /* a bound of time that holds for late ones, too */
    answer(&w, 7, NULL, &r);
    check_late(&w, 0, 2);

    push(&w, (w.told = 0, make_push(5, 5)));
    answer(&w, 8, NULL, NULL);
    answer(&w, 9, NULL, NULL);
    batch_reject(&r, BATCH_DUPLICATE, 3, 3);     /* it has another value there: not late */
    batch_reject(&r, BATCH_OUT_OF_ORDER, 2, 77); /* it was sent nothing of that time */
    answer(&w, 10, NULL, &r);
    check_late(&w, 0, 3);
    CHECK_INT(w.n, 11);

    push(&w, (w.told = 0, make_push(5, 5)));
    answer(&w, 11, NULL, NULL);
    answer(&w, 12, NULL, NULL);
    refuse(&w, 13, 1);
    vec_push(&r.unknown, 0); /* it came with labels */
    answer(&w, 14, NULL, &r);
    check_late(&w, 0, 4);
    CHECK_INT(w.told, 1);
    end(&w);
}

/* A write that failed is sent again by its client; and so is what a door that stops has under way. */
TEST(distribute_sends_nothing_late_of_a_failed_write)
{
    struct world w;

    begin(&w, 6, 3, "");
    push(&w, make_push(200, 200));
    answer(&w, 0, broken(), NULL);
    answer(&w, 1, broken(), NULL);
    for (size_t i = 2; i < 6; i++) {
        struct batch_reply r = {0};

        if (i == 2)
            batch_reject(&r, BATCH_OUT_OF_ORDER, 0, 0);
        answer(&w, i, NULL, &r);
    }
    CHECK(w.told == 1 && !w.is_ok && w.n == 6);
    check_late(&w, 0, 0);
    end(&w);
}

/* One series: floats, a histogram, an exemplar, a start and a creation. */
static struct push *make_rich_push(void)
{
    struct push *p = make_push(1, 1);
    struct sample *s = arena_array(p->arena, struct sample, 3);
    struct push_histogram *h = arena_array(p->arena, struct push_histogram, 2);
    struct push_exemplar *x = arena_array(p->arena, struct push_exemplar, 1);
    struct push_extra *extra = arena_array(p->arena, struct push_extra, 1);

    for (int i = 0; i < 3; i++)
        s[i] = (struct sample){(i + 1) * 10, i};
    for (int i = 0; i < 2; i++)
        h[i] = (struct push_histogram){(i + 1) * 10 + 5, {.schema = 1, .count = 7}};
    x[0] = (struct push_exemplar){p->series.ptr[0].labels, 1, 10};
    *extra = (struct push_extra){s, h, x, 3, 2, 1, 4, 5};
    p->series.ptr[0].extra = extra;
    return p;
}

TEST(distribute_sends_only_what_is_late_of_a_series)
{
    struct batch_reply r = {0};
    struct batch_entry en;
    struct reader in;
    struct slice encoded;
    struct world w;
    int64_t t_ms;

    begin(&w, 3, 3, "");
    push(&w, make_rich_push());
    answer(&w, 0, NULL, NULL);
    answer(&w, 1, NULL, NULL);
    batch_reject(&r, BATCH_OUT_OF_ORDER, 0, 25);
    batch_reject(&r, BATCH_TOO_OLD, 0, 10);
    batch_reject(&r, BATCH_OUT_OF_ORDER, 0, 20);
    answer(&w, 2, NULL, &r);
    CHECK(w.n == 4 && w.sent[3].is_late && w.sent[3].batch.n == 1);
    CHECK(batch_entry_get(&w.sent[3].batch, 0, &en));
    CHECK(en.labels.ptr && !en.has_inline);
    CHECK(en.n_samples == 2 && en.n_histograms == 1 && en.n_exemplars == 0);
    CHECK_INT(batch_entry_sample(&en, 0).t_ms, 10);
    CHECK_INT(batch_entry_sample(&en, 1).t_ms, 20);
    in = reader_new(en.histograms);
    CHECK(batch_next_histogram(&in, &t_ms, &encoded) && t_ms == 25);
    CHECK(en.start_ms == 4 && en.created_ms == 0);
    batch_reject(&r, BATCH_OUT_OF_ORDER, 0, 25);
    answer(&w, 3, NULL, &r);
    check_late(&w, 2, 1);
    end(&w);
}

/* ---- heads of three ingesters, and what of the sent goes to whom in which order ---- */

struct ingester3 {
    struct wal *wal[3];
    struct head *head[3];
};

static void open3(struct ingester3 *g)
{
    for (size_t i = 0; i < 3; i++) {
        const char *dir = tmp_path((const char *[]){"a", "b", "c"}[i]);

        CHECK_OK(wal_open(&(struct wal_opts){.dir = dir, .segment_bytes = 1 << 20}, &g->wal[i]));
        CHECK_OK(
            head_open(&(struct head_opts){.dir = dir, .shards = 2, .wal = g->wal[i]}, &g->head[i]));
        CHECK_OK(head_wait_ready(g->head[i]));
    }
}

static void close3(struct ingester3 *g)
{
    for (size_t i = 0; i < 3; i++) {
        CHECK_OK(head_close(g->head[i]));
        CHECK_OK(wal_close(g->wal[i]));
    }
}

struct taken {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool is_done;
    struct batch_reply reply;
};

static void on_taken(void *arg, struct err *e, struct batch_reply *reply)
{
    struct taken *t = arg;

    CHECK_OK(e);
    pthread_mutex_lock(&t->mutex);
    t->reply = *reply;
    *reply = (struct batch_reply){0};
    t->is_done = true;
    pthread_cond_signal(&t->cond);
    pthread_mutex_unlock(&t->mutex);
}

/* What was sent reaches its replica, and the door hears of it. */
static void deliver(struct world *w, struct ingester3 *g, size_t i)
{
    struct taken t = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, {0}};
    struct sent *s = &w->sent[i];

    CHECK(i < w->n);
    CHECK_OK(head_push(g->head[s->to[0] - 'a'], SLICE("t"), buf_slice(&s->bytes),
                       &(struct head_limits){.takes_late = s->is_late}, on_taken, &t));
    pthread_mutex_lock(&t.mutex);
    while (!t.is_done)
        pthread_cond_wait(&t.cond, &t.mutex);
    pthread_mutex_unlock(&t.mutex);
    answer(w, i, NULL, &t.reply);
}

static void check_times(struct head *h, const char *want)
{
    struct head_query q = {.tenant = SLICE("t"), .min_ms = INT64_MIN, .max_ms = INT64_MAX};
    struct arena *a = arena_new(0);
    struct buf got = {0};
    struct head_set *set;
    struct head_series s;

    CHECK_OK(head_select(h, &q, &set));
    while (head_set_next(set, &s))
        for (size_t i = 0; i < s.n_chunks; i++) {
            struct chunk_columns c;

            CHECK_OK(chunk_decode(a, s.chunks[i].encoding, s.chunks[i].data, &c));
            for (size_t k = 0; k < c.n; k++)
                buf_printf(&got, " %lld", (long long)c.t[k]);
        }
    CHECK_OK(head_set_close(set));
    CHECK_STR(buf_cstr(&got), want);
    buf_done(&got);
    arena_free(a);
}

/* One series with one sample, float or histogram. */
static struct push *push_at(int64_t t_ms, bool is_hist)
{
    struct push *p = make_push(1, 0);
    struct push_histogram *h = arena_array(p->arena, struct push_histogram, 1);
    struct push_extra *extra = arena_array(p->arena, struct push_extra, 1);

    p->series.ptr[0].sample.t_ms = t_ms;
    if (!is_hist)
        return p;
    h[0] = (struct push_histogram){t_ms, {.schema = 1, .count = 7}};
    *extra = (struct push_extra){.histograms = h, .n_histograms = 1};
    p->series.ptr[0].extra = extra;
    return p;
}

static size_t sent_to(const struct world *w, size_t from, const char *to)
{
    while (from < w->n && strcmp(w->sent[from].to, to) != 0)
        from++;
    return from;
}

/* A client sends a second sample when a quorum has the first; replica c gets them the other way round. */
static void check_overtaken(bool is_hist)
{
    struct ingester3 g;
    struct world w;

    open3(&g);
    begin(&w, 3, 3, "");
    push(&w, push_at(1000, is_hist));
    deliver(&w, &g, sent_to(&w, 0, "a"));
    deliver(&w, &g, sent_to(&w, 0, "b"));
    CHECK(w.told == 1 && w.is_ok && w.n == 3);
    w.told = 0;
    push(&w, push_at(2000, is_hist));
    for (size_t i = 3; i < 6; i++)
        deliver(&w, &g, i);
    CHECK(w.told == 1 && w.is_ok);
    CHECK_INT(w.n, 6);
    check_times(g.head[2], " 2000");
    deliver(&w, &g, sent_to(&w, 0, "c"));
    CHECK(w.n == 7 && w.sent[6].is_late);
    deliver(&w, &g, 6);
    check_late(&w, 1, 0);
    for (size_t i = 0; i < 3; i++)
        check_times(g.head[i], " 1000 2000");
    /* the client itself sends an old one: nobody takes it */
    w.told = 0;
    push(&w, push_at(1500, is_hist));
    for (size_t i = 7; i < 10; i++)
        deliver(&w, &g, i);
    CHECK(w.told == 1 && w.result.rejected[BATCH_OUT_OF_ORDER] == 1);
    CHECK_INT(w.n, 10);
    for (size_t i = 0; i < 3; i++)
        check_times(g.head[i], " 1000 2000");
    end(&w);
    close3(&g);
}

TEST(distribute_loses_nothing_at_a_replica_that_gets_two_samples_the_other_way_round)
{
    check_overtaken(false);
}

TEST(distribute_loses_no_histogram_there_either)
{
    check_overtaken(true);
}

TEST(distribute_times_out)
{
    struct world w;

    begin(&w, 3, 3, "");
    distribute_free(w.d);
    w.d = distribute_new(
        &(struct distribute_opts){.ops = {world_ring, world_local, world_remote, &w, NULL},
                                  .instance = "a",
                                  .timeout_ms = 1,
                                  .max_inflight_bytes = 1 << 20});
    push(&w, make_push(1, 1));
    while (!w.told)
        loop_run_once(w.loop, 10);
    CHECK(!w.is_ok && w.code == ERR_UNAVAILABLE);
    CHECK(strstr(buf_cstr(&w.msg), "no quorum within 1 ms"));
    for (size_t i = 0; i < 3; i++)
        answer(&w, i, NULL, NULL);
    CHECK_INT(w.told, 1);
    end(&w);
}

TEST(distribute_takes_an_empty_push)
{
    struct world w;

    begin(&w, 3, 3, "abc");
    push(&w, make_push(0, 0));
    turn(&w);
    CHECK(w.told == 1 && w.is_ok && w.n == 0);
    end(&w);
}

TEST(distribute_bounds_what_is_in_flight)
{
    struct world w;

    begin(&w, 1, 1, "");
    CHECK(distribute_has_room(w.d, 100 << 20)); /* one is always let in */
    push(&w, make_push(5000, 5000));
    CHECK(!distribute_has_room(w.d, 900 << 10));
    answer(&w, 0, NULL, NULL);
    CHECK(distribute_has_room(w.d, 900 << 10));
    end(&w);
}

/* The owner goes while a replica has not answered: the answer finds a home, nobody is told. */
TEST(distribute_outlives_its_owner_for_stragglers)
{
    struct world w;

    begin(&w, 1, 1, "");
    push(&w, make_push(1, 1));
    distribute_free(w.d);
    answer(&w, 0, NULL, NULL);
    CHECK_INT(w.told, 0);
    buf_done(&w.sent[0].bytes);
    ring_unref(w.ring);
    loop_free(w.loop);
}
