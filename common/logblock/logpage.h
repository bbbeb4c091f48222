/*
 * A page of log lines: about LOGPAGE_AIM_BYTES of them, of one or several streams, as columns. What
 * went in comes back byte for byte, whatever bytes the lines hold.
 *
 *     offset  size  field                                    all integers little endian
 *          0     8  magic "ORRLPG" 0 1
 *          8     4  entries
 *         12     4  runs
 *         16     8  bytes of all lines, and of names and values of structured metadata
 *         24     8  least time, Unix ns
 *         32     8  greatest time
 *         40   6*16 sections: u32 offset from the start of the page, u32 stored bytes, u32 bytes
 *                   when decompressed (equal to stored: it is not compressed), u32 crc32c of what
 *                   is stored
 *                      0 runs       uvarint stream, uvarint count, each
 *                      1 times      intplanes.h
 *                      2 tree       of the lines: templates, and what columns there are (logcol_internal.h)
 *                      3 meta tree  the same of structured metadata; empty: no entry has any
 *                      4 columns    of the lines: payloads, each with its own checksum in the tree
 *                      5 meta columns
 *        136     4  crc32c of the header before it
 *        140     -  the sections: 2, 0, 1, 3, 4, 5: what every reader wants is in front
 *
 * Lines are *templates and variables* (logskel_internal.h says how they are told apart): of lines that are
 * JSON objects, or logfmt, keys and punctuation are the template, each value is a variable of its
 * key's column. Of other lines words that differ are variables. Each column picks its coding by
 * its values (logcol_internal.h): numbers, hex ids, addresses and times become binary, few distinct ones a
 * dictionary, texts again templates and variables. So a filter or a parsed field reads one column,
 * and a search looks first at templates and dictionaries, of which there are few.
 *
 * Order: entries of a page are sorted by (stream, time); equal ones stay as they came. Entries are
 * named by their index in the page.
 *
 * Everything the decoder reads is taken for hostile: it fails with ERR_CORRUPT, and what comes out
 * is bounded by the header's byte counts, these by the limits below, and memory by the arena.
 *
 * Owner: a builder and an open page belong to one thread at a time.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/logblock/logfilter.h"
#include "common/model/labels.h"

#define LOGPAGE_AIM_BYTES (1u << 20)
#define LOGPAGE_MAX_BYTES (64u << 20) /* of lines and metadata; so a line of 10 MB has a page */
#define LOGPAGE_MAX_ENTRIES (1u << 18)
#define LOGPAGE_LEVEL 1 /* of zstd, for who has no reason for another */
#define LOGPAGE_HEADER_BYTES 140

/* ---- building ---- */

struct logpage_entry {
    uint32_t stream; /* an ordinal; what it means is the caller's */
    int64_t ts_ns;
    struct slice line;
    struct labels meta; /* structured metadata: sorted by name, names unique */
};

/* What counts against LOGPAGE_MAX_BYTES. */
static inline uint64_t logpage_entry_bytes(const struct logpage_entry *e)
{
    uint64_t n = e->line.len;

    for (size_t i = 0; i < e->meta.n; i++)
        n += e->meta.ptr[i].name.len + e->meta.ptr[i].value.len;
    return n;
}

/* Scratch memory and compression contexts, to be used for many pages; some MB. */
struct logpage_builder;

struct logpage_builder *logpage_builder_new(void);
void logpage_builder_free(struct logpage_builder *b); /* NULL is allowed */
/*
 * Appends the page of entries, which are sorted as above; they are lent for the call. level is
 * zstd's, 1 to 19. grams (NULL: not wanted) is filled with what the needle filter is made of: what
 * was in it is replaced.
 * Fails with ERR_TOO_LARGE over LOGPAGE_MAX_*, or when ret is bounded and full, and with ERR_INVALID
 * if entries are not sorted; ret is then as it was.
 */
ORR_CHECKED struct err *logpage_build(struct logpage_builder *b,
                                      const struct logpage_entry *entries, size_t n, int level,
                                      struct buf *ret, struct logfilter_grams *grams);

/* ---- moving ---- */

/* What the header says. */
struct logpage_about {
    uint32_t entries, runs;
    uint64_t raw_bytes;
    int64_t min_ns, max_ns;
};
ORR_CHECKED struct err *logpage_peek(struct slice page, struct logpage_about *ret);
/* Appends the page, which has one run, with another number of the stream; what it holds is copied, unread. */
ORR_CHECKED struct err *logpage_renumber(struct slice page, uint32_t stream, struct buf *out);

/* ---- reading ---- */

struct logpage;

struct logpage_run {
    uint32_t stream, first, n; /* entries [first, first+n) */
};

/* Where the bytes of a page come from when it is not at hand whole: lends [off, off+len) of it until
 * the page is no longer used. */
typedef struct err *logpage_fetch_fn(void *arg, uint64_t off, size_t len, struct slice *ret);

/* Lives in the arena, as does all that the calls below hand out; bytes are lent as long. Header and
 * tree are checked now, the rest when it is asked for. */
