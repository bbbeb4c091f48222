#include "common/block/writelease.h"
#include "deploy/orreryctl/ctl.h"

static struct err *check_lease(struct ctl *c, unsigned shard)
{
    struct objstore_get get = {.max_bytes = WRITELEASE_TEXT_BYTES};
    char key[WRITELEASE_KEY_BYTES];
    struct slice holder;
    struct buf text = {0};
    struct err *e;

    writelease_key(shard, key);
    e = objstore_get(c->store, slice_cstr(key), &get, &text, NULL);
    if (err_is(e, ERR_NOT_FOUND)) {
        err_free(e);
        e = NULL;
        buf_reset(&text);
    }
    if (!e && writelease_holder(buf_slice(&text), &holder))
        e = err_new(ERR_CONFLICT,
                    "the bucket has no conditional puts, and the compactor \"%.*s\" may be writing "
                    "(s3.one-writer): stop all compactors first; if they have not given back their "
                    "leases (they did not end by themselves) add --force",
                    SLICE_ARG(holder));
    buf_done(&text);
    return e;
}

struct err *ctl_check_alone(struct ctl *c)
{
    bool is_atomic = true;
    struct err *e = objstore_is_atomic(c->store, &is_atomic);

    for (unsigned i = 0; i < WRITELEASE_SHARDS && !e && !is_atomic; i++)
        e = check_lease(c, i);
    return e;
}
