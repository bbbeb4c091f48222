/* Columns of a row group: their forms, and how they are written. */
#include "common/base/hash.h"
#include "common/base/intplanes.h"
#include "common/base/mem.h"
#include "common/block/block_zstd.h"
#include "common/traceblock/tracegroup_internal.h"

static const struct {
    enum tracegroup_part part;
    enum tracegroup_form form;
    unsigned each;
} columns[] = {
#define X(sym, part, form, each) {TRACEGROUP_##part, TRACEGROUP_##form, each},
    TRACEGROUP_COLUMNS(X)
#undef X
};

enum tracegroup_form tracegroup_form_of(enum tracegroup_column column, uint8_t kind)
{
    if (column != TG_ATTRIBUTE)
        return columns[column].form;
    switch (kind) {
    case OTLP_VALUE_EMPTY:
    case OTLP_VALUE_BOOL:
    case OTLP_VALUE_INT:
    case OTLP_VALUE_DOUBLE:
        return TRACEGROUP_INTS;
    default:
        return TRACEGROUP_TEXTS;
    }
}

unsigned tracegroup_each_of(enum tracegroup_column column)
{
    return columns[column].each;
}

enum tracegroup_part tracegroup_part_of_column(enum tracegroup_column column, enum tracetable table)
{
    return tracegroup_is_of_table(column) ? tracegroup_part_of(table) : columns[column].part;
}

/* ---- texts ---- */

#define FIRST_SLOTS 64

static uint32_t *slot_of(const struct tracegroup_texts *t, struct slice text)
{
    size_t at = hash_xxh64(text, 0) & (t->n_slots - 1);

    while (t->slots[at] && !slice_eq(t->dict.ptr[t->slots[at] - 1], text))
        at = (at + 1) & (t->n_slots - 1);
    return &t->slots[at];
}

static void make_slots(struct tracegroup_texts *t, size_t n)
{
    mem_free(t->slots);
    t->n_slots = n;
    t->slots = mem_calloc(n, sizeof(*t->slots));
    for (size_t i = 0; i < t->dict.len; i++)
        *slot_of(t, t->dict.ptr[i]) = (uint32_t)i + 1;
}

void tracegroup_texts_add(struct tracegroup_texts *t, struct slice text)
{
    uint32_t *slot;

    /* the same as the one before, mostly */
    if (t->codes.len && slice_eq(t->dict.ptr[vec_last(&t->codes)], text)) {
        uint32_t same = vec_last(&t->codes);

        vec_push(&t->codes, same);
        return;
    }
    if (!t->slots)
        make_slots(t, FIRST_SLOTS);
    if (!t->arena)
        t->arena = arena_new(0);
    slot = slot_of(t, text);
    if (!*slot) {
        vec_push(&t->dict, arena_dup(t->arena, text));
        t->bytes += text.len;
        *slot = (uint32_t)t->dict.len;
    }
    vec_push(&t->codes, *slot - 1);
    if (t->dict.len * 2 > t->n_slots)
        make_slots(t, t->n_slots * 4);
}

void tracegroup_texts_clear(struct tracegroup_texts *t)
{
    if (t->arena)
        arena_reset(t->arena);
    vec_clear(&t->dict);
    vec_clear(&t->codes);
    mem_free(t->slots);
    t->slots = NULL;
    t->n_slots = t->bytes = 0;
}

void tracegroup_texts_done(struct tracegroup_texts *t)
{
    if (t->arena)
        arena_free(t->arena);
    vec_done(&t->dict);
    vec_done(&t->codes);
    mem_free(t->slots);
}

/* ---- writing ---- */

static void put_ints(struct buf *out, const int64_t *v, size_t n)
{
    struct intplanes how = intplanes_choose(v, n, true);

    intplanes_describe(&how, out);
    intplanes_encode(&how, v, n, out);
}

static void put_texts(struct buf *out, const struct tracegroup_texts *t)
{
    VEC(int64_t) codes = {0};

    buf_uvarint(out, t->dict.len);
    VEC_FOREACH (s, &t->dict)
        buf_uvarint(out, s->len);
    VEC_FOREACH (s, &t->dict)
        buf_slice_append(out, *s);
    if (t->dict.len == t->codes.len) /* each is another, and numbered as it came */
        return;
    VEC_FOREACH (code, &t->codes)
        vec_push(&codes, (int64_t)*code);
    put_ints(out, codes.ptr, codes.len);
    vec_done(&codes);
}

static bool is_all_zero(const struct tracegroup_making *m, enum tracegroup_form form)
{
    if (form == TRACEGROUP_FIXED)
        return !m->fixed.len;
    if (form == TRACEGROUP_TEXTS)
        return !m->texts.codes.len || (m->texts.dict.len == 1 && !m->texts.bytes);
    VEC_FOREACH (v, &m->ints)
        if (*v)
            return false;
    return true;
}

/* What is in raw becomes a column. */
static struct err *put_column(struct tracegroup_pack *p, enum tracegroup_column column,
                              enum tracetable table, uint8_t kind, uint32_t key, uint64_t n)
{
    size_t before = p->payloads.len;
    struct slice stored;

    if (p->raw.len > TRACEGROUP_MAX_COLUMN_BYTES)
        return err_new(ERR_TOO_LARGE,
                       "a column of %zu bytes in a row group of traces; the most is %u", p->raw.len,
                       TRACEGROUP_MAX_COLUMN_BYTES);
    if (!block_zstd_pack(p->zstd, buf_slice(&p->raw), &p->payloads))
        buf_slice_append(&p->payloads, buf_slice(&p->raw));
    stored = slice_from(buf_slice(&p->payloads), before);
    buf_byte(&p->columns, (uint8_t)column);
    buf_byte(&p->columns, (uint8_t)table);
    buf_byte(&p->columns, kind);
    buf_uvarint(&p->columns, key);
    buf_uvarint(&p->columns, n);
    buf_uvarint(&p->columns, p->raw.len);
    buf_uvarint(&p->columns, stored.len);
    buf_u32le(&p->columns, hash_crc32c(stored));
    p->n_columns++;
    return NULL;
}

struct err *tracegroup_pack_column(struct tracegroup_pack *p, const struct tracegroup_making *m)
{
    enum tracegroup_form form = tracegroup_form_of(m->column, m->kind);
    uint64_t n;

    if (m->column != TG_ATTRIBUTE && is_all_zero(m, form))
        return NULL;
    buf_reset(&p->raw);
    if (form == TRACEGROUP_INTS) {
        n = m->ints.len;
        put_ints(&p->raw, m->ints.ptr, m->ints.len);
    } else if (form == TRACEGROUP_TEXTS) {
        n = m->texts.codes.len;
        put_texts(&p->raw, &m->texts);
    } else {
        n = m->fixed.len / tracegroup_each_of(m->column);
        buf_slice_append(&p->raw, buf_slice(&m->fixed));
    }
    return put_column(p, m->column, m->table, m->kind, m->key, n);
}

struct err *tracegroup_pack_shapes(struct tracegroup_pack *p, enum tracetable table, uint64_t n,
                                   struct slice raw)
{
    buf_reset(&p->raw);
    buf_uvarint(&p->raw, n);
    buf_slice_append(&p->raw, raw);
    return put_column(p, TG_SHAPES, table, 0, 0, n);
}
