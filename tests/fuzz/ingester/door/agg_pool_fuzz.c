/*
 * What other ingesters send to be added up: as raw batches, and as samples and histograms of a few
 * inputs over time: u8 what, u8 seconds, then 8 bytes of a float or u8 length and an encoded
 * histogram. Whatever comes, outputs can be made of it.
 */
#include "common/base/mem.h"
#include "ingester/door/agg_pool.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define T0 1767225600000

static struct agg_rules rules;
static struct ring *ring;

static void make_ring(void)
{
    uint32_t token = 7;
    struct member *m;
    struct err *e = member_new(&(struct member){.instance = "i",
                                                .zone = "a",
                                                .rpc_addr = "127.0.0.1:1",
                                                .http_addr = "127.0.0.1:2",
                                                .roles = MEMBER_INGESTER,
                                                .signals = MEMBER_METRICS,
                                                .state = MEMBER_ACTIVE,
                                                .tokens = &token,
                                                .n_tokens = 1},
                               &m);

    ORR_ASSERT(!e);
    ring =
        ring_new(&(struct ring_input){m, true}, 1,
                 &(struct ring_opts){.role = MEMBER_INGESTER, .signal = MEMBER_METRICS, .rf = 1});
    member_unref(m);
}

static void make_once(void)
{
    static const char text[] =
        "- {match: hits, without: [pod], outputs: [sum, count, min, max, last, total]}";
    static struct arena *a; /* kept, like the rules in it */
    struct yaml_node *root;
    struct err *e;

    if (ring)
        return;
    a = arena_new(0);
    e = yaml_load("rules", slice_cstr(text), a, &root);
    if (!e)
        e = agg_rules_parse("rules", root, a, &rules);
    ORR_ASSERT(!e);
    make_ring();
}

struct run {
    struct agg_pool *pool;
    struct tenant_limits limits;
    struct agg_pool_call c;
    struct arena *a;
};

static void take(struct run *t, struct slice bytes)
{
    struct batch_reply reply = {0};

    err_free(agg_pool_take(t->pool, &t->c, bytes, &reply));
    batch_reply_done(&reply);
}

/* False at the end. */
static bool step(struct run *t, struct reader *r)
{
    uint8_t what = reader_u8(r);
    struct label labels[] = {{SLICE("__name__"), SLICE("hits")},
                             {SLICE("pod"), slice_of(&"abcd"[what & 3], 1)}};
    struct labels ls = {labels, 2};
    struct batch_writer w;
    struct buf out = {0};
    struct histogram h;
    struct err *e;

    t->c.now_ms += 1000 * (int64_t)reader_u8(r);
    batch_writer_init(&w, T0);
    batch_series_begin(&w, agg_rule_key(&rules.ptr[0], labels_fingerprint(ls)));
    batch_series_labels(&w, labels_canonical_dup(t->a, ls));
    if (what & 8)
        batch_series_created(&w, t->c.now_ms - 1);
    if (what & 4) {
        if ((e = batch_histogram_decode(t->a, reader_bytes(r, reader_u8(r)), &h)))
            err_free(e);
        else
            batch_series_histogram(&w, t->c.now_ms, &h);
    } else {
        batch_series_sample(&w, t->c.now_ms, reader_f64le(r));
    }
    batch_series_end(&w);
    batch_finish(&w, &out);
    batch_writer_done(&w);
    take(t, buf_slice(&out));
    buf_done(&out);
    return reader_ok(r) && reader_left(r);
}

static void write_out(struct run *t, bool is_last)
{
    struct push *p = push_new(SLICE("t"), &t->limits);
    struct ownfeed_flush f = {.of = t->pool,
                              .tenant = SLICE("t"),
                              .now_ms = t->c.now_ms,
                              .is_last = is_last,
                              .next = SIZE_MAX};
    struct fp_cache known;
    struct push_builder b;
    struct err *e;

    fp_cache_init(&known, 1 << 16);
    push_builder_init(&b, p, &known, t->c.now_ms);
    e = agg_pool_decode(&b, &f);
    ORR_ASSERT(!e && f.is_done);
    for (unsigned i = 0; i < DOOR_REASON_COUNT; i++)
        ORR_ASSERT(b.rejects.samples[i] == 0);
    fp_cache_done(&known);
    push_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run t = {.pool = agg_pool_new(), .a = arena_new(0), .limits = {.generation = 1}};
    struct reader r = reader_new(slice_of(data, size));

    make_once();
    t.c = (struct agg_pool_call){SLICE("t"), &t.limits, &rules, ring, 0, T0};
    take(&t, slice_of(data, size));
    for (int i = 0; i < 200 && step(&t, &r); i++)
        if (agg_pool_look(t.pool, &t.c))
            write_out(&t, false);
    write_out(&t, true);
    agg_pool_free(t.pool);
    arena_free(t.a);
    return 0;
}
