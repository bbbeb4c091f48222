/*
 * A block of log lines: those of one tenant and some hours, each line once. logs/<tenant>/<ULID>/ in the bucket.
 *
 *   meta.json   block_meta.h. min_t, max_t: of the lines, in ms, rounded down, and up to exclusive; samples: lines; series:
 *               streams; chunks: pages; segments: those of ingesters that it holds
 *   index       the streams, a TSDB index (block_index.h) whose series are in the order of their fingerprints, not of
 *               their labels. A chunk of a series is a page that has lines of it: its least and greatest time of them, in ms
 *               rounded down, and as ref the ordinal of the stream (upper half) and the number of the page. Ordinals count
 *               streams from 0; pages of a stream come one after the other
 *   pages       pages (logpage.h) back to back; their streams are the ordinals
 *   directory   offset  size  field                            little endian
 *                    0     8  magic "ORRLBD" 0 1
 *                    8     4  pages
 *                   12     4  streams
 *                   16  44*n  pages: u64 offset, u32 bytes, u32 entries, u64 bytes of lines and structured metadata,
 *                             i64 i64 least and greatest time, Unix ns, u32 crc32c of the page
 *                    -  32*n  streams: u64 u64 fingerprint (lower, upper half), u64 entries, u64 bytes of lines
 *                             and structured metadata
 *                    -     4  crc32c of all before it
 *   filter      logfilter.h, of the pages
 *   summary     if asked for: block_summary.h, of the streams
 *
 * Lines are sorted by (fingerprint, time), equal times as they came; so whoever merges blocks, or frames (logframe.h), reads each
 * from its begin to its end, once. The bytes of a block follow from its lines, the options, and which pages were taken over, never from
 * time or chance.
 *
 * What is read is taken for hostile: ERR_CORRUPT with the block and what is wrong in it.
 */
#pragma once
#include <stdatomic.h>

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/block/block_reader.h"
#include "common/logblock/logpage.h"

#define LOGBLOCK_PAGES_FILE "pages"
#define LOGBLOCK_DIRECTORY_FILE "directory"
#define LOGBLOCK_FILTER_FILE "filter"
#define LOGBLOCK_MAX_PAGES (1u << 22)
#define LOGBLOCK_MAX_STREAMS (1u << 24)

/* A time in ms, rounded down, as meta.json and index have it. */
static inline int64_t logblock_ms(int64_t ns)
{
    return clock_ms_of_ns(ns);
}
/* Its first moment; times that do not fit are the first and the last. */
static inline int64_t logblock_ns(int64_t ms)
{
    return ms > INT64_MAX / NS_PER_MS   ? INT64_MAX
           : ms < INT64_MIN / NS_PER_MS ? INT64_MIN
                                        : ms * NS_PER_MS;
}
/* And the one after its last. */
static inline int64_t logblock_end_ns(int64_t ms)
{
    return ms == INT64_MAX ? INT64_MAX : logblock_ns(ms + 1);
}

/* ---- writing: <dir>/<ULID>.tmp/, renamed to <dir>/<ULID> at the end, as block_writer.h does ---- */

struct logblock_writer_opts {
    const char *dir; /* made if absent */
    struct block_meta
        meta; /* as in block_writer_opts; times, stats and files are filled in. Borrowed until finish */
    int level; /* of zstd; 0: LOGPAGE_LEVEL */
    bool
        has_summary; /* a block of the bucket: with a file "summary" (block_summary.h) of its streams */
    bool no_sync; /* tests and benchmarks: no fsync */
};

struct logblock_writer;

ORR_CHECKED struct err *logblock_writer_open(const struct logblock_writer_opts *opts,
                                             struct logblock_writer **ret);
/* The stream of the entries that follow; fingerprints strictly ascending. Copies. ERR_INVALID. */
ORR_CHECKED struct err *logblock_writer_stream(struct logblock_writer *w, struct hash128 fp,
                                               struct labels labels);
