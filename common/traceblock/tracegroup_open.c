/* A row group that is read: headers, and columns as they are asked for. */
#include "common/base/hash.h"
#include "common/base/intplanes.h"
#include "common/base/mem.h"
#include "common/base/reader.h"
#include "common/block/block_zstd.h"
#include "common/traceblock/tracegroup_internal.h"

struct err *tracegroup_corrupt(const char *what)
{
    return err_new(ERR_CORRUPT, "row group of traces: %s", what);
}

struct err *tracegroup_open(struct arena *a, const struct tracegroup_io *io,
                            const struct tracegroup_place *place,
                            const struct tracegroup_about *about, struct tracegroup **ret)
{
    struct tracegroup *g = arena_new_of(a, struct tracegroup);

    g->arena = a;
    g->io = *io;
    g->place = *place;
    g->about = *about;
    *ret = g;
    return about->traces && about->spans ? NULL : tracegroup_corrupt("it has no traces");
}

/* ---- a header ---- */

static bool read_counts(struct tracegroup *g, struct reader *r, bool is_first)
{
    static const enum tracetable order[] = {TRACE_SPANS, TRACE_RESOURCES, TRACE_LIBRARIES,
                                            TRACE_EVENTS, TRACE_LINKS};
    bool is_same = reader_uvarint(r) == g->about.traces;

    for (size_t i = 0; i < TRACE_TABLES; i++) {
        uint64_t n = reader_uvarint(r);

        if (n > TRACEGROUP_MAX_SPANS)
            return false;
        if (is_first)
            g->n_rows[order[i]] = (uint32_t)n;
        is_same = is_same && n == g->n_rows[order[i]];
    }
    return is_same && g->n_rows[TRACE_SPANS] == g->about.spans && g->n_rows[TRACE_RESOURCES] &&
           g->n_rows[TRACE_LIBRARIES];
}

/* Before anything is unpacked: some bytes make very many values that are all the same. Attributes are held against shapes. */
static bool has_possible_number(const struct tracegroup *g, const struct tracegroup_read *c)
{
    uint32_t most = 0;

    if (c->column == TG_ATTRIBUTE)
        return c->n <= TRACEGROUP_MAX_VALUES;
    for (size_t i = 0; i < TRACE_TABLES; i++)
        if (!tracegroup_is_of_table(c->column) || c->table == i)
            most = ORR_MAX(most, g->n_rows[i]);
    return c->n <= most;
}

static bool read_column(struct tracegroup *g, struct reader *r, enum tracegroup_part part,
                        uint64_t *offset, struct tracegroup_read *c)
{
    uint64_t key, bytes, stored;

    c->column = reader_u8(r);
    c->table = reader_u8(r);
    c->kind = reader_u8(r);
    key = reader_uvarint(r);
    c->n = reader_uvarint(r);
    bytes = reader_uvarint(r);
    stored = reader_uvarint(r);
    c->crc = reader_u32le(r);
    c->part = part;
    c->offset = *offset;
    if (!reader_ok(r) || c->column >= TRACEGROUP_COLUMN_KINDS || c->table >= TRACE_TABLES ||
        !has_possible_number(g, c) || bytes > TRACEGROUP_MAX_COLUMN_BYTES || stored > bytes ||
        stored > g->place.bytes[part] - *offset ||
        tracegroup_part_of_column(c->column, c->table) != part)
        return false;
    if (c->column == TG_ATTRIBUTE &&
        (key >= g->n_keys[part] || (c->kind > OTLP_VALUE_MAP && c->kind != TRACEGROUP_ANY_KEY)))
        return false;
    c->key = (uint32_t)key;
    c->bytes = (uint32_t)bytes;
    c->stored = (uint32_t)stored;
    *offset += stored;
    return true;
}

/* Where columns that are no table's are found by their kind. */
static bool note_column(struct tracegroup *g, struct tracegroup_read *c)
{
    if (tracegroup_is_of_table(c->column))
        return true;
    if (g->by_kind[c->column])
        return false; /* twice */
    g->by_kind[c->column] = c;
    return true;
}

static struct err *parse_header(struct tracegroup *g, enum tracegroup_part part,
                                struct slice header)
{
    struct reader r = reader_new(slice_sub(header, 0, header.len - 4));
    struct reader sum = reader_new(slice_from(header, header.len - 4));
    uint64_t offset = header.len;
    size_t n;

