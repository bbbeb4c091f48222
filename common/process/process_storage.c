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
    struct process *p = arg;
    struct tenant_rules *r = limits_rules(p->storage_limits, tenant);
    enum s3conf_sse kind;

    if (sse_of_text(r->s3_sse_type, &kind))
        *sse = (struct objstore_s3_sse){kind, arena_dup(a, r->s3_sse_kms_key_id),
                                        arena_dup(a, r->s3_sse_kms_encryption_context)};
    tenant_rules_unref(r);
}

static struct err *open_limits(struct process *p, struct conf *c)
{
    struct err *e = limits_new(c, &p->storage_limits);

    if (e)
        return e;
    limits_start(p->storage_limits, p->loops[0], p->jobs);
    return NULL;
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

static struct err *open_s3(struct process *p, struct conf *c)
{
    struct objstore_s3_opts opts = {.sse = sse_of, .sse_arg = p};
    struct err *e;

    if ((e = open_limits(p, c)) || (e = objstore_s3_open(c, &opts, &p->objstore)))
        return e;
    if (process_roles(p) & MEMBER_COMPACTOR) {
        p->sweep_timer = loop_timer_new(p->loops[0], on_sweep, p);
        loop_timer_arm_ms(p->sweep_timer, SWEEP_FIRST_MS);
    }
    return NULL;
}

struct err *process_storage_open(struct process *p, struct conf *c)
{
    const struct process_storage_conf *conf = conf_section(c, "storage");
    struct err *e;
    char *path;

    if (conf->backend == PROCESS_S3)
        return open_s3(p, c);
    path = conf->path[0] ? mem_strdup(conf->path) : mem_printf("%s/bucket", p->data_dir);
    e = objstore_fs_open(path, NULL, &p->objstore);
    mem_free(path);
    return e;
}

void process_storage_close(struct process *p)
{
    loop_timer_free(p->sweep_timer);
    objstore_close(p->objstore);
    if (p->storage_limits)
        limits_stop(p->storage_limits);
    limits_free(p->storage_limits);
}
