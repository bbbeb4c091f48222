#include "alertmanager/inhibit.h"

#include "common/base/map.h"
#include "common/base/mem.h"

struct inhibit {
    struct map buckets; /* see bucket_key() → struct map of fingerprint → struct alert, borrowed */
};

/* Those that match the target too are apart: half of the searches must pass them over. */
enum side { SOURCE_ONLY, SOURCE_AND_TARGET };

struct inhibit *inhibit_new(void)
{
    return mem_new(struct inhibit);
}

void inhibit_clear(struct inhibit *x)
{
    MAP_FOREACH (e, &x->buckets) {
        map_done(e->value);
        mem_free(e->value);
    }
    map_done(&x->buckets);
}

void inhibit_free(struct inhibit *x)
{
    if (!x)
        return;
    inhibit_clear(x);
    mem_free(x);
}

/* uvarint rule | u8 side | lstr of each value; a label that is not there is empty. */
static void bucket_key(struct buf *out, const struct amconf *conf, size_t rule, enum side side,
                       struct labels ls)
{
    const struct amconf_inhibit *r = &conf->inhibit[rule];

    buf_reset(out);
    buf_uvarint(out, rule);
    buf_byte(out, (uint8_t)side);
    for (size_t i = 0; i < r->n_equal; i++)
        buf_lstr(out, labels_get(ls, r->equal[i]));
}

static struct slice fp_key(const struct alert *a)
{
    return slice_of(&a->fingerprint, sizeof(a->fingerprint));
}

/* Whether a can be a source of the rule: then the key of its bucket is in out. */
static bool source_key(struct buf *out, const struct amconf *conf, size_t rule,
                       const struct alert *a)
{
    const struct amconf_inhibit *r = &conf->inhibit[rule];

    if (!ammatch_list_matches(&r->source, a->labels))
        return false;
    bucket_key(out, conf, rule,
               ammatch_list_matches(&r->target, a->labels) ? SOURCE_AND_TARGET : SOURCE_ONLY,
               a->labels);
    return true;
}

void inhibit_put(struct inhibit *x, const struct amconf *conf, struct alert *a)
{
    struct buf key = {0};

    for (size_t i = 0; i < conf->n_inhibit; i++) {
        void **slot;

        if (!source_key(&key, conf, i, a))
            continue;
        slot = map_slot(&x->buckets, buf_slice(&key));
        if (!*slot)
            *slot = mem_new(struct map);
        (void)map_put(*slot, fp_key(a), a);
    }
    buf_done(&key);
}

static void drop_from(struct inhibit *x, struct slice key, const struct alert *a)
{
    struct map *bucket = map_get(&x->buckets, key);

    if (!bucket)
        return;
    (void)map_del(bucket, fp_key(a));
    if (bucket->len)
        return;
    map_done(bucket);
    mem_free(map_del(&x->buckets, key));
}

void inhibit_drop(struct inhibit *x, const struct amconf *conf, const struct alert *a)
{
    struct buf key = {0};

    for (size_t i = 0; i < conf->n_inhibit; i++)
        if (source_key(&key, conf, i, a))
            drop_from(x, buf_slice(&key), a);
    buf_done(&key);
}

static const struct alert *find_in(struct inhibit *x, struct slice key, int64_t now_ns)
{
    const struct map *bucket = map_get(&x->buckets, key);
    const struct alert *found = NULL;
    VEC(const struct alert *) over = {0};

    if (!bucket)
        return NULL;
    MAP_FOREACH (e, bucket) {
        const struct alert *a = e->value;

        if (!alert_is_resolved(a, now_ns)) {
            found = a;
            break;
        }
        vec_push(&over, a);
    }
    VEC_FOREACH (a, &over)
        drop_from(x, key, *a);
    vec_done(&over);
    return found;
}

/* One that makes this source of a rule hold for ls, which is a target. */
static const struct alert *find_source(struct inhibit *x, const struct amconf *conf, size_t i,
                                       struct labels ls, int64_t now_ns)
{
    const struct alert *found;
    struct buf key = {0};

    bucket_key(&key, conf, i, SOURCE_ONLY, ls);
    found = find_in(x, buf_slice(&key), now_ns);
    if (!found && !ammatch_list_matches(&conf->inhibit[i].source, ls)) {
        bucket_key(&key, conf, i, SOURCE_AND_TARGET, ls);
        found = find_in(x, buf_slice(&key), now_ns);
    }
    buf_done(&key);
    return found;
}

const struct alert *inhibit_find(struct inhibit *x, const struct amconf *conf, struct labels ls,
                                 int64_t now_ns)
{
    const struct alert *found = NULL; /* by all sources of the rule so far */

    for (size_t i = 0; i < conf->n_inhibit; i++) {
        const struct amconf_inhibit *r = &conf->inhibit[i];

        if (!r->is_also && found)
            return found;
        if (r->is_also && !found)
            continue;
        found = ammatch_list_matches(&r->target, ls) ? find_source(x, conf, i, ls, now_ns) : NULL;
    }
    return found;
}
