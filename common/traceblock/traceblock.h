/*
 * A block of traces: those of one tenant that were first heard of in some hours, each span once. traces/<tenant>/<ULID>/ in the bucket.
 *
 *   meta.json   block_meta.h. min_t, max_t: from the first start to the last end of its spans, in ms, rounded down, and up to
 *               exclusive; samples: spans; series: services; chunks: row groups; segments: those of ingesters that it holds
 *   index       the services, a TSDB index (block_index.h): a series {service.name="…"} for each, by name, and {service.name="\xff"} of
 *               spans without one. Its one chunk: the first start and last end of its spans, in ms rounded down, and as ref how many
 *   front       front parts of row groups (tracegroup.h) back to back
 *   back        their back parts
 *   directory   offset  size  field                            little endian
 *                    0     8  magic "ORRTBD" 0 1
 *                    8     4  groups
 *                   12     8  traces
 *                   20     8  spans
 *                   28  96*n  groups, by id: 16 first, 16 last trace id; u64 u64 offset of front and back part; u32 u32 their bytes, u32 u32
 *                             of those in headers; u32 traces, u32 spans; i64 first start, i64 last end, Unix ns; u64 offset of its
 *                             filter in "ids"
 *                    -     4  crc32c of all before it
 *   ids         filters of the ids of a group's traces, back to back (traceids.h)
 *   summary     if asked for: block_summary.h, of the services
 *
 * The bytes of a block follow from its traces and the options, never from time or chance.
 *
 * What is read is taken for hostile: ERR_CORRUPT with the block and what is wrong in it.
 */
#pragma once
#include <stdatomic.h>

#include "common/base/clock.h"
#include "common/block/block_reader.h"
#include "common/traceblock/tracegroup.h"

#define TRACEBLOCK_FRONT_FILE "front"
#define TRACEBLOCK_BACK_FILE "back"
#define TRACEBLOCK_DIRECTORY_FILE "directory"
#define TRACEBLOCK_IDS_FILE "ids"
#define TRACEBLOCK_SERVICE "service.name"
#define TRACEBLOCK_NO_SERVICE "\xff" /* no text that is UTF-8 */
#define TRACEBLOCK_MAX_GROUPS (1u << 20)
#define TRACEBLOCK_MAX_SERVICES                                                                    \
    (1u << 17) /* more: those that come later are not told apart, as TRACEBLOCK_NO_SERVICE */

/* ---- writing: <dir>/<ULID>.tmp/, renamed to <dir>/<ULID> at the end, as block_writer.h does ---- */

struct traceblock_writer_opts {
    const char *dir; /* made if absent */
    struct block_meta
        meta; /* as in block_writer_opts; times, stats and files are filled in. Borrowed until finish */
    int level;        /* of zstd; 0: TRACEGROUP_LEVEL */
    bool has_summary; /* a block of the bucket */
    bool no_sync;     /* tests and benchmarks: no fsync */
};
struct traceblock_writer;

ORR_CHECKED struct err *traceblock_writer_open(const struct traceblock_writer_opts *opts,
                                               struct traceblock_writer **ret);
/* A whole trace, each span once; ids ascend strictly; without spans it is left out. Copies. ERR_INVALID. */
ORR_CHECKED struct err *traceblock_writer_trace(struct traceblock_writer *w,
                                                const struct tracepiece *p);
/* All files, meta.json last, sync, rename. ret_meta is copied into the arena. A block without traces is valid: it goes on naming
 * its segments. After an error only close() may follow. */
ORR_CHECKED struct err *traceblock_writer_finish(struct traceblock_writer *w, struct arena *a,
                                                 struct block_meta *ret_meta);
void traceblock_writer_close(
    struct traceblock_writer *w); /* without a finish what was written goes */
uint64_t traceblock_writer_spans(const struct traceblock_writer *w); /* so far */

/* ---- reading ---- */

/* Beside a reader of the services (block_reader.h), which is lent and outlives it. The directory is read at the first call that wants
 * it. Any thread; a set belongs to one. */
struct traceblock;
ORR_CHECKED struct err *traceblock_open(struct block_reader *services, struct traceblock **ret);
void traceblock_close(struct traceblock *b); /* NULL is allowed */
/* Bytes that it takes beside the reader's; more once the directory was read. */
size_t traceblock_memory(struct traceblock *b);

/* Sets want[i] of each trace of the columns that is wanted; it is all 0 before. scratch: emptied after the call. */
typedef struct err *traceblock_match_fn(void *arg, struct arena *scratch,
                                        const struct tracecols *cols, uint8_t *want);
