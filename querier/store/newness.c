#include "querier/store/newness.h"

#include "common/base/attr.h"

void newness_hint(struct newness *n, uint64_t version)
{
    n->hinted = ORR_MAX(n->hinted, version);
}

static bool is_old(const struct newness *n, const struct newness_need *need)
{
    return n->held < ORR_MAX(n->hinted, need->version);
}

bool newness_will_do(const struct newness *n, const struct newness_need *need)
{
    return n->has_held && n->checked_ns >= need->not_before_ns && !is_old(n, need);
}

bool newness_will_do_stale(const struct newness *n, const struct newness_need *need)
{
    return n->has_held && !is_old(n, need);
}

int64_t newness_look_since(const struct newness *n, const struct newness_need *need, int64_t now_ns,
                           bool *ret_is_patient)
{
    *ret_is_patient = !n->has_held || (n->held < n->hinted && n->held >= need->version);
    return n->has_held && is_old(n, need) ? now_ns : need->not_before_ns;
}

void newness_looked(struct newness *n, uint64_t version, int64_t began_ns, uint64_t hinted_then)
{
    n->has_held = true;
    n->held = version;
    n->checked_ns = began_ns;
    /* The bucket decides what is newest: a hint beyond it was about something that is gone. But one that came while the
     * bucket was looked at may be about what is newer than this look. */
    if (n->hinted == hinted_then)
        n->hinted = ORR_MIN(n->hinted, version);
}
