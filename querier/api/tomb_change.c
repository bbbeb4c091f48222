#include "querier/api/tomb_change.h"

#include "common/base/rng.h"

static const struct prom_admin_opts *admin_of(const struct prom_task *t)
{
    return &prom_tasks_opts(t->tasks)->admin;
}

struct ulid tomb_change_id(int64_t now_ms)
{
    struct rng rng;
    uint8_t entropy[10];

    rng_seed_system(&rng);
    for (size_t i = 0; i < sizeof(entropy); i++)
        entropy[i] = (uint8_t)rng_u32(&rng);
    return ulid_make(now_ms, entropy);
}

static struct err *apply(void *arg, struct tombstone_list *l, bool *ret_changed)
{
    return tombstone_change_apply(*(const struct slice *)arg, l, ret_changed);
}

/* In the bucket, or by whoever may do that. */
static struct err *make(struct prom_task *t, struct slice signal, struct slice bytes,
                        uint64_t *ret_version)
{
    const struct prom_admin_opts *admin = admin_of(t);
    struct tombstone_list *l = NULL;
    bool has_one_writer = false;
    struct err *e =
        admin->forward ? objstore_needs_one_writer(admin->objstore, &has_one_writer) : NULL;

    if (e)
        return e;
    if (has_one_writer)
        return admin->forward(admin->arg, signal, t->tenant, bytes, ret_version);
    if (!(e = tombstone_list_update(admin->objstore, signal, t->tenant, apply, &bytes, &l)))
        *ret_version = tombstone_list_version(l);
    tombstone_list_unref(l);
    return e;
}

static void tell(struct prom_task *t, struct slice signal, uint64_t version)
{
    const struct prom_admin_opts *admin = admin_of(t);

    store_hint_tombstones(prom_tasks_opts(t->tasks)->store, signal, t->tenant, version);
    if (admin->announce)
        admin->announce(admin->arg, signal, t->tenant, version);
}

struct err *tomb_change_make(struct prom_task *t, struct slice signal,
                             const struct tombstone_change *change, uint64_t *ret_version)
{
    struct buf bytes = {0};
    uint64_t version = 0;
    struct err *e;

    tombstone_change_encode(&bytes, change);
    if (!(e = make(t, signal, buf_slice(&bytes), &version)))
        tell(t, signal, version);
    buf_done(&bytes);
    if (!e && ret_version)
        *ret_version = version;
    return e;
}

struct err *tomb_change_list(struct prom_task *t, struct slice signal, struct tombstone_list **ret)
{
    return tombstone_list_load(admin_of(t)->objstore, signal, t->tenant, ret, NULL);
}
