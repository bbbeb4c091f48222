/* A row group that is being built. Within common/traceblock only. */
#pragma once
#include "common/traceblock/tracegroup_internal.h"
#include "common/traces/tracepiece_known.h"

/* Attributes of one table. */
struct tracegroup_table {
    VEC(struct tracegroup_making *) columns;
    VEC(struct slice) names; /* keys of columns, in the builder's arena */
    struct map numbers;      /* kind, key -> number of column + 1 */
    uint32_t any_key;        /* number + 1 of the column of what has no other; 0: none */
    struct map shapes;       /* numbers of columns -> number of shape + 1 */
    struct buf list;         /* shapes, as the file has them */
    uint32_t n_shapes;
    struct tracegroup_making shape, dropped; /* of each row */
    VEC(uint32_t)
    row, last; /* numbers of columns of the row that is added, and of the one before */
    uint32_t last_shape;
};

struct tracegroup_builder {
    struct tracegroup_making columns[TG_SHAPES]; /* of no table */
    struct tracegroup_table tables[TRACE_TABLES];
    struct map keys[TRACEGROUP_PARTS]; /* -> number + 1 */
    struct buf key_list[TRACEGROUP_PARTS];
    struct tracepiece_known known; /* resources and scopes, by row */
    uint32_t n_rows[TRACE_TABLES];
    struct tracegroup_about about;
    uint64_t bytes;
    struct tracepiece_encoder *encoder;
    struct buf scratch;
    struct arena *arena;      /* of a trace */
    struct arena *keys_arena; /* of the group */
    struct tracegroup_pack pack;
};

/* One value behind the other. */

static inline void tracegroup_put_int(struct tracegroup_builder *b, enum tracegroup_column column,
                                      uint64_t v)
{
    vec_push(&b->columns[column].ints, (int64_t)v);
}

static inline void tracegroup_put_text(struct tracegroup_builder *b, enum tracegroup_column column,
                                       struct slice s)
{
    tracegroup_texts_add(&b->columns[column].texts, s);
    b->bytes += s.len;
}

static inline void tracegroup_put_id(struct tracegroup_builder *b, enum tracegroup_column column,
                                     uint64_t id)
{
    buf_u64le(&b->columns[column].fixed, id);
}

/* A row of a table. */
void tracegroup_put_attributes(struct tracegroup_builder *b, enum tracetable table,
                               const struct tracepiece_attributes *a);
/* Equal ones are one row. */
uint32_t tracegroup_resource_row(struct tracegroup_builder *b, const struct tracepiece_resource *r);
uint32_t tracegroup_scope_row(struct tracegroup_builder *b, const struct tracepiece_scope *s);
