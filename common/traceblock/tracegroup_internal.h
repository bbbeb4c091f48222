/* Columns of a row group. Within common/traceblock only. */
#pragma once
#include <endian.h>

#include "common/base/map.h"
#include "common/base/vec.h"
#include "common/traceblock/tracegroup.h"

enum tracegroup_form { TRACEGROUP_INTS, TRACEGROUP_TEXTS, TRACEGROUP_FIXED, TRACEGROUP_SHAPES };

/* X(symbol, part, form, table, bytes of each value if fixed). Numbers are in files: only ever add. */
#define TRACEGROUP_COLUMNS(X)                                                                      \
    X(TRACE_ID, FRONT, FIXED, 16)                                                                  \
    X(TRACE_SPANS, FRONT, INTS, 0)                                                                 \
    X(TRACE_START, FRONT, INTS, 0)                                                                 \
    X(SPAN_RESOURCE, FRONT, INTS, 0)                                                               \
    X(SPAN_SCOPE, FRONT, INTS, 0)                                                                  \
    X(SPAN_KIND, FRONT, INTS, 0) /* kind | status << 4 */                                          \
    X(SPAN_NAME, FRONT, TEXTS, 0)                                                                  \
    X(SPAN_START, FRONT, INTS, 0) /* behind the trace's, ns */                                     \
    X(SPAN_DURATION, FRONT, INTS, 0)                                                               \
    X(RESOURCE_SCHEMA, FRONT, TEXTS, 0)                                                            \
    X(SCOPE_NAME, FRONT, TEXTS, 0)                                                                 \
    X(SCOPE_VERSION, FRONT, TEXTS, 0)                                                              \
    X(SCOPE_SCHEMA, FRONT, TEXTS, 0)                                                               \
    X(SPAN_ID, BACK, FIXED, 8)                                                                     \
    X(SPAN_PARENT, BACK, INTS, 0) /* 0: none; 1 + row in the trace; -1: not there, its id is: */   \
    X(PARENT_ID, BACK, FIXED, 8)                                                                   \
    X(SPAN_MESSAGE, BACK, TEXTS, 0)                                                                \
    X(SPAN_STATE, BACK, TEXTS, 0)                                                                  \
    X(SPAN_FLAGS, BACK, INTS, 0)                                                                   \
    X(SPAN_EVENTS, BACK, INTS, 0)                                                                  \
    X(SPAN_DROPPED_EVENTS, BACK, INTS, 0)                                                          \
    X(SPAN_LINKS, BACK, INTS, 0)                                                                   \
    X(SPAN_DROPPED_LINKS, BACK, INTS, 0)                                                           \
    X(EVENT_TIME, BACK, INTS, 0) /* behind the span's start, ns */                                 \
    X(EVENT_NAME, BACK, TEXTS, 0)                                                                  \
    X(LINK_TRACE, BACK, FIXED, 16)                                                                 \
    X(LINK_SPAN, BACK, FIXED, 8)                                                                   \
    X(LINK_STATE, BACK, TEXTS, 0)                                                                  \
    X(LINK_FLAGS, BACK, INTS, 0)                                                                   \
    /* of each table: */                                                                           \
    X(SHAPES, BACK, SHAPES, 0)                                                                     \
    X(SHAPE, BACK, INTS, 0)                                                                        \
    X(DROPPED, BACK, INTS, 0)                                                                      \
    X(ATTRIBUTE, BACK, TEXTS, 0) /* its form is that of its kind */

enum tracegroup_column {
#define X(sym, part, form, each) TG_##sym,
    TRACEGROUP_COLUMNS(X)
#undef X
        TRACEGROUP_COLUMN_KINDS
};

#define TRACEGROUP_MAX_VALUES (1u << 26) /* of a column */

/* A kind beside those of values: keys and values, whatever they are. */
#define TRACEGROUP_ANY_KEY 255

static inline enum tracegroup_part tracegroup_part_of(enum tracetable table)
{
    return table == TRACE_RESOURCES || table == TRACE_LIBRARIES ? TRACEGROUP_FRONT
                                                                : TRACEGROUP_BACK;
}
enum tracegroup_form tracegroup_form_of(enum tracegroup_column column, uint8_t kind);
unsigned tracegroup_each_of(enum tracegroup_column column); /* bytes of a fixed value */
enum tracegroup_part tracegroup_part_of_column(enum tracegroup_column column,
                                               enum tracetable table);
/* Whether it is there once for each table. */
static inline bool tracegroup_is_of_table(enum tracegroup_column column)
{
    return column >= TG_SHAPES;
}

/* ---- columns that are being built ---- */

struct tracegroup_texts {
    struct arena *arena; /* of the texts */
    VEC(struct slice) dict;
    VEC(uint32_t) codes; /* of each value */
    uint32_t *slots;     /* open addressing: code + 1 */
    size_t n_slots, bytes;
};
void tracegroup_texts_add(struct tracegroup_texts *t, struct slice text);
void tracegroup_texts_clear(struct tracegroup_texts *t);
void tracegroup_texts_done(struct tracegroup_texts *t);

struct tracegroup_making {
    enum tracegroup_column column;
    enum tracetable table;
    uint8_t kind;
    uint32_t key;
    VEC(int64_t) ints;
    struct tracegroup_texts texts;
    struct buf fixed;
};

