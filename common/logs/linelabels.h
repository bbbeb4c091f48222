/*
 * The labels of the log line that a pipeline works on: those of its stream, of its structured
 * metadata, and those that the stages make. Each name has one value at a time; what stages parse
 * stands before metadata, and metadata before the stream.
 *
 *     linelabels_stream(l, stream);              once per stream
 *     linelabels_line(l);                        once per line: forgets what the last one set
 *     linelabels_set(l, id, LINELABELS_PARSED, value);
 *     linelabels_get(l, id, &value)
 *
 * Names are numbers: linelabels_id() looks one up or makes it. Numbers below the number of fixed
 * names, given at the start, never change; others hold until the next linelabels_line(), which
 * forgets names when there are more than LINELABELS_MAX_NAMES (lines may hold any names).
 *
 * An error is no label but stands beside them (__error__, __error_details__), and is printed as one.
 * A stream or metadata with such a label says that its lines have that error; what parsers find under these
 * names gets _extracted behind it.
 *
 * Values are borrowed: linelabels_keep() copies into memory that lasts until the next line.
 * Owner: one thread. No allocation per line beyond what is kept.
 */
#pragma once
#include "common/model/labels.h"

#define LINELABELS_MAX_NAMES 8192

#define LINELABELS_ERROR "__error__"
#define LINELABELS_DETAILS "__error_details__"
#define LINELABELS_EXTRACTED "_extracted" /* behind a name whose own is taken */

enum linelabels_from {
    LINELABELS_STREAM,
    LINELABELS_METADATA,
    LINELABELS_PARSED,
    LINELABELS_NOWHERE, /* deleted */
};

/* What is known of a name. */
struct linelabels_name {
    struct slice name, value, base; /* value if line is the present one; base if stream is */
    uint64_t line, stream;
    uint64_t parsed;           /* the line in which a parser last set it: the first value stays */
    uint64_t head, tail;       /* its ends, to compare by */
    uint64_t hash, order;      /* order: the first bytes, most significant first */
    enum linelabels_from from; /* of value */
    /* The pipeline's, and forgotten with the stream: where a parser puts a key of this name. */
    uint64_t key_stream;
    uint32_t key_id;
    bool is_wanted;
    bool is_error; /* one of the two: never a label's */
};

struct linelabels {
    struct linelabels_name *names;
    uint32_t n, cap, n_fixed;
    uint32_t *slots; /* id + 1, by hash; 0: free */
    uint32_t n_slots;
    uint32_t *touched; /* names whose line is the present one */
    uint32_t n_touched;
    uint32_t *base; /* of the stream, by name */
    uint32_t n_base, cap_base;
    uint64_t line, stream;
    struct labels stream_labels;
    struct arena *budget;
    size_t charged;              /* of it, for the tables */
    struct arena *texts;         /* of names */
    struct arena *kept;          /* of this line */
    struct slice error, details; /* empty error: none */
    struct slice stream_error, stream_details;
};

bool linelabels_is_error(struct slice name); /* __error__ or __error_details__ */
/* budget is charged for names and what lines keep. fixed: ids 0 …, copied. */
void linelabels_init(struct linelabels *l, struct arena *budget, const struct slice *fixed,
                     uint32_t n_fixed);
void linelabels_done(struct linelabels *l);
/* stream is borrowed until the next one. */
void linelabels_stream(struct linelabels *l, struct labels stream);
void linelabels_line(struct linelabels *l);

uint32_t linelabels_id(struct linelabels *l, struct slice name);
static inline bool linelabels_is_base(const struct linelabels *l, uint32_t id)
{
    return l->names[id].stream == l->stream;
}
/* Where the name's value comes from; LINELABELS_NOWHERE: it has none, *ret is then empty. */
enum linelabels_from linelabels_get(const struct linelabels *l, uint32_t id, struct slice *ret);
/* Metadata and the stream's do not replace what stands before them. */
void linelabels_set(struct linelabels *l, uint32_t id, enum linelabels_from from,
                    struct slice value);
void linelabels_del(struct linelabels *l, uint32_t id);
/* Structured metadata: a name that the stream has, too, gets _extracted behind it. */
void linelabels_add_metadata(struct linelabels *l, struct labels metadata);
/* That of its name with _extracted behind it. */
uint32_t linelabels_beside(struct linelabels *l, uint32_t id);
/* id, or that of its name with _extracted behind it if the stream has the name, or an error. */
uint32_t linelabels_beside_stream(struct linelabels *l, uint32_t id);

/* error: a literal. */
void linelabels_fail(struct linelabels *l, struct slice error, struct slice details);
struct slice linelabels_keep(struct linelabels *l, struct slice value);

/* What there is now, sorted by name, an error among it; texts are borrowed. */
struct labels linelabels_all(const struct linelabels *l, struct arena *a);
/* Of one source alone; errors are with the parsed ones. */
struct labels linelabels_of(const struct linelabels *l, struct arena *a, enum linelabels_from from);
/* Whether they are the stream's and nothing else. */
bool linelabels_is_plain(const struct linelabels *l);
