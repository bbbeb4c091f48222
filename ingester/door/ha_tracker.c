#include "ingester/door/ha_tracker.h"

#include <stdlib.h>

#include "common/base/lock.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/metric.h"
#include "common/base/reader.h"
#include "common/base/rng.h"
#include "common/model/tenant.h"

#define VERSION_SECONDS_BITS 34

struct ha_metrics {
    uint64_t elections, told, learnt, malformed, refused;
    int64_t clusters;
};
static const struct metric_field ha_fields[] = {
    METRIC_COUNTER(struct ha_metrics, elections, "orrery_ha_tracker_elections_total",
                   "Replicas elected here: of new clusters, and after failovers."),
    METRIC_COUNTER(struct ha_metrics, told, "orrery_ha_tracker_told_total",
                   "Entries given to the other ingesters."),
    METRIC_COUNTER(struct ha_metrics, learnt, "orrery_ha_tracker_learnt_total",
                   "Entries heard of from the other ingesters."),
    METRIC_COUNTER(struct ha_metrics, malformed, "orrery_ha_tracker_malformed_total",
                   "Entries heard of that could not be read."),
    METRIC_COUNTER(struct ha_metrics, refused, "orrery_ha_tracker_refused_clusters_total",
                   "Times a cluster was refused: too many of them, or too long a name."),
    METRIC_GAUGE(struct ha_metrics, clusters, "orrery_ha_tracker_clusters",
                 "Clusters whose elected replica is known."),
};

/* The elected replica of a cluster. */
struct elected {
    char *replica;
    int64_t received_ms; /* its last sample, wherever it came in */
    int64_t told_ms, elected_ms;
    uint64_t elections;
};

struct ha_tracker {
    struct ha_tracker_opts opts;
    int64_t jitter_ms; /* added to each update timeout */
    struct lock lock;
    struct map tenants; /* guarded: struct map of struct elected */
    size_t n_clusters;  /* guarded */
    struct ha_metrics m;
};

struct ha_tracker *ha_tracker_new(const struct ha_tracker_opts *opts)
{
    struct ha_tracker *t = mem_new(struct ha_tracker);
    struct rng rng;

    t->opts = *opts;
    if (opts->seed)
        rng_seed(&rng, opts->seed);
    else
        rng_seed_system(&rng);
    t->jitter_ms = (int64_t)rng_below(&rng, 2 * HA_TRACKER_JITTER_MS + 1) - HA_TRACKER_JITTER_MS;
    lock_init(&t->lock, LOCK_LEAF_MODULE);
    metric_register(&t->m, ha_fields, ORR_COUNT(ha_fields), NULL);
    return t;
}

static void free_elected(struct elected *el)
{
    mem_free(el->replica);
    mem_free(el);
}

void ha_tracker_free(struct ha_tracker *t)
{
    if (!t)
        return;
    metric_unregister(&t->m);
    MAP_FOREACH (te, &t->tenants) {
        MAP_FOREACH (ce, (struct map *)te->value)
            free_elected(ce->value);
        map_done(te->value);
        mem_free(te->value);
    }
    map_done(&t->tenants);
    lock_done(&t->lock);
    mem_free(t);
}

/* ---- entries, with the lock held ---- */

static struct map *clusters_of(struct ha_tracker *t, struct slice tenant)
{
    void **slot = map_slot(&t->tenants, tenant);

    if (!*slot)
        *slot = mem_new(struct map);
    return *slot;
}

/* Makes room among a tenant's clusters. */
static void forget_silent(struct ha_tracker *t, struct map *clusters, int64_t now_ms)
{
    bool found = true;

    while (found) { /* nothing may be deleted while iterating */
        found = false;
        MAP_FOREACH (en, clusters) {
            struct elected *el = en->value;

            if (now_ms - el->received_ms < HA_TRACKER_FORGET_MS)
                continue;
            (void)map_del(clusters, en->key);
            free_elected(el);
            t->n_clusters--;
            found = true;
            break;
        }
    }
}

/* NULL when there are too many. */
static struct elected *add_cluster(struct ha_tracker *t, struct map *clusters, struct slice cluster,
                                   size_t max, int64_t now_ms)
{
    struct elected *el;

    if ((max && clusters->len >= max) || t->n_clusters >= HA_TRACKER_MAX_CLUSTERS)
        forget_silent(t, clusters, now_ms);
    if ((max && clusters->len >= max) || t->n_clusters >= HA_TRACKER_MAX_CLUSTERS)
        return NULL;
    el = mem_new(struct elected);
    (void)map_put(clusters, cluster, el);
    t->n_clusters++;
    METRIC_SET(t->m.clusters, (int64_t)t->n_clusters);
    return el;
}

