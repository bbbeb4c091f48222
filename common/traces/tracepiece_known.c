#include "common/traces/tracepiece_known.h"

#include "common/base/mem.h"
#include "common/traces/tracepiece_parts.h"

#define FIRST_SLOTS 64

/* ---- copies ---- */

static struct otlp_member *copy_members(struct arena *a, const struct otlp_member *m, size_t n)
{
    struct otlp_member *to = arena_array(a, struct otlp_member, n);

    for (size_t i = 0; i < n; i++) {
        to[i].key = arena_dup(a, m[i].key);
        to[i].value = m[i].value;
        if (m[i].value.kind == OTLP_VALUE_TEXT || m[i].value.kind == OTLP_VALUE_BYTES)
            to[i].value.text = arena_dup(a, m[i].value.text);
        else if (m[i].value.kind == OTLP_VALUE_LIST || m[i].value.kind == OTLP_VALUE_MAP)
            to[i].value.members = copy_members(a, m[i].value.members, m[i].value.n);
    }
    return to;
}

static struct tracepiece_attributes copy_attributes(struct arena *a,
                                                    const struct tracepiece_attributes *from)
{
    struct tracepiece_attributes to = *from;

    to.ptr = copy_members(a, from->ptr, from->n);
    return to;
}

static struct tracepiece_resource copy_resource(struct arena *a,
                                                const struct tracepiece_resource *r)
{
    return (struct tracepiece_resource){.schema_url = arena_dup(a, r->schema_url),
                                        .attributes = copy_attributes(a, &r->attributes)};
}

static struct tracepiece_scope copy_scope(struct arena *a, const struct tracepiece_scope *s)
{
    return (struct tracepiece_scope){.name = arena_dup(a, s->name),
                                     .version = arena_dup(a, s->version),
                                     .schema_url = arena_dup(a, s->schema_url),
                                     .attributes = copy_attributes(a, &s->attributes)};
}

/* ---- slots ---- */

static struct tracepiece_slot *free_slot(const struct tracepiece_slots *s, uint64_t hash)
{
    size_t at = hash & (s->n - 1);

    while (s->ptr[at].number)
        at = (at + 1) & (s->n - 1);
    return &s->ptr[at];
}

/* Room for one more beside `used`. */
static void make_room(struct tracepiece_slots *s, size_t used)
{
    struct tracepiece_slots old = *s;

    if (s->n >= 2 * (used + 1))
        return;
    s->n = old.n ? old.n * 4 : FIRST_SLOTS;
    s->ptr = mem_calloc(s->n, sizeof(*s->ptr));
    for (size_t i = 0; i < old.n; i++)
        if (old.ptr[i].number)
            *free_slot(s, old.ptr[i].hash) = old.ptr[i];
    mem_free(old.ptr);
}

static struct arena *arena_of(struct tracepiece_known *k)
{
    if (!k->arena)
        k->arena = arena_new(0);
    return k->arena;
}

uint32_t tracepiece_known_resource(struct tracepiece_known *k, const struct tracepiece_resource *r,
                                   bool *ret_new)
{
    struct tracepiece_slots *s = &k->of_resources;
    uint64_t hash = tracepiece_resource_hash(r);
    size_t at;

    make_room(s, k->resources.len);
    for (at = hash & (s->n - 1); s->ptr[at].number; at = (at + 1) & (s->n - 1))
        if (s->ptr[at].hash == hash &&
            tracepiece_resource_cmp(&k->resources.ptr[s->ptr[at].number - 1], r) == 0)
            break;
    *ret_new = !s->ptr[at].number;
    if (*ret_new) {
        vec_push(&k->resources, copy_resource(arena_of(k), r));
        s->ptr[at] = (struct tracepiece_slot){hash, (uint32_t)k->resources.len};
    }
    return s->ptr[at].number - 1;
}

uint32_t tracepiece_known_scope(struct tracepiece_known *k, const struct tracepiece_scope *sc,
                                bool *ret_new)
{
    struct tracepiece_slots *s = &k->of_scopes;
    uint64_t hash = tracepiece_scope_hash(sc);
    size_t at;

    make_room(s, k->scopes.len);
    for (at = hash & (s->n - 1); s->ptr[at].number; at = (at + 1) & (s->n - 1))
        if (s->ptr[at].hash == hash &&
            tracepiece_scope_cmp(&k->scopes.ptr[s->ptr[at].number - 1], sc) == 0)
            break;
    *ret_new = !s->ptr[at].number;
    if (*ret_new) {
        vec_push(&k->scopes, copy_scope(arena_of(k), sc));
        s->ptr[at] = (struct tracepiece_slot){hash, (uint32_t)k->scopes.len};
    }
    return s->ptr[at].number - 1;
}

static void slots_done(struct tracepiece_slots *s)
{
    mem_free(s->ptr);
    *s = (struct tracepiece_slots){0};
}

void tracepiece_known_clear(struct tracepiece_known *k)
{
    if (k->arena)
        arena_reset(k->arena);
    vec_clear(&k->resources);
    vec_clear(&k->scopes);
    slots_done(&k->of_resources);
    slots_done(&k->of_scopes);
}

void tracepiece_known_done(struct tracepiece_known *k)
{
    if (k->arena)
        arena_free(k->arena);
    vec_done(&k->resources);
    vec_done(&k->scopes);
    slots_done(&k->of_resources);
    slots_done(&k->of_scopes);
}