    if (reader_u32le(&sum) != hash_crc32c(slice_sub(header, 0, header.len - 4)))
        return tracegroup_corrupt("checksum of a header");
    if (reader_u8(&r) != TRACEGROUP_VERSION)
        return tracegroup_corrupt("of an unknown version");
    if (!read_counts(g, &r, !g->has_part[0] && !g->has_part[1]))
        return tracegroup_corrupt("counts");
    g->n_keys[part] = reader_count(&r, 1);
    g->keys[part] = arena_array(g->arena, struct slice, g->n_keys[part]);
    for (size_t i = 0; i < g->n_keys[part]; i++)
        g->keys[part][i] = reader_lstr(&r);
    n = reader_count(&r, 11);
    g->reads[part] = arena_array(g->arena, struct tracegroup_read, n);
    for (size_t i = 0; i < n && reader_ok(&r); i++)
        if (!read_column(g, &r, part, &offset, &g->reads[part][i]) ||
            !note_column(g, &g->reads[part][i]))
            return tracegroup_corrupt("a column that cannot be");
    if (!reader_ok(&r) || reader_left(&r) || offset != g->place.bytes[part])
        return tracegroup_corrupt("its length");
    g->n_reads[part] = n;
    return NULL;
}

struct err *tracegroup_need_part(struct tracegroup *g, enum tracegroup_part part)
{
    uint32_t bytes = g->place.header_bytes[part];
    struct slice header;
    struct err *e;

    if (g->has_part[part])
        return NULL;
    if (bytes < 16 || bytes > g->place.bytes[part])
        return tracegroup_corrupt("a header that cannot be");
    if ((e = g->io.fetch(g->io.arg, part, 0, bytes, &header)) ||
        (e = parse_header(g, part, arena_dup(g->arena, header))))
        return e;
    g->has_part[part] = true;
    return NULL;
}

/* ---- a column ---- */

struct err *tracegroup_no_room(const struct arena *a)
{
    return err_new(ERR_LIMIT,
                   "a row group of traces does not fit into the %zu bytes of memory that are left "
                   "to who reads it",
                   arena_left(a));
}

/* The column's bytes, in the arena. */
static struct err *unpack(struct tracegroup *g, const struct tracegroup_read *c,
                          struct slice stored, struct slice *ret)
{
    uint8_t *to;

    if (hash_crc32c(stored) != c->crc)
        return tracegroup_corrupt("checksum of a column");
    if (arena_left(g->arena) < c->bytes)
        return tracegroup_no_room(g->arena);
    to = arena_alloc(g->arena, c->bytes);
    if (c->stored == c->bytes) {
        if (c->bytes)
            memcpy(to, stored.ptr, c->bytes);
    } else if (!block_zstd_unpack(stored, to, c->bytes)) {
        return tracegroup_corrupt("a column that is not compressed as it should");
    }
    *ret = slice_of(to, c->bytes);
    return NULL;
}

static struct err *read_ints(struct tracegroup *g, struct reader *r, uint64_t n,
                             const int64_t **ret)
{
    struct intplanes how;
    struct slice payload;
    int64_t *to;

    if (!intplanes_read(r, &how))
        return tracegroup_corrupt("numbers");
    payload = reader_bytes(r, intplanes_bytes(&how, n));
    if (!reader_ok(r))
        return tracegroup_corrupt("too few numbers");
    if (arena_left(g->arena) < n * sizeof(*to))
        return tracegroup_no_room(g->arena);
    to = arena_array(g->arena, int64_t, n);
    intplanes_decode(&how, payload.ptr, n, to);
    *ret = to;
    return NULL;
}

static struct err *read_dict(struct tracegroup *g, struct reader *r, struct tracegroup_read *c)
{
    struct slice *dict;
    size_t n = reader_count(r, 1);
    uint64_t *lens;

    if (n > c->n)
        return tracegroup_corrupt("more texts than values");
    if (arena_left(g->arena) < n * sizeof(*dict))
        return tracegroup_no_room(g->arena);
    dict = arena_array(g->arena, struct slice, n);
    lens = arena_array(g->arena, uint64_t, n);
    for (size_t i = 0; i < n; i++)
        lens[i] = reader_uvarint(r);
    for (size_t i = 0; i < n; i++) {
        if (lens[i] > reader_left(r))
            return tracegroup_corrupt("texts");
        dict[i] = reader_bytes(r, lens[i]);
    }
    c->dict = dict;
    c->n_dict = n;
    return reader_ok(r) ? NULL : tracegroup_corrupt("texts");
}

static struct err *read_texts(struct tracegroup *g, struct reader *r, struct tracegroup_read *c)
{
    struct err *e = read_dict(g, r, c);

    if (e || c->n_dict == c->n)
        return e;
    if ((e = read_ints(g, r, c->n, &c->codes)))
        return e;
    for (uint64_t i = 0; i < c->n; i++)
        if ((uint64_t)c->codes[i] >= c->n_dict)
            return tracegroup_corrupt("a text that is not there");
    return NULL;
}

