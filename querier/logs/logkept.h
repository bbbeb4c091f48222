/*
 * The first lines of a query, or of a piece of one, in its direction: a heap with the worst on top. A line in it owns its bytes, so
 * that memory is that of the lines kept, charged to the run's arena.
 *
 *   as bytes, for pieces that others read: uvarint lines, in order, each: varint time since the one before | lstr key, empty: that of the
 *   one before | lstr line
 *   key: three label sets (pipeline_state_categories()), labels_put() each
 *
 * Owner: the run's thread.
 */
#pragma once
#include "querier/logs/logquery_internal.h"

/* One block of memory: the labels' key and the line behind it. */
struct logkept_line {
    int64_t ts_ns;
    uint64_t order; /* of coming, for lines of one time */
    size_t key_len, line_len;
    uint8_t bytes[];
};

struct logkept {
    struct logquery_run *run;
    bool is_forward;
    size_t limit;
    struct logkept_line **heap; /* the worst first; in order once it was sorted */
    size_t n, cap;
    uint64_t order;
    size_t charged;
};

static inline struct slice logkept_key(const struct logkept_line *k)
{
    return slice_of(k->bytes, k->key_len);
}
static inline struct slice logkept_text(const struct logkept_line *k)
{
    return slice_of(k->bytes + k->key_len, k->line_len);
}
void logkept_done(struct logkept *l); /* {0} is allowed */
/* Whether a line of that time would be kept. */
static inline bool logkept_has_room(const struct logkept *l, int64_t ts_ns)
{
    if (l->n < l->limit)
        return true;
    return l->is_forward ? ts_ns < l->heap[0]->ts_ns : ts_ns > l->heap[0]->ts_ns;
}
/* There is room for it. */
void logkept_add(struct logkept *l, int64_t ts_ns, struct slice key, struct slice line);
/* In the order of the answer: the heap, emptied. */
void logkept_sort(struct logkept *l);
/* Of lines in order those at least an interval apart, limit of them at most. */
void logkept_thin(struct logkept *l, int64_t interval_ns, size_t limit);
/* Takes the first of what another one has in order, while there is room. */
void logkept_take(struct logkept *l, struct logkept *of);

/* In order. */
void logkept_save(const struct logkept *l, struct buf *out);
/* Into one without lines: in order, of this piece. What is malformed fails the reader. */
ORR_CHECKED struct err *logkept_load(struct logkept *l, const struct logsource_piece *at,
                                     struct reader *r);

/* Appends the key. */
void logkept_put_key(struct buf *out, struct pipeline_labels labels);
/* Of a key, that lends them. */
struct pipeline_labels logkept_labels(struct arena *a, struct slice key);
