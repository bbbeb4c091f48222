#include "common/block/writelease.h"
#include "deploy/orreryctl/ctl.h"
#include "tests/unit/test.h"

/* A bucket of which nothing is read but one lease. */
struct bucket {
    struct objstore base;
    const char *lease; /* NULL: it is not there */
    bool is_atomic;
};

static struct err *bucket_get(struct objstore *base, struct slice key,
                              const struct objstore_get *opts, struct buf *ret,
                              struct objstore_info *ret_info)
{
    const struct bucket *b = (struct bucket *)base;
    char name[WRITELEASE_KEY_BYTES];

    (void)ret_info;
    writelease_key(3, name);
    if (!b->lease || !slice_eq_cstr(key, name))
        return err_new(ERR_NOT_FOUND, "no such object");
    CHECK(opts->max_bytes >= strlen(b->lease));
    buf_reset(ret);
    buf_str(ret, b->lease);
    return NULL;
}

static struct err *bucket_is_atomic(struct objstore *base, bool *ret)
{
    *ret = ((const struct bucket *)base)->is_atomic;
    return NULL;
}

static struct err *check(const char *lease, bool is_atomic)
{
    static const struct objstore_ops ops = {.get = bucket_get, .is_atomic = bucket_is_atomic};
    struct bucket b = {{&ops, (char *)"bucket"}, lease, is_atomic};

    return ctl_check_alone(&(struct ctl){.store = &b.base});
}

TEST(ctl_alone_asks_the_leases_where_puts_are_not_conditional)
{
    CHECK_OK(check(NULL, false));
    CHECK_OK(check("free aa by c1\n", false));
    CHECK_ERR(check("held aa 7 by c1\n", false), ERR_CONFLICT, "compactor \"c1\" may be writing");
    CHECK_ERR(check("what is this", false), ERR_CONFLICT, "what is this");
    CHECK_OK(check("held aa 7 by c1\n", true));
}