ORR_CHECKED struct err *logpage_open(struct arena *a, struct slice bytes, struct logpage **ret);
/* The same of size bytes read by ranges: header and tree at first (in one read, as a rule). */
ORR_CHECKED struct err *logpage_open_ranged(struct arena *a, uint64_t size, logpage_fetch_fn *fetch,
                                            void *arg, struct logpage **ret);

uint32_t logpage_n_entries(const struct logpage *p);
uint64_t logpage_raw_bytes(const struct logpage *p);
int64_t logpage_min_ns(const struct logpage *p);
int64_t logpage_max_ns(const struct logpage *p);
/* Bytes of the page that have been read so far. */
uint64_t logpage_touched_bytes(const struct logpage *p);

ORR_CHECKED struct err *logpage_runs(struct logpage *p, const struct logpage_run **ret,
                                     size_t *ret_n);
ORR_CHECKED struct err *logpage_times(struct logpage *p, const int64_t **ret);
/* Of runs as logpage_runs() gave them; NULL: the page has no entry of the stream. */
const struct logpage_run *logpage_find_run(const struct logpage_run *runs, size_t n,
                                           uint32_t stream);
/* The first of entries [first, end), which are of one run, at t or later; end: there is none. */
uint32_t logpage_find_time(const int64_t *times, uint32_t first, uint32_t end, int64_t t);

/* A set of entries: bit i & 63 of word i >> 6 is entry i. */
#define LOGPAGE_WORDS(n) (((n) + 63) / 64)
static inline bool logpage_has(const uint64_t *set, uint32_t i)
{
    return set[i >> 6] >> (i & 63) & 1;
}

/* The lines of entries [first, first+n), entry first in ret[0]; of those only that are in want
 * (NULL: all; indexed by entry), the others are {NULL, 0}. Lines lie in the arena. */
ORR_CHECKED struct err *logpage_lines(struct logpage *p, const uint64_t *want, uint32_t first,
                                      uint32_t n, struct slice *ret);
/* Structured metadata, likewise. */
ORR_CHECKED struct err *logpage_meta(struct logpage *p, const uint64_t *want, uint32_t first,
                                     uint32_t n, struct labels *ret);

/* The entries whose line holds needle, exactly. ret has LOGPAGE_WORDS(entries) words and is
 * overwritten. The empty needle is in all. */
ORR_CHECKED struct err *logpage_match(struct logpage *p, struct slice needle, uint64_t *ret);
/* The entries that hold every one of the needles; likewise. *ret_has false: none does. */
ORR_CHECKED struct err *logpage_match_all(struct logpage *p, const struct slice *needles, size_t n,
                                          uint64_t *ret, bool *ret_has);
/* Whether, as header and tree alone say, no line can hold it. */
bool logpage_lacks(struct logpage *p, struct slice needle);
/*
 * Longer texts, with the needle in them, one of which every line has that has the needle: an id that can only be the value of a field
 * stands behind that field's name. Of them a filter knows more than of the needle. By what is at hand; lives as long as the page. 0:
 * the needle may be elsewhere.
 */
#define LOGPAGE_MAX_CONTEXTS 4
size_t logpage_contexts(struct logpage *p, struct slice needle,
                        struct slice ret[LOGPAGE_MAX_CONTEXTS]);

/* Whether structured metadata of any entry may have a label of that name, as the tree of it says. */
ORR_CHECKED struct err *logpage_meta_may_have(struct logpage *p, struct slice name, bool *ret);

/* ---- one field of the lines ---- */

enum logpage_stage { LOGPAGE_JSON, LOGPAGE_LOGFMT };

/*
 * What a stage of LogQL makes of one name in each line, without the line. Of each entry one of
 *   is_value     the stage gives the name this value (once, and the stage has no error)
 *   is_unknown   the line itself must be parsed: it is not of the kind, or not of a plain form
 *   neither      the stage has no error and does not give the name
 * The name is the stage's (jsonline.h: names of nested objects are joined with _). Of logfmt an empty
 * value is a value here; a stage without keep-empty leaves it out.
 */
struct logpage_column {
    const uint64_t *is_value, *is_unknown;
    uint32_t n_values, n_unknown;
    /* By entry, if all values are plain decimal numbers; else NULL. What strconv.ParseFloat makes of
     * them. */
    const double *num;
    struct logpage_field *field;
};
ORR_CHECKED struct err *logpage_column(struct logpage *p, enum logpage_stage stage,
                                       struct slice name, struct logpage_column *ret);
/* The texts of the values by entry, unescaped as the stage does, {NULL, 0} where there is none. want as
 * in logpage_lines. */
ORR_CHECKED struct err *logpage_column_text(struct logpage *p, const struct logpage_column *c,
                                            const uint64_t *want, const struct slice **ret);

/* What the tree alone says of the name: a page where no value is in the range asked for, and none is
 * unknown, is skipped. */
struct logpage_range {
    bool has_values;
    bool has_unknown;
    bool is_numeric; /* all values are plain decimal numbers in [min, max] */
    double min, max;
};
struct logpage_range logpage_column_range(const struct logpage *p, enum logpage_stage stage,
                                          struct slice name);
