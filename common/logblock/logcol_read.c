#include "common/base/hash.h"
#include "common/block/block_zstd.h"
#include "common/logblock/logcol_internal.h"

/* ---- the tree ---- */

struct tree {
    struct arena *arena;
    struct reader *r;
    uint64_t max_values;
    uint64_t at; /* among the payloads */
    uint32_t n_nodes;
};

static struct err *corrupt(const char *what)
{
    return err_new(ERR_CORRUPT, "log column: %s", what);
}

static struct logcol_payload read_payload(struct tree *t)
{
    struct logcol_payload p = {0};
    uint64_t bytes = reader_uvarint(t->r), stored;

    if (bytes <= LOGCOL_INLINE) {
        p.bytes = (uint32_t)bytes;
        p.inline_ = reader_bytes(t->r, bytes);
        return p;
    }
    stored = reader_uvarint(t->r);
    p.crc = reader_u32le(t->r);
    if (bytes > UINT32_MAX || stored > bytes || stored == 0 || t->at + stored > UINT32_MAX) {
        reader_fail(t->r);
        return p;
    }
    p.bytes = (uint32_t)bytes;
    p.stored = (uint32_t)stored;
    p.at = (uint32_t)t->at;
    t->at += stored;
    return p;
}

static struct err *read_node(struct tree *t, uint32_t n, unsigned depth, struct logcol *c);

static struct err *read_hex(struct tree *t, struct logcol *c)
{
    uint8_t *vary = arena_zalloc(t->arena, LOGCOL_MAX_HEX), n_vary = 0;
    struct slice bits;

    c->hex.len = reader_u8(t->r);
    c->hex.is_upper = reader_u8(t->r) != 0;
    if (c->hex.len > LOGCOL_MAX_HEX)
        return corrupt("hex texts are too long");
    bits = reader_bytes(t->r, (c->hex.len + 7u) / 8);
    for (unsigned k = 0; reader_ok(t->r) && k < c->hex.len; k++) {
        vary[k] = bits.ptr[k / 8] >> (k % 8) & 1;
        n_vary = (uint8_t)(n_vary + vary[k]);
    }
    c->hex.n_vary = n_vary;
    c->hex.vary = vary;
    c->hex.still = reader_bytes(t->r, c->hex.len - n_vary).ptr;
    c->payload = read_payload(t);
    return NULL;
}

static struct err *read_template(struct tree *t, struct logcol *c, struct logcol_template *m)
{
    uint64_t n = reader_uvarint(t->r), sum = 0;
    uint32_t next = 0;

    m->kind = reader_u8(t->r);
    m->n_vars = (uint32_t)reader_count(t->r, 2);
    if (n == 0 || n > c->n || m->kind >= LOGSKEL_KINDS || m->n_vars > LOGCOL_MAX_COLUMNS)
        return corrupt("a template");
    m->n = (uint32_t)n;
    m->vars = arena_array(t->arena, struct logcol_var, m->n_vars);
    for (uint32_t k = 0; k < m->n_vars; k++) {
        struct logcol_var *v = &m->vars[k];
        int64_t step;

        v->before = reader_lstr(t->r);
        step = reader_varint(t->r);
        if (step < -(int64_t)next || step >= (int64_t)c->words.n_cols - next)
            return corrupt("a variable's column");
        v->col = (uint32_t)((int64_t)next + step);
        next = v->col + 1;
        sum += v->before.len;
        v->base = c->cols[v->col].n;
        if (m->n > UINT32_MAX - v->base || v->base + m->n > t->max_values)
            return corrupt("too many values");
        c->cols[v->col].n += m->n;
    }
    m->tail = reader_lstr(t->r);
    /* What varies is kept apart by something, so that work is bounded by what comes out. */
    if (m->n_vars > sum + m->tail.len + 1)
        return corrupt("variables without a text between them");
    return NULL;
}

static struct err *read_words(struct tree *t, unsigned depth, struct logcol *c)
{
    uint64_t n_templates = reader_count(t->r, 4), n_cols = reader_count(t->r, 2), sum = 0;
    struct err *e = NULL;

