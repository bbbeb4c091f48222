/*
 * Configurations that tenants have given by API (amstore.h): read from the bucket every alertmanager.tenants-poll, and at
 * once when a peer says that one has changed. A copy of each is kept on disk, so that a start without the bucket goes on
 * with what held before. Who has given none, or one that this version refuses, has config-file's.
 */
#include <stdatomic.h>

#include "alertmanager/alertmanager_internal.h"
#include "alertmanager/amstore.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/base/mem.h"

#define BUCKET_WAIT_NS (15 * NS_PER_S) /* that a start waits for the bucket */

struct tenant_conf {
    struct amconf *conf; /* NULL: none that can hold */
    struct buf bytes;    /* of the object */
    uint64_t listed_bytes;
    int64_t modified_ms;
    bool
        is_settled; /* read again after it was first seen so: times of some stores are whole seconds */
};

/* ---- what holds ---- */

struct amconf *alertmanager_conf_of(struct alertmanager *am, struct slice tenant)
{
    const struct tenant_conf *t = map_get(&am->confs, tenant);

    return t && t->conf ? t->conf : am->conf;
}

static void conf_free(struct tenant_conf *t)
{
    if (!t)
        return;
    amconf_unref(t->conf);
    buf_done(&t->bytes);
    mem_free(t);
}

static void mark_dirty(struct alertmanager *am, struct slice tenant)
{
    (void)map_put(&am->confs_dirty, tenant, am);
}

static void count_confs(struct alertmanager *am)
{
    am->metrics.tenant_configs = (int64_t)am->confs.len;
    am->metrics.tenant_configs_refused = 0;
    MAP_FOREACH (e, &am->confs)
        am->metrics.tenant_configs_refused += !((struct tenant_conf *)e->value)->conf;
}

/* Takes conf, which is what bytes say; NULL: they are refused, and what held goes on to hold. */
static void put(struct alertmanager *am, struct slice tenant, struct slice bytes,
                struct amconf *conf)
{
    void **slot = map_slot(&am->confs, tenant);
    struct tenant_conf *t = *slot ? *slot : mem_new(struct tenant_conf);

    *slot = t;
    buf_reset(&t->bytes);
    buf_slice_append(&t->bytes, bytes);
    if (conf) {
        amconf_unref(t->conf);
        t->conf = conf;
        mark_dirty(am, tenant);
        alertmanager_reconfigure_tenant(am, tenant);
        alertmanager_warn_unsupported(conf);
    }
    count_confs(am);
}

static void drop(struct alertmanager *am, struct slice tenant)
{
    struct tenant_conf *t = map_del(&am->confs, tenant);

    if (!t)
        return;
    mark_dirty(am, tenant);
    alertmanager_reconfigure_tenant(am, tenant);
    conf_free(t);
    count_confs(am);
}

static void refuse(struct alertmanager *am, struct slice tenant, struct err *e)
{
    am->metrics.tenant_config_errors++;
    LOG_ERROR(alertmanager, "configuration of a tenant refused; what held before does",
              KV_SLICE("tenant", tenant), KV_ERR(e));
    err_free(e);
}

void alertmanager_tenants_known(struct alertmanager *am, struct slice tenant, struct slice bytes)
{
    struct amconf *conf = NULL;
    struct err *e = amstore_compile_object(bytes, &conf);

    if (e)
        refuse(am, tenant, e);
    put(am, tenant, bytes, conf);
}

void alertmanager_tenants_take_dirty(struct alertmanager *am, silences_dirty_fn *fn, void *arg)
{
    MAP_FOREACH (e, &am->confs_dirty) {
        const struct tenant_conf *t = map_get(&am->confs, e->key);

        fn(arg, e->key, t ? buf_slice(&t->bytes) : SLICE_EMPTY);
    }
    map_done(&am->confs_dirty);
}

void alertmanager_tenants_mark_dirty(struct alertmanager *am, struct slice tenant)
{
    mark_dirty(am, tenant);
}

void alertmanager_tenants_close(struct alertmanager *am)
{
    MAP_FOREACH (e, &am->confs)
        conf_free(e->value);
    map_done(&am->confs);
    map_done(&am->confs_dirty);
}

/* ---- reading the bucket ---- */

struct known {
    uint64_t listed_bytes, hash;
    int64_t modified_ms;
    bool is_settled, is_listed;
};
struct polled {
    struct slice tenant; /* the polling's */
    struct buf bytes;
    struct amconf *conf;
    struct err *e;
    uint64_t listed_bytes;
    int64_t modified_ms;
    bool is_new; /* bytes are others than those known */
};
struct polling {
    struct alertmanager *am;
    struct arena *arena;
    struct map known; /* tenant → struct known, the arena's */
    VEC(struct polled) read;
    struct err *e;
    uint64_t generation;
};

static uint64_t hash_of(struct slice bytes)
{
    return hash_xxh64(bytes, 0);
}

static void read_one(struct polling *p, struct slice key, struct polled *one,
                     const struct known *known)
{
    struct objstore_get opts = {.max_bytes = AMSTORE_MAX_BYTES};

    one->e = objstore_get(process_objstore(p->am->process), key, &opts, &one->bytes, NULL);
    if (one->e)
        return;
    one->is_new = !known || known->hash != hash_of(buf_slice(&one->bytes));
    if (one->is_new)
        one->e = amstore_compile_object(buf_slice(&one->bytes), &one->conf);
}

