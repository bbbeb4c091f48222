#include "ingester/door/jaeger_thrift.h"

#include "common/base/arena_room.h"
#include "common/base/clock.h"
#include "common/base/reader.h"
#include "ingester/door/jaeger_span.h"

/* Types of the binary protocol. */
enum {
    T_STOP = 0,
    T_BOOL = 2,
    T_BYTE = 3,
    T_DOUBLE = 4,
    T_I16 = 6,
    T_I32 = 8,
    T_I64 = 10,
    T_BINARY = 11,
    T_STRUCT = 12,
    T_MAP = 13,
    T_SET = 14,
    T_LIST = 15
};

/* The least bytes that each takes with what it must have, without what is in its own lists: all that lists have takes no more
 * than the body. */
enum { TAG_MIN = 15, LOG_MIN = 20, REF_MIN = 41, SPAN_MIN = 81 };

struct decoding {
    struct reader r;
    struct jaeger_spans spans;
    size_t room;       /* bytes of the body that no list has claimed */
    const char *error; /* a constant; the first stays */
};

static void fail(struct decoding *d, const char *what)
{
    if (!d->error)
        d->error = what;
    reader_fail(&d->r);
}

/* ---- fields ---- */

/* False at the end of the struct. */
static bool next_field(struct decoding *d, uint8_t *ret_type, uint16_t *ret_number)
{
    *ret_type = reader_u8(&d->r);
    if (*ret_type == T_STOP)
        return false;
    *ret_number = reader_u16be(&d->r);
    return reader_ok(&d->r);
}

static struct slice text(struct decoding *d)
{
    uint32_t n = reader_u32be(&d->r);

    return reader_bytes(&d->r, n); /* fails beyond the end, and so of negative lengths */
}

static uint64_t i64(struct decoding *d)
{
    return reader_u64be(&d->r);
}

static double f64(struct decoding *d)
{
    uint64_t bits = reader_u64be(&d->r);
    double v;

    memcpy(&v, &bits, sizeof(v));
    return v;
}

static void skip(struct decoding *d, uint8_t type, unsigned depth);

static void skip_items(struct decoding *d, uint8_t type, uint32_t n, unsigned depth)
{
    if (n > reader_left(&d->r)) /* nothing takes less than a byte */
        fail(d, "a list longer than the body");
    for (; n && reader_ok(&d->r); n--)
        skip(d, type, depth);
}

static void skip_map(struct decoding *d, unsigned depth)
{
    uint8_t key = reader_u8(&d->r), value = reader_u8(&d->r);
    uint32_t n = reader_u32be(&d->r);

    if (n > reader_left(&d->r))
        fail(d, "a map longer than the body");
    for (; n && reader_ok(&d->r); n--) {
        skip(d, key, depth);
        skip(d, value, depth);
    }
}

static void skip_struct(struct decoding *d, unsigned depth)
{
    uint8_t type;
    uint16_t number;

    while (next_field(d, &type, &number))
        skip(d, type, depth);
}

static void skip(struct decoding *d, uint8_t type, unsigned depth)
{
    uint8_t of;

    if (depth == JAEGER_THRIFT_MAX_DEPTH) {
        fail(d, "too deep");
        return;
    }
    switch (type) {
    case T_BOOL:
    case T_BYTE:
        reader_skip(&d->r, 1);
        break;
    case T_I16:
        reader_skip(&d->r, 2);
        break;
    case T_I32:
        reader_skip(&d->r, 4);
        break;
    case T_I64:
    case T_DOUBLE:
        reader_skip(&d->r, 8);
        break;
    case T_BINARY:
        (void)text(d);
        break;
    case T_STRUCT:
        skip_struct(d, depth + 1);
        break;
    case T_MAP:
        skip_map(d, depth + 1);
        break;
    case T_SET:
    case T_LIST:
        of = reader_u8(&d->r);
        skip_items(d, of, reader_u32be(&d->r), depth + 1);
        break;
    default:
        fail(d, "no such type");
    }
}

/* The next of the struct's fields 1 to n, of these types: others are stepped over, and one of ours with another type is an
 * error. False at the end of the struct. */
static bool next_of(struct decoding *d, const uint8_t *types, size_t n, uint16_t *ret_number)
{
    uint8_t type;

    while (next_field(d, &type, ret_number)) {
        if (*ret_number < 1 || *ret_number > n) {
            skip(d, type, 0);
            continue;
        }
        if (types[*ret_number - 1] != type)
            fail(d, "a field with the type of another");
        return reader_ok(&d->r);
    }
    return false;
}

