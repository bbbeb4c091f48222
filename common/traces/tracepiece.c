#include "common/traces/tracepiece.h"

#include "common/base/mem.h"
#include "common/base/reader.h"
#include "common/traces/tracepiece_parts.h"

/* ---- texts that came before ---- */

struct known_text {
    uint32_t epoch; /* of the piece it belongs to */
    uint32_t number;
    struct slice text;
};

struct tracepiece_encoder {
    struct known_text *slots; /* open addressing; cap is a power of two */
    size_t cap;
    uint32_t n, epoch; /* texts of this piece, the empty one included */
};

#define FIRST_SLOTS 256

struct tracepiece_encoder *tracepiece_encoder_new(void)
{
    struct tracepiece_encoder *e = mem_new(struct tracepiece_encoder);

    e->cap = FIRST_SLOTS;
    e->slots = mem_calloc(e->cap, sizeof(*e->slots));
    return e;
}

void tracepiece_encoder_free(struct tracepiece_encoder *e)
{
    if (e)
        mem_free(e->slots);
    mem_free(e);
}

static void forget(struct tracepiece_encoder *e)
{
    e->n = 1;
    if (++e->epoch)
        return;
    memset(e->slots, 0, e->cap * sizeof(*e->slots));
    e->epoch = 1;
}

static struct known_text *slot_of(struct tracepiece_encoder *e, struct slice text)
{
    size_t at = hash_xxh64(text, 0) & (e->cap - 1);

    while (e->slots[at].epoch == e->epoch && !slice_eq(e->slots[at].text, text))
        at = (at + 1) & (e->cap - 1);
    return &e->slots[at];
}

static void grow(struct tracepiece_encoder *e)
{
    struct known_text *old = e->slots;
    size_t n = e->cap;

    e->cap *= 2;
    e->slots = mem_calloc(e->cap, sizeof(*e->slots));
    for (size_t i = 0; i < n; i++)
        if (old[i].epoch == e->epoch)
            *slot_of(e, old[i].text) = old[i];
    mem_free(old);
}

/* ---- encoding ---- */

static void put_text(struct tracepiece_encoder *e, struct buf *out, struct slice text)
{
    struct known_text *k;

    if (!text.len) {
        buf_uvarint(out, 1);
        return;
    }
    k = slot_of(e, text);
    if (k->epoch == e->epoch) {
        buf_uvarint(out, k->number);
        return;
    }
    *k = (struct known_text){e->epoch, ++e->n, text};
    buf_byte(out, 0);
    buf_lstr(out, text);
    if (e->n > e->cap / 2)
        grow(e);
}

static void put_members(struct tracepiece_encoder *e, struct buf *out,
                        const struct otlp_member *members, size_t n, bool has_keys, unsigned depth);

static void put_value(struct tracepiece_encoder *e, struct buf *out, const struct otlp_value *v,
                      unsigned depth)
{
    if (depth > TRACEPIECE_MAX_DEPTH) {
        buf_byte(out, OTLP_VALUE_EMPTY);
        return;
    }
    buf_byte(out, (uint8_t)v->kind);
    switch (v->kind) {
    case OTLP_VALUE_EMPTY:
        break;
    case OTLP_VALUE_TEXT:
    case OTLP_VALUE_BYTES:
        put_text(e, out, v->text);
        break;
    case OTLP_VALUE_BOOL:
        buf_byte(out, v->b);
        break;
    case OTLP_VALUE_INT:
        buf_varint(out, v->i);
        break;
    case OTLP_VALUE_DOUBLE:
        buf_f64le(out, v->d);
        break;
    case OTLP_VALUE_LIST:
    case OTLP_VALUE_MAP:
        put_members(e, out, v->members, v->n, v->kind == OTLP_VALUE_MAP, depth + 1);
        break;
    }
}