static void take_replica(struct elected *el, struct slice replica)
{
    mem_free(el->replica);
    el->replica = slice_dup(replica);
}

static void elect(struct ha_tracker *t, struct elected *el, struct slice replica, int64_t now_ms)
{
    take_replica(el, replica);
    el->received_ms = el->elected_ms = now_ms;
    el->elections++;
    METRIC_ADD(t->m.elections, 1);
}

/* ---- telling ---- */

struct tale {
    struct buf key, value;
    uint64_t version;
};

static void compose(struct tale *tale, struct slice tenant, struct slice cluster,
                    struct elected *el, int64_t now_ms)
{
    el->told_ms = now_ms;
    buf_reset(&tale->key);
    buf_reset(&tale->value);
    buf_str(&tale->key, HA_TRACKER_PREFIX);
    buf_slice_append(&tale->key, tenant);
    buf_byte(&tale->key, '/');
    buf_slice_append(&tale->key, cluster);
    buf_lstr(&tale->value, slice_cstr(el->replica));
    buf_uvarint(&tale->value, (uint64_t)el->received_ms);
    buf_uvarint(&tale->value, (uint64_t)el->elected_ms);
    buf_uvarint(&tale->value, el->elections);
    tale->version = el->elections << VERSION_SECONDS_BITS | (uint64_t)(el->received_ms / MS_PER_S);
}

/* Without the lock. */
static void tell(struct ha_tracker *t, struct tale *tale)
{
    if (tale->key.len && t->opts.tell) {
        METRIC_ADD(t->m.told, 1);
        t->opts.tell(t->opts.arg, buf_slice(&tale->key), tale->version, buf_slice(&tale->value));
    }
    buf_done(&tale->key);
    buf_done(&tale->value);
}

/* ---- a write ---- */

static bool is_name(struct slice s)
{
    return s.len && s.len <= HA_TRACKER_MAX_NAME && slice_find_byte(s, 0, 0) < 0;
}

/* Silence, by a clock that may have been set back. */
static int64_t silence(struct elected *el, int64_t now_ms)
{
    if (el->received_ms > now_ms)
        el->received_ms = now_ms;
    return now_ms - el->received_ms;
}

static enum ha_verdict check(struct ha_tracker *t, struct slice tenant,
                             const struct tenant_limits *limits, struct slice cluster,
                             struct slice replica, int64_t now_ms, struct tale *tale)
{
    struct map *clusters = clusters_of(t, tenant);
    struct elected *el = map_get(clusters, cluster);

    if (!el) {
        if (!(el = add_cluster(t, clusters, cluster, (size_t)limits->ha_max_clusters, now_ms)))
            return HA_TOO_MANY_CLUSTERS;
        elect(t, el, replica, now_ms);
    } else if (slice_eq(slice_cstr(el->replica), replica)) {
        el->received_ms = now_ms;
        if (now_ms - el->told_ms <
                limits->ha_tracker_update_timeout_ns / NS_PER_MS + t->jitter_ms &&
            now_ms >= el->told_ms)
            return HA_ELECTED;
    } else if (silence(el, now_ms) < limits->ha_tracker_failover_timeout_ns / NS_PER_MS) {
        return HA_OTHER_REPLICA;
    } else {
        elect(t, el, replica, now_ms);
    }
    compose(tale, tenant, cluster, el, now_ms);
    return HA_ELECTED;
}

enum ha_verdict ha_tracker_check(struct ha_tracker *t, struct slice tenant,
                                 const struct tenant_limits *limits, struct slice cluster,
                                 struct slice replica, int64_t now_ms)
{
    enum ha_verdict verdict = HA_NAME_TOO_LONG;
    struct tale tale = {0};

    if (is_name(cluster) && is_name(replica)) {
        lock_take(&t->lock);
        verdict = check(t, tenant, limits, cluster, replica, now_ms, &tale);
        lock_release(&t->lock);
    }
    if (verdict == HA_TOO_MANY_CLUSTERS || verdict == HA_NAME_TOO_LONG)
        METRIC_ADD(t->m.refused, 1);
    tell(t, &tale);
    return verdict;
}

/* ---- what others say ---- */

struct heard {
    struct slice tenant, cluster, replica;
    int64_t received_ms, elected_ms;
    uint64_t elections;
};

