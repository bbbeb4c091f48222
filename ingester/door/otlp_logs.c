#include "ingester/door/otlp_logs.h"

#include "common/model/event.h"
#include "ingester/door/otlp.h"
#include "ingester/door/otlp_logs_internal.h"

/* Pairs under way: those of the resource, then of its scope, then of a record. */
struct pairs {
    struct arena *a;
    struct label *ptr;
    size_t n, cap;
};

struct translator {
    struct log_builder *b;
    struct pairs labels, metadata;
};

static void add(struct pairs *to, struct slice name, struct slice value)
{
    if (to->n == to->cap) {
        size_t cap = to->cap ? 2 * to->cap : 32;

        to->ptr = arena_grow(to->a, to->ptr, to->cap * sizeof(*to->ptr), cap * sizeof(*to->ptr));
        to->cap = cap;
    }
    to->ptr[to->n++] = (struct label){name, value};
}

static void add_u64(struct pairs *to, struct slice name, uint64_t v)
{
    if (v)
        add(to, name, slice_cstr(arena_printf(to->a, "%llu", (unsigned long long)v)));
}

static void add_text(struct pairs *to, struct slice name, struct slice v)
{
    if (v.len)
        add(to, name, v);
}

/* Identifiers that are zero, or of another length, are none. */
static void add_hex(struct pairs *to, struct slice name, struct slice bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t *out, any = 0;

    for (size_t i = 0; i < bytes.len; i++)
        any |= bytes.ptr[i];
    if (!any || bytes.len != len)
        return;
    out = arena_alloc(to->a, 2 * bytes.len);
    for (size_t i = 0; i < bytes.len; i++) {
        out[2 * i] = (uint8_t)digits[bytes.ptr[i] >> 4];
        out[2 * i + 1] = (uint8_t)digits[bytes.ptr[i] & 15];
    }
    add(to, name, slice_of(out, 2 * bytes.len));
}

/* ---- names ---- */