    if (n_templates == 0 || n_templates > LOGCOL_MAX_TEMPLATES || n_cols > LOGCOL_MAX_COLUMNS)
        return corrupt("too many templates or columns");
    c->words.n_templates = (uint32_t)n_templates;
    c->words.n_cols = (uint32_t)n_cols;
    c->words.templates = arena_array(t->arena, struct logcol_template, n_templates);
    c->cols = arena_array(t->arena, struct logcol, n_cols);
    for (uint32_t k = 0; !e && k < n_templates; k++) {
        struct logcol_template *m = &c->words.templates[k];

        m->first = (uint32_t)sum;
        e = read_template(t, c, m);
        sum += m->n;
        if (!e && sum > c->n)
            e = corrupt("more values in templates than there are");
    }
    if (e || !reader_ok(t->r) || sum != c->n)
        return e ? e : corrupt("templates");
    if (n_templates > 1)
        c->payload = read_payload(t);
    for (uint32_t k = 0; !e && k < n_cols; k++) {
        struct logcol *child = &c->cols[k];

        child->var = reader_u8(t->r);
        if (child->var != LOGSKEL_PLAIN)
            child->name = reader_lstr(t->r);
        e = child->var < LOGSKEL_VARS ? read_node(t, child->n, depth + 1, child)
                                      : corrupt("a kind of variable");
    }
    return e;
}

static struct err *read_lines(struct tree *t, unsigned depth, struct logcol *c)
{
    uint64_t n;

    c->lines.separator = reader_lstr(t->r);
    n = reader_uvarint(t->r);
    c->payload = read_payload(t);
    if (!reader_ok(t->r) || c->lines.separator.len == 0 ||
        c->lines.separator.len > LOGCOL_MAX_SEPARATOR || n < c->n || n > t->max_values)
        return corrupt("lines");
    c->lines.n = (uint32_t)n;
    c->cols = arena_array(t->arena, struct logcol, 1);
    return read_node(t, c->lines.n, depth + 1, c->cols);
}

static void read_number(struct tree *t, struct logcol *c)
{
    c->number.whole = reader_u8(t->r);
    c->number.part = reader_u8(t->r);
    if (!intplanes_read(t->r, &c->number.ints) || c->number.whole + c->number.part > 18)
        reader_fail(t->r);
    c->number.min = reader_varint(t->r);
    c->number.max = reader_varint(t->r);
    c->payload = read_payload(t);
}

static void read_stamp(struct tree *t, struct logcol *c)
{
    struct logstamp *f = &c->stamp.form;

    f->layout = reader_u8(t->r);
    f->between = reader_u8(t->r);
    f->point = reader_u8(t->r);
    f->digits = reader_u8(t->r);
    f->tail = reader_lstr(t->r);
    if (!logstamp_is_valid(f) || !intplanes_read(t->r, &c->stamp.ints))
        reader_fail(t->r);
    c->payload = read_payload(t);
}

static void read_dict(struct tree *t, struct logcol *c)
{
    uint64_t n = reader_uvarint(t->r);

    c->dict.planes = reader_u8(t->r);
    c->dict.texts = reader_lstr(t->r);
    if (n == 0 || n > LOGCOL_MAX_DICT || n > c->dict.texts.len || c->dict.planes < 1 ||
        c->dict.planes > 2)
        reader_fail(t->r);
    c->n_texts = (uint32_t)n;
    c->payload = read_payload(t);
}

static struct err *read_node(struct tree *t, uint32_t n, unsigned depth, struct logcol *c)
{
    uint8_t kind = reader_u8(t->r);
    struct err *e = NULL;

