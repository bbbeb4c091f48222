#include "common/process/process_storage.h"

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/objstore/objstore_fs.h"
#include "common/objstore/objstore_s3.h"
#include "common/process/process_internal.h"

#define SWEEP_FIRST_MS (10 * 60 * 1000)
#define SWEEP_EVERY_MS (24 * 3600 * 1000)
#define SWEEP_OLDER_MS (24 * 3600 * 1000) /* an upload this old belongs to nobody who lives */

/* ---- encryption per tenant ---- */

static bool sse_of_text(struct slice text, enum s3conf_sse *ret)
{
    if (slice_eq_cstr(text, TENANT_RULES_SSE_S3))
        *ret = S3CONF_SSE_S3;
    else if (slice_eq_cstr(text, TENANT_RULES_SSE_KMS))
        *ret = S3CONF_SSE_KMS;
    else
        return false;
    return true;
}

static void sse_of(void *arg, struct slice tenant, struct arena *a, struct objstore_s3_sse *sse)
{
    struct tenant_rules *r = limits_rules(arg, tenant);
    enum s3conf_sse kind;

    if (sse_of_text(r->s3_sse_type, &kind))
        *sse = (struct objstore_s3_sse){kind, arena_dup(a, r->s3_sse_kms_key_id),
                                        arena_dup(a, r->s3_sse_kms_encryption_context)};
    tenant_rules_unref(r);
}

static struct err *make_s3(struct conf *c, struct limits **ret_limits, struct objstore **ret)
{
    struct objstore_s3_opts opts = {.sse = sse_of};
    struct limits *l = NULL;
    struct err *e;

    if ((e = limits_new(c, "storage", &l)))
        return e;
    opts.sse_arg = l;
    if ((e = objstore_s3_open(c, &opts, ret))) {
        limits_free(l);
        return e;
    }
    *ret_limits = l;
    return NULL;
}

/* ---- which one ---- */

char *process_storage_root(struct conf *c, const char *data_dir)
{
    const struct process_storage_conf *conf = conf_section(c, "storage");

    if (conf->backend == PROCESS_S3)
        return NULL;
    return conf->path[0] ? mem_strdup(conf->path) : mem_printf("%s/bucket", data_dir);
}

struct err *process_storage_make(struct conf *c, const char *data_dir, struct limits **ret_limits,
                                 struct objstore **ret)
{
    char *path = process_storage_root(c, data_dir);
    struct err *e;

    if (!path)
        return make_s3(c, ret_limits, ret);
    if (!(e = objstore_fs_open(path, NULL, ret)))
        *ret_limits = NULL;
    mem_free(path);
    return e;
}

/* ---- what crashes leave in a bucket ---- */

static void sweep(void *arg)
{
    struct process *p = arg;
    struct err *e;
    size_t n = 0;

    e = objstore_s3_sweep(p->objstore, SWEEP_OLDER_MS, &n);
    if (e)
        LOG_WARN(objstore, "the sweep of abandoned uploads failed; the next is tomorrow",
                 KV_ERR(e));
    else if (n)
        LOG_INFO(objstore, "swept abandoned uploads and scratch keys", KV_U64("count", n));
    err_free(e);
}

static void on_sweep(void *arg)
{
    struct process *p = arg;

    loop_timer_arm_ms(p->sweep_timer, SWEEP_EVERY_MS);
    err_free(job_run(p->jobs, NULL, sweep, NULL, p)); /* a full queue: tomorrow */
}

/* ---- life ---- */

struct err *process_storage_open(struct process *p, struct conf *c)
{
    struct err *e = process_storage_make(c, p->data_dir, &p->storage_limits, &p->objstore);

    if (e || !p->storage_limits)
        return e;
    limits_start(p->storage_limits, p->loops[0], p->jobs);
    if (process_roles(p) & MEMBER_COMPACTOR) {
        p->sweep_timer = loop_timer_new(p->loops[0], on_sweep, p);
        loop_timer_arm_ms(p->sweep_timer, SWEEP_FIRST_MS);
    }
    return NULL;
}

void process_storage_close(struct process *p)
{
    loop_timer_free(p->sweep_timer);
    objstore_close(p->objstore);
    if (p->storage_limits)
        limits_stop(p->storage_limits);
    limits_free(p->storage_limits);
}
