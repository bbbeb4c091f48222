/*
 * A log line as a document of Elasticsearch: fields, and what it is printed as.
 *
 *     esdoc_init(&d, arena);
 *     esdoc_stream(&d, labels);                  for each stream
 *     esdoc_line(&d, &entry);                    for each line: nothing is parsed yet
 *     esdoc_each(&d, SLICE("user.id"), fn, arg)  the values of a field, until fn says that it is enough
 *
 * A field's values are those of the first of these that has it:
 *   @timestamp, _index, _id, what they say; of an index are the streams whose label index is its name, and those without that
 *              label are of the index ESDOC_NO_INDEX
 *   a label of the stream, unless it is message
 *   a member of a line that is a JSON object (a.b: member b of member a, or the member "a.b"; each item of a list is a value),
 *              or the value of a logfmt line, if all of the line is logfmt
 *   message    of a line that is no JSON object: the line
 *   attributes.x, and by their own names those of ESDOC_METADATA: structured metadata
 *   x.keyword  what x is
 * Nulls and empty values are none. A text is UTF-8 or not, as the line is.
 *
 * Without a field: every value of the JSON object, or the line.
 *
 * Owner: one thread. What fn gets is lent until it returns.
 */
#pragma once
#include "common/base/hash.h"
#include "common/base/jsonval.h"
#include "querier/logs/logsource.h"

#define ESDOC_NO_INDEX "unindexed"
#define ESDOC_ATTRIBUTES "attributes."
#define ESDOC_MAX_DEPTH 64 /* of a line: deeper ones are no JSON */

/* X(name): structured metadata that is a field by its own name. */
#define ESDOC_METADATA(X)                                                                          \
    X("trace_id")                                                                                  \
    X("span_id")                                                                                   \
    X("severity_text")                                                                             \
    X("severity_number")                                                                           \
    X("detected_level")                                                                            \
    X("event_name")
bool esdoc_is_metadata(struct slice name);

enum esvalue_kind { ESVALUE_TEXT, ESVALUE_NUMBER, ESVALUE_BOOL };
struct esvalue {
    enum esvalue_kind kind;
    struct slice text; /* of numbers and truths, too */
    long double number;
    bool is_float; /* a number that was written with a point or an exponent */
};

enum esdoc_form { ESDOC_UNREAD, ESDOC_JSON, ESDOC_LOGFMT, ESDOC_PLAIN };
struct esdoc_pair {
    struct slice name, value;
};
struct esdoc {
    struct arena *arena; /* the search's: it is charged */
    struct arena *tmp;   /* what one line needs */
    struct labels stream;
    struct slice index;
    uint64_t stream_hash;
    int64_t ts_ns;
    struct slice line;
    struct labels metadata;
    enum esdoc_form form;
    struct jsonval_doc *json;
    struct jsonval root;
    struct esdoc_pair *pairs; /* of logfmt */
    size_t n_pairs, cap_pairs;
    struct buf text;
    uint64_t id;   /* 0: not made yet */
    bool descends; /* an object's values are the field's, too: for whether it exists */
    /* Between two parts of a long look at one document (esmatch.h): NULL, or why it ends here. May be NULL. */
    struct err *(*look)(void *arg);
    void *look_arg;
    uint64_t work; /* since then, in bytes compared */
    struct err *
        err; /* what it said; the caller's to take, and what it was told of the document is nothing then */
};

void esdoc_init(struct esdoc *d, struct arena *a);
void esdoc_done(struct esdoc *d);
void esdoc_stream(struct esdoc *d, struct labels stream);
void esdoc_line(struct esdoc *d, const struct logsource_entry *entry);

/* True: fn has said that it is enough. */
typedef bool esdoc_fn(void *arg, const struct esvalue *v);
bool esdoc_each(struct esdoc *d, struct slice field, esdoc_fn *fn, void *arg);
/* The names of all fields with their values, each name once or, of lists, several times. */
typedef void esdoc_field_fn(void *arg, struct slice name, const struct esvalue *v);
void esdoc_fields(struct esdoc *d, esdoc_field_fn *fn, void *arg);
enum esdoc_form esdoc_form(struct esdoc *d);

/*
 * Which of the documents of one millisecond it is, an order that lasts: 20 bits of time, 33 of hash, so that JavaScript reads it
 * as it is. Value of _doc and _shard_doc in sorting.
 */
uint64_t esdoc_order(struct esdoc *d);
/* 64 bits over stream, time and line. */
uint64_t esdoc_id(struct esdoc *d);

/* ---- words ---- */

static inline uint8_t esdoc_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}
/* A word is a run of letters, digits, _ and what is not ASCII. Cuts it off *rest; false: there is none. */
bool esdoc_next_word(struct slice *rest, struct slice *ret);

/* ---- printing ---- */

/* Of _source what is wanted: names may have *. */
struct esdoc_wants {
    const struct slice *includes, *excludes;
    size_t n_includes, n_excludes; /* no includes: all */
};
bool esdoc_wants(const struct esdoc_wants *w, struct slice name);
/* * is any text, ? a rune, \ takes what is behind it as it is. ignores_case: of ASCII in text; the pattern is lower case then.
 * At most the product of both lengths. */
bool esdoc_glob(struct slice pattern, struct slice text, bool ignores_case);
/* v as JSON: texts quoted, numbers and truths as they are. */
void esdoc_put_value(struct buf *out, const struct esvalue *v);

/*
 * _source. The line itself if it is a document of an index (it came by _bulk) and all of it is wanted; else an object of its
 * members, or of @timestamp and message, with labels, metadata of ESDOC_METADATA, and the rest of metadata in attributes.
 */
void esdoc_source(struct esdoc *d, const struct esdoc_wants *wants, struct buf *out);