struct traceblock_query {
    int64_t start_ns,
        end_ns; /* traces with a span that overlaps this; end is exclusive; 0, INT64_MAX: all */
    uint8_t first[16], last[16]; /* ids from first to last, both included */
    const uint8_t (*ids)[16];    /* ascending; only these. NULL: all of the range */
    size_t n_ids;
    /* A hint: a block with spans of none of these services has nothing. n 0: any service. */
    const struct slice *services;
    size_t n_services;
    /* Of each group what match is to look at. match NULL: all traces are wanted. */
    struct tracegroup_want want;
    traceblock_match_fn *match;
    void *arg;
    bool ids_only;            /* no pieces */
    const uint8_t (*but)[16]; /* ascending; these are left out */
    size_t n_but;
    /* All are looked at with each group. */
    const atomic_bool *cancel; /* ERR_CANCELED; may be NULL */
    const atomic_bool *stop;   /* the same */
    int64_t deadline_mono_ms;  /* ERR_TIMEOUT, by clock_system's mono; 0: none */
};
struct traceblock_trace {
    const uint8_t *id;
    const struct tracepiece *piece; /* NULL: ids_only */
};
struct traceblock_stats {
    uint64_t groups,
        groups_skipped;    /* that were opened; that were in the range of ids, but not opened */
    uint64_t bytes, spans; /* read; that match looked at */
};
struct traceblock_set;
/* Traces by ascending id. q and what it points to are lent until the set is closed. Memory: a group at a time, charged to the arena, which
 * outlives the set; ERR_LIMIT once it is over. */
ORR_CHECKED struct err *traceblock_select(struct traceblock *b, struct arena *a,
                                          const struct traceblock_query *q,
                                          struct traceblock_set **ret);
/* Lent until the next call. False at the end or after an error. */
bool traceblock_set_next(struct traceblock_set *s, struct traceblock_trace *ret);
void traceblock_set_stats(const struct traceblock_set *s, struct traceblock_stats *ret);
/* NULL, or why it stopped early. Frees s; NULL is allowed. */
ORR_CHECKED struct err *traceblock_set_close(struct traceblock_set *s);

/* Of each group that has traces which are wanted, those in columns; lent for the call. An error ends it and is its. stats may be
 * NULL. */
typedef struct err *traceblock_group_fn(void *arg, struct tracegroup *g,
                                        const struct tracecols *cols, bool *ret_stop);
ORR_CHECKED struct err *traceblock_groups(struct traceblock *b, struct arena *a,
                                          const struct traceblock_query *q,
                                          const struct tracegroup_want *want,
                                          traceblock_group_fn *fn, void *arg,
                                          struct traceblock_stats *stats);

/* ---- merging ---- */

/* Traces by ascending id, each with its pieces. */
struct traceblock_source {
    /* The next trace, whatever pieces of the one before were not asked for; *ret_id NULL: there is none. What was lent goes. */
    struct err *(*trace)(void *arg, const uint8_t **ret_id, uint32_t *ret_pieces);
    /* The next piece of that trace; arrays in a, texts lent. */
    struct err *(*piece)(void *arg, struct arena *a, struct tracepiece *ret);
    void (*close)(void *arg);
    void *arg;
};
/*
 * What a row group may take of memory, with one of its pieces, where no query says it: ERR_LIMIT. The largest that traceblock_merge() makes is
 * a trace of TRACEBLOCK_TRACE_BYTES behind some that are small, and takes about as much in columns again.
 */
#define TRACEBLOCK_GROUP_BYTES (1u << 30)
/* All of a block, which outlives it. Holds one group in memory. */
ORR_CHECKED struct err *traceblock_source_block(struct traceblock *b,
                                                struct traceblock_source *ret);
/* All of a file of a segment (common/traces/tracesegment.h), which is open and outlives it. */
struct tracesegment;
struct traceblock_source traceblock_source_segment(const struct tracesegment *s);

/*
 * Whole traces of all sources, each span once (tracepiece_unite()), into w. Closes the sources, whatever happens. *stop (may be NULL):
 * ERR_CANCELED. Memory: what each source holds, and a trace: of one that takes more than max_trace_bytes (0: TRACEBLOCK_TRACE_BYTES)
 * pieces that come behind are left out.
 */
#define TRACEBLOCK_TRACE_BYTES (256u << 20) /* about 240,000 spans; before they are united */
struct traceblock_merged {
    uint64_t duplicates; /* spans that were there more than once */
    uint64_t cut;        /* traces of which something was left out */
};
/* ret may be NULL. */
ORR_CHECKED struct err *traceblock_merge(const struct traceblock_source *sources, size_t n,
                                         size_t max_trace_bytes, const atomic_bool *stop,
                                         struct traceblock_writer *w,
                                         struct traceblock_merged *ret);

/* Reads everything and checks that it is what it says: sums, order, times, services, filters. A group at a time in memory. */
ORR_CHECKED struct err *traceblock_verify(struct traceblock *b);
