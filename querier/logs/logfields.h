/*
 * The fields that log lines have: what is in their JSON or logfmt, in their structured metadata, and what a query's stages
 * have parsed.
 *
 *     {"user":{"id":7},"took":"12ms"}      user_id: int, json, path user id     took: duration, json, path took
 *     level=info took=3                    level: string, logfmt                took: int, logfmt
 *
 * A line is JSON if it is an object without an error; else logfmt, if all of it is; else it has nothing but metadata. Names
 * are labels' names as the stages json and logfmt make them; one that the stream has, too, gets _extracted behind
 * it. Fields without a value are none.
 *
 * A field's type is the narrowest that all its values have: int is a float, too; whatever else is mixed is a string.
 *
 * Memory: the arena; per field at most a struct distinct, its name and path. Owner: one thread.
 */
#pragma once
#include "common/base/distinct.h"
#include "common/base/map.h"
#include "common/logs/jsonline.h"
#include "querier/logs/logquery.h"

/* X(symbol, name) in the order in which they are tried. */
#define LOGFIELDS_TYPES(X)                                                                         \
    X(LOGFIELDS_INT, "int")                                                                        \
    X(LOGFIELDS_FLOAT, "float")                                                                    \
    X(LOGFIELDS_BOOLEAN, "boolean")                                                                \
    X(LOGFIELDS_DURATION, "duration")                                                              \
    X(LOGFIELDS_BYTES, "bytes")                                                                    \
    X(LOGFIELDS_STRING, "string")
enum logfields_type {
#define X(sym, name) sym,
    LOGFIELDS_TYPES(X)
#undef X
};
enum logfields_parser { LOGFIELDS_NO_PARSER, LOGFIELDS_JSON = 1, LOGFIELDS_LOGFMT = 2 }; /* bits */

enum logfields_type logfields_type_of(struct slice value);

struct logfields_item {
    struct slice name, value;
    enum logfields_parser parser;
    struct slice path; /* JSON: lstr after lstr */
};
typedef void logfields_fn(void *arg, const struct logfields_item *item);

/* Takes lines apart; {.arena = …} is a fresh one. */
struct logfields_reader {
    struct arena *arena;
    struct arena *line; /* what one line needs */
    struct jsonline json;
    struct buf name, value;
    struct logfields_item *items; /* of the line, until it is known to be well formed */
    size_t n, cap;
};
/* fn for every field of every line of the stream; its arguments are lent. */
void logfields_each(struct logfields_reader *r, const struct logquery_stream *s, logfields_fn *fn,
                    void *arg);
void logfields_reader_done(struct logfields_reader *r);

struct logfield {
    struct slice name, path;
    enum logfields_type type;
    unsigned parsers; /* bits */
    struct distinct values;
};
struct logfields {
    struct arena *arena;
    uint32_t max; /* fields; those that come later are left out */
    struct logfields_reader reader;
    struct map index;
    struct logfield **ptr;
    size_t n, cap;
    bool is_cut; /* some were left out */
};
void logfields_add(struct logfields *f, const struct logquery_stream *s);
/* In the order of their names. */
void logfields_sort(struct logfields *f);
/* {"label":"a","type":"int","cardinality":3,"parsers":["json"],"jsonPath":["a"]} */
void logfields_json(struct buf *out, const struct logfield *one);
void logfields_done(struct logfields *f);