/* Times of a stream do not descend. Copies. e->stream is not looked at. ERR_INVALID; ERR_TOO_LARGE over LOGPAGE_MAX_BYTES. */
ORR_CHECKED struct err *logblock_writer_entry(struct logblock_writer *w,
                                              const struct logpage_entry *e);
/* All files, meta.json last, sync, rename. A stream without entries is left out. ret_meta is copied into the arena. A block
 * without lines is valid: it goes on naming its segments. After an error only close() may follow. */
ORR_CHECKED struct err *logblock_writer_finish(struct logblock_writer *w, struct arena *a,
                                               struct block_meta *ret_meta);
void logblock_writer_close(struct logblock_writer *w); /* without a finish what was written goes */
uint64_t logblock_writer_lines(const struct logblock_writer *w); /* so far */

/* ---- reading ---- */

/* Beside a reader of the streams (block_reader.h), which is lent and outlives it. Directory and footer of the filter are read at the
 * first call that wants them. Any thread; a set belongs to one. */
struct logblock;
ORR_CHECKED struct err *logblock_open(struct block_reader *streams, struct logblock **ret);
void logblock_close(struct logblock *b); /* NULL is allowed */
/* Bytes that it takes beside the reader's; more once directory and filter were read. */
size_t logblock_memory(struct logblock *b);

/* What a filter behind a parser wants of one field: a number in [min, max]. */
struct logblock_bound {
    enum logpage_stage stage;
    struct slice
        name; /* of the label that the stage makes, as it makes it where no other label has the name */
    double min, max;
};

/* Whether it leaves anything of the page, as header and trees alone say. For whoever knows that no stream has a label of the name;
 * of structured metadata the page is asked. */
ORR_CHECKED struct err *logblock_bound_may(struct logpage *p, const struct logblock_bound *b,
                                           bool *ret);
/* Takes out of want, a set of the page's entries, what it leaves out. *ret_has false: that was all. */
ORR_CHECKED struct err *logblock_bound_narrow(struct logpage *p, const struct logblock_bound *b,
                                              uint64_t *want, bool *ret_has);

struct logblock_query {
    struct matchers matchers;
    int64_t from_ns, to_ns; /* to is exclusive */
    bool is_backward;       /* newest first; equal times the other way round */
    /* Each line that is wanted holds all of these: others are left out, and pages that have none are passed over, most of
     * them unread. Lent until the set is closed. */
    const struct slice *needles;
    size_t n_needles;
    /* NULL: none. Lines are left out of which the stage makes no such label, without an error, or one that is a plain decimal
     * number out of the bound; most of them unread. Where a stream of the block has a label of that name, or structured
     * metadata of a page, nothing is: the filter then is of that one. Lent likewise. */
    const struct logblock_bound *bound;
    /* Streams whose fingerprint has an upper half in [fp_first, fp_last], no others. fp_last 0: all. */
    uint64_t fp_first, fp_last;
    uint64_t
        max_streams; /* that match and may have lines in the range, of whatever fingerprint; ERR_LIMIT beyond; 0: none */
    unsigned n_readers; /* blocks that are read at once, and share the memory to read ahead; 0: 1 */
    /* Both are looked at with each page. */
    const atomic_bool *cancel; /* ERR_CANCELED; may be NULL */
    const atomic_bool *stop;   /* the same */
    int64_t deadline_mono_ms;  /* ERR_TIMEOUT, by clock_system's mono; 0: none */
};
struct logblock_stream {
    struct hash128 fp;
    struct labels labels;
    /* Of the stream in the whole block. */
    uint64_t entries, bytes;
};
struct logblock_set; /* belongs to one thread */
/* Streams that match and may have lines in the range (and page, by the filter, that hold the needles), by fingerprint. Memory:
 * the arena is charged 24 bytes a stream, and three pages at a time; it outlives the set. */
ORR_CHECKED struct err *logblock_select(struct logblock *b, struct arena *a,
                                        const struct logblock_query *q, struct logblock_set **ret);
/* Before the first stream: what it and the next ones will want first is read, as far as there is room for it. */
ORR_CHECKED struct err *logblock_set_ahead(struct logblock_set *s);
bool logblock_set_stream(struct logblock_set *s,
                         struct logblock_stream *ret); /* until the next stream */
