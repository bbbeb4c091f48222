/*
 * Tail sampling over many traces: one trace head and its sampler, replication factor 1. One of a hundred traces has an error, one of a hundred is
 * slow, the rest are kept by probability.
 *
 *   tail_bench [traces, 1000000] [probability, percent, 10]
 *
 * Prints what was kept of each kind, the share that the probability kept, CPU a trace beyond what it costs without policies, and memory:
 * what the process holds when all are judged, and the budget of remembered verdicts. Exit status 1: an error or a slow trace is missing, one was kept that should
 * not be, or the share is off by more than 1% of the setting.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/fsx.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/traces/tracepiece.h"
#include "ingester/door/trace_batch.h"
#include "ingester/traces/tracehead.h"
#include "tests/unit/ingester/ring_fixture.h"
#include "tests/unit/ingester/rules_fixture.h"

#define SPANS 5 /* of a trace, in two pieces */
#define BATCH 500
#define ROUND 50000 /* traces between two looks at what is idle */

enum kind { ERROR, SLOW, PLAIN, KINDS };

struct bench {
    struct wal *wal;
    struct tracehead *head;
    struct sampler *sampler;
    struct tenant_rules *rules;
    struct ring *ring;
    struct clock_fake clock;
    struct tracepiece_encoder *enc;
    struct buf batch;
    uint64_t kept[KINDS], made[KINDS];
    size_t allocated; /* bytes, when all were judged */
};

static void must(struct err *e)
{
    if (!e)
        return;
    fprintf(stderr, "tail_bench: %s\n", err_msg(e));
    exit(2);
}

/* ---- what the sampler asks ---- */

static struct ring *own_ring(void *arg, struct slice tenant)
{
    (void)tenant;
    return ring_ref(((struct bench *)arg)->ring);
}

static struct tenant_rules *rules_of(void *arg, struct slice tenant)
{
    struct bench *b = arg;

    (void)tenant;
    snapshot_ref(&b->rules->snap);
    return b->rules;
}

static void no_ask(void *arg, struct slice tenant, struct sampler_call *calls, size_t n)
{
    (void)arg;
    (void)tenant;
    (void)calls;
    (void)n;
}

static void no_tell(void *arg, struct slice tenant, const struct member *to, struct slice verdicts)
{
    (void)arg;
    (void)tenant;
    (void)to;
    (void)verdicts;
}

static void make_rules(struct bench *b, double percent)
{
    char *yaml =
        mem_printf("tail_sampling: {policies: [{name: e, type: status_code, status_code: "
                   "{status_codes: [ERROR]}},"
                   "{name: s, type: latency, latency: {threshold_ms: 1000}},"
                   "{name: p, type: probabilistic, probabilistic: {sampling_percentage: %g}}]}",
                   percent);

    b->rules = percent < 0 ? tenant_rules_new(NULL) : rules_fixture_new(yaml);
    mem_free(yaml);
}

/* ---- traces ---- */

static void id_of(uint64_t n, uint8_t ret[16])
{
    struct hash128 h = hash_xxh128(slice_of(&n, sizeof(n)), 1);

    memcpy(ret, &h, 16);
    ret[15] |= 1;
}

static enum kind kind_of(uint64_t n)
{
    return n % 100 == 7 ? ERROR : n % 100 == 8 ? SLOW : PLAIN;
}

/* Half of a trace's spans. */
static void put_piece(struct bench *b, uint64_t n, bool is_second)
{
    struct otlp_member name = {SLICE("service.name"),
                               {.kind = OTLP_VALUE_TEXT, .text = SLICE("shop")}};
    struct otlp_member attributes[] = {
        {SLICE("http.request.method"), {.kind = OTLP_VALUE_TEXT, .text = SLICE("GET")}},
        {SLICE("http.response.status_code"), {.kind = OTLP_VALUE_INT, .i = 200}}};
    struct tracepiece_resource res = {.attributes = {1, 0, &name}};
    struct tracepiece_scope scope = {0};
    struct tracepiece_span spans[SPANS] = {{0}};
    uint32_t count = is_second ? SPANS / 2 : SPANS - SPANS / 2;
    struct tracepiece p = {.n_resources = 1,
                           .n_scopes = 1,
                           .n_spans = count,
                           .resources = &res,
                           .scopes = &scope,
                           .spans = spans};
    struct buf piece = {0};

    id_of(n, p.trace_id);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t ms = is_second && i == 0 && kind_of(n) == SLOW ? 1500 : 20;

        spans[i] =
            (struct tracepiece_span){.span_id = n * 16 + i + (is_second ? 8 : 1),
                                     .kind = 2,
                                     .status = is_second && i == 1 && kind_of(n) == ERROR ? 2 : 0,
                                     .start_ns = 1700000000000000000ull,
                                     .end_ns = 1700000000000000000ull + ms * 1000000,
                                     .name = SLICE("GET /cart"),
                                     .attributes = {2, 0, attributes}};
    }
    tracepiece_encode(b->enc, &p, &piece);
    buf_lstr(&b->batch, buf_slice(&piece));
    buf_done(&piece);
}

static void on_pushed(void *arg, struct err *e, struct batch_reply *reply)
{
    (void)reply;
    must(e);
    atomic_store((atomic_bool *)arg, true);
}

static void push(struct bench *b)
{
    static const struct tracehead_limits none;
    atomic_bool is_done = false;

    must(tracehead_push(b->head, SLICE("t"), buf_slice(&b->batch), &none, on_pushed, &is_done));
    while (!atomic_load(&is_done))
        (void)usleep(20);
}

