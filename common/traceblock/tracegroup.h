/*
 * A row group of a block of traces: some traces one behind the other by id, column by column, so that a question reads the columns
 * that it is about, and a whole trace comes back as it was sent.
 *
 * It is in two parts, which lie in two files: the *front* has what most questions are about, the *back* all else.
 *
 *   front   of traces: id, number of spans, first start. Of spans: resource, scope, kind and status, name, start, duration. Resources and
 *           scopes, each once in the group, with their attributes
 *   back    of spans: id, parent, message, trace state, flags, attributes, what was dropped. Events and links
 *
 *   part    header, payloads of its columns back to back
 *   header  u8 1, uvarint each: traces, spans, resources, scopes, events, links
 *           uvarint keys; each lstr
 *           uvarint columns; each: u8 column (enum tracegroup_column), u8 table (enum tracetable), u8 kind (enum otlp_value_kind),
 *           uvarint key, uvarint values, uvarint bytes, uvarint bytes stored (fewer: one zstd frame), u32 crc32c of what is stored
 *           u32 crc32c of all before it
 *   values, by the column's form
 *     ints    intplanes.h: description, payload
 *     texts   uvarint n; n uvarint lengths; the texts; ints: numbers of them, of each value; none if n is the number of values
 *     fixed   8 or 16 bytes each
 *     shapes  uvarint n; each: uvarint m, m uvarint numbers of attribute columns of the table
 *     blobs   as texts; each a value, or a key and a value, as tracepiece_put_…() has them
 *
 * *Attributes*: a row of a table has a shape, which names the columns that its attributes are in, in the order in which they were sent; each
 * of those columns gives its next value, so a column that is named twice gives two. A column has one key and one kind of value; beyond
 * TRACEGROUP_MAX_COLUMNS in a table, attributes with new keys are in one column of keys and values.
 *
 * A column without bytes is left out if all its values are 0 or empty.
 *
 * What is read is taken for hostile: ERR_CORRUPT. Owner: one thread each.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/traces/tracecols.h"
#include "common/traces/tracepiece.h"

#define TRACEGROUP_VERSION 1
#define TRACEGROUP_AIM_SPANS 16384u
#define TRACEGROUP_AIM_BYTES (8u << 20) /* of texts, ids and numbers of its spans */
#define TRACEGROUP_MAX_SPANS                                                                       \
    (16u << 20)                      /* of a group, and so of a trace; as many events, and links */
#define TRACEGROUP_MAX_COLUMNS 1000u /* of attributes of one table */
#define TRACEGROUP_MAX_COLUMN_BYTES (1u << 30)
#define TRACEGROUP_LEVEL 3 /* of zstd */

enum tracegroup_part { TRACEGROUP_FRONT, TRACEGROUP_BACK, TRACEGROUP_PARTS };

/* Where a group is. */
struct tracegroup_place {
    uint64_t offset[TRACEGROUP_PARTS];
    uint32_t bytes[TRACEGROUP_PARTS];        /* header included */
    uint32_t header_bytes[TRACEGROUP_PARTS]; /* its checksum included */
};
struct tracegroup_about {
    uint8_t first[16], last[16];
    uint32_t traces, spans;
    int64_t start_ns, end_ns; /* first start, last end (or start, if that is later) of its spans */
};

/* ---- building ---- */

struct tracegroup_builder;

struct tracegroup_builder *tracegroup_builder_new(int level); /* 0: TRACEGROUP_LEVEL */
void tracegroup_builder_free(struct tracegroup_builder *b);   /* NULL is allowed */
/* A whole trace, of at least one span; ids ascend. Copies. ERR_INVALID: the order; ERR_TOO_LARGE: it would have more than
 * TRACEGROUP_MAX_SPANS. Resources and scopes that no span has are left out. */
ORR_CHECKED struct err *tracegroup_builder_add(struct tracegroup_builder *b,
                                               const struct tracepiece *p);
/* Whether it has as much as a group should. */
bool tracegroup_builder_is_full(const struct tracegroup_builder *b);
/* Appends the two parts, says what is in them (offsets are left 0), and begins anew. There is at least one trace. ERR_TOO_LARGE. */
ORR_CHECKED struct err *tracegroup_builder_end(struct tracegroup_builder *b,
                                               struct buf out[TRACEGROUP_PARTS],
                                               struct tracegroup_place *ret_place,
                                               struct tracegroup_about *ret_about);

/* ---- reading ---- */

/* Lends exactly [off, off + len) of a part until the next call. */
struct tracegroup_io {
    struct err *(*fetch)(void *arg, enum tracegroup_part part, uint64_t off, size_t len,
                         struct slice *ret);
    void *arg;
};

struct tracegroup;
/* In the arena, as is all that is read of it; a column is read when it is first asked for, if the arena has room for it (ERR_LIMIT).
 * io and what it needs are there as long. */
ORR_CHECKED struct err *tracegroup_open(struct arena *a, const struct tracegroup_io *io,
                                        const struct tracegroup_place *place,
                                        const struct tracegroup_about *about,
                                        struct tracegroup **ret);
/* Ids of its traces, ascending. */
ORR_CHECKED struct err *tracegroup_ids(struct tracegroup *g, const uint8_t (**ret)[16]);
/* The first trace whose id is not less; about.traces: there is none. */
ORR_CHECKED struct err *tracegroup_find(struct tracegroup *g, const uint8_t id[16], uint32_t *ret);
/* The i-th trace whole; arrays in a, texts lent by the group. The first call reads all columns. */
ORR_CHECKED struct err *tracegroup_piece(struct tracegroup *g, uint32_t i, struct arena *a,
                                         struct tracepiece *ret);
/* Everything is read and checked, as it would be by who asks for all pieces; a piece at a time is charged to the group's arena, too. */
ORR_CHECKED struct err *tracegroup_verify(struct tracegroup *g);

/* Columns of tracecols that somebody wants. */
enum {
    TRACEGROUP_NAME = 1,
    TRACEGROUP_KIND = 2, /* and status */
    TRACEGROUP_MESSAGE = 4,
    TRACEGROUP_IDS = 8, /* of spans and parents */
    TRACEGROUP_EVENTS = 16,
    TRACEGROUP_LINKS = 32,
    TRACEGROUP_LIBRARY = 64, /* name and version */
    TRACEGROUP_TREE = 128,   /* parents, nested sets, roots */
};
struct tracegroup_key {
    enum tracetable table;
    struct slice key;
};
struct tracegroup_want {
    unsigned fields; /* of those above */
    const struct tracegroup_key
        *keys; /* of attributes; service.name of resources is always there */
    size_t n_keys;
    const uint8_t *keep; /* of each trace: 0: it is left out. NULL: none is */
};
/*
 * The group in columns, as far as it is wanted: traces without root, spans with times, trace, resource, library and service; rows of events and
 * links if there is a key of theirs or they are wanted. Spans of traces that are left out
 * are of trace 0. All other members are NULL, or 0. In a; texts are lent by the group.
 */
ORR_CHECKED struct err *tracegroup_cols(struct tracegroup *g, struct arena *a,
                                        const struct tracegroup_want *want,
                                        const struct tracecols **ret);
/* Keys of attributes of a table; may come several times. False: enough. */
typedef bool tracegroup_key_fn(void *arg, struct slice key);
ORR_CHECKED struct err *tracegroup_keys(struct tracegroup *g, enum tracetable table,
                                        tracegroup_key_fn *give, void *arg);