/* How many structs follow. */
static uint32_t list(struct decoding *d, size_t min_bytes)
{
    uint8_t type = reader_u8(&d->r);
    uint32_t n = reader_u32be(&d->r);

    if (n && type != T_STRUCT)
        fail(d, "a list of something else than structs");
    if (n > reader_left(&d->r) / min_bytes || n > d->room / min_bytes)
        fail(d, "a list longer than the body");
    if (!reader_ok(&d->r))
        return 0;
    d->room -= n * min_bytes;
    return n;
}

/* NULL, and it is remembered: there is no room. */
static void *array(struct decoding *d, size_t n, size_t each)
{
    if (arena_room(d->spans.b->arena, n * each))
        return arena_calloc(d->spans.b->arena, n, each);
    fail(d, "more than there is memory for");
    return NULL;
}

/* ---- tags, logs, references ---- */

static void read_tag(struct decoding *d, struct otlp_member *ret)
{
    static const uint8_t types[] = {T_BINARY, T_I32, T_BINARY, T_DOUBLE, T_BOOL, T_I64, T_BINARY};
    struct slice string = SLICE_EMPTY, binary = SLICE_EMPTY;
    uint64_t integer = 0;
    uint32_t kind = 0;
    bool boolean = false;
    double real = 0;
    uint16_t number;

    ret->key = SLICE_EMPTY;
    while (next_of(d, types, ORR_COUNT(types), &number))
        if (number == 1)
            ret->key = text(d);
        else if (number == 2)
            kind = reader_u32be(&d->r);
        else if (number == 3)
            string = text(d);
        else if (number == 4)
            real = f64(d);
        else if (number == 5)
            boolean = reader_u8(&d->r) != 0;
        else if (number == 6)
            integer = i64(d);
        else
            binary = text(d);
    switch (kind) {
    case 0:
        ret->value = (struct otlp_value){.kind = OTLP_VALUE_TEXT, .text = string};
        break;
    case 1:
        ret->value = (struct otlp_value){.kind = OTLP_VALUE_DOUBLE, .d = real};
        break;
    case 2:
        ret->value = (struct otlp_value){.kind = OTLP_VALUE_BOOL, .b = boolean};
        break;
    case 3:
        ret->value = (struct otlp_value){.kind = OTLP_VALUE_INT, .i = (int64_t)integer};
        break;
    case 4:
        ret->value = (struct otlp_value){.kind = OTLP_VALUE_BYTES, .text = binary};
        break;
    default:
        fail(d, "a tag of no known type");
    }
}

static struct tracepiece_attributes read_tags(struct decoding *d, uint32_t more)
{
    struct tracepiece_attributes ret = {.n = list(d, TAG_MIN)};

    if (!(ret.ptr = array(d, ret.n + more, sizeof(*ret.ptr))))
        return (struct tracepiece_attributes){0};
    for (uint32_t i = 0; i < ret.n && reader_ok(&d->r); i++)
        read_tag(d, &ret.ptr[i]);
    return ret;
}

static void read_log(struct decoding *d, struct tracepiece_event *ret)
{
    static const uint8_t types[] = {T_I64, T_LIST};
    uint16_t number;

    while (next_of(d, types, ORR_COUNT(types), &number))
        if (number == 1)
            ret->t_ns = i64(d) * NS_PER_US;
        else
            ret->attributes = read_tags(d, 0);
}

static void read_logs(struct decoding *d, struct tracepiece_span *s)
{
    s->n_events = list(d, LOG_MIN);
    if (!(s->events = array(d, s->n_events, sizeof(*s->events))))
        s->n_events = 0;
    for (uint32_t i = 0; i < s->n_events && reader_ok(&d->r); i++)
        read_log(d, &s->events[i]);
}

static struct slice id_bytes(struct decoding *d, uint64_t high, uint64_t low, size_t n)
{
    uint8_t *out = arena_alloc(d->spans.b->arena, 16);

    for (unsigned i = 0; i < 8; i++) {
        out[i] = (uint8_t)(high >> (56 - 8 * i));
        out[8 + i] = (uint8_t)(low >> (56 - 8 * i));
    }
    return slice_of(out + 16 - n, n);
}

