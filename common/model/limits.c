#include "common/model/limits.h"

#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/fsx.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/metric.h"
#include "common/base/yaml.h"
#include "common/model/limits_internal.h"

struct limits_conf {
    char *overrides_file;
    int64_t overrides_period_ns;
    struct tenant_limits defaults;
#define X(name, ...) struct conf_list name;
    TENANT_LISTS(X)
#undef X
#define X(name, ...) char *name;
    TENANT_TEXTS(X)
#undef X
};

/* ---- the table, as configuration ---- */

#define FIELD_RATE(name, key, def, help)                                                           \
    CONF_FLOAT(struct limits_conf, defaults.name, key, def, "0", "1e12", CONF_RELOAD, help),
#define FIELD_COUNT(name, key, def, help)                                                          \
    CONF_INT(struct limits_conf, defaults.name, key, def, "0", "1000000000000", CONF_RELOAD, help),
#define FIELD_BYTES(name, key, def, help)                                                          \
    CONF_BYTES(struct limits_conf, defaults.name, key, def, "0", NULL, CONF_RELOAD, help),
#define FIELD_DURATION(name, key, def, help)                                                       \
    CONF_DURATION(struct limits_conf, defaults.name##_ns, key, def, "0s", NULL, CONF_RELOAD, help),
#define FIELD_BOOL(name, key, def, help)                                                           \
    CONF_BOOL(struct limits_conf, defaults.name, key, def, CONF_RELOAD, help),

static const struct conf_field limits_fields[] = {
    CONF_STRING(struct limits_conf, overrides_file, "overrides-file", "", CONF_FIXED,
                "YAML file of overrides per tenant, read again while running; empty: none."),
    CONF_DURATION(struct limits_conf, overrides_period_ns, "overrides-period", "10s", "10ms", "1h",
                  CONF_FIXED, "How often the overrides file is looked at."),
#define X(kind, name, key, def, help) FIELD_##kind(name, key, def, help)
    LIMITS(X)
#undef X
#define X(name, key, def, help) CONF_LIST(struct limits_conf, name, key, def, CONF_RELOAD, help),
        TENANT_LISTS(X)
#undef X
#define X(name, key, def, help) CONF_STRING(struct limits_conf, name, key, def, CONF_RELOAD, help),
            TENANT_TEXTS(X)
#undef X
};
const struct conf_section limits_section = {
    "limits", "What a tenant may do, unless the overrides file says otherwise.",
    sizeof(struct limits_conf), limits_fields, ORR_COUNT(limits_fields)};

struct limits_metrics {
    uint64_t loads, refusals;
    int64_t tenants, is_current;
};
static const struct metric_field limits_metric_fields[] = {
    METRIC_COUNTER(struct limits_metrics, loads, "orrery_limits_loads_total",
                   "Times the overrides file was read and taken over."),
    METRIC_COUNTER(struct limits_metrics, refusals, "orrery_limits_refusals_total",
                   "Times the overrides file was refused."),
    METRIC_GAUGE(struct limits_metrics, tenants, "orrery_limits_tenants",
                 "Tenants with overrides."),
    METRIC_GAUGE(struct limits_metrics, is_current, "orrery_limits_is_current",
                 "1 if what holds is what the overrides file says."),
};

struct file_id {
    int64_t mtime_ns;
    uint64_t inode, bytes;
    bool is_there;
};

struct limits {
    struct snapshot_cell cell; /* struct overrides */
    _Atomic uint64_t generation;
    char *path; /* NULL: no file */
    int64_t period_ms;
    struct file_id seen;   /* of whoever polls: one at a time */
    _Atomic bool is_stale; /* the defaults below the rules have changed: read the file again */
    struct loop_timer *timer;
    struct loop *loop;
    struct job_pool *jobs;
    bool is_polling, is_stopped;
    struct limits_metrics m;
};

static struct tenant_rules *ref_rules(struct tenant_rules *r)
{
    return (struct tenant_rules *)snapshot_ref(&r->snap);
}

static struct tenant_rules *default_rules(const struct limits_conf *lc)
{
    struct tenant_rules *r = tenant_rules_new(NULL);

#define X(name, ...) tenant_rules_set_list(r, &r->name, lc->name.items, lc->name.n);
    TENANT_LISTS(X)
#undef X
#define X(name, ...) r->name = arena_dup(r->arena, slice_cstr(lc->name));
    TENANT_TEXTS(X)
#undef X
    return r;
}

/* ---- the object ---- */

static void publish(struct limits *l, struct overrides *o)
{
    METRIC_SET(l->m.tenants, (int64_t)o->tenants.len);
    snapshot_cell_set(&l->cell, &o->snap);
    atomic_fetch_add(&l->generation, 1);
}

static struct err *load(struct limits *l)
{
    struct overrides *now = (struct overrides *)snapshot_cell_get(&l->cell);
    struct overrides *next = limits_overrides_new(&now->defaults, ref_rules(now->rules));
    struct buf text = {0};
    struct err *e = fsx_read(l->path, YAML_MAX_BYTES, &text);

    snapshot_unref(&now->snap);
    if (!e)
        e = limits_overrides_parse(l->path, buf_slice(&text), next);
    buf_done(&text);
    if (e) {
        snapshot_unref(&next->snap);
        METRIC_ADD(l->m.refusals, 1);
        METRIC_SET(l->m.is_current, 0);
        return e;
    }
    METRIC_ADD(l->m.loads, 1);
    METRIC_SET(l->m.is_current, 1);
    publish(l, next);
    return NULL;
}

static struct file_id identify(const char *path)
{
    struct stat st;

    if (stat(path, &st))
        return (struct file_id){0};
    return (struct file_id){st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec, st.st_ino,
                            (uint64_t)st.st_size, true};
}

struct err *limits_poll(struct limits *l, bool *ret_changed)
{
    struct file_id id;

    if (ret_changed)
        *ret_changed = false;
    if (!l->path)
        return NULL;
    id = identify(l->path);
    if (!atomic_exchange(&l->is_stale, false) && id.is_there == l->seen.is_there &&
        id.mtime_ns == l->seen.mtime_ns && id.inode == l->seen.inode && id.bytes == l->seen.bytes)
        return NULL;
    /* Seen, also if it is refused: a bad file is reported once, not every period. */
    l->seen = id;
    if (ret_changed)
        *ret_changed = true;
    return load(l);
}

struct err *limits_new(const struct conf *c, const char *role, struct limits **ret)
{
    const struct limits_conf *lc = conf_section(c, "limits");
    struct tenant_rules *defaults = default_rules(lc);
    struct limits *l;
    char labels[32];
    struct err *e;

    if ((e = tenant_rules_check(defaults))) {
        tenant_rules_unref(defaults);
        return err_wrap(e, "limits");
    }
    l = mem_new(struct limits);
    snapshot_cell_init(&l->cell, LOCK_CONF);
    l->period_ms = lc->overrides_period_ns / NS_PER_MS;
    l->m.is_current = 1;
    publish(l, limits_overrides_new(&lc->defaults, defaults));
    (void)snprintf(labels, sizeof(labels), "role=\"%s\"", role);
    metric_register(&l->m, limits_metric_fields, ORR_COUNT(limits_metric_fields), labels);
    if (lc->overrides_file[0]) {
        l->path = mem_strdup(lc->overrides_file);
        l->seen = identify(l->path);
        if ((e = load(l))) {
            limits_free(l);
            return err_wrap(e, "limits.overrides-file");
        }
    }
    *ret = l;
    return NULL;
}

void limits_free(struct limits *l)
{
    if (!l)
        return;
    while (l->is_polling) { /* its end is posted to the loop, which nobody runs now */
        loop_run_once(l->loop, 0);
        (void)usleep(1000);
    }
    metric_unregister(&l->m);
    snapshot_cell_done(&l->cell);
    mem_free(l->path);
    mem_free(l);
}

/* ---- looking again ---- */

static void poll_work(void *arg)
{
    struct limits *l = arg;
    bool changed = false;
    struct err *e = limits_poll(l, &changed);

    if (e)
        LOG_ERROR(conf, "limit overrides refused, the old ones stay", KV_STR("path", l->path),
                  KV_ERR(e));
    else if (changed)
        LOG_INFO(conf, "limit overrides read", KV_STR("path", l->path),
                 KV_I64("count", l->m.tenants));
    err_free(e);
}

static void poll_done(void *arg)
{
    struct limits *l = arg;

    l->is_polling = false;
    if (!l->is_stopped)
        loop_timer_arm_ms(l->timer, l->period_ms);
}

static void poll_timer(void *arg)
{
    struct limits *l = arg;
    struct err *e;

    l->is_polling = true;
    if ((e = job_run(l->jobs, l->loop, poll_work, poll_done, l))) {
        err_free(e); /* workers are full: the next period will do */
        poll_done(l);
    }
}

void limits_start(struct limits *l, struct loop *loop, struct job_pool *jobs)
{
    if (!l->path)
        return;
    l->loop = loop;
    l->jobs = jobs;
    l->timer = loop_timer_new(loop, poll_timer, l);
    loop_timer_arm_ms(l->timer, l->period_ms);
}

void limits_stop(struct limits *l)
{
    l->is_stopped = true;
    loop_timer_free(l->timer);
    l->timer = NULL;
}

void limits_set_defaults(struct limits *l, const struct conf *c)
{
    const struct limits_conf *lc = conf_section(c, "limits");
    struct tenant_rules *rules = default_rules(lc);
    struct overrides *now, *next;
    struct err *e = tenant_rules_check(rules);

    if (e) {
        LOG_ERROR(model, "new defaults of limits are refused, the old ones stay", KV_ERR(e));
        err_free(e);
        tenant_rules_unref(rules);
        return;
    }
    now = (struct overrides *)snapshot_cell_get(&l->cell);
    next = limits_overrides_new(&lc->defaults, rules);
    MAP_FOREACH (en, &now->tenants) {
        struct override *o = (struct override *)(void *)mem_dup(en->value, sizeof(*o));

        (void)ref_rules(o->rules);
        (void)map_put(&next->tenants, en->key, o);
    }
    atomic_store(&l->is_stale, now->tenants.len != 0); /* their rules lie on the old defaults */
    snapshot_unref(&now->snap);
    publish(l, next);
}

/* ---- asking ---- */

void limits_get(struct limits *l, struct slice tenant, struct tenant_limits *ret)
{
    /* The generation is read first: values newer than it are only checked once more. */
    uint64_t generation = limits_generation(l);
    struct overrides *now = (struct overrides *)snapshot_cell_get(&l->cell);
    const struct override *o = map_get(&now->tenants, tenant);

    *ret = now->defaults;
    if (o)
        limits_override_apply(o, ret);
    ret->generation = generation;
    snapshot_unref(&now->snap);
}

struct tenant_rules *limits_rules(struct limits *l, struct slice tenant)
{
    struct overrides *now = (struct overrides *)snapshot_cell_get(&l->cell);
    const struct override *o = map_get(&now->tenants, tenant);
    struct tenant_rules *r = ref_rules(o ? o->rules : now->rules);

    snapshot_unref(&now->snap);
    return r;
}

uint64_t limits_generation(const struct limits *l)
{
    return atomic_load(&((struct limits *)l)->generation);
}

void limits_print(struct limits *l, struct buf *out)
{
    struct overrides *now = (struct overrides *)snapshot_cell_get(&l->cell);

    limits_overrides_print(now, out);
    snapshot_unref(&now->snap);
}
