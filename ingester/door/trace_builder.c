#include "ingester/door/trace_builder.h"

#include "common/base/arena_room.h"

static const char *const reason_names[] = {
#define X(sym, name, text) name,
    TRACE_REASONS(X)
#undef X
};
static const char *const reason_texts[] = {
#define X(sym, name, text) text,
    TRACE_REASONS(X)
#undef X
};

const char *trace_reason_name(enum trace_reason reason)
{
    return reason_names[reason];
}

const char *trace_reason_text(enum trace_reason reason)
{
    return reason_texts[reason];
}

void trace_builder_init(struct trace_builder *b, struct trace_batch *batch, struct arena *arena)
{
    *b = (struct trace_builder){.batch = batch, .arena = arena};
}

void trace_builder_done(struct trace_builder *b)
{
    vec_done(&b->resources);
    vec_done(&b->scopes);
    vec_done(&b->spans);
    vec_done(&b->traces);
    mem_free(b->slots);
    b->slots = NULL;
    b->n_slots = 0;
    arena_charge(b->arena, -(int64_t)b->charged);
    b->charged = 0;
}

/* ---- limits ---- */

/* Not within a character of UTF-8. */
static struct slice cut_text(struct trace_builder *b, struct slice s, bool is_text)
{
    size_t max = (size_t)b->batch->limits.max_attribute_bytes;

    if (!max || s.len <= max)
        return s;
    b->cut_values++;
    while (is_text && max > 0 && (s.ptr[max] & 0xc0) == 0x80)
        max--;
    return slice_sub(s, 0, max);
}

static void cut_value(struct trace_builder *b, struct otlp_value *v)
{
    switch (v->kind) {
    case OTLP_VALUE_TEXT:
    case OTLP_VALUE_BYTES:
        v->text = cut_text(b, v->text, v->kind == OTLP_VALUE_TEXT);
        break;
    case OTLP_VALUE_LIST:
    case OTLP_VALUE_MAP:
        for (size_t i = 0; i < v->n; i++) {
            v->members[i].key = cut_text(b, v->members[i].key, true);
            cut_value(b, &v->members[i].value);
        }
        break;
    default:
        break;
    }
}

/* How many of n may stay; the others are counted in both. */
static uint32_t cut_count(uint32_t n, int64_t max, uint32_t *dropped, uint64_t *cut)
{
    if (!max || n <= (uint64_t)max)
        return n;
    *dropped += n - (uint32_t)max;
    *cut += n - (uint32_t)max;
    return (uint32_t)max;
}

static void cut_attributes(struct trace_builder *b, struct tracepiece_attributes *a)
{
    a->n =
        cut_count(a->n, b->batch->limits.max_attributes_per_span, &a->dropped, &b->cut_attributes);
    for (uint32_t i = 0; i < a->n; i++) {
        a->ptr[i].key = cut_text(b, a->ptr[i].key, true);
        cut_value(b, &a->ptr[i].value);
    }
}

static void cut_span(struct trace_builder *b, struct tracepiece_span *s)
{
    const struct tenant_limits *l = &b->batch->limits;

    s->name = cut_text(b, s->name, true);
    s->message = cut_text(b, s->message, true);
    s->state = cut_text(b, s->state, true);
    cut_attributes(b, &s->attributes);
    s->n_events =
        cut_count(s->n_events, l->max_events_per_span, &s->dropped_events, &b->cut_events);
    for (uint32_t i = 0; i < s->n_events; i++) {
        s->events[i].name = cut_text(b, s->events[i].name, true);
        cut_attributes(b, &s->events[i].attributes);
    }
    s->n_links = cut_count(s->n_links, l->max_links_per_span, &s->dropped_links, &b->cut_links);
    for (uint32_t i = 0; i < s->n_links; i++) {
        s->links[i].state = cut_text(b, s->links[i].state, true);
        cut_attributes(b, &s->links[i].attributes);
    }
}