static void read_ref(struct decoding *d, struct jaeger_ref *ret)
{
    static const uint8_t types[] = {T_I32, T_I64, T_I64, T_I64};
    uint64_t ids[3] = {0}; /* trace, low; high; span */
    uint16_t number;

    while (next_of(d, types, ORR_COUNT(types), &number))
        if (number == 1)
            ret->is_follows = reader_u32be(&d->r) == 1;
        else
            ids[number - 2] = i64(d);
    ret->trace_id = id_bytes(d, ids[1], ids[0], 16);
    ret->span_id = id_bytes(d, 0, ids[2], 8);
}

static void read_refs(struct decoding *d, struct jaeger_span *s)
{
    s->n_refs = list(d, REF_MIN);
    s->refs = array(d, s->n_refs, sizeof(*s->refs));
    s->in.span.links = array(d, s->n_refs, sizeof(*s->in.span.links));
    if (!s->refs || !s->in.span.links)
        s->n_refs = 0;
    for (size_t i = 0; i < s->n_refs && reader_ok(&d->r); i++)
        read_ref(d, &s->refs[i]);
}

/* ---- spans ---- */

static void read_span_field(struct decoding *d, uint16_t number, struct jaeger_span *s,
                            uint64_t *numbers)
{
    switch (number) {
    case 5:
        s->in.span.name = text(d);
        break;
    case 6:
        read_refs(d, s);
        break;
    case 7:
        (void)reader_u32be(&d->r);
        break;
    case 10:
        s->in.span.attributes = read_tags(d, JAEGER_SPAN_MORE_ATTRIBUTES);
        break;
    case 11:
        read_logs(d, &s->in.span);
        break;
    default:
        numbers[number] = i64(d);
    }
}

static void read_span(struct decoding *d, uint32_t process)
{
    static const uint8_t types[] = {T_I64, T_I64, T_I64, T_I64,  T_BINARY, T_LIST,
                                    T_I32, T_I64, T_I64, T_LIST, T_LIST};
    uint64_t numbers[ORR_COUNT(types) + 1] = {0}; /* those that are i64, by field */
    struct jaeger_span s;
    uint16_t number;

    jaeger_span_init(&s);
    while (next_of(d, types, ORR_COUNT(types), &number))
        read_span_field(d, number, &s, numbers);
    if (!reader_ok(&d->r))
        return;
    s.in.trace_id = id_bytes(d, numbers[2], numbers[1], 16);
    s.in.span_id = id_bytes(d, 0, numbers[3], 8);
    if (numbers[4])
        s.in.parent_id = id_bytes(d, 0, numbers[4], 8);
    s.in.span.start_ns = numbers[8] * NS_PER_US;
    s.in.span.end_ns = s.in.span.start_ns + numbers[9] * NS_PER_US;
    s.in.span.resource = process;
    jaeger_span_end(&d->spans, &s);
}

/* ---- the batch ---- */

static uint32_t read_process(struct decoding *d)
{
    static const uint8_t types[] = {T_BINARY, T_LIST};
    struct tracepiece_attributes tags = {.ptr =
                                             arena_new_of(d->spans.b->arena, struct otlp_member)};
    struct slice service = SLICE_EMPTY;
    uint16_t number;

    while (next_of(d, types, ORR_COUNT(types), &number))
        if (number == 1)
            service = text(d);
        else
            tags = read_tags(d, 1);
    return reader_ok(&d->r) ? jaeger_spans_process(&d->spans, service, tags) : 0;
}

/* The process is to be known before the spans, and stands before them wherever anybody writes it. */
static void read_batch(struct decoding *d)
{
    static const uint8_t types[] = {T_STRUCT, T_LIST};
    bool has_process = false;
    uint32_t process = 0;
    uint16_t number;

    while (next_of(d, types, ORR_COUNT(types), &number)) {
        if (number == 1) {
            process = read_process(d);
            has_process = true;
            continue;
        }
        if (!has_process) {
            fail(d, "spans before their process");
            return;
        }
        for (uint32_t n = list(d, SPAN_MIN); n && reader_ok(&d->r); n--)
            read_span(d, process);
    }
}

struct err *jaeger_thrift_decode(struct trace_builder *b, struct slice body)
{
    struct decoding d = {.r = reader_new(body), .room = body.len};

    jaeger_spans_init(&d.spans, b);
    read_batch(&d);
    jaeger_spans_done(&d.spans);
    if (reader_ok(&d.r) && !reader_left(&d.r))
        return NULL;
    return err_new(ERR_INVALID, "Thrift: %s",
                   d.error           ? d.error
                   : reader_ok(&d.r) ? "bytes behind the batch"
                                     : "malformed");
}
