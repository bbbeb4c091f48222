/*
 * From log lines in a decoder's own form to a batch: the one way in for every protocol.
 *
 *   decoder ──struct labels──▶ log_builder_stream(): relabel rules → service name → canonical
 *                              labels, fingerprint → limits of labels
 *           ──struct log_in──▶ log_builder_entry(): time, size, structured metadata → rules (drop,
 *                              sample, scrub) → level → batch.entries
 *
 * What is refused is counted by its reason (a whole stream: by its lines), and the rest goes on;
 * what is refused whole (malformed input) is the decoder's to say. Limits and their meaning are
 * those of Loki (common/model/limits.h).
 *
 * Lines may be any bytes; names and values of labels and structured metadata are UTF-8, what is not
 * becomes U+FFFD in metadata and is refused in labels. Both are kept sorted by name; of a name that
 * comes twice the last value counts, as in Loki.
 *
 * Memory: lines must be valid until the write is done: in the batch's body or arena, or static.
 * Other texts too; labels are copied.
 *
 * Owner: one loop.
 */
#pragma once
#include "common/model/tenant_rules.h"
#include "ingester/door/fp_cache.h"
#include "ingester/door/log_batch.h"

#define LOG_SERVICE_LABEL "service_name"
#define LOG_SERVICE_UNKNOWN "unknown_service"
#define LOG_BUILDER_MAX_LABELS 4096              /* of a stream, whatever the tenant's limit */
#define LOG_BUILDER_MAX_ARENA_BYTES (256u << 20) /* made for one write */
#define LOG_BUILDER_MAX_ENTRIES 16777216

/* X(symbol, name for metrics (Loki's), text) */
#define LOG_REASONS(X)                                                                             \
    X(LOG_MISSING_LABELS, "missing_labels", "stream has no labels: at least one is needed")        \
    X(LOG_INVALID_LABELS, "invalid_labels",                                                        \
      "label name is not [a-zA-Z_][a-zA-Z0-9_]*, or label value is not UTF-8")                     \
    X(LOG_MAX_LABELS, "max_label_names_per_series",                                                \
      "stream has more labels than limit max_label_names_per_stream allows")                       \
    X(LOG_MISSING_ENFORCED, "missing_enforced_labels",                                             \
      "stream lacks a label that limit enforced_labels asks for")                                  \
    X(LOG_NAME_TOO_LONG, "label_name_too_long",                                                    \
      "label name is longer than limit max_label_name_length allows")                              \
    X(LOG_VALUE_TOO_LONG, "label_value_too_long",                                                  \
      "label value is longer than limit max_stream_label_value_length allows")                     \
    X(LOG_TOO_OLD, "greater_than_max_sample_age",                                                  \
      "timestamp is older than limit reject_old_samples_max_age allows")                           \
    X(LOG_TOO_NEW, "too_far_in_future",                                                            \
      "timestamp is further ahead than limit creation_grace_period allows")                        \
    X(LOG_LINE_TOO_LONG, "line_too_long", "line is longer than limit max_line_size allows")        \
    X(LOG_METADATA_OFF, "disallowed_structured_metadata",                                          \
      "line has structured metadata, which allow_structured_metadata does not allow")              \
    X(LOG_METADATA_TOO_LARGE, "structured_metadata_too_large",                                     \
      "structured metadata is larger than limit max_structured_metadata_size allows")              \
    X(LOG_METADATA_TOO_MANY, "structured_metadata_too_many",                                       \
      "structured metadata has more pairs than limit max_structured_metadata_entries_count "       \
      "allows")                                                                                    \
    X(LOG_RATE_LIMITED, "rate_limited", "more bytes than limit ingestion_rate_mb allows")          \
    X(LOG_BAD_RECORD, "malformed_record", "record that cannot be read")
enum log_reason {
    LOG_OK = -1,
#define X(sym, name, text) sym,
    LOG_REASONS(X)
#undef X
        LOG_REASON_COUNT
};
const char *log_reason_name(enum log_reason reason);

