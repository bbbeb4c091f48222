/* Whom a read asks, and since when zones may be leant on. */
#include <stdlib.h>

#include "common/base/mem.h"
#include "common/ring/ring.h"
#include "common/ring/ring_internal.h"

/* A zone gains or loses an owner. */
struct zone_event {
    int64_t at_ms;
    const char *zone;
    int change;
    uint16_t zone_index;
};

static int cmp_zone(const void *a, const void *b)
{
    return strcmp(((const struct zone_event *)a)->zone, ((const struct zone_event *)b)->zone);
}

static int cmp_time(const void *a, const void *b)
{
    const struct zone_event *x = a, *y = b;

    /* Gains first: at the instant one instance takes over from another the zone is not empty. */
    return x->at_ms != y->at_ms ? (x->at_ms > y->at_ms) - (x->at_ms < y->at_ms)
                                : y->change - x->change;
}

/* Follows how many zones own tokens through the events; the last time RF of them was reached. */
static int64_t sweep(const struct zone_event *events, size_t n, unsigned rf)
{
    unsigned *owners = mem_new_array(unsigned, n + 1);
    int64_t since = INT64_MAX;
    unsigned zones = 0;

    for (size_t i = 0; i < n; i++) {
        unsigned *z = &owners[events[i].zone_index];

        if (events[i].change > 0) {
            if ((*z)++ == 0 && ++zones == rf)
                since = events[i].at_ms;
        } else if (--(*z) == 0 && zones-- == rf) {
            since = INT64_MAX;
        }
    }
    mem_free(owners);
    return since;
}

int64_t ring_zones_since(const struct ring_input *in, size_t n, unsigned rf)
{
    struct zone_event *events = mem_new_array(struct zone_event, 2 * n + 1);
    size_t k = 0;
    uint16_t zone = 0;
    int64_t since;

    for (size_t i = 0; i < n; i++) {
        const struct member *m = in[i].member;
        int64_t left_ms = m->left_ms ? m->left_ms : m->state == MEMBER_LEFT ? m->state_ms : 0;

        if (!m->registered_ms || (left_ms && left_ms < m->registered_ms))
            continue; /* never owned; or its clock stepped: what it says counts for nothing */
        events[k++] = (struct zone_event){m->registered_ms, m->zone, 1, 0};
        if (left_ms)
            events[k++] = (struct zone_event){left_ms, m->zone, -1, 0};
    }
    qsort(events, k, sizeof(*events), cmp_zone);
    for (size_t i = 0; i < k; i++) {
        zone = (uint16_t)(zone + (i > 0 && strcmp(events[i].zone, events[i - 1].zone) != 0));
        events[i].zone_index = zone;
    }
    qsort(events, k, sizeof(*events), cmp_time);
    since = sweep(events, k, rf);
    mem_free(events);
    return since;
}

void ring_read_set(const struct ring *r, int64_t from_ms, struct ring_read_set *ret)
{
    bool *present = mem_new_array(bool, r->n_zones + 1);
    struct ring_read_set s = {0};

    s.instances = mem_new_array(uint16_t, r->n + 1);
    s.zones = mem_new_array(uint16_t, r->n + 1);
    for (size_t i = 0; i < r->n; i++) {
        if (!member_is_readable(r->instances[i].member))
            continue;
        s.instances[s.n] = (uint16_t)i;
        s.zones[s.n++] = r->instances[i].zone;
        s.n_zones += !present[r->instances[i].zone];
        present[r->instances[i].zone] = true;
    }
    mem_free(present);
    s.max_fail = r->opts.rf / 2;
    /* Who knows of fewer zones than that has not heard of the others yet: its answer has gaps. */
    s.min_ok = r->opts.needs_zones ? r->opts.rf - s.max_fail : 1;
    s.by_zone = r->opts.needs_zones || (r->zones_since_ms <= INT64_MAX - RING_ZONE_SLACK_MS &&
                                        from_ms >= r->zones_since_ms + RING_ZONE_SLACK_MS);
    *ret = s;
}

void ring_read_set_done(struct ring_read_set *s)
{
    mem_free(s->instances);
    mem_free(s->zones);
    *s = (struct ring_read_set){0};
}
