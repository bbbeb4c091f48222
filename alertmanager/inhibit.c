#include "alertmanager/inhibit.h"

#include "common/base/map.h"

static bool is_equal(const struct amconf_inhibit *rule, struct labels a, struct labels b)
{
    for (size_t i = 0; i < rule->n_equal; i++)
        if (!slice_eq(labels_get(a, rule->equal[i]), labels_get(b, rule->equal[i])))
            return false;
    return true;
}

const struct alert *inhibit_find(const struct amconf *conf, const struct map *alerts,
                                 struct labels ls, int64_t now_ns)
{
    for (size_t i = 0; i < conf->n_inhibit; i++) {
        const struct amconf_inhibit *rule = &conf->inhibit[i];
        bool is_source;

        if (!ammatch_list_matches(&rule->target, ls))
            continue;
        is_source = ammatch_list_matches(&rule->source, ls);
        MAP_FOREACH (e, alerts) {
            const struct alert *a = e->value;

            if (alert_is_resolved(a, now_ns) || !ammatch_list_matches(&rule->source, a->labels) ||
                !is_equal(rule, a->labels, ls) ||
                (is_source && ammatch_list_matches(&rule->target, a->labels)))
                continue;
            return a;
        }
    }
    return NULL;
}
