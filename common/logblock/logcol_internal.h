/*
 * A column: many texts that have something in common, coded by what they are. It is a tree, for a column
 * of words has columns of its own.
 *
 * The tree is one piece of bytes, read whole; payloads lie elsewhere, one behind the other in the order
 * in which the tree names them. A node of n values (n is known from above):
 *
 *   u8 kind | 0x80 if there are affixes; then lstr prefix, lstr suffix, of all values
 *   CONST   lstr the value
 *   DICT    uvarint values, u8 planes (1, 2) · uvarint bytes of what follows: a uvarint length each,
 *           the texts                                     payload: planes of their numbers
 *   NUMBER  u8 digits before the point (0: as many as needed), u8 digits behind it (0: no point)
 *           · intplanes · varint least, greatest            payload: intplanes
 *   ADDRESS intplanes                                       payload: intplanes of a.b.c.d
 *   STAMP   u8 layout, between, point, digits, lstr tail · intplanes     payload: intplanes (logstamp)
 *   HEX     u8 length, u8 1 if upper case, a bit per place: it varies; the bytes of those that do not
 *                                                         payload: half a byte per place that does, by value
 *   TEXT                                                  payload: a uvarint length each, the texts
 *   LINES   lstr separator, uvarint lines                 payload: uvarint separators in each value
 *           · node of the lines
 *   WORDS   uvarint templates, uvarint columns
 *           templates, the most used first: uvarint values of it, u8 logskel_kind, uvarint variables
 *           · for each: lstr what is before it, uvarint (zigzag) column, less that of the variable before + 1
 *           · lstr what is behind the last
 *           · columns: u8 logskel_var, lstr name if it has one, node
 *                                                         payload, with more than one template: planes of
 *                                                         the template of each value
 *   NONE    of no values
 *
 *   A payload in the tree: uvarint bytes; if there are more than LOGCOL_INLINE: uvarint stored bytes (less:
 *   zstd), u32 crc32c of those; else they follow.
 *
 * A column of WORDS holds the values of each (template, variable) that is its own in one piece: those of
 * the first template first, within one by variable, and then in the order of the values. So the place of
 * a variable follows from how many values of the template are in front.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/intplanes.h"
#include "common/base/reader.h"
#include "common/logblock/logskel_internal.h"
#include "common/logblock/logstamp_internal.h"
#include "common/logs/textfind.h"
#include "common/model/labels.h"

#define LOGCOL_INLINE 24
#define LOGCOL_MAX_DEPTH 8
#define LOGCOL_MAX_TEMPLATES 4096
#define LOGCOL_MAX_COLUMNS 65536
#define LOGCOL_MAX_DICT 4096
#define LOGCOL_MAX_HEX 128
#define LOGCOL_MAX_SEPARATOR 8

enum logcol_kind {
    LOGCOL_NONE,
    LOGCOL_CONST,
    LOGCOL_DICT,
    LOGCOL_NUMBER,
    LOGCOL_ADDRESS,
    LOGCOL_STAMP,
    LOGCOL_HEX,
    LOGCOL_TEXT,
    LOGCOL_LINES,
    LOGCOL_WORDS,
    LOGCOL_KINDS
};
#define LOGCOL_AFFIXES 0x80

/* ---- building ---- */

struct logcol_build {
    struct arena *arena; /* of the page */
    struct block_zstd *zstd;
    struct buf *tree, *payloads;
    struct buf scratch;
    struct logskel skel;
    uint32_t *slots; /* of dictionaries and templates: LOGCOL_SLOTS */
};
#define LOGCOL_SLOTS (4 * LOGCOL_MAX_TEMPLATES)

void logcol_build_init(struct logcol_build *b);
void logcol_build_level(struct logcol_build *b, int level); /* zstd's */
void logcol_build_done(struct logcol_build *b);
/* Appends the node of n log lines to tree, and to payloads what it has. The texts are lent until the arena
 * is reset. */
void logcol_build_lines(struct logcol_build *b, const struct slice *v, uint32_t n);
/* The same of structured metadata: of a template the text before a variable is its name, of kind META;
 * or it is WHOLE, and its variable the canonical bytes of the labels. */
