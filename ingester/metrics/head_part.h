/*
 * What a reader takes from one shard: the series it asked for as they were at one moment.
 *
 * Captured on the shard's thread (copies of packed labels, open chunk and out-of-order samples, and
 * where the closed chunks begin); afterwards used without the shard by one other thread. Closed
 * chunks are read from the mapped files, which the part keeps; label texts stay valid because the
 * part pins the index.
 */
#pragma once
#include "ingester/metrics/head_internal.h"

struct head_row {
    struct hash128 fp;
    uint64_t sealed; /* position of the newest closed chunk; 0: none */
    uint32_t ref;
    uint32_t labels_len; /* packed, in blob just before open_at */
    uint32_t open_len;   /* open chunk in blob at open_at; 0: none */
    uint32_t ooo_n;      /* samples in blob behind it */
    uint16_t open_samples;
    uint8_t open_encoding;
    uint32_t starts_n; /* runs of start timestamps in blob behind those */
    uint64_t open_at;
    int64_t open_min_ms, open_max_ms;
};
struct head_part {
    struct head_ts *ts; /* only for its pin */
    VEC(struct head_row) rows;
    struct buf blob;
    struct head_name **names;
    struct head_pair **slabs;
    struct head_ts_cut *cuts;
    size_t n_cuts;
    struct head_chunks_view view;
    bool is_frozen;
    uint64_t broken; /* chunks that failed their checksum; reader's count */
    /* set before the first add */
    int64_t newest_ms;  /* HEAD_PART_NEWEST: no sample after this is asked for */
    bool is_unlabelled; /* rows without labels */
    /* set by head_part_sort_keyed() */
    uint32_t *order;  /* rows by fingerprint; NULL: as they stand */
    uint8_t *is_kept; /* by id of a label name: whether rows show it; NULL: all */
    size_t n_names;
    /* the reader's place */
    size_t next;
};

/* On the shard thread. */
enum head_part_what {
    HEAD_PART_CLOSED, /* closed chunks only */
    HEAD_PART_RANGES, /* also where the open chunk lies, without its bytes */
    HEAD_PART_ALL,
    HEAD_PART_NEWEST, /* a chunk of the newest sample alone, where that is at hand; else all */
};
void head_part_add(struct head_part *p, struct head_ts *ts, uint32_t ref, enum head_part_what what);
void head_part_freeze(struct head_part *p, struct head_ts *ts); /* after the last add */
/* By the reader; any thread, after freeze. */
void head_part_sort(struct head_part *p); /* rows in label order */
/* Rows by fingerprint; of their labels only those among the names are shown. */
void head_part_sort_keyed(struct head_part *p, const struct slice *names, size_t n);
static inline const struct head_row *head_part_row(const struct head_part *p, size_t i)
{
    return &p->rows.ptr[p->order ? p->order[i] : i];
}
int head_row_cmp(const struct head_part *a, const struct head_row *x, const struct head_part *b,
                 const struct head_row *y);
/* Labels of a row; texts are lent as long as the part, the array is the arena's. */
struct labels head_row_labels(const struct head_part *p, const struct head_row *row,
                              struct arena *a);
/* Chunks that overlap [min_ms, max_ms], in no order, pushed on out; encoded out-of-order samples are
 * in the arena. */
struct head_chunk_list {
    struct head_chunk *ptr;
    size_t len, cap;
};
void head_row_chunks(struct head_part *p, const struct head_row *row, int64_t min_ms,
                     int64_t max_ms, struct arena *a, struct head_chunk_list *out);
void head_part_done(struct head_part *p);
