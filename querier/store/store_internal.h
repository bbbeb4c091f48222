/* What the files of the store share. */
#pragma once
#include "querier/store/block_owners.h"
#include "querier/store/block_serve.h"
#include "querier/store/page_disk.h"
#include "querier/store/store.h"

struct store {
    struct store_opts opts;
    struct blockset *blocks, *log_blocks, *trace_blocks; /* NULL: there is no bucket */
    struct page_disk *disk;                              /* below pages; NULL: none */
    struct block_heads *heads;                           /* NULL: headers are in memory */
    struct job_pool *jobs;             /* that wait for the object store; NULL as pages */
    struct objpages *pages;            /* NULL: blocks are mapped, or there are none */
    struct blockset_room *room;        /* of all sets; NULL as pages */
    struct tombset *tombs, *log_tombs; /* NULL: there is no bucket */
    struct fanout_suspects *suspects, *owner_suspects;
    struct block_serve *serve; /* NULL: blocks are not read for others */
    struct store_owned_stats owned;
    uint64_t selects, failures;
    uint64_t lost_blocks;                 /* done without (blockloss.h) */
    uint64_t tier_blocks[TIERS];          /* opened for selects, by resolution */
    uint64_t skipped[BLOCK_SKIP_REASONS]; /* blocks that were not, by reason */
    struct store_logs_stats logs;
    struct store_traces_stats traces;
};

/* Starts method at the tenant's ingesters. *ret NULL: there are none to ask (store_opts.ring). */
ORR_CHECKED struct err *store_ask(struct store_query *sq, const char *method, struct slice payload,
                                  struct fanout **ret);
/* Once every stream has begun to answer and before blocks are taken: what f has said of what is in blocks only. f may be
 * NULL. */
void store_heard(struct store_query *sq, struct fanout *f);
/* The blocks of the range that may have what the filter (NULL: none) looks for, by a catalogue no older than this call, and
 * than what ingesters have dropped by. */
ORR_CHECKED struct err *store_take_blocks(struct store_query *sq, int64_t min_ms, int64_t max_ms,
                                          const struct blockset_filter *filter,
                                          struct blockset_view *ret);
/* The owners of a block that may be asked now, in order, as numbers of the ring; 0: it is read here. */
unsigned store_askable_owners(struct store_query *sq, const struct ring *queriers, struct ulid ulid,
                              uint16_t ret[BLOCK_OWNERS_MAX]);
/* A set's warnings are the query's as they are now; no more than lent. */
void store_query_lend_warnings(const struct store_query *sq, struct series_set *set);
/* A query's warning when the view's catalogue may not be the newest. */
void store_warn_if_stale(struct store_query *sq, const struct blockset_view *v);
/* So many blocks need not be opened for the query. */
void store_count_skipped(struct store_query *sq, enum block_skip reason, uint64_t n);
/* A file of a block that is not part of Prometheus' format ("exemplars"); empty if it has none.
 * In the arena. */
ORR_CHECKED struct err *store_read_sidecar(struct store_query *sq, const struct block_reader *r,
                                           const char *name, struct slice *ret);

/* Series as they are stored, what is deleted included; labels_only as store_series(). */
ORR_CHECKED struct err *store_select_raw(struct store_query *sq, struct matchers ms, int64_t min_ms,
                                         int64_t max_ms, bool labels_only, struct series_set **ret);

void store_logs_stats_get(struct store *s, struct store_logs_stats *ret);
void store_traces_stats_get(struct store *s, struct store_traces_stats *ret);
/* Which catalogue is new enough for a signal of which a query asks several times: what the first look found holds for all of it, unless
 * an ingester has dropped something since. Both belong to the signal, in the query. */
struct newness_need store_need_of(struct store_query *sq, uint64_t dropped_by,
                                  int64_t *io_not_before_ns);
