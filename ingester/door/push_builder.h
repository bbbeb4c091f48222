/*
 * From series in a decoder's own form to a push: the one way in for every protocol but the steady
 * path of remote write 1.0 (write_request.h).
 *
 *   decoder ──struct push_in──▶ push_builder_add(): the tenant's rules (rewrite.h), replicas of
 *   pairs (ha_tracker.h) → canonical labels, fingerprint → validation, limits (door_reason.h) →
 *   push.series
 *
 * Labels that the cache vouches for (a fingerprint added under the same limits) are not looked into
 * again. A refused series is counted with its reason, and the rest goes on; what is refused whole
 * (malformed input) is the decoder's to say.
 *
 * Rules are those of series_labels.h. An exemplar whose labels are not UTF-8, occur twice or have
 * more than 128 characters is dropped and counted; so is one that is behind another of the same
 * push_in (common/model/exemplar_order.h).
 *
 * Memory: texts given must be valid until push_builder_add() returns, those of metadata and arrays
 * within histograms until the write is done: in the push's body or arena, or static. Nothing is
 * allocated per series but its canonical bytes in the push's arena.
 *
 * Owner: one loop.
 */
#pragma once
#include "common/model/labels.h"
#include "ingester/door/door_reason.h"
#include "ingester/door/fp_cache.h"
#include "ingester/door/ha_tracker.h"
#include "ingester/push.h"

#define PUSH_BUILDER_EXEMPLAR_MAX_CHARS 128
#define PUSH_BUILDER_MAX_LABELS 4096 /* of a series, whatever the tenant's limit */
/* Of the label bytes and arrays made for one write: a few bytes of a body can stand for long
 * symbols many times. */
#define PUSH_BUILDER_MAX_BYTES (128u << 20)
#define PUSH_BUILDER_METADATA_MS 300000

struct push_in_exemplar {
    const struct label *labels; /* any order */
    size_t n_labels;
    double v;
    int64_t t_ms;
};

/* One series as a client sent it. */
struct push_in {
    const struct label *labels; /* any order; the name is __name__; an empty value is no label */
    size_t n_labels;
    const struct sample *samples; /* lent: copied when there is more than one */
    size_t n_samples;
    const struct push_histogram
        *histograms; /* copied, their arrays are not; rw_histogram_check() */
    size_t n_histograms;
    const struct push_in_exemplar *exemplars; /* lent */
    size_t n_exemplars;
    int64_t created_ms; /* start of the series (counter created); 0: unknown */
    int64_t start_ms;   /* start timestamp of the samples here; 0: created_ms is */
};

struct push_rejects {
    uint64_t samples[DOOR_REASON_COUNT];     /* histograms count as samples */
    struct slice example[DOOR_REASON_COUNT]; /* canonical labels of the first series; in the push */
    const char *detail[DOOR_REASON_COUNT];   /* what exactly is wrong with that one; may be NULL */
    uint64_t exemplars, metadata;            /* dropped */
    uint64_t relabelled, deduplicated;       /* samples and histograms dropped without a word */
    uint64_t exemplars_behind;               /* of those: for their place in this write alone */
};

/* Whether the samples of this replica are taken; else why not. */
typedef enum ha_verdict push_ha_fn(void *arg, const struct push *p, struct slice cluster,
                                   struct slice replica);

/* Members are for the way in of the door; decoders use the calls below. */
struct push_builder {
    struct push *push;
    const struct fp_cache *known;
    int64_t now_ms;
    struct push_rejects rejects;
    struct label *scratch; /* in the arena */
    size_t scratch_cap;
    struct hash128 *metadata; /* of this write: a table that forgets; in the arena */
    size_t arena_before;      /* bytes in the arena when it began */
    struct rewrite *rewrite;  /* NULL: labels stay as they are */
    push_ha_fn *ha;           /* asked once per run of series of one pair; NULL: all are taken */
    void *ha_arg;
    uint32_t ha_pair; /* the last one asked for */
    uint64_t ha_epoch;
    enum ha_verdict ha_verdict;
};

/* What a decoder sees of the push. */
static inline struct arena *push_builder_arena(struct push_builder *b)
{
    return b->push->arena;
}
static inline struct slice push_builder_body(const struct push_builder *b) /* decompressed */
{
    return buf_slice(&b->push->body);
}
static inline const struct tenant_limits *push_builder_limits(const struct push_builder *b)
{
    return &b->push->limits;
}
/* Of labels, samples and all else so far. */
static inline size_t push_builder_bytes(const struct push_builder *b)
{
    return arena_used(b->push->arena) - b->arena_before;
}
/* For protocols whose samples may have no time. */
static inline int64_t push_builder_now_ms(const struct push_builder *b)
{
    return b->now_ms;
}

/* ERR_LIMIT only when the whole write is over PUSH_BUILDER_MAX_BYTES; else refusals are counted. */
ORR_CHECKED struct err *push_builder_add(struct push_builder *b, const struct push_in *in);
/* Why labels would be refused; any order. */
enum door_reason push_builder_check(struct push_builder *b, struct labels ls);
/* Too long or not UTF-8: dropped and counted. */
void push_builder_metadata(struct push_builder *b, const struct push_metadata *m);
/* The same for protocols that send it with every series: left out when this write has it already,
 * or when it was stored within the last PUSH_BUILDER_METADATA_MS. */
void push_builder_metadata_once(struct push_builder *b, const struct push_metadata *m);
/* n samples that the decoder itself refused; labels: canonical, of an example, may be empty; in
 * the body or arena. */
void push_builder_reject(struct push_builder *b, enum door_reason reason, uint64_t n,
                         struct slice labels);
/* The same with what exactly is wrong (copied). */
void push_builder_reject_with(struct push_builder *b, enum door_reason reason, uint64_t n,
                              struct slice labels, const char *detail);
/* n exemplars that the decoder itself dropped. */
void push_builder_drop_exemplars(struct push_builder *b, uint64_t n);

/*
 * A protocol: decodes the whole body with the calls above. ERR_INVALID: it cannot be read and
 * nothing is stored. To be given to door_write().
 */
typedef struct err *push_decode_fn(struct push_builder *b, const void *arg);
struct push_decoder {
    const char *name; /* "remote_write_2", "otlp", "influx" …: label of metrics, static */
    push_decode_fn *decode;
    const void *arg; /* until door_write() returns */
    /* Exemplars that replicas refuse make the write one that was refused in part. */
    bool is_strict;
    bool is_own;  /* made in here: no rules of the tenant apply, and no rate */
    bool is_late; /* of peers alone: the push is (push.h) */
};

/* ---- for the door and for tests of decoders ---- */

/* Both are lent until the builder is not used any more (nothing is to be freed). */
void push_builder_init(struct push_builder *b, struct push *p, const struct fp_cache *known,
                       int64_t now_ms);
/*
 * Labels as they came → what they are stored under. key: fingerprint of the bytes they came in
 * (NULL: that of their canonical bytes). DOOR_OK with ret->is_gone: a rule dropped the series or its
 * replica is not the elected one; n samples are then counted as that. For decoders of this
 * directory that fill the push themselves.
 */
struct push_named {
    struct slice labels; /* canonical, in the arena */
    struct hash128 fp;
    bool is_known, is_gone;
};
enum door_reason push_builder_name(struct push_builder *b, struct labels ls,
                                   const struct hash128 *key, uint64_t n, struct push_named *ret);
/* After the replicas have taken p: its series are known from now on. */
void push_builder_remember(const struct push *p, struct fp_cache *known);