    c->kind = kind & (uint8_t)~LOGCOL_AFFIXES;
    c->n = n;
    if (kind & LOGCOL_AFFIXES) {
        c->has_affixes = true;
        c->prefix = reader_lstr(t->r);
        c->suffix = reader_lstr(t->r);
    }
    if (++t->n_nodes > LOGCOL_MAX_COLUMNS || arena_over(t->arena))
        return err_new(ERR_LIMIT, "log page has too many columns");
    if (depth > LOGCOL_MAX_DEPTH || (n == 0) != (c->kind == LOGCOL_NONE))
        return corrupt(n ? "columns nest too deep" : "values of nothing");
    switch (c->kind) {
    case LOGCOL_NONE:
        break;
    case LOGCOL_CONST:
        c->value = reader_lstr(t->r);
        break;
    case LOGCOL_DICT:
        read_dict(t, c);
        break;
    case LOGCOL_NUMBER:
        read_number(t, c);
        break;
    case LOGCOL_ADDRESS:
        if (!intplanes_read(t->r, &c->address))
            reader_fail(t->r);
        c->payload = read_payload(t);
        break;
    case LOGCOL_STAMP:
        read_stamp(t, c);
        break;
    case LOGCOL_HEX:
        e = read_hex(t, c);
        break;
    case LOGCOL_TEXT:
        c->payload = read_payload(t);
        break;
    case LOGCOL_LINES:
        e = read_lines(t, depth, c);
        break;
    case LOGCOL_WORDS:
        e = read_words(t, depth, c);
        break;
    default:
        e = corrupt("a kind of column");
    }
    if (!e && !reader_ok(t->r))
        e = corrupt("cut short");
    return e;
}

struct err *logcol_read(struct arena *a, struct reader *r, uint32_t n, uint64_t max_values,
                        struct logcol *ret)
{
    struct tree t = {.arena = a, .r = r, .max_values = max_values};

    return read_node(&t, n, 0, ret);
}

/* ---- payloads ---- */

struct err *logcol_unpack(struct arena *a, struct slice stored, size_t bytes, struct slice *ret)
{
    uint8_t *to;

    if (stored.len == bytes) {
        *ret = stored;
        return NULL;
    }
    if (bytes > arena_left(a))
        return err_new(ERR_LIMIT, "log column: %zu bytes are more than the query may hold", bytes);
    to = arena_alloc(a, bytes);
    if (!block_zstd_unpack(stored, to, bytes))
        return corrupt("a payload does not decompress");
    *ret = slice_of(to, bytes);
    return NULL;
}

static struct err *fetch_payload(const struct logcol_source *src, const struct logcol_payload *p,
                                 struct slice *ret)
{
    struct slice stored;
    struct err *e;

    if (p->stored == 0) {
        *ret = p->inline_;
        return NULL;
    }
    if (p->bytes > src->max_bytes || (uint64_t)p->at + p->stored > src->size)
        return corrupt("a payload that cannot be");
    if ((e = src->fetch(src->arg, src->base + p->at, p->stored, &stored)))
        return e;
    if (hash_crc32c(stored) != p->crc)
        return corrupt("checksum of a payload");
    return logcol_unpack(src->arena, stored, p->bytes, ret);
}

static struct err *load_ints(struct arena *a, struct logcol *c, const struct intplanes *how,
                             struct slice raw)
{
    int64_t *ints;

    if (raw.len != intplanes_bytes(how, c->n))
        return corrupt("numbers");
    ints = arena_alloc(a, c->n * sizeof(*ints));
    intplanes_decode(how, raw.ptr, c->n, ints);
    c->ints = ints;
    return NULL;
}

/* n lengths, then as many texts, and no more. */
static struct err *load_texts(struct arena *a, struct logcol *c, uint32_t n, struct slice raw)
{
    struct reader r = reader_new(raw);
    uint32_t *ends;
    uint64_t sum = 0;

    if (n > raw.len)
        return corrupt("texts");
    ends = arena_alloc(a, n * sizeof(*ends));
    for (uint32_t i = 0; i < n; i++) {
        uint64_t len = reader_uvarint(&r);

        if (len > raw.len - sum)
            return corrupt("the length of a text");
        ends[i] = (uint32_t)(sum += len);
    }
    if (!reader_ok(&r) || reader_left(&r) != sum)
        return corrupt("texts");
    c->ends = ends;
    c->bytes = r.ptr;
    return NULL;
}

static struct err *load_planes(struct arena *a, struct logcol *c, unsigned planes, uint32_t n_which,
                               struct slice raw)
{
    uint16_t *which, most = 0;

    if (raw.len != (size_t)c->n * planes)
        return corrupt("numbers of texts or templates");
    which = arena_alloc(a, c->n * sizeof(*which));
    for (uint32_t i = 0; i < c->n; i++)
        which[i] = raw.ptr[i];
    if (planes == 2)
        for (uint32_t i = 0; i < c->n; i++)
            which[i] |= (uint16_t)(raw.ptr[c->n + i] << 8);
    for (uint32_t i = 0; i < c->n; i++)
        most = ORR_MAX(most, which[i]);
    c->which = which;
    return most < n_which ? NULL : corrupt("a text or template that is not there");
}