static size_t value_bytes(const struct otlp_value *v)
{
    size_t n = 9;

    if (v->kind == OTLP_VALUE_TEXT || v->kind == OTLP_VALUE_BYTES)
        return n + v->text.len;
    if (v->kind == OTLP_VALUE_LIST || v->kind == OTLP_VALUE_MAP)
        for (size_t i = 0; i < v->n; i++)
            n += v->members[i].key.len + value_bytes(&v->members[i].value);
    return n;
}

static size_t attributes_bytes(const struct tracepiece_attributes *a)
{
    size_t n = 0;

    for (uint32_t i = 0; i < a->n; i++)
        n += a->ptr[i].key.len + value_bytes(&a->ptr[i].value);
    return n;
}

/* What it takes by itself, roughly. */
static size_t span_bytes(const struct tracepiece_span *s)
{
    size_t n = 40 + s->name.len + s->message.len + s->state.len + attributes_bytes(&s->attributes);

    for (uint32_t i = 0; i < s->n_events; i++)
        n += 9 + s->events[i].name.len + attributes_bytes(&s->events[i].attributes);
    for (uint32_t i = 0; i < s->n_links; i++)
        n += 28 + s->links[i].state.len + attributes_bytes(&s->links[i].attributes);
    return n;
}

/* ---- memory ---- */

/* Beside the arena, with what the batch has; roughly. */
static size_t memory(const struct trace_builder *b)
{
    return b->resources.cap * sizeof(*b->resources.ptr) + b->scopes.cap * sizeof(*b->scopes.ptr) +
           b->spans.cap * sizeof(*b->spans.ptr) + b->traces.cap * sizeof(*b->traces.ptr) +
           b->n_slots * sizeof(*b->slots) + b->batch->traces.cap * sizeof(*b->batch->traces.ptr) +
           b->batch->pieces.cap;
}

static void charge(struct trace_builder *b)
{
    size_t now = memory(b);

    arena_charge(b->arena, (int64_t)now - (int64_t)b->charged);
    b->charged = now;
}

/* ---- what comes ---- */

#define SPAN_MORE_BYTES 128 /* beside the struct: its trace, with slots for it */

/* For one more behind n, of cap that there is memory for. False, and it is remembered: there are as many as there may be, or as fit. */
static bool has_room(struct trace_builder *b, size_t n, size_t cap, size_t each)
{
    b->is_over = b->is_over || n >= TRACE_BUILDER_MAX_SPANS;
    if (!b->is_over && !b->is_full && n == cap) {
        charge(b);
        b->is_full = !arena_room(b->arena, ORR_MAX(cap, (size_t)16) * each);
    }
    return !b->is_over && !b->is_full;
}

uint32_t trace_builder_resource(struct trace_builder *b, const struct tracepiece_resource *r)
{
    if (!has_room(b, b->resources.len, b->resources.cap, sizeof(*r)))
        return 0;
    vec_push(&b->resources, *r);
    cut_attributes(b, &vec_last(&b->resources).attributes);
    return (uint32_t)b->resources.len - 1;
}

uint32_t trace_builder_scope(struct trace_builder *b, const struct tracepiece_scope *s)
{
    struct tracepiece_scope *scope;

    if (!has_room(b, b->scopes.len, b->scopes.cap, sizeof(*s)))
        return 0;
    vec_push(&b->scopes, *s);
    scope = &vec_last(&b->scopes);
    scope->name = cut_text(b, scope->name, true);
    scope->version = cut_text(b, scope->version, true);
    cut_attributes(b, &scope->attributes);
    return (uint32_t)b->scopes.len - 1;
}

static uint64_t be64(const uint8_t *p)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < 8; i++)
        v = v << 8 | p[i];
    return v;
}

bool trace_builder_link(struct tracepiece_link *l, struct slice trace_id, struct slice span_id)
{
    if (trace_id.len != sizeof(l->trace_id) || span_id.len != 8)
        return false;
    memcpy(l->trace_id, trace_id.ptr, sizeof(l->trace_id));
    l->span_id = be64(span_id.ptr);
    return true;
}