static struct err *parse(struct tracegroup *g, struct tracegroup_read *c, struct slice bytes)
{
    enum tracegroup_form form = tracegroup_form_of(c->column, c->kind);
    struct reader r = reader_new(bytes);
    struct err *e = NULL;

    switch (form) {
    case TRACEGROUP_INTS:
        e = read_ints(g, &r, c->n, &c->ints);
        break;
    case TRACEGROUP_TEXTS:
        e = read_texts(g, &r, c);
        break;
    case TRACEGROUP_FIXED:
        c->fixed = reader_bytes(&r, c->n * tracegroup_each_of(c->column)).ptr;
        break;
    case TRACEGROUP_SHAPES:
        c->fixed = bytes.ptr;
        reader_skip(&r, bytes.len);
        break;
    }
    if (!e && (!reader_ok(&r) || reader_left(&r)))
        e = tracegroup_corrupt("a column of another length");
    c->is_loaded = !e;
    return e;
}

static struct err *load_from(struct tracegroup *g, struct tracegroup_read *c, struct slice stored)
{
    struct slice bytes;
    struct err *e = unpack(g, c, stored, &bytes);

    return e ? e : parse(g, c, bytes);
}

struct err *tracegroup_load(struct tracegroup *g, struct tracegroup_read *c)
{
    struct slice stored = SLICE_EMPTY;
    struct err *e;

    if (c->is_loaded)
        return NULL;
    if (c->stored && (e = g->io.fetch(g->io.arg, c->part, c->offset, c->stored, &stored)))
        return e;
    return load_from(g, c, stored);
}

static bool is_whole(const struct tracegroup *g, enum tracegroup_part part)
{
    for (size_t i = 0; i < g->n_reads[part]; i++)
        if (!g->reads[part][i].is_loaded)
            return false;
    return true;
}

/* all: payloads of the part, back to back. */
static struct err *load_some(struct tracegroup *g, enum tracegroup_part part, struct slice all,
                             bool are_attributes)
{
    struct err *e = NULL;

    for (size_t i = 0; i < g->n_reads[part] && !e; i++) {
        struct tracegroup_read *c = &g->reads[part][i];

        if (!c->is_loaded && (c->column == TG_ATTRIBUTE) == are_attributes)
            e = load_from(
                g, c, slice_sub(all, (size_t)(c->offset - g->place.header_bytes[part]), c->stored));
    }
    return e;
}

/* Of all tables of the part; nothing is read. */
static struct err *check_shapes(struct tracegroup *g, enum tracegroup_part part)
{
    struct err *e = NULL;

    for (unsigned t = 0; t < TRACE_TABLES && !e; t++)
        if (tracegroup_part_of((enum tracetable)t) == part)
            e = tracegroup_need_shapes(g, (enum tracetable)t);
    return e;
}

struct err *tracegroup_need_all(struct tracegroup *g, enum tracegroup_part part)
{
    struct err *e = tracegroup_need_part(g, part);
    uint32_t header = g->place.header_bytes[part];
    struct slice all;

    if (e || is_whole(g, part))
        return e;
    if ((e = g->io.fetch(g->io.arg, part, header, g->place.bytes[part] - header, &all)) ||
        (e = load_some(g, part, all, false)))
        return e;
    /* Before attributes are unpacked: a few bytes may say that they are very many values. */
    return (e = check_shapes(g, part)) ? e : load_some(g, part, all, true);
}

static struct err *load_checked(struct tracegroup *g, struct tracegroup_read *c, uint64_t n)
{
    if (c->n != n)
        return tracegroup_corrupt("a column with another number of values than it should have");
    return tracegroup_load(g, c);
}

struct err *tracegroup_need(struct tracegroup *g, enum tracegroup_column column, uint64_t n,
                            struct tracegroup_read **ret)
{
    struct err *e = tracegroup_need_part(g, tracegroup_part_of_column(column, TRACE_SPANS));

    *ret = e ? NULL : g->by_kind[column];
    return *ret ? load_checked(g, *ret, n) : e;
}

struct err *tracegroup_need_of(struct tracegroup *g, enum tracegroup_column column,
                               enum tracetable table, uint64_t n, struct tracegroup_read **ret)
{
    enum tracegroup_part part = tracegroup_part_of(table);
    struct err *e = tracegroup_need_part(g, part);

    *ret = NULL;
    for (size_t i = 0; i < g->n_reads[part] && !e; i++) {
        struct tracegroup_read *c = &g->reads[part][i];

        if (c->column != column || c->table != table)
            continue;
        if (*ret)
            return tracegroup_corrupt("a column is there twice");
        *ret = c;
    }
    return *ret ? load_checked(g, *ret, n) : e;
}