/* Of each value its place among those of its template, and the other way round. */
static struct err *load_ranks(struct arena *a, struct logcol *c)
{
    uint32_t *rank = arena_alloc(a, c->n * sizeof(*rank)),
             *order = arena_alloc(a, c->n * sizeof(*order));
    uint32_t *seen = arena_zalloc(a, c->words.n_templates * sizeof(*seen));

    for (uint32_t i = 0; i < c->n; i++) {
        const struct logcol_template *m = &c->words.templates[c->which[i]];

        rank[i] = seen[c->which[i]]++;
        if (rank[i] >= m->n)
            return corrupt("values of a template");
        order[m->first + rank[i]] = i;
    }
    c->rank = rank;
    c->order = order;
    return NULL;
}

static struct err *load_words(struct arena *a, struct logcol *c, struct slice raw)
{
    uint32_t n = c->words.n_templates;
    struct err *e;

    if (n == 1)
        return NULL; /* rank and order are the identity */
    if ((e = load_planes(a, c, n > 256 ? 2 : 1, n, raw)))
        return e;
    return load_ranks(a, c);
}

static struct err *load_lines(struct arena *a, struct logcol *c, struct slice raw)
{
    uint32_t *ends = arena_alloc(a, c->n * sizeof(*ends));
    struct reader r = reader_new(raw);
    uint64_t sum = 0;

    for (uint32_t i = 0; i < c->n; i++) {
        uint64_t more = reader_uvarint(&r);

        if (more >= c->lines.n - sum)
            return corrupt("how many lines there are");
        sum += more + 1;
        ends[i] = (uint32_t)sum;
    }
    c->ends = ends;
    return reader_ok(&r) && reader_left(&r) == 0 && sum == c->lines.n ? NULL : corrupt("lines");
}

static struct err *load_raw(struct arena *a, struct logcol *c, struct slice raw)
{
    struct err *e;

    switch (c->kind) {
    case LOGCOL_DICT:
        e = load_texts(a, c, c->n_texts, c->dict.texts);
        return e ? e : load_planes(a, c, c->dict.planes, c->n_texts, raw);
    case LOGCOL_NUMBER:
        return load_ints(a, c, &c->number.ints, raw);
    case LOGCOL_ADDRESS:
        return load_ints(a, c, &c->address, raw);
    case LOGCOL_STAMP:
        return load_ints(a, c, &c->stamp.ints, raw);
    case LOGCOL_HEX:
        c->bytes = raw.ptr;
        return raw.len == (size_t)c->n * ((c->hex.n_vary + 1u) / 2) ? NULL : corrupt("hex texts");
    case LOGCOL_TEXT:
        return load_texts(a, c, c->n, raw);
    case LOGCOL_LINES:
        return load_lines(a, c, raw);
    case LOGCOL_WORDS:
        return load_words(a, c, raw);
    default:
        return NULL;
    }
}

struct err *logcol_load(const struct logcol_source *src, struct logcol *c)
{
    struct slice raw;
    struct err *e;

    if (c->is_loaded)
        return NULL;
    if (arena_over(src->arena) || (uint64_t)c->n * 16 > arena_left(src->arena))
        return err_new(ERR_LIMIT, "log columns need more memory than the query may hold");
    if ((e = fetch_payload(src, &c->payload, &raw)) || (e = load_raw(src->arena, c, raw)))
        return e;
    c->is_loaded = true;
    return NULL;
}

struct err *logcol_load_all(const struct logcol_source *src, struct logcol *c)
{
    uint32_t n = c->kind == LOGCOL_WORDS ? c->words.n_cols : c->kind == LOGCOL_LINES;
    struct err *e = logcol_load(src, c);

    for (uint32_t k = 0; !e && k < n; k++)
        e = logcol_load_all(src, &c->cols[k]);
    return e;
}

/* ---- values ---- */

