#include "ingester/door/scope_tags.h"

void scope_tags_done(struct scope_tags *t)
{
    map_done(&t->numbers);
    buf_done(&t->key);
}

bool scope_tags_take(struct tracepiece_scope *s, struct slice key, struct slice value)
{
    if (slice_eq_cstr(key, "otel.scope.name") || slice_eq_cstr(key, "otel.library.name"))
        s->name = value;
    else if (slice_eq_cstr(key, "otel.scope.version") || slice_eq_cstr(key, "otel.library.version"))
        s->version = value;
    else
        return false;
    return true;
}

uint32_t scope_tags_number(struct scope_tags *t, struct trace_builder *b,
                           const struct tracepiece_scope *s)
{
    void **slot;

    buf_reset(&t->key);
    buf_lstr(&t->key, s->name);
    buf_lstr(&t->key, s->version);
    slot = map_slot(&t->numbers, buf_slice(&t->key));
    if (!*slot)
        *slot = (void *)(uintptr_t)(trace_builder_scope(b, s) + 1);
    return (uint32_t)((uintptr_t)*slot - 1);
}