static void put_members(struct tracepiece_encoder *e, struct buf *out,
                        const struct otlp_member *members, size_t n, bool has_keys, unsigned depth)
{
    buf_uvarint(out, n);
    for (size_t i = 0; i < n; i++) {
        if (has_keys)
            put_text(e, out, members[i].key);
        put_value(e, out, &members[i].value, depth);
    }
}

static void put_attributes(struct tracepiece_encoder *e, struct buf *out,
                           const struct tracepiece_attributes *a)
{
    put_members(e, out, a->ptr, a->n, true, 1);
    buf_uvarint(out, a->dropped);
}

static void put_resource(struct tracepiece_encoder *e, struct buf *out,
                         const struct tracepiece_resource *r)
{
    put_text(e, out, r->schema_url);
    put_attributes(e, out, &r->attributes);
}

static void put_scope(struct tracepiece_encoder *e, struct buf *out,
                      const struct tracepiece_scope *s)
{
    put_text(e, out, s->name);
    put_text(e, out, s->version);
    put_text(e, out, s->schema_url);
    put_attributes(e, out, &s->attributes);
}

static void put_event(struct tracepiece_encoder *e, struct buf *out,
                      const struct tracepiece_event *event, uint64_t start_ns)
{
    buf_varint(out, (int64_t)(event->t_ns - start_ns));
    put_text(e, out, event->name);
    put_attributes(e, out, &event->attributes);
}

static void put_link(struct tracepiece_encoder *e, struct buf *out,
                     const struct tracepiece_link *link)
{
    buf_append(out, link->trace_id, sizeof(link->trace_id));
    buf_u64le(out, link->span_id);
    put_text(e, out, link->state);
    buf_uvarint(out, link->flags);
    put_attributes(e, out, &link->attributes);
}

static void put_span(struct tracepiece_encoder *e, struct buf *out, const struct tracepiece_span *s)
{
    buf_u64le(out, s->span_id);
    buf_u64le(out, s->parent_id);
    buf_uvarint(out, s->resource);
    buf_uvarint(out, s->scope);
    buf_byte(out, (uint8_t)((s->kind & 15) | s->status << 4));
    buf_uvarint(out, s->start_ns);
    buf_varint(out, (int64_t)(s->end_ns - s->start_ns));
    put_text(e, out, s->name);
    put_text(e, out, s->message);
    put_text(e, out, s->state);
    buf_uvarint(out, s->flags);
    put_attributes(e, out, &s->attributes);
    buf_uvarint(out, s->n_events);
    for (uint32_t i = 0; i < s->n_events; i++)
        put_event(e, out, &s->events[i], s->start_ns);
    buf_uvarint(out, s->dropped_events);
    buf_uvarint(out, s->n_links);
    for (uint32_t i = 0; i < s->n_links; i++)
        put_link(e, out, &s->links[i]);
    buf_uvarint(out, s->dropped_links);
}

void tracepiece_encode(struct tracepiece_encoder *e, const struct tracepiece *p, struct buf *out)
{
    forget(e);
    buf_byte(out, TRACEPIECE_VERSION);
    buf_append(out, p->trace_id, sizeof(p->trace_id));
    buf_uvarint(out, p->n_resources);
    for (uint32_t i = 0; i < p->n_resources; i++)
        put_resource(e, out, &p->resources[i]);
    buf_uvarint(out, p->n_scopes);
    for (uint32_t i = 0; i < p->n_scopes; i++)
        put_scope(e, out, &p->scopes[i]);
    buf_uvarint(out, p->n_spans);
    for (uint32_t i = 0; i < p->n_spans; i++)
        put_span(e, out, &p->spans[i]);
}

void tracepiece_member_bytes(struct tracepiece_encoder *e, const struct otlp_member *m,
                             struct buf *out)
{
    forget(e);
    put_text(e, out, m->key);
    put_value(e, out, &m->value, 1);
}

/* ---- decoding ---- */

struct decoder {
    struct arena *a;
    struct reader r;
    struct slice *texts; /* new ones, from number 2 on */
    size_t n_texts;
};

static struct slice get_text(struct decoder *d)
{
    uint64_t number = reader_uvarint(&d->r);