void logcol_build_meta(struct logcol_build *b, const struct labels *v, uint32_t n);
/* A payload's description goes to the tree, it itself behind the other ones. */
void logcol_build_payload(struct logcol_build *b, struct slice raw);

/* Within building. What does not suit the values returns false, and has written nothing. */

enum logcol_words { LOGCOL_WORDS_LOG, LOGCOL_WORDS_COARSE, LOGCOL_WORDS_FINE, LOGCOL_WORDS_PAIRS };

/* Any node, of depth columns below the root; how: what its templates would be. */
void logcol_build_node(struct logcol_build *b, const struct slice *v, uint32_t n, unsigned depth,
                       enum logcol_words how);
bool logcol_build_words(struct logcol_build *b, const struct slice *v, uint32_t n, unsigned depth,
                        enum logcol_words how);
bool logcol_build_stamps(struct logcol_build *b, const struct slice *v, uint32_t n);
/* ADDRESS, NUMBER or HEX. */
bool logcol_build_figures(struct logcol_build *b, const struct slice *v, uint32_t n);
/* By case, 1 of upper ones: the value of a hex digit and one more; 0: it is none. */
extern const uint8_t logcol_hex_digits[2][256];
/* The numbers of values as planes: one byte if they are few, or two. */
void logcol_build_planes(struct buf *out, const uint16_t *which, uint32_t n, unsigned planes);

/* ---- reading ---- */

struct logcol_payload {
    uint32_t bytes, stored, crc;
    uint32_t at; /* among the payloads */
    struct slice inline_ /* in the tree */;
};

struct logcol_var {
    struct slice before; /* what the template has in front of it */
    uint32_t col;
    uint32_t base; /* where in the column the values of this template begin */
};
struct logcol_template {
    struct logcol_var *vars;
    uint32_t n_vars, n, first; /* first: of order, in the column of words */
    struct slice tail;
    uint8_t kind;
};

struct logcol {
    uint8_t kind, var;
    bool is_loaded;
    bool has_affixes;
    uint32_t n;
    struct slice name; /* of a variable that has one */
    struct slice prefix, suffix;
    struct logcol_payload payload;
    union {
        struct slice value; /* CONST */
        struct {
            struct slice texts; /* with lengths in front */
            uint8_t planes;
        } dict;
        struct {
            uint8_t whole, part; /* digits */
            struct intplanes ints;
            int64_t min, max;
        } number;
        struct intplanes address;
        struct {
            struct logstamp form;
            struct intplanes ints;
        } stamp;
        struct {
            uint8_t len, n_vary;
            bool is_upper;
            const uint8_t *vary; /* by place: 1 if it varies */
            const uint8_t *still;
        } hex;
        struct {
            struct slice separator;
            uint32_t n;
        } lines;
        struct {
            struct logcol_template *templates;
            uint32_t n_templates, n_cols;
        } words;
    };
    struct logcol *cols; /* of WORDS; LINES: one */
    /* What is there once it is loaded: */
    const int64_t *ints;   /* NUMBER, ADDRESS, STAMP */
    const uint8_t *bytes;  /* HEX, DICT's and TEXT's texts */
    const uint32_t *ends;  /* DICT and TEXT: of the texts; LINES: in lines */
    uint32_t n_texts;      /* of DICT */
    const uint16_t *which; /* DICT: of the texts; WORDS: of the templates */
    const uint32_t *rank;  /* WORDS: how many values of the same template are in front */
    const uint32_t *order; /* WORDS: the values by template */
};

/* Where payloads come from. */
struct logcol_source {
    struct arena *arena;
    struct err *(*fetch)(void *arg, uint64_t off, size_t len, struct slice *ret);
    void *arg;
    uint64_t base, size; /* of all payloads, as fetch counts */
    uint64_t max_bytes;  /* of a payload */
    uint64_t max_text;   /* of a value */
};

/* A node of n values and all below it; texts are lent from the tree. max_values bounds those of any node. */
ORR_CHECKED struct err *logcol_read(struct arena *a, struct reader *r, uint32_t n,
                                    uint64_t max_values, struct logcol *ret);
