/* The bytes of a silence, and the silence made of them. */
#include "alertmanager/silences_internal.h"
#include "common/base/mem.h"
#include "common/base/reader.h"

#define FORMAT 1
#define ARENA_BYTES (4u * SILENCES_MAX_BYTES)

void silence_encode(struct buf *out, struct slice tenant, const struct silence *s)
{
    buf_byte(out, FORMAT);
    buf_lstr(out, tenant);
    buf_lstr(out, s->id);
    buf_varint(out, s->starts_ns);
    buf_varint(out, s->ends_ns);
    buf_varint(out, s->updated_ns);
    buf_varint(out, s->expires_ns);
    buf_lstr(out, s->created_by);
    buf_lstr(out, s->comment);
    buf_uvarint(out, s->matchers.n);
    for (size_t i = 0; i < s->matchers.n; i++) {
        buf_byte(out, (uint8_t)s->matchers.ptr[i].op);
        buf_lstr(out, s->matchers.ptr[i].name);
        buf_lstr(out, s->matchers.ptr[i].value);
    }
    labels_put(out, s->annotations);
}

void silence_forget_expressions(struct silence_held *h)
{
    for (size_t i = 0; i < h->s.matchers.n; i++)
        ammatch_done(&h->s.matchers.ptr[i]);
    h->re_memory = 0;
}

void silence_unref(struct silence_held *h)
{
    if (!h || --h->refs)
        return;
    silence_forget_expressions(h);
    mem_free(h->s.matchers.ptr);
    mem_free((void *)h->s.annotations.ptr);
    mem_free((void *)h->bytes.ptr);
    mem_free(h);
}

static bool is_time(int64_t ns)
{
    return ns > -SILENCES_MAX_NS && ns <= SILENCES_MAX_NS;
}

/* The expression is compiled in an arena of its own; the texts stay those of the bytes. */
static struct err *compile(struct ammatch *m, size_t *memory)
{
    struct arena *a = arena_new(ARENA_BYTES);
    struct ammatch made;
    struct err *e = ammatch_init(a, m->op, m->name, m->value, &made);

    if (!e) {
        m->re = made.re;
        *memory += re_bytes(m->re);
    }
    arena_free(a);
    return e;
}

static struct err *read_matchers(struct silence_held *h, struct reader *r, bool compiles)
{
    size_t from = reader_pos(r);
    size_t n = reader_count(r, 3);
    struct err *e = NULL;

    if (!reader_ok(r) || n > SILENCES_MAX_MATCHERS)
        return err_new(ERR_INVALID, "more than %d matchers", SILENCES_MAX_MATCHERS);
    h->s.matchers.ptr = mem_new_array(struct ammatch, n + 1);
    for (size_t i = 0; !e && i < n; i++) {
        struct ammatch *m = &h->s.matchers.ptr[i];
        uint8_t op = reader_u8(r);

        m->op = (enum matcher_op)op;
        m->name = reader_lstr(r);
        m->value = reader_lstr(r);
        if (!reader_ok(r) || op > MATCHER_NRE)
            return err_new(ERR_INVALID, "malformed matcher");
        if (!m->name.len || !slice_is_utf8(m->name) || !slice_is_utf8(m->value))
            return err_new(ERR_INVALID, "invalid label matcher %zu: a name, and UTF-8, is wanted",
                           i);
        h->s.matchers.n = i + 1;
        if (compiles && (m->op == MATCHER_RE || m->op == MATCHER_NRE))
            e = compile(m, &h->re_memory);
    }
    h->matchers_bytes = slice_of(r->start + from, reader_pos(r) - from);
    h->memory += n * sizeof(struct ammatch);
    return err_wrap(e, "invalid label matcher %zu", h->s.matchers.n - 1);
}

static struct err *read_annotations(struct silence_held *h, struct reader *r)
{
    size_t n = reader_count(r, 2);
    struct label *ls = mem_new_array(struct label, n + 1);
    struct slice dup;

    h->s.annotations = (struct labels){ls, n};
    h->memory += n * sizeof(*ls);
    for (size_t i = 0; i < n; i++) {
        ls[i].name = reader_lstr(r);
        ls[i].value = reader_lstr(r);
    }
    if (!reader_ok(r) || reader_left(r) || !labels_sort(ls, n, &dup))
        return err_new(ERR_INVALID, "malformed");
    return NULL;
}

/* All before the start, in the order of the format. */
static struct err *read_front(struct reader *r, struct silence_peek *ret)
{
    uint8_t format = reader_u8(r);

    if (reader_ok(r) && format != FORMAT)
        return err_new(ERR_UNSUPPORTED, "silence: format %u", format);
    ret->tenant = reader_lstr(r);
    ret->id = reader_lstr(r);
    if (!reader_ok(r) || !ret->tenant.len || !ret->id.len || ret->id.len > SILENCES_MAX_ID)
        return err_new(ERR_INVALID, "silence: malformed");
    return NULL;
}

static struct err *read_times(struct reader *r, struct silence *s)
{
    s->starts_ns = reader_varint(r);
    s->ends_ns = reader_varint(r);
    s->updated_ns = reader_varint(r);
    s->expires_ns = reader_varint(r);
    if (!reader_ok(r) || !is_time(s->starts_ns) || !is_time(s->ends_ns) || !is_time(s->updated_ns))
        return err_new(ERR_INVALID, "silence: malformed");
    return NULL;
}

struct err *silence_peek(struct slice bytes, struct silence_peek *ret)
{
    struct reader r = reader_new(bytes);
    struct silence s;
    struct err *e;

    if ((e = read_front(&r, ret)) || (e = read_times(&r, &s)))
        return e;
    ret->updated_ns = s.updated_ns;
    ret->expires_ns = s.expires_ns;
    return NULL;
}

static struct err *read_all(struct silence_held *h, int64_t now_ns)
{
    struct reader r = reader_new(h->bytes);
    struct silence *s = &h->s;
    struct silence_peek front;
    struct err *e;

    if ((e = read_front(&r, &front)) || (e = read_times(&r, s)))
        return e;
    s->id = front.id;
    s->created_by = reader_lstr(&r);
    s->comment = reader_lstr(&r);
    if ((e = read_matchers(h, &r, silence_state(s, now_ns) != SILENCE_EXPIRED)))
        return e;
    return read_annotations(h, &r);
}

struct err *silence_decode(struct slice bytes, int64_t now_ns, struct silence_held **ret)
{
    struct silence_held *h;
    struct err *e;

    if (bytes.len > SILENCES_MAX_BYTES)
        return err_new(ERR_LIMIT, "a silence of more than %d bytes", SILENCES_MAX_BYTES);
    h = mem_new(struct silence_held);
    h->refs = 1;
    h->bytes = slice_of(slice_dup(bytes), bytes.len);
    h->memory = sizeof(*h) + bytes.len;
    if ((e = read_all(h, now_ns)))
        silence_unref(h);
    else
        *ret = h;
    return e;
}
