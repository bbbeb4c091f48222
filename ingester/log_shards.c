#include "ingester/log_shards.h"

#include <math.h>
#include <stdatomic.h>

#include "common/base/mem.h"
#include "common/base/metric.h"

#define CELLS 16384u      /* a power of two */
#define MEMORY_MS 10000.0 /* what came so long ago counts for 1/e */
#define SKEW_MS 10000u
#define PIECE_BYTES (16u << 10) /* at least, of a write */
#define TOKEN_STEP 0x9e3779b9u  /* the golden part of the ring: steps lie evenly, however many */

struct log_shards_metrics {
    uint64_t split_streams, pieces;
};
static const struct metric_field log_shards_fields[] = {
    METRIC_COUNTER(struct log_shards_metrics, split_streams, "orrery_log_sharded_streams_total",
                   "Streams of writes that came faster than limit shard_streams_desired_rate and "
                   "so were brought to several replica sets."),
    METRIC_COUNTER(struct log_shards_metrics, pieces, "orrery_log_sharded_pieces_total",
                   "Pieces that they were cut into."),
};

struct log_shards {
    const struct clock *clock;
    _Atomic uint32_t turn;
    struct log_shards_metrics m;
    _Atomic uint64_t cells[CELLS]; /* bytes that count, as float << 32 | mono ms */
};

struct log_shards *log_shards_new(const struct clock *clock)
{
    struct log_shards *s = mem_new(struct log_shards);

    s->clock = clock ? clock : &clock_system;
    metric_register(&s->m, log_shards_fields, ORR_COUNT(log_shards_fields), NULL);
    return s;
}

void log_shards_free(struct log_shards *s)
{
    if (!s)
        return;
    metric_unregister(&s->m);
    mem_free(s);
}

/* ---- rates ---- */

union cell {
    struct {
        uint32_t ms;
        float bytes;
    } is;
    uint64_t bits;
};
static_assert(sizeof(union cell) == 8, "both halves at once");

/* Bytes a second, these included. */
static double count(struct log_shards *s, uint32_t token, double bytes)
{
    _Atomic uint64_t *at = &s->cells[token & (CELLS - 1)];
    uint32_t now_ms = (uint32_t)clock_mono_ms(s->clock);
    union cell old = {.bits = atomic_load_explicit(at, memory_order_relaxed)}, next;

    do {
        uint32_t age_ms = now_ms - old.is.ms;

        if (age_ms > UINT32_MAX - SKEW_MS) /* another thread has read the clock later */
            age_ms = 0;
        next.is.ms = old.is.ms + age_ms;
        next.is.bytes = (float)(old.is.bytes * exp(-(double)age_ms / MEMORY_MS) + bytes);
    } while (!atomic_compare_exchange_weak_explicit(at, &old.bits, next.bits, memory_order_relaxed,
                                                    memory_order_relaxed));
    return next.is.bytes / (MEMORY_MS / 1000);
}

/* ---- pieces ---- */

uint32_t log_shards_token(const struct log_batch *b, const struct log_stream *s)
{
    return labels_token(b->tenant, s->fp) + s->shard * TOKEN_STEP;
}

enum loghead_place log_shards_place(const struct ring *r, struct slice instance,
                                    struct slice tenant, struct hash128 fp)
{
    int self = ring_find(r, instance);
    struct ring_set set;

    if (self < 0 || !ring_set_count(r))
        return LOGHEAD_UNPLACED;
    set = ring_replicas(r, labels_token(tenant, fp));
    for (unsigned i = 0; i < set.n; i++)
        if (set.instances[i] == self)
            return LOGHEAD_HOME;
    return LOGHEAD_AWAY;
}

static void split(struct log_shards *s, struct log_batch *b, uint32_t stream, uint32_t shards)
{
    uint64_t bytes = b->streams.ptr[stream].bytes;
    uint32_t pieces = (uint32_t)ORR_MIN(1 + bytes / PIECE_BYTES, (uint64_t)shards);
    uint32_t first = atomic_fetch_add_explicit(&s->turn, pieces, memory_order_relaxed);
    size_t made = b->streams.len;

    /* lines without bytes would each be a piece, with all its labels */
    log_batch_split(b, stream, ORR_MAX((bytes + pieces - 1) / pieces, 1u));
    b->streams.ptr[stream].shard = first % shards;
    for (size_t i = made; i < b->streams.len; i++)
        b->streams.ptr[i].shard = (uint32_t)(first + 1 + (i - made)) % shards;
    METRIC_ADD(s->m.split_streams, 1);
    METRIC_ADD(s->m.pieces, 1 + b->streams.len - made);
}

void log_shards_split(struct log_shards *s, struct log_batch *b, size_t sets, size_t doors)
{
    double desired = (double)b->limits.shard_streams_desired_rate / (double)ORR_MAX(doors, 1u);
    size_t n = b->streams.len;

    if (!b->limits.shard_streams_enabled || desired <= 0 || sets < 2)
        return;
    for (uint32_t i = 0; i < n; i++) {
        const struct log_stream *st = &b->streams.ptr[i];
        double rate;

        if (!st->n)
            continue;
        rate = count(s, labels_token(b->tenant, st->fp), (double)st->bytes);
        if (rate > desired)
            split(s, b, i, (uint32_t)ORR_MIN(ceil(rate / desired), (double)sets));
    }
}