static bool read_heard(struct slice key, struct slice value, struct heard *ret)
{
    struct slice rest = slice_from(key, sizeof(HA_TRACKER_PREFIX) - 1);
    struct reader r = reader_new(value);
    uint64_t received, elected;
    ptrdiff_t slash = slice_find_byte(rest, '/', 0);
    struct err *e;

    if (!slice_has_prefix(key, SLICE(HA_TRACKER_PREFIX)) || slash < 0)
        return false;
    ret->tenant = slice_sub(rest, 0, (size_t)slash);
    ret->cluster = slice_from(rest, (size_t)slash + 1);
    ret->replica = reader_lstr(&r);
    received = reader_uvarint(&r);
    elected = reader_uvarint(&r);
    ret->elections = reader_uvarint(&r);
    ret->received_ms = (int64_t)ORR_MIN(received, (uint64_t)INT64_MAX);
    ret->elected_ms = (int64_t)ORR_MIN(elected, (uint64_t)INT64_MAX);
    if ((e = tenant_check(ret->tenant))) {
        err_free(e);
        return false;
    }
    return reader_ok(&r) && !reader_left(&r) && is_name(ret->cluster) && is_name(ret->replica) &&
           ret->elections && ret->elections < 1u << 30;
}

/* Of two elections with the same number: whether ours is to stay. */
static bool is_ours_first(const struct elected *el, const struct heard *h)
{
    if (el->elected_ms != h->elected_ms)
        return el->elected_ms < h->elected_ms;
    return slice_cmp(slice_cstr(el->replica), h->replica) < 0;
}

static void merge(struct ha_tracker *t, const struct heard *h, int64_t now_ms, struct tale *tale)
{
    struct map *clusters = clusters_of(t, h->tenant);
    struct elected *el = map_get(clusters, h->cluster);

    if (!el && !(el = add_cluster(t, clusters, h->cluster, 0, now_ms)))
        return;
    if (!el->replica || h->elections > el->elections) {
        take_replica(el, h->replica);
        el->received_ms = h->received_ms;
        el->elected_ms = h->elected_ms;
    } else if (h->elections < el->elections) {
        return; /* ours outranks it and is on its way */
    } else if (slice_eq(slice_cstr(el->replica), h->replica)) {
        el->received_ms = ORR_MAX(el->received_ms, h->received_ms);
        el->elected_ms = ORR_MIN(el->elected_ms, h->elected_ms);
    } else if (is_ours_first(el, h)) {
        el->elections++;
        compose(tale, h->tenant, h->cluster, el, now_ms);
        return;
    } else {
        take_replica(el, h->replica);
        el->received_ms = h->received_ms;
        el->elected_ms = h->elected_ms;
    }
    el->elections = h->elections;
    /* Whoever hears from the replica tells it; not all that hear of it. */
    el->told_ms = now_ms;
    (void)silence(el, now_ms);
}

void ha_tracker_learn(struct ha_tracker *t, struct slice key, uint64_t version, struct slice value,
                      int64_t now_ms)
{
    struct tale tale = {0};
    struct heard h;

    (void)version; /* it is made of what the value says */
    if (!read_heard(key, value, &h)) {
        METRIC_ADD(t->m.malformed, 1);
        return;
    }
    METRIC_ADD(t->m.learnt, 1);
    lock_take(&t->lock);
    merge(t, &h, now_ms, &tale);
    lock_release(&t->lock);
    tell(t, &tale);
}

/* ---- the page ---- */

static int by_tenant(const void *a, const void *b)
{
    const struct ha_tracker_row *x = a, *y = b;
    int c = strcmp(x->tenant, y->tenant);

    return c ? c : strcmp(x->cluster, y->cluster);
}

void ha_tracker_list(struct ha_tracker *t, struct ha_tracker_row **ret, size_t *ret_n)
{
    struct ha_tracker_row *rows;
    size_t n = 0;

    lock_take(&t->lock);
    rows = mem_new_array(struct ha_tracker_row, t->n_clusters + 1);
    MAP_FOREACH (te, &t->tenants)
        MAP_FOREACH (ce, (struct map *)te->value) {
            const struct elected *el = ce->value;

            rows[n++] = (struct ha_tracker_row){slice_dup(te->key),      slice_dup(ce->key),
                                                mem_strdup(el->replica), el->elected_ms,
                                                el->received_ms,         el->elections};
        }
    lock_release(&t->lock);
    qsort(rows, n, sizeof(*rows), by_tenant);
    *ret = rows;
    *ret_n = n;
}

void ha_tracker_list_free(struct ha_tracker_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        mem_free(rows[i].tenant);
        mem_free(rows[i].cluster);
        mem_free(rows[i].replica);
    }
    mem_free(rows);
}