/* Lent until the next call. ret->stream is the ordinal. False at the stream's end or after an error. */
bool logblock_set_entry(struct logblock_set *s, struct logpage_entry *ret);
/* NULL, or why it stopped early. Frees s. NULL is allowed. */
ORR_CHECKED struct err *logblock_set_close(struct logblock_set *s);

struct logblock_stats {
    uint64_t pages, pages_skipped; /* that queries would have read but for times and filters */
    uint64_t filter_bytes, page_bytes, lines;
};
void logblock_set_stats(const struct logblock_set *s, struct logblock_stats *ret);

/* ---- merging ---- */

/* Entries of a stream that are in one page of a source. */
struct logblock_part {
    int64_t min_ns, max_ns; /* their times are not out of it */
    /* If the page has nothing else, and can be taken over as it is; else empty. */
    struct slice page, filter;
    uint32_t filter_class;
};

/* Lines of one tenant in the order of a block: a block, or a frame. */
struct logblock_source {
    /* The next stream, whatever entries of the one before were not asked for; what is lent lasts until the next stream. */
    struct err *(*stream)(void *arg, struct logblock_stream *ret, bool *ret_is_end);
    /* The next entry of that stream, lent until the next call. */
    struct err *(*entry)(void *arg, struct logpage_entry *ret, bool *ret_is_end);
    /* Of sources that say page by page what they have of the stream; else NULL. part: what is in the page so many behind that
     * which comes next; false: that was the last. limit: entry() gives those of the next n pages, then says that it is at the end. pass:
     * the next page is done with. Not while entries of a page are given. */
    bool (*part)(void *arg, uint32_t ahead, struct logblock_part *ret);
    void (*limit)(void *arg, uint32_t n);
    void (*pass)(void *arg);
    void (*close)(void *arg);
    void *arg;
    /* What it takes to have it open among many, if it has parts: whether it has pages that are not of one stream, bytes of labels,
     * and times that its entries are not out of. */
    bool has_mixed;
    uint64_t labels_bytes;
    int64_t min_ns, max_ns;
    /* Follows from what it has: sources are merged in this order. Of frames of one log it is the order of the log. */
    struct hash128 order;
};
/* All of a block, or of a frame whose bytes are lent; block and bytes outlive it. Each holds one page in memory. */
ORR_CHECKED struct err *logblock_source_block(struct logblock *b, struct logblock_source *ret);
struct logframe;
struct logblock_source logblock_source_frame(const struct logframe *f);

/* Whether a line stays. */
typedef bool logblock_keep_fn(void *arg, struct labels labels, const struct logpage_entry *e);
/*
 * All lines of the sources, each once (logmerge.h), that keep (NULL: all) keeps. Closes the sources, whatever happens. More than
 * LOGBLOCK_MERGE_SOURCES are merged in several goes, by blocks in work_dir (which then must be there, and is the caller's alone),
 * so memory is bounded; but for frames of which few are open at a time. *stop (may be NULL): ERR_CANCELED. ret_duplicates may be NULL.
 *
 * Where a frame alone has lines of a stream at some time, and nothing is asked of keep, its pages are taken over as they are:
 * neither read nor built again.
 *
 * Lines of one time come as the first source that has any has them, then those that only the second has, and so on;
 * first and second go by struct logblock_source's order. So the same sources give the same bytes, in whatever
 * order they are given and in however many goes.
 */
#define LOGBLOCK_MERGE_SOURCES 64
ORR_CHECKED struct err *logblock_merge(const struct logblock_source *sources, size_t n,
                                       logblock_keep_fn *keep, void *arg, const char *work_dir,
                                       const atomic_bool *stop, struct logblock_writer *w,
                                       uint64_t *ret_duplicates);

/* Reads everything and checks that it is what it says: sums, order, fingerprints, index against directory against pages.
 * Labels are taken for the stream's own: not of a block that is read with external ones. */
ORR_CHECKED struct err *logblock_verify(struct logblock *b);