static void run(struct bench *b, uint64_t traces)
{
    for (uint64_t from = 0; from < traces; from += BATCH) {
        for (unsigned second = 0; second < 2; second++) {
            buf_reset(&b->batch);
            buf_byte(&b->batch, TRACE_BATCH_VERSION);
            for (uint64_t n = from; n < from + BATCH; n++)
                put_piece(b, n, second);
            push(b);
        }
        for (uint64_t n = from; n < from + BATCH; n++)
            b->made[kind_of(n)]++;
        if ((from + BATCH) % ROUND == 0) {
            clock_fake_advance(&b->clock, 60 * NS_PER_S);
            must(tracehead_maintain(b->head));
        }
    }
    clock_fake_advance(&b->clock, 60 * NS_PER_S);
    must(tracehead_maintain(b->head));
}

/* Of what is left, by the spans that are there. */
static void count_kept(struct bench *b)
{
    struct tracehead_query q = {.tenant = SLICE("t"), .start_ns = INT64_MIN, .end_ns = INT64_MAX};
    struct arena *a = arena_new(0);
    struct tracehead_trace t;
    struct tracehead_set *s;

    memset(q.last, 0xff, sizeof(q.last));
    must(tracehead_select(b->head, &q, &s));
    while (tracehead_set_next(s, &t)) {
        struct tracepiece p;

        arena_reset(a);
        must(tracepiece_decode(a, t.pieces[0], &p));
        b->kept[t.n == 2 ? kind_of(p.spans[0].span_id / 16) : PLAIN]++;
    }
    must(tracehead_set_close(s));
    arena_free(a);
}

/* ---- all ---- */

static double cpu_seconds(void)
{
    struct rusage u;

    (void)getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* percent -1: without policies. CPU-seconds that it took. */
static double measure(struct bench *b, uint64_t traces, double percent)
{
    const char *tmp = getenv("TMPDIR");
    char *dir = mem_printf("%s/tail-bench-XXXXXX", tmp ? tmp : "/tmp");
    size_t before = mem_allocated_bytes();
    double began;

    if (!mkdtemp(dir))
        exit(2);
    clock_fake_init(&b->clock, 1700000000ll * NS_PER_S);
    b->enc = tracepiece_encoder_new();
    b->ring =
        ring_fixture_new(&(struct ring_fixture_opts){.signal = MEMBER_TRACES, .n = 1, .rf = 1});
    make_rules(b, percent);
    b->sampler = sampler_new(&(struct sampler_opts){
        .instance = "a", .ops = {own_ring, no_ask, no_tell, b}, .clock = &b->clock.clock});
    must(wal_open(&(struct wal_opts){.dir = dir, .segment_bytes = 64 << 20}, &b->wal));
    must(tracehead_open(&(struct tracehead_opts){.dir = dir,
                                                 .wal = b->wal,
                                                 .clock = &b->clock.clock,
                                                 .sampling = {b->sampler, rules_of, b}},
                        &b->head));
    must(tracehead_wait_ready(b->head));
    began = cpu_seconds();
    run(b, traces);
    began = cpu_seconds() - began;
    b->allocated = mem_allocated_bytes() - before;
    count_kept(b);
    tracehead_close(b->head);
    must(wal_close(b->wal));
    must(fsx_remove_tree(dir));
    ring_unref(b->ring);
    tenant_rules_unref(b->rules);
    tracepiece_encoder_free(b->enc);
    buf_done(&b->batch);
    mem_free(dir);
    return began;
}

int main(int argc, char **argv)
{
    uint64_t traces = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    double percent = argc > 2 ? strtod(argv[2], NULL) : 10, share, with, without;
    struct bench plain = {0}, b = {0};
    struct buf status = {0};
    bool is_bad;

    traces = traces / BATCH * BATCH;
    without = measure(&plain, traces, -1);
    with = measure(&b, traces, percent);
    share = 100.0 * (double)b.kept[PLAIN] / (double)ORR_MAX(b.made[PLAIN], 1u);
    printf("%llu traces of %d spans: errors kept %llu of %llu, slow kept %llu of %llu, others "
           "%.3f%% (set: %g%%)\n",
           (unsigned long long)traces, SPANS, (unsigned long long)b.kept[ERROR],
           (unsigned long long)b.made[ERROR], (unsigned long long)b.kept[SLOW],
           (unsigned long long)b.made[SLOW], share, percent);
    printf("CPU a trace: %.2f us without policies, %.2f us with\n", without / (double)traces * 1e6,
           with / (double)traces * 1e6);
    sampler_status(b.sampler, SLICE("t"), &status);
    printf("%smemory when all were judged: %.0f MiB without policies, %.0f MiB with; budget of "
           "what is remembered: %.0f MiB\n",
           buf_cstr(&status), (double)plain.allocated / 1048576, (double)b.allocated / 1048576,
           (double)ORR_MIN(traces, 1000000u) * 72 / 1048576);
    is_bad = b.kept[ERROR] != b.made[ERROR] || b.kept[SLOW] != b.made[SLOW] ||
             plain.kept[PLAIN] != plain.made[PLAIN] || share < percent * 0.99 ||
             share > percent * 1.01;
    if (is_bad)
        printf("MISSED\n");
    sampler_free(plain.sampler);
    sampler_free(b.sampler);
    buf_done(&status);
    return is_bad;
}