    if (number == 1)
        return SLICE_EMPTY;
    if (!number) {
        d->texts = arena_more(d->a, d->texts, d->n_texts);
        return d->texts[d->n_texts++] = reader_lstr(&d->r);
    }
    if (number - 2 < d->n_texts)
        return d->texts[number - 2];
    reader_fail(&d->r);
    return SLICE_EMPTY;
}

static uint32_t get_u32(struct decoder *d)
{
    uint64_t v = reader_uvarint(&d->r);

    if (v > UINT32_MAX)
        reader_fail(&d->r);
    return (uint32_t)v;
}

static uint32_t get_count(struct decoder *d, size_t min_bytes)
{
    size_t n = reader_count(&d->r, min_bytes);

    if (n > UINT32_MAX) {
        reader_fail(&d->r);
        n = 0;
    }
    return (uint32_t)n;
}

static struct otlp_member *get_members(struct decoder *d, size_t *ret_n, bool has_keys,
                                       unsigned depth);

static struct otlp_value get_value(struct decoder *d, unsigned depth)
{
    struct otlp_value v = {.kind = (enum otlp_value_kind)reader_u8(&d->r)};

    switch (v.kind) {
    case OTLP_VALUE_EMPTY:
        break;
    case OTLP_VALUE_TEXT:
    case OTLP_VALUE_BYTES:
        v.text = get_text(d);
        break;
    case OTLP_VALUE_BOOL:
        v.b = reader_u8(&d->r) != 0;
        break;
    case OTLP_VALUE_INT:
        v.i = reader_varint(&d->r);
        break;
    case OTLP_VALUE_DOUBLE:
        v.d = reader_f64le(&d->r);
        break;
    case OTLP_VALUE_LIST:
    case OTLP_VALUE_MAP:
        v.members = get_members(d, &v.n, v.kind == OTLP_VALUE_MAP, depth + 1);
        break;
    default:
        v.kind = OTLP_VALUE_EMPTY;
        reader_fail(&d->r);
    }
    return v;
}

static struct otlp_member *get_members(struct decoder *d, size_t *ret_n, bool has_keys,
                                       unsigned depth)
{
    struct otlp_member *members;

    *ret_n = 0;
    if (depth > TRACEPIECE_MAX_DEPTH + 1u) {
        reader_fail(&d->r);
        return NULL;
    }
    *ret_n = get_count(d, has_keys ? 2 : 1);
    members = arena_array(d->a, struct otlp_member, *ret_n);
    for (size_t i = 0; i < *ret_n && reader_ok(&d->r); i++) {
        members[i].key = has_keys ? get_text(d) : SLICE_EMPTY;
        members[i].value = get_value(d, depth);
    }
    return members;
}

static struct tracepiece_attributes get_attributes(struct decoder *d)
{
    struct tracepiece_attributes ret = {0};
    size_t n;

    ret.ptr = get_members(d, &n, true, 1);
    ret.n = (uint32_t)n;
    ret.dropped = get_u32(d);
    return ret;
}

static void get_event(struct decoder *d, uint64_t start_ns, struct tracepiece_event *ret)
{
    ret->t_ns = start_ns + (uint64_t)reader_varint(&d->r);
    ret->name = get_text(d);
    ret->attributes = get_attributes(d);
}

static void get_link(struct decoder *d, struct tracepiece_link *ret)
{
    struct slice id = reader_bytes(&d->r, sizeof(ret->trace_id));

    if (id.len == sizeof(ret->trace_id))
        memcpy(ret->trace_id, id.ptr, sizeof(ret->trace_id));
    ret->span_id = reader_u64le(&d->r);
    ret->state = get_text(d);
    ret->flags = get_u32(d);
    ret->attributes = get_attributes(d);
}

