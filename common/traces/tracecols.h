/*
 * Whole traces in columns: what heads and blocks hand to TraceQL's engine, and what it looks at.
 *
 *   traces     id, their spans (which stand next to each other), root, start and end
 *   spans      one array for each thing that every span has, and rows of the tables below
 *   tables     resources, spans, libraries (instrumentation scopes), events, links: rows with attributes. A
 *              resource that many spans have is one row: what asks about it looks once.
 *   dict       every text of all this once, sorted by nothing; columns hold its numbers
 *
 * An attribute of a table is a column of cells for the rows that have it, in the order of the rows.
 *
 * A tracebuild makes it row by row: resources and libraries first, then trace after trace its spans,
 * each with its events and links behind it. tracebuild_end() finds parents, nested sets and roots:
 *
 *   nested sets: left and right of a span enclose those of all its descendants, counted from 1 on through
 *   the whole trace; parent is the left of the parent, -1 for a root. Spans that no root leads to have 0.
 *
 * All of it is the arena's. Owner: one thread while it is built; read-only then, and may be shared.
 */
#pragma once
#include "common/base/arena.h"

enum tracecell_type {
    TRACECELL_NONE,
    TRACECELL_INT,    /* int64_t */
    TRACECELL_FLOAT,  /* the bits of a double */
    TRACECELL_STRING, /* number in the dict */
    TRACECELL_BOOL,   /* 0, 1 */
    TRACECELL_ARRAY,  /* number in arrays */
};

/* Values of one attribute that has several; each is INT, FLOAT, STRING or BOOL. */
struct tracearray {
    uint32_t n;
    const uint8_t *types;
    const uint64_t *values;
};

enum tracetable { TRACE_RESOURCES, TRACE_SPANS, TRACE_LIBRARIES, TRACE_EVENTS, TRACE_LINKS };
#define TRACE_TABLES 5

struct tracecol {
    struct slice key;
    uint32_t n;           /* rows that have it */
    const uint32_t *rows; /* ascending */
    const uint8_t *types; /* enum tracecell_type */
    const uint64_t *values;
};

struct tracecols_trace {
    uint8_t id[16];
    uint32_t first, n; /* its spans */
    uint32_t root;     /* row of the first span without a parent; UINT32_MAX: not there (yet) */
    int64_t start_ns, end_ns;
};

struct tracecols {
    uint32_t n_dict;
    const struct slice *dict;
    const struct tracearray *arrays;

    uint32_t n_traces;
    const struct tracecols_trace *traces;

    uint32_t n_spans;
    const uint32_t *trace; /* of each span */
    const int64_t *start_ns, *end_ns;
    const uint64_t *span_id, *parent_id; /* big endian as a number; parent 0: none */
    const uint32_t *name, *message;      /* dict; of the status */
    const uint8_t *kind, *status;
    const uint32_t *resource, *library; /* rows of those tables */
    const uint32_t *parent;             /* row of the parent; UINT32_MAX: none, or not there */
    const int32_t *left, *right, *set_parent; /* nested sets */
    const uint32_t *n_children;
    const uint32_t *service; /* dict: service.name of its resource; that of "" without one */

    const uint32_t *library_name, *library_version; /* dict, per library */
    const uint32_t *event_first, *link_first;       /* n_spans + 1: the rows of a span's */
    const uint32_t *event_name;
    const int64_t *event_ns; /* since 1970 */
    const uint8_t (*link_trace)[16];
    const uint64_t *link_span;

    uint32_t n_rows[TRACE_TABLES];
    size_t n_cols[TRACE_TABLES];
    const struct tracecol *cols[TRACE_TABLES];
};

/* NULL: no row has it. */
const struct tracecol *tracecols_find(const struct tracecols *t, enum tracetable table,
                                      struct slice key);

/* A value on its way in. */
struct tracevalue {
    enum tracecell_type type;
    union {
        int64_t i;
        double f;
        struct slice s;
        bool b;
        struct {
            const struct tracevalue *ptr;
            size_t n;
        } array; /* of others than arrays */
    } v;
};

struct tracebuild_span {
    uint64_t span_id, parent_id;
    struct slice name, message;
    uint8_t kind, status;
    int64_t start_ns, end_ns;
    uint32_t resource, library;
};

struct tracebuild;

struct tracebuild *tracebuild_new(struct arena *a);
/* Frees what is not the arena's; NULL is allowed. Not after tracebuild_end(). */
void tracebuild_free(struct tracebuild *b);
uint32_t tracebuild_resource(struct tracebuild *b);
uint32_t tracebuild_library(struct tracebuild *b, struct slice name, struct slice version);
void tracebuild_trace(struct tracebuild *b, const uint8_t id[16]);
uint32_t tracebuild_span(struct tracebuild *b, const struct tracebuild_span *s);
/* Of the span last added. */
uint32_t tracebuild_event(struct tracebuild *b, struct slice name, int64_t time_ns);
uint32_t tracebuild_link(struct tracebuild *b, const uint8_t trace_id[16], uint64_t span_id);
/* An attribute of the row last added to table; a key that it has already is left out, as are values
 * without a type, arrays in arrays, and arrays without anything else. */
void tracebuild_attribute(struct tracebuild *b, enum tracetable table, struct slice key,
                          const struct tracevalue *v);
/* Takes b. */
const struct tracecols *tracebuild_end(struct tracebuild *b);