/* One part that is being written: its header's columns, and payloads. */
struct tracegroup_pack {
    struct block_zstd *zstd;
    struct buf columns, payloads, raw;
    uint32_t n_columns;
};
/* Nothing for a column that may be left out. ERR_TOO_LARGE. */
ORR_CHECKED struct err *tracegroup_pack_column(struct tracegroup_pack *p,
                                               const struct tracegroup_making *m);
/* raw: shapes, as the file has them. */
ORR_CHECKED struct err *tracegroup_pack_shapes(struct tracegroup_pack *p, enum tracetable table,
                                               uint64_t n, struct slice raw);

/* ---- columns that are read ---- */

struct tracegroup_read {
    uint8_t column, table, kind;
    uint32_t key;
    uint64_t n; /* values */
    uint32_t bytes, stored, crc;
    enum tracegroup_part part;
    uint64_t offset; /* in the part */
    bool is_loaded;
    const int64_t *ints;
    const struct slice *dict;
    const int64_t *codes; /* NULL: value i is dict[i] */
    size_t n_dict;
    const uint8_t *fixed; /* and shapes */
};
static inline struct slice tracegroup_text(const struct tracegroup_read *c, uint64_t i)
{
    return c->dict[c->codes ? (uint64_t)c->codes[i] : i];
}
/* Of fixed ones of 8 bytes. */
static inline uint64_t tracegroup_id(const struct tracegroup_read *c, uint64_t i)
{
    uint64_t id;

    memcpy(&id, c->fixed + i * sizeof(id), sizeof(id));
    return le64toh(id);
}
/* Of a table. */
struct tracegroup_shapes {
    bool is_loaded;
    uint32_t n_rows, n_shapes, n_columns;
    struct tracegroup_read **columns; /* of attributes, by number */
    const uint32_t *first;            /* n_shapes + 1: in list */
    const uint32_t *list;             /* numbers of columns */
    const int64_t *shape;             /* of each row */
};

struct tracegroup {
    struct arena *arena;
    struct tracegroup_io io;
    struct tracegroup_place place;
    struct tracegroup_about about;
    bool has_part[TRACEGROUP_PARTS];
    struct slice *keys[TRACEGROUP_PARTS];
    size_t n_keys[TRACEGROUP_PARTS];
    struct tracegroup_read *reads[TRACEGROUP_PARTS];
    size_t n_reads[TRACEGROUP_PARTS];
    struct tracegroup_read *by_kind[TRACEGROUP_COLUMN_KINDS]; /* of those that are no table's */
    uint32_t n_rows[TRACE_TABLES];
    struct tracegroup_shapes shapes[TRACE_TABLES];
    const uint32_t *first_span; /* traces + 1; from the first time it was asked for */
    struct tracegroup_whole *whole;
};

ORR_CHECKED struct err *tracegroup_corrupt(const char *what);
/* ERR_LIMIT: what is left of the arena is too little. */
ORR_CHECKED struct err *tracegroup_no_room(const struct arena *a);
/* The header of a part, once. */
ORR_CHECKED struct err *tracegroup_need_part(struct tracegroup *g, enum tracegroup_part part);
/* All columns of a part, in one read. */
ORR_CHECKED struct err *tracegroup_need_all(struct tracegroup *g, enum tracegroup_part part);
/* A column that is no table's, with n values; NULL: all are 0, or empty. */
ORR_CHECKED struct err *tracegroup_need(struct tracegroup *g, enum tracegroup_column column,
                                        uint64_t n, struct tracegroup_read **ret);
/* The same of a table's. */
ORR_CHECKED struct err *tracegroup_need_of(struct tracegroup *g, enum tracegroup_column column,
                                           enum tracetable table, uint64_t n,
                                           struct tracegroup_read **ret);
ORR_CHECKED struct err *tracegroup_load(struct tracegroup *g, struct tracegroup_read *c);
/* Shapes of the table's rows; columns of attributes have as many values as the rows need, but are not read. */
ORR_CHECKED struct err *tracegroup_need_shapes(struct tracegroup *g, enum tracetable table);
ORR_CHECKED struct err *tracegroup_need_spans(struct tracegroup *g);
/* Where each span's rows of a table begin (spans + 1), by how many it has; in a. */
ORR_CHECKED struct err *tracegroup_firsts(struct tracegroup *g, enum tracegroup_column counts,
                                          enum tracetable table, struct arena *a,
                                          const uint32_t **ret);
/* Numbers from 0 to below. */
ORR_CHECKED struct err *tracegroup_check_below(const struct tracegroup_read *c, uint64_t below,
                                               const char *what);

/* Ids of all spans, and of their parents; 0: none. */
ORR_CHECKED struct err *tracegroup_span_ids(struct tracegroup *g, uint64_t *ret);
ORR_CHECKED struct err *tracegroup_parents(struct tracegroup *g, const uint64_t *ids,
                                           uint64_t *ret);

/* A value of a column of attributes that is loaded; key: of the column, or of the value. */
ORR_CHECKED struct err *tracegroup_value(const struct tracegroup *g,
                                         const struct tracegroup_read *c, uint64_t i,
                                         struct arena *a, struct otlp_member *ret);