static void get_span(struct decoder *d, const struct tracepiece *p, struct tracepiece_span *s)
{
    uint8_t kind;

    s->span_id = reader_u64le(&d->r);
    s->parent_id = reader_u64le(&d->r);
    s->resource = get_u32(d);
    s->scope = get_u32(d);
    if (s->resource >= p->n_resources || s->scope >= p->n_scopes)
        reader_fail(&d->r);
    kind = reader_u8(&d->r);
    s->kind = kind & 15;
    s->status = kind >> 4;
    s->start_ns = reader_uvarint(&d->r);
    s->end_ns = s->start_ns + (uint64_t)reader_varint(&d->r);
    s->name = get_text(d);
    s->message = get_text(d);
    s->state = get_text(d);
    s->flags = get_u32(d);
    s->attributes = get_attributes(d);
    s->n_events = get_count(d, 4);
    s->events = arena_array(d->a, struct tracepiece_event, s->n_events);
    for (uint32_t i = 0; i < s->n_events && reader_ok(&d->r); i++)
        get_event(d, s->start_ns, &s->events[i]);
    s->dropped_events = get_u32(d);
    s->n_links = get_count(d, 28);
    s->links = arena_array(d->a, struct tracepiece_link, s->n_links);
    for (uint32_t i = 0; i < s->n_links && reader_ok(&d->r); i++)
        get_link(d, &s->links[i]);
    s->dropped_links = get_u32(d);
}

static void get_tables(struct decoder *d, struct tracepiece *p)
{
    p->n_resources = get_count(d, 3);
    p->resources = arena_array(d->a, struct tracepiece_resource, p->n_resources);
    for (uint32_t i = 0; i < p->n_resources && reader_ok(&d->r); i++) {
        p->resources[i].schema_url = get_text(d);
        p->resources[i].attributes = get_attributes(d);
    }
    p->n_scopes = get_count(d, 5);
    p->scopes = arena_array(d->a, struct tracepiece_scope, p->n_scopes);
    for (uint32_t i = 0; i < p->n_scopes && reader_ok(&d->r); i++) {
        p->scopes[i].name = get_text(d);
        p->scopes[i].version = get_text(d);
        p->scopes[i].schema_url = get_text(d);
        p->scopes[i].attributes = get_attributes(d);
    }
}

struct err *tracepiece_member_of(struct arena *a, struct slice bytes, struct otlp_member *ret)
{
    struct decoder d = {.a = a, .r = reader_new(bytes)};

    ret->key = get_text(&d);
    ret->value = get_value(&d, 1);
    if (!reader_ok(&d.r) || reader_left(&d.r))
        return err_new(ERR_CORRUPT, "attribute of a trace: malformed");
    return NULL;
}

bool tracepiece_id(struct slice bytes, const uint8_t **ret)
{
    if (bytes.len < 17 || bytes.ptr[0] != TRACEPIECE_VERSION)
        return false;
    *ret = bytes.ptr + 1;
    return true;
}

struct err *tracepiece_decode(struct arena *a, struct slice bytes, struct tracepiece *ret)
{
    struct decoder d = {.a = a, .r = reader_new(slice_from(bytes, 17))};
    const uint8_t *id;

    memset(ret, 0, sizeof(*ret));
    if (!tracepiece_id(bytes, &id))
        return err_new(ERR_CORRUPT, "piece of a trace: %s",
                       bytes.len < 17 ? "too short" : "of an unknown version");
    memcpy(ret->trace_id, id, sizeof(ret->trace_id));
    get_tables(&d, ret);
    ret->n_spans = get_count(&d, 30);
    ret->spans = arena_array(a, struct tracepiece_span, ret->n_spans);
    for (uint32_t i = 0; i < ret->n_spans && reader_ok(&d.r); i++)
        get_span(&d, ret, &ret->spans[i]);
    if (!reader_ok(&d.r) || reader_left(&d.r))
        return err_new(ERR_CORRUPT, "piece of a trace: %s at byte %zu of %zu",
                       reader_ok(&d.r) ? "more than its spans" : "malformed", 17 + reader_pos(&d.r),
                       bytes.len);
    return NULL;
}