static uint32_t *trace_slot(struct trace_builder *b, const uint8_t *id)
{
    size_t at = hash_xxh64(slice_of(id, 16), 0) & (b->n_slots - 1);

    while (b->slots[at] && memcmp(b->batch->traces.ptr[b->slots[at] - 1].id, id, 16))
        at = (at + 1) & (b->n_slots - 1);
    return &b->slots[at];
}

static uint32_t trace_of(struct trace_builder *b, const uint8_t *id)
{
    uint32_t *slot;

    if (b->batch->traces.len * 2 >= b->n_slots) {
        b->n_slots = b->n_slots ? b->n_slots * 2 : 64;
        mem_free(b->slots);
        b->slots = mem_calloc(b->n_slots, sizeof(*b->slots));
        for (uint32_t i = 0; i < b->batch->traces.len; i++)
            *trace_slot(b, b->batch->traces.ptr[i].id) = i + 1;
    }
    slot = trace_slot(b, id);
    if (!*slot) {
        memcpy(vec_add(&b->batch->traces)->id, id, 16);
        *slot = (uint32_t)b->batch->traces.len;
    }
    return *slot - 1;
}

static bool is_zero(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i])
            return false;
    return true;
}

/* TRACE_REASON_COUNT: none. */
static enum trace_reason check_ids(const struct trace_in *in)
{
    if (in->trace_id.len != 16 || is_zero(in->trace_id))
        return TRACE_BAD_TRACE_ID;
    if (in->span_id.len != 8 || is_zero(in->span_id))
        return TRACE_BAD_SPAN_ID;
    if (in->parent_id.len != 8 && in->parent_id.len != 0)
        return TRACE_BAD_PARENT_ID;
    return TRACE_REASON_COUNT;
}

void trace_builder_span(struct trace_builder *b, const struct trace_in *in)
{
    enum trace_reason reason = check_ids(in);
    int64_t max = b->batch->limits.max_span_bytes;
    struct tracepiece_span *s;
    uint32_t trace;

    if (reason != TRACE_REASON_COUNT) {
        b->refused[reason]++;
        return;
    }
    if (!has_room(b, b->spans.len, b->spans.cap, sizeof(*s) + SPAN_MORE_BYTES))
        return;
    vec_push(&b->spans, in->span);
    s = &vec_last(&b->spans);
    cut_span(b, s);
    if (max && span_bytes(s) > (size_t)max) {
        b->refused[TRACE_SPAN_TOO_LARGE]++;
        b->spans.len--;
        return;
    }
    s->span_id = be64(in->span_id.ptr);
    s->parent_id = in->parent_id.len ? be64(in->parent_id.ptr) : 0;
    trace = trace_of(b, in->trace_id.ptr);
    b->batch->traces.ptr[trace].n_spans++;
    vec_push(&b->traces, trace);
}

/* ---- pieces ---- */

/* Numbers of the write's resources, or scopes, within the piece that is made. */
struct renumber {
    uint32_t *epochs, *numbers;
};

static struct renumber renumber_new(struct arena *a, size_t n)
{
    return (struct renumber){arena_array(a, uint32_t, n), arena_array(a, uint32_t, n)};
}

/* True: it is new in this piece. */
static bool renumber(struct renumber *r, uint32_t epoch, uint32_t *number, uint32_t next)
{
    uint32_t of = *number;
    bool is_new = r->epochs[of] != epoch;

    if (is_new) {
        r->epochs[of] = epoch;
        r->numbers[of] = next;
    }
    *number = r->numbers[of];
    return is_new;
}

struct making {
    struct tracepiece piece;
    struct renumber resources, scopes;
    struct tracepiece_encoder *encoder;
};

static void make_piece(struct trace_builder *b, struct making *m, uint32_t trace,
                       struct tracepiece_span *spans)
{
    struct trace_batch_trace *t = &b->batch->traces.ptr[trace];
    struct tracepiece *p = &m->piece;