static void poll_work(void *arg)
{
    struct polling *p = arg;
    struct objstore_list opts = {.prefix = SLICE(AMSTORE_PREFIX)};
    struct objstore_listing found;

    if ((p->e = objstore_list(process_objstore(p->am->process), p->arena, &opts, &found)))
        return;
    for (size_t i = 0; i < found.n; i++) {
        const struct objstore_entry *en = &found.ptr[i];
        struct slice tenant = amstore_tenant(en->key);
        struct known *known = tenant.len ? map_get(&p->known, tenant) : NULL;
        struct polled one = {
            .tenant = tenant, .listed_bytes = en->bytes, .modified_ms = en->modified_ms};

        if (known)
            known->is_listed = true;
        if (!tenant.len || (known && known->is_settled && known->listed_bytes == en->bytes &&
                            known->modified_ms == en->modified_ms))
            continue;
        read_one(p, en->key, &one, known);
        vec_push(&p->read, one);
    }
}

static void take_one(struct alertmanager *am, struct polled *one)
{
    struct tenant_conf *t;
    bool was_read = one->bytes.len > 0 && (!one->e || one->is_new);

    if (one->e) {
        refuse(am, one->tenant, one->e);
        one->e = NULL;
    }
    if (!was_read) /* the bucket did not give it: next time */
        return;
    if (one->is_new)
        put(am, one->tenant, buf_slice(&one->bytes), one->conf);
    else
        amconf_unref(one->conf);
    one->conf = NULL;
    t = map_get(&am->confs, one->tenant);
    t->is_settled = t->listed_bytes == one->listed_bytes && t->modified_ms == one->modified_ms;
    t->listed_bytes = one->listed_bytes;
    t->modified_ms = one->modified_ms;
}

static void take_all(struct polling *p)
{
    struct alertmanager *am = p->am;

    VEC_FOREACH (one, &p->read)
        take_one(am, one);
    MAP_FOREACH (e, &p->known)
        if (!((struct known *)e->value)->is_listed)
            drop(am, e->key);
    atomic_store(&am->has_polled, true);
    alertmanager_disk_write(am);
}

static void polling_free(struct polling *p)
{
    VEC_FOREACH (one, &p->read) {
        buf_done(&one->bytes);
        amconf_unref(one->conf);
        err_free(one->e);
    }
    vec_done(&p->read);
    map_done(&p->known);
    arena_free(p->arena);
    err_free(p->e);
    mem_free(p);
}

static void poll_done(void *arg)
{
    struct polling *p = arg;
    struct alertmanager *am = p->am;
    bool again = am->polls_again;

    am->is_polling = am->polls_again = false;
    if (p->e) {
        am->metrics.tenant_config_errors++;
        LOG_WARN(alertmanager, "configurations of tenants not read, it will be tried again",
                 KV_ERR(p->e));
    } else if (p->generation != am->confs_generation) {
        again = true; /* one was changed here meanwhile: what was read may be older */
    } else {
        take_all(p);
    }
    polling_free(p);
    if (again)
        alertmanager_tenants_poll(am);
}

static void add_known(struct polling *p, struct slice tenant, const struct tenant_conf *t)
{
    struct known *k = arena_new_of(p->arena, struct known);

    *k = (struct known){t->listed_bytes, hash_of(buf_slice(&t->bytes)), t->modified_ms,
                        t->is_settled, false};
    (void)map_put(&p->known, tenant, k);
}

void alertmanager_tenants_poll(struct alertmanager *am)
{
    struct polling *p;
    struct err *e;

    am->polled_ns = clock_mono_ns(&clock_system);
    am->polls_again |= am->is_polling;
    if (am->is_polling || am->is_draining)
        return;
    p = mem_new(struct polling);
    p->am = am;
    p->arena = arena_new(0);
    p->generation = am->confs_generation;
    MAP_FOREACH (x, &am->confs)
        add_known(p, x->key, x->value);
    am->is_polling = true;
    if ((e = job_run(process_jobs(am->process), am->loop, poll_work, poll_done, p))) {
        am->is_polling = false;
        err_free(e); /* next time */
        polling_free(p);
    }
}

bool alertmanager_tenants_ready(struct alertmanager *am, struct buf *ret)
{
    if (atomic_load(&am->has_polled) ||
        clock_wall_ns(&clock_system) - am->start_ns > BUCKET_WAIT_NS)
        return true;
    buf_str(ret, "configurations of tenants have not been read");
    return false;
}

/* ---- changes ---- */

void alertmanager_on_config(void *arg, struct rpc_call *call)
{
    struct alertmanager *am = arg;
    struct tenant_conf *t = map_get(&am->confs, rpc_call_tenant(call));

    if (t)
        t->is_settled = false;
    alertmanager_tenants_poll(am);
    rpc_reply(call, SLICE_EMPTY);
}

static void tell_peers(struct alertmanager *am, struct slice tenant)
{
    struct ring *ring = membership_ring(process_membership(am->process), MEMBER_ALERTMANAGER, 0);
    int self = ring_find(ring, slice_cstr(process_instance(am->process)));

    for (size_t i = 0; i < ring_size(ring); i++)
        if ((int)i != self)
            alertmanager_tell(am, ring_member(ring, i), ALERTMANAGER_CONFIG, tenant, SLICE_EMPTY);
    ring_unref(ring);
}

void alertmanager_tenants_changed(struct alertmanager *am, struct slice tenant, struct slice bytes,
                                  struct amconf *conf)
{
    struct tenant_conf *t;

    am->confs_generation++;
    if (conf)
        put(am, tenant, bytes, conf);
    else
        drop(am, tenant);
    if ((t = map_get(&am->confs, tenant)))
        t->is_settled = false;
    alertmanager_disk_write(am);
    tell_peers(am, tenant);
}
