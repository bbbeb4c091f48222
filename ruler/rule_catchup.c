#include "ruler/rule_catchup.h"

#include <string.h>

#include "common/base/attr.h"

void rule_catchup_init(struct rule_catchup *c, int64_t interval_ms)
{
    *c = (struct rule_catchup){.interval_ms = interval_ms};
}

static uint64_t slots_of(const struct rule_catchup *c, const struct rule_catchup_run *r)
{
    return (uint64_t)((r->last_ms - r->first_ms) / c->interval_ms) + 1;
}

static void remove_at(struct rule_catchup *c, size_t i)
{
    memmove(&c->runs[i], &c->runs[i + 1], (c->n - i - 1) * sizeof(c->runs[0]));
    c->n--;
}

/* The runs that touch [*first, *last] go, and it becomes all of them. */
static void swallow(struct rule_catchup *c, int64_t *first_ms, int64_t *last_ms)
{
    for (size_t i = 0; i < c->n;) {
        const struct rule_catchup_run *r = &c->runs[i];

        if (r->last_ms < *first_ms - c->interval_ms || r->first_ms > *last_ms + c->interval_ms) {
            i++;
            continue;
        }
        *first_ms = ORR_MIN(*first_ms, r->first_ms);
        *last_ms = ORR_MAX(*last_ms, r->last_ms);
        remove_at(c, i);
    }
}

uint64_t rule_catchup_add(struct rule_catchup *c, int64_t first_ms, int64_t last_ms)
{
    uint64_t given_up = 0;
    size_t at = 0;

    if (first_ms > last_ms)
        return 0;
    swallow(c, &first_ms, &last_ms);
    if (c->n == RULE_CATCHUP_MAX_RUNS) {
        given_up = slots_of(c, &c->runs[0]);
        remove_at(c, 0);
    }
    while (at < c->n && c->runs[at].first_ms < first_ms)
        at++;
    memmove(&c->runs[at + 1], &c->runs[at], (c->n - at) * sizeof(c->runs[0]));
    c->runs[at] = (struct rule_catchup_run){first_ms, last_ms};
    c->n++;
    return given_up;
}

uint64_t rule_catchup_expire(struct rule_catchup *c, int64_t before_ms)
{
    uint64_t n = 0;

    while (c->n && c->runs[0].last_ms < before_ms) {
        n += slots_of(c, &c->runs[0]);
        remove_at(c, 0);
    }
    if (c->n && c->runs[0].first_ms < before_ms) {
        int64_t k = (before_ms - c->runs[0].first_ms + c->interval_ms - 1) / c->interval_ms;

        n += (uint64_t)k;
        c->runs[0].first_ms += k * c->interval_ms;
    }
    return n;
}

bool rule_catchup_next(const struct rule_catchup *c, int64_t *ret_ms)
{
    if (!c->n)
        return false;
    *ret_ms = c->runs[0].first_ms;
    return true;
}

void rule_catchup_pop(struct rule_catchup *c)
{
    c->runs[0].first_ms += c->interval_ms;
    if (c->runs[0].first_ms > c->runs[0].last_ms)
        remove_at(c, 0);
}

uint64_t rule_catchup_count(const struct rule_catchup *c)
{
    uint64_t n = 0;

    for (size_t i = 0; i < c->n; i++)
        n += slots_of(c, &c->runs[i]);
    return n;
}