    memcpy(p->trace_id, t->id, sizeof(p->trace_id));
    p->n_resources = p->n_scopes = 0;
    p->spans = spans;
    p->n_spans = t->n_spans;
    for (uint32_t i = 0; i < t->n_spans; i++) {
        uint32_t resource = spans[i].resource, scope = spans[i].scope;

        if (renumber(&m->resources, trace + 1, &spans[i].resource, p->n_resources))
            p->resources[p->n_resources++] = b->resources.ptr[resource];
        if (renumber(&m->scopes, trace + 1, &spans[i].scope, p->n_scopes))
            p->scopes[p->n_scopes++] = b->scopes.ptr[scope];
    }
    t->at = b->batch->pieces.len;
    tracepiece_encode(m->encoder, p, &b->batch->pieces);
    t->len = b->batch->pieces.len - t->at;
}

static struct err *no_room(void)
{
    return err_new(ERR_LIMIT, "the spans of one write take more memory than there is for it");
}

/* What trace_builder_end() takes beside pieces. */
static bool has_room_to_end(struct trace_builder *b)
{
    charge(b);
    return arena_room(b->arena, b->spans.len * sizeof(*b->spans.ptr) +
                                    b->batch->traces.len * sizeof(uint32_t) +
                                    b->resources.len * (sizeof(*b->resources.ptr) + 8) +
                                    b->scopes.len * (sizeof(*b->scopes.ptr) + 8) + 64);
}

struct err *trace_builder_end(struct trace_builder *b)
{
    size_t n = b->spans.len, n_traces = b->batch->traces.len;
    struct tracepiece_span *sorted;
    struct making m = {0};
    struct err *e = NULL;
    uint32_t *next;

    if (b->is_over)
        return err_new(ERR_LIMIT, "more than %u spans, resources or scopes in one write",
                       TRACE_BUILDER_MAX_SPANS);
    if (b->is_full || !has_room_to_end(b))
        return no_room();
    sorted = arena_array(b->arena, struct tracepiece_span, n);
    next = arena_array(b->arena, uint32_t, n_traces + 1);
    m.encoder = tracepiece_encoder_new();
    m.piece.resources = arena_array(b->arena, struct tracepiece_resource, b->resources.len);
    m.piece.scopes = arena_array(b->arena, struct tracepiece_scope, b->scopes.len);
    m.resources = renumber_new(b->arena, b->resources.len);
    m.scopes = renumber_new(b->arena, b->scopes.len);
    for (size_t i = 0; i < n_traces; i++)
        next[i + 1] = next[i] + b->batch->traces.ptr[i].n_spans;
    for (size_t i = 0; i < n; i++)
        sorted[next[b->traces.ptr[i]]++] = b->spans.ptr[i];
    for (uint32_t i = 0; i < n_traces && !e; i++) {
        make_piece(b, &m, i, sorted + (next[i] - b->batch->traces.ptr[i].n_spans));
        if (b->batch->pieces.len > TRACE_BUILDER_MAX_BYTES)
            e = err_new(ERR_LIMIT,
                        "the traces of one write take more than %u bytes, as each has the "
                        "attributes of its resources: send fewer at once",
                        TRACE_BUILDER_MAX_BYTES);
        charge(b);
        if (!e && !arena_room(b->arena, 0))
            e = no_room();
    }
    b->batch->spans = n;
    tracepiece_encoder_free(m.encoder);
    return e;
}

/* ---- answers ---- */

uint64_t trace_builder_refused(const struct trace_builder *b)
{
    uint64_t n = 0;

    for (size_t i = 0; i < TRACE_REASON_COUNT; i++)
        n += b->refused[i];
    return n;
}

struct err *trace_builder_answer(const struct trace_builder *b)
{
    uint64_t refused = trace_builder_refused(b);
    struct buf text = {0};
    struct err *e;

    if (!refused)
        return NULL;
    buf_printf(&text, "%llu of %llu spans refused%s", (unsigned long long)refused,
               (unsigned long long)(refused + b->spans.len),
               b->spans.len ? ", the others are stored" : "");
    for (size_t i = 0; i < TRACE_REASON_COUNT; i++)
        if (b->refused[i])
            buf_printf(&text, "; %s (%llu spans)", reason_texts[i],
                       (unsigned long long)b->refused[i]);
    e = err_new(ERR_INVALID, "%s", buf_cstr(&text));
    buf_done(&text);
    return e;
}
