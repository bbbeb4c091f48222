/* The directory of a block of log lines, and an open block; within common/logblock only. */
#pragma once
#include "common/base/lock.h"
#include "common/logblock/logblock.h"

/* ---- directory ---- */

#define LOGBLOCK_DIRECTORY_MAGIC "ORRLBD\0\1"
#define LOGBLOCK_DIRECTORY_MAGIC_BYTES 8
#define LOGBLOCK_DIRECTORY_HEADER 16
#define LOGBLOCK_DIRECTORY_PAGE 44
#define LOGBLOCK_DIRECTORY_STREAM 32
#define LOGBLOCK_MAX_PAGE_BYTES (4u * LOGPAGE_MAX_BYTES) /* of one page in the file */

struct logblock_page_at {
    uint64_t offset;
    uint32_t bytes, entries;
    uint64_t raw; /* bytes of lines and structured metadata */
    int64_t min_ns, max_ns;
    uint32_t crc;
};
struct logblock_stream_at {
    struct hash128 fp;
    uint64_t entries, bytes;
};

/* pages, streams: their entries, as logblock_directory_put_…() made them. */
void logblock_directory_put_page(struct buf *pages, const struct logblock_page_at *p);
void logblock_directory_put_stream(struct buf *streams, const struct logblock_stream_at *s);
void logblock_directory_write(struct slice pages, struct slice streams, struct buf *out);

struct logblock_directory {
    uint32_t n_pages, n_streams;
    const uint8_t *pages, *streams; /* encoded; lent */
    uint64_t pages_bytes, entries;
};
/* Pages lie back to back from 0, streams ascend, sums agree. The bytes are lent. ERR_CORRUPT. */
ORR_CHECKED struct err *logblock_directory_parse(struct slice bytes,
                                                 struct logblock_directory *ret);
struct logblock_page_at logblock_directory_page(const struct logblock_directory *d, uint32_t i);
struct logblock_stream_at logblock_directory_stream(const struct logblock_directory *d, uint32_t i);

/* ---- an open block ---- */

struct logblock {
    struct block_reader *streams;
    struct block_source *src; /* of streams */
    struct lock lock;         /* guards what follows; once it is there it does not change */
    bool has_directory;
    struct logblock_directory directory;
    size_t directory_bytes; /* in memory */
    struct arena *filter_arena;
    struct logfilter *filter;
    struct logfilter_memo *filter_memo; /* of it; with a lock of its own */
};

/* Adds the block's name; and if e is ERR_CORRUPT, what caches have of it is not used again. NULL is allowed. */
ORR_CHECKED struct err *logblock_error(const struct logblock *b, struct err *e);
/* Of a file, as meta.json has it. UINT64_MAX: it names none. */
uint64_t logblock_listed_bytes(const struct logblock *b, const char *file);
ORR_CHECKED struct err *logblock_directory_get(struct logblock *b,
                                               const struct logblock_directory **ret);

/* Reads parts of one file of the block, by one thread. */
struct logblock_in {
    struct logblock *block;
    const char *file;
    size_t ahead; /* from where nothing is held: so much is read at once */
    struct buf scratch;
    struct slice window; /* what was read last */
    uint64_t window_off;
    bool is_kept;
    struct objpages_hold *hold;
};
void logblock_in_done(struct logblock_in *in);
/* Lends exactly [off, off+len): *ret_is_kept: as long as the block, else until the next call. */
ORR_CHECKED struct err *logblock_in_read(struct logblock_in *in, uint64_t off, size_t len,
                                         struct slice *ret, bool *ret_is_kept);
/* Lets go of what was held, and holds these. */
ORR_CHECKED struct err *logblock_in_hold(struct logblock_in *in,
                                         const struct logfilter_range *ranges, size_t n);
/* Takes out of the set of pages those that, by the filter, lack one of the needles. */
ORR_CHECKED struct err *logblock_narrow(struct logblock *b, const struct slice *needles, size_t n,
                                        uint64_t *set, uint64_t *touched);

/* ---- pages as they are ---- */

/* The page's entries are the next ones of the stream. It becomes one of the block, unread, if that is worth it: it is not small, and
 * what is put before it would not become a small one either. *ret_taken false: nothing was done. */
ORR_CHECKED struct err *logblock_writer_page(struct logblock_writer *w,
                                             const struct logblock_part *p, bool *ret_taken);

/* ---- a query ---- */

/* A stream that matches, and which pages have lines of it in the range. */
struct logblock_match {
    uint32_t ref, stream, first, last;
};
struct logblock_matches {
    const struct logblock_directory *dir;
    struct logblock_match
        *ptr; /* by fingerprint; the first page of one is not before the last of the one before */
    size_t n;
    uint64_t *pages;       /* that are wanted, a bit each */
    uint64_t skipped;      /* pages of streams that match, which are not */
    uint64_t filter_bytes; /* read */
};
static inline bool logblock_has_page(const struct logblock_matches *m, uint32_t page)
{
    return logpage_has(m->pages, page);
}
/* In the arena. is_all: whatever the times are. */
ORR_CHECKED struct err *logblock_match(struct logblock *b, struct arena *a,
                                       const struct logblock_query *q, bool is_all,
                                       struct logblock_matches *ret);
/* ERR_CANCELED, ERR_TIMEOUT, or ERR_LIMIT once the arena is over. */
ORR_CHECKED struct err *logblock_check(const struct logblock_query *q, const struct arena *a);
/* All of the block, whatever the times. */
ORR_CHECKED struct err *logblock_select_all(struct logblock *b, struct arena *a,
                                            struct logblock_set **ret);

/* Why it stopped early, as logblock_set_close() would say it; the set is of no more use. */
ORR_CHECKED struct err *logblock_set_take_error(struct logblock_set *s);

/* ---- an open page ---- */

struct logblock_page {
    struct arena *arena; /* NULL: none is open */
    uint32_t number;
    struct logpage *page;
    const struct logpage_run *runs;
    size_t n_runs;
    const int64_t *times;
    uint64_t *want; /* entries that hold the needles and may be in the bound; NULL: all */
    /* Of all entries, once many of its streams were asked for; else NULL. */
    struct slice *lines;
    struct labels *metas;
    unsigned n_asked;
};
/* Runs and times of p->page, which is open in p->arena; it must have n entries. */
ORR_CHECKED struct err *logblock_page_load(struct logblock_page *p, uint32_t n);
/* Ends it. */
void logblock_page_done(struct logblock_page *p);

/* Whether the bound says anything of this block. */
ORR_CHECKED struct err *logblock_bound_counts(struct logblock *b,
                                              const struct logblock_bound *bound, bool *ret);

/* Entries [at, end) of a page, one after the other, forward or backward. */
struct logblock_run {
    const struct logblock_page *page;
    uint32_t stream, first, at, end;
    const struct slice *lines; /* of first on */
    const struct labels *metas;
};
/* The entries of one stream in the page with from <= time, and time < to or (is_all) whatever it is. ERR_CORRUPT if it has no
 * entry of the stream at all. */
ORR_CHECKED struct err *logblock_run_open(struct logblock_page *p, uint32_t stream, int64_t from_ns,
                                          int64_t to_ns, bool is_all, struct logblock_run *ret);
bool logblock_run_next(struct logblock_run *r, bool is_backward, struct logpage_entry *ret);
