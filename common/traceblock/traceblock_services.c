#include "common/traceblock/traceblock_services.h"

#include "common/base/mem.h"
#include "common/traceblock/traceblock.h"

struct traceblock_service *traceblock_services_at(struct traceblock_services *s, struct slice name)
{
    struct traceblock_service *found;

    if (!name.len)
        name = SLICE(TRACEBLOCK_NO_SERVICE);
    found = map_get(&s->by_name, name);
    if (!found && s->by_name.len >= TRACEBLOCK_MAX_SERVICES) {
        name = SLICE(TRACEBLOCK_NO_SERVICE);
        found = map_get(&s->by_name, name);
    }
    if (found)
        return found;
    found = mem_new(struct traceblock_service);
    *found = (struct traceblock_service){0, INT64_MAX, INT64_MIN};
    (void)map_put(&s->by_name, name, found);
    return found;
}

void traceblock_service_add(struct traceblock_service *s, int64_t start_ns, int64_t end_ns)
{
    s->spans++;
    s->start_ns = ORR_MIN(s->start_ns, start_ns);
    s->end_ns = ORR_MAX(s->end_ns, end_ns);
}

void traceblock_services_done(struct traceblock_services *s)
{
    MAP_FOREACH (entry, &s->by_name)
        mem_free(entry->value);
    map_done(&s->by_name);
}