static void put_number(const struct logcol *c, int64_t v, struct buf *out)
{
    uint8_t *to = buf_reserve(out, 24), tmp[24];
    uint64_t x = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    size_t n = 0, least = c->number.part ? c->number.part + 1u : 1u;

    if (!to)
        return;
    least = ORR_MAX(least, (size_t)c->number.whole + c->number.part);
    while (n < least || x) {
        tmp[n++] = (uint8_t)('0' + x % 10);
        x /= 10;
    }
    if (v < 0)
        *to++ = '-';
    for (size_t i = n; i-- > 0;) {
        *to++ = tmp[i];
        if (i == c->number.part && i > 0)
            *to++ = '.';
    }
    out->len = (size_t)(to - out->ptr);
}

static void put_address(int64_t v, struct buf *out)
{
    uint8_t *to = buf_reserve(out, 16);

    if (!to)
        return;
    for (int shift = 24; shift >= 0; shift -= 8) {
        unsigned x = (unsigned)((uint64_t)v >> shift) & 255;

        if (x >= 100)
            *to++ = (uint8_t)('0' + x / 100);
        if (x >= 10)
            *to++ = (uint8_t)('0' + x / 10 % 10);
        *to++ = (uint8_t)('0' + x % 10);
        if (shift)
            *to++ = '.';
    }
    out->len = (size_t)(to - out->ptr);
}

static void put_hex(const struct logcol *c, uint32_t i, struct buf *out)
{
    const char *digits = c->hex.is_upper ? "0123456789ABCDEF" : "0123456789abcdef";
    const uint8_t *from = c->bytes + (size_t)i * ((c->hex.n_vary + 1u) / 2), *still = c->hex.still;
    uint8_t *to = buf_reserve(out, c->hex.len);

    if (!to)
        return;
    for (unsigned k = 0, at = 0; k < c->hex.len; k++) {
        if (!c->hex.vary[k]) {
            to[k] = *still++;
        } else {
            to[k] = (uint8_t)digits[from[at / 2] >> (at % 2 ? 0 : 4) & 15];
            at++;
        }
    }
    out->len += c->hex.len;
}

static void put_stamp(const struct logcol *c, uint32_t i, struct buf *out)
{
    uint8_t *to = buf_reserve(out, LOGSTAMP_MAX_BYTES);

    if (to)
        out->len += logstamp_write(&c->stamp.form, c->ints[i], to);
}

static void put_words(const struct logcol *c, uint32_t i, struct buf *out)
{
    const struct logcol_template *m = &c->words.templates[c->which ? c->which[i] : 0];
    uint32_t rank = c->rank ? c->rank[i] : i;

    for (uint32_t k = 0; buf_ok(out) && k < m->n_vars; k++) {
        const struct logcol_var *v = &m->vars[k];

        buf_slice_append(out, v->before);
        logcol_put(&c->cols[v->col], v->base + rank, out);
    }
    buf_slice_append(out, m->tail);
}

static void put_lines(const struct logcol *c, uint32_t i, struct buf *out)
{
    uint32_t start = i ? c->ends[i - 1] : 0;

    for (uint32_t k = start; buf_ok(out) && k < c->ends[i]; k++) {
        if (k > start)
            buf_slice_append(out, c->lines.separator);
        logcol_put(c->cols, k, out);
    }
}

void logcol_put(const struct logcol *c, uint32_t i, struct buf *out)
{
    if (c->has_affixes)
        buf_slice_append(out, c->prefix);
    switch (c->kind) {
    case LOGCOL_CONST:
        buf_slice_append(out, c->value);
        break;
    case LOGCOL_DICT:
        buf_slice_append(out, logcol_text(c, c->which[i]));
        break;
    case LOGCOL_NUMBER:
        put_number(c, c->ints[i], out);
        break;
    case LOGCOL_ADDRESS:
        put_address(c->ints[i], out);
        break;
    case LOGCOL_STAMP:
        put_stamp(c, i, out);
        break;
    case LOGCOL_HEX:
        put_hex(c, i, out);
        break;
    case LOGCOL_TEXT:
        buf_slice_append(out, logcol_text(c, i));
        break;
    case LOGCOL_LINES:
        put_lines(c, i, out);
        break;
    default:
        put_words(c, i, out);
    }
    if (c->has_affixes)
        buf_slice_append(out, c->suffix);
}
