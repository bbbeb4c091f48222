/*
 * Files beside the index of a segment or block, for what Prometheus' format has no place for:
 *
 *   exemplars   magic "ORREXM" 0 1, { lstr canonical labels of the series, i64 t_ms, f64 value,
 *               lstr canonical labels of the exemplar }..., u32 CRC-32C of all before it
 *   metadata    magic "ORRMTD" 0 1, { u8 type, lstr family, lstr help, lstr unit }..., u32 CRC-32C
 *
 * A third one, of start timestamps, stands beside them and has a codec of its own (block_starts.h).
 *
 * Little endian; lstr as in buf.h, canonical labels as in common/model/labels.h. A merge writes the entries of
 * all its inputs sorted, each once, so the same inputs in any order give the same bytes.
 *
 * Bytes are taken as hostile. Entries borrow from them. Any thread.
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/reader.h"
#include "common/model/labels.h"

#define SIDECAR_MAX_BYTES (64u << 20)

enum sidecar_kind { SIDECAR_EXEMPLARS, SIDECAR_METADATA };
#define SIDECAR_KINDS 2

const char *sidecar_file(enum sidecar_kind kind); /* "exemplars", "metadata" */

struct sidecar_exemplar {
    struct slice series; /* canonical labels */
    int64_t t_ms;
    double value;
    struct slice labels; /* canonical labels */
};
struct sidecar_metadata {
    uint8_t type; /* enum sample_metric_type */
    struct slice family, help, unit;
};

void sidecar_begin(struct buf *out, enum sidecar_kind kind);
void sidecar_put_exemplar(struct buf *out, const struct sidecar_exemplar *x);
void sidecar_put_metadata(struct buf *out, const struct sidecar_metadata *m);
void sidecar_end(struct buf *out);

/* ERR_CORRUPT when magic or checksum are wrong. */
ORR_CHECKED struct err *sidecar_open(enum sidecar_kind kind, struct slice bytes,
                                     struct reader *ret);
/* False at the end or when malformed (then reader_ok is false). */
bool sidecar_next_exemplar(struct reader *r, struct sidecar_exemplar *ret);
bool sidecar_next_metadata(struct reader *r, struct sidecar_metadata *ret);
/* Reads all of it: ERR_CORRUPT when any of it is wrong. */
ORR_CHECKED struct err *sidecar_check(enum sidecar_kind kind, struct slice bytes);

/* Whether an exemplar stays; tmp is its own. */
typedef bool sidecar_keep_fn(void *arg, struct arena *tmp, struct labels series,
                             const struct sidecar_exemplar *x);
/* Replaces out by a sidecar of the exemplars that stay; empty (no magic either) when none does. ERR_CORRUPT. */
ORR_CHECKED struct err *sidecar_sift_exemplars(struct slice bytes, sidecar_keep_fn *keep, void *arg,
                                               struct buf *out);

/* Replaces out by a sidecar with the entries of all n; empty (no magic either) when there are none.
 * ERR_CORRUPT when one of them is. */
ORR_CHECKED struct err *sidecar_merge(enum sidecar_kind kind, const struct slice *inputs, size_t n,
                                      struct buf *out);