static bool is_name_byte(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* prefix_name with _ for what a label's name may not have. */
static struct slice name_of(struct arena *a, struct slice prefix, struct slice name)
{
    size_t n = 0;
    uint8_t *out;

    if (prefix.len == 0 && labels_is_legacy_name(name))
        return name;
    out = arena_alloc(a, prefix.len + name.len + 5);
    if (prefix.len) {
        memcpy(out, prefix.ptr, prefix.len);
        n = prefix.len;
        out[n++] = '_';
    } else if (name.len && name.ptr[0] >= '0' && name.ptr[0] <= '9') {
        memcpy(out, "key_", 4);
        n = 4;
    }
    for (size_t i = 0; i < name.len; i++) {
        /* A rune becomes one _. */
        if (is_name_byte(name.ptr[i]))
            out[n++] = name.ptr[i];
        else if ((name.ptr[i] & 0xc0) != 0x80)
            out[n++] = '_';
    }
    return slice_of(out, n);
}

static void flatten(struct pairs *to, struct slice prefix, struct otlp_member *m)
{
    struct slice name = name_of(to->a, prefix, m->key);

    if (m->value.kind != OTLP_VALUE_MAP) {
        add(to, name, otlp_value_text(to->a, &m->value));
        return;
    }
    for (size_t i = 0; i < m->value.n; i++)
        flatten(to, name, &m->value.members[i]);
}

static void add_members(struct pairs *to, struct otlp_members ms)
{
    for (size_t i = 0; i < ms.n; i++)
        flatten(to, SLICE_EMPTY, &ms.ptr[i]);
}

/* Does an attribute of a resource become a label? Without a tenant's rules: by the default. */
static bool is_index(const struct log_builder *b, struct slice key)
{
    const struct tenant_list *list =
        b->rules ? &b->rules->default_resource_attributes_as_index_labels : NULL;
    struct slice rest = SLICE(TENANT_RULES_OTLP_INDEX), name;

    for (size_t i = 0; list && i < list->n; i++)
        if (slice_eq(key, list->ptr[i]))
            return true;
    while (!list && slice_split(&rest, ',', &name))
        if (slice_eq(key, name))
            return true;
    return false;
}

/* ---- records ---- */

static struct err *record(struct translator *t, struct otlp_record *r,
                          const struct log_builder_at *at)
{
    struct pairs *md = &t->metadata;
    size_t before = md->n;
    struct log_builder_at event_at;
    uint64_t time = r->time_ns ? r->time_ns : r->observed_ns;
    struct log_in in;
    struct err *e;

    if (r->event_name.len) {
        struct label kind = {SLICE(EVENT_LABEL), r->event_name};

        event_at = log_builder_stream(t->b, (struct labels){&kind, 1});
        at = &event_at;
        for (size_t i = 0; i < t->labels.n; i++)
            add(md, t->labels.ptr[i].name, t->labels.ptr[i].value);
        add(md, SLICE(EVENT_NAME), r->event_name);
    }
    add_members(md, r->attrs);
    if (r->time_ns)
        add_u64(md, SLICE("observed_timestamp"), r->observed_ns);
    add_u64(md, SLICE("dropped_attributes_count"), r->dropped);
    add_u64(md, SLICE("flags"), r->flags);
    if (r->severity)
        add(md, SLICE("severity_number"),
            slice_cstr(arena_printf(md->a, "%lld", (long long)r->severity)));
    add_text(md, SLICE("severity_text"), r->severity_text);
    add_hex(md, SLICE("trace_id"), r->trace_id, OTLP_TRACE_ID_BYTES);
    add_hex(md, SLICE("span_id"), r->span_id, OTLP_SPAN_ID_BYTES);
    in = (struct log_in){.t_ns = time ? (int64_t)time : t->b->now_ns,
                         .line = otlp_value_text(md->a, &r->body),
                         .metadata = md->ptr,
                         .n_metadata = md->n};
    if (time > INT64_MAX) {
        log_builder_reject(t->b, LOG_BAD_RECORD, in.line.len, at->labels, "time out of range");
        e = NULL;
    } else {
        e = log_builder_entry(t->b, at, &in);
    }
    md->n = before;
    return e;
}

static struct err *resource(struct translator *t, struct otlp_log_resource *r)
{
    struct log_builder_at at = {.reason = LOG_OK};
    struct pairs *md = &t->metadata;
    bool has_at = false;
    struct err *e = NULL;

    t->labels.n = md->n = 0;
    for (size_t i = 0; i < r->header.n; i++)
        flatten(is_index(t->b, r->header.members[i].key) ? &t->labels : md, SLICE_EMPTY,
                &r->header.members[i]);
    add_u64(md, SLICE("resource_dropped_attributes_count"), r->header.dropped);
    for (size_t i = 0; i < r->n_scopes; i++) {
        struct otlp_log_scope *s = &r->scopes[i];
        size_t before = md->n;

        if (s->n_records && !has_at) {
            at = log_builder_stream(t->b, (struct labels){t->labels.ptr, t->labels.n});
            has_at = true;
        }
        add_members(md, (struct otlp_members){s->header.members, s->header.n});
        add_text(md, SLICE("scope_name"), s->header.name);
        add_text(md, SLICE("scope_version"), s->header.version);
        add_u64(md, SLICE("scope_dropped_attributes_count"), s->header.dropped);
        for (size_t k = 0; k < s->n_records && !e; k++)
            e = record(t, &s->records[k], &at);
        md->n = before;
    }
    return e;
}

struct err *otlp_logs_translate(struct log_builder *b, struct otlp_logs *logs)
{
    struct translator t = {
        .b = b, .labels.a = log_builder_arena(b), .metadata.a = log_builder_arena(b)};
    struct err *e = NULL;

    for (size_t i = 0; i < logs->n_resources && !e; i++)
        e = resource(&t, &logs->resources[i]);
    return e;
}