/* Of stored bytes so many; the same ones if they are as many. */
ORR_CHECKED struct err *logcol_unpack(struct arena *a, struct slice stored, size_t bytes,
                                      struct slice *ret);
/* Makes what a column's values need, not what columns below it need. */
ORR_CHECKED struct err *logcol_load(const struct logcol_source *src, struct logcol *c);
ORR_CHECKED struct err *logcol_load_all(const struct logcol_source *src, struct logcol *c);
/* Appends value i of a column that is loaded, with all below it. */
void logcol_put(const struct logcol *c, uint32_t i, struct buf *out);

static inline struct slice logcol_text(const struct logcol *c, uint32_t i)
{
    uint32_t start = i ? c->ends[i - 1] : 0;

    return slice_of(c->bytes + start, c->ends[i] - start);
}

/* ---- searching ---- */

enum logcol_op { LOGCOL_HOLDS, LOGCOL_BEGINS, LOGCOL_ENDS, LOGCOL_IS };

struct logcol_ask {
    enum logcol_op op;
    struct slice text;
    struct textfind find; /* of HOLDS */
};
struct logcol_ask logcol_ask_of(enum logcol_op op, struct slice text);

/* Sets the bits of the values for which it is so, of a set that is all 0; loads what it must. */
ORR_CHECKED struct err *logcol_match(const struct logcol_source *src, struct logcol *c,
                                     const struct logcol_ask *ask, uint64_t *set);
/* False: the tree alone says that it is so for none. */
bool logcol_may(struct logcol *c, const struct logcol_ask *ask);
/* Of a column of words: it may be in what templates have around variables, or lie over an end of one. ask: HOLDS. */
bool logcol_may_template(struct logcol *c, const struct logcol_ask *ask);

/* Within searching. */
bool logcol_is_so(const struct logcol_ask *ask, struct slice text);
uint64_t *logcol_new_set(const struct logcol_source *src, uint32_t n);
void logcol_set_range(uint64_t *set, uint32_t first, uint32_t n);
/* What nothing better is known for: values as texts. Only those in only, if that is given. */
ORR_CHECKED struct err *logcol_match_texts(const struct logcol_source *src, struct logcol *c,
                                           const struct logcol_ask *ask, const uint64_t *only,
                                           uint64_t *set);
/* Of a column of words without affixes. ask: HOLDS. */
ORR_CHECKED struct err *logcol_match_words(const struct logcol_source *src, struct logcol *c,
                                           const struct logcol_ask *ask, uint64_t *set);

/* What is behind variable k, up to the next one. */
static inline struct slice logcol_behind(const struct logcol_template *m, uint32_t k)
{
    return k + 1 < m->n_vars ? m->vars[k + 1].before : m->tail;
}
/*
 * Where the tree says that the text can only be a whole value, what stands around it is known: each of the root's values that holds
 * the text holds one of these, longer ones. 0: it may be elsewhere, or there are too many. ask: HOLDS. In the arena.
 */
#define LOGCOL_MAX_CONTEXTS 4
size_t logcol_contexts(struct arena *a, struct logcol *root, const struct logcol_ask *ask,
                       struct slice ret[LOGCOL_MAX_CONTEXTS]);

static inline bool logcol_has(const uint64_t *set, uint32_t i)
{
    return set[i >> 6] >> (i & 63) & 1;
}
static inline void logcol_set(uint64_t *set, uint32_t i)
{
    set[i >> 6] |= 1ull << (i & 63);
}

/* For tables in memory only. */
static inline uint64_t logcol_hash(uint64_t h, const uint8_t *p, size_t n)
{
    uint64_t x;

    h = (h ^ n) * 0x9e3779b97f4a7c15ull;
    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&x, p, 8);
        h = (h ^ x) * 0x9fb21c651e98df25ull;
        h ^= h >> 32;
    }
    if (n) {
        x = 0;
        memcpy(&x, p, n);
        h = (h ^ x) * 0x9fb21c651e98df25ull;
        h ^= h >> 32;
    }
    return h;
}