struct log_rejects {
    uint64_t lines[LOG_REASON_COUNT], bytes[LOG_REASON_COUNT];
    struct slice example[LOG_REASON_COUNT]; /* labels of the first; canonical, in the arena */
    const char *detail[LOG_REASON_COUNT];   /* what exactly is wrong with that one; may be NULL */
    uint64_t truncated;                     /* lines that were cut, and stored */
};

/* One line as a client sent it. */
struct log_in {
    int64_t t_ns;
    struct slice line;
    const struct label *metadata; /* any order; lent until the call returns, its texts longer */
    size_t n_metadata;
};

/* Where lines go: a stream of the batch, or why it has none. */
struct log_builder_at {
    uint32_t stream;
    enum log_reason reason; /* LOG_OK, or lines given to it are refused with that */
    bool is_dropped;        /* by the tenant's log_relabel_configs */
    uint64_t rules;         /* of the tenant's log_rules, those that are for this stream */
    struct slice labels;    /* canonical, in the arena; as far as there are some */
    uint8_t level;          /* that its labels say (line_level.h) */
};

/* What one of the tenant's rules did: lines that it dropped or changed, and their bytes as they came. */
struct log_tally {
    uint64_t lines, bytes;
};

struct log_builder {
    struct log_batch *batch;
    const struct fp_cache *known;     /* NULL: none */
    const struct tenant_rules *rules; /* NULL: none */
    struct log_tally *tally; /* of log_rules, in their order, then of relabel rules; NULL: none */
    uint64_t *stream_rules;  /* as log_builder_at.rules, by stream of the batch */
    size_t stream_rules_cap;
    int64_t now_ns, min_t_ns, max_t_ns;
    bool is_lax; /* what a decoder saw, without limits and what they discover: for its tests */
    struct log_rejects rejects;
    struct label *scratch; /* in the arena */
    size_t scratch_cap;
    size_t arena_before;
};

/* Both are lent until the builder is not used any more (nothing is to be freed). */
void log_builder_init(struct log_builder *b, struct log_batch *batch, const struct fp_cache *known,
                      int64_t now_ns);
/* What the tenant's rules say of logs: log_relabel_configs and log_rules are applied before limits of
 * labels and after limits of lines. Lent likewise. NULL: none. */
void log_builder_set_rules(struct log_builder *b, const struct tenant_rules *rules);
static inline struct arena *log_builder_arena(struct log_builder *b)
{
    return b->batch->arena;
}
/* ls: any order, names may come twice; an empty value is no label. */
struct log_builder_at log_builder_stream(struct log_builder *b, struct labels ls);
/* ERR_LIMIT only when the whole write is over LOG_BUILDER_MAX_*; else refusals are counted. */
ORR_CHECKED struct err *log_builder_entry(struct log_builder *b, const struct log_builder_at *at,
                                          const struct log_in *in);
/* A record that the decoder itself refused; detail may be NULL (copied). */
void log_builder_reject(struct log_builder *b, enum log_reason reason, uint64_t bytes,
                        struct slice labels, const char *detail);
uint64_t log_builder_refused(const struct log_builder *b); /* lines */
/* NULL when nothing was refused; else ERR_INVALID with reasons, counts and examples. */
ORR_CHECKED struct err *log_builder_answer(const struct log_builder *b);
/* After the replicas have taken it: its streams are known from now on. */
void log_builder_remember(const struct log_batch *batch, struct fp_cache *known);

/*
 * A protocol: decodes the whole body (batch->body, or what arg has). ERR_INVALID: it cannot be
 * read, and nothing is stored.
 */
typedef struct err *log_decode_fn(struct log_builder *b, const void *arg);
struct log_decoder {
    const char *name; /* "loki", "otlp" …: label of metrics, static */
    log_decode_fn *decode;
    const void *arg; /* until log_door_write() returns */
};
