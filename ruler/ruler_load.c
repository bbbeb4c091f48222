/* What rules there are: files and bucket, read on workers every ruler.poll-period, each apart from the other. On loop 0 but work_*(). */
#include "common/base/log.h"
#include "ruler/ruler_internal.h"

/* For so long a ruler that begins waits for the bucket before it takes groups from others; it has its files to evaluate. */
#define BUCKET_WAIT_MS 15000
#define MAX_SWEEPS 10 /* that wait, of each changer */
/* Buckets delete without a condition: while rings differ, two rulers may take a tenant for theirs, and one deletes what the other one
 * has just added. */
#define SWEEP_AFTER_MS 120000 /* the ring's last change */

struct ruler_load {
    struct rule_dir *dir; /* references */
    struct rule_store *store;
    int64_t opened_ms; /* monotonic */
    bool is_reading_files, is_reading_bucket, is_wanted;
    atomic_bool has_files, has_tried_bucket; /* for readiness, which asks from any loop */
};

/* One reading of either. What was before it holds itself: a drain that is cut short does not wait for it. */
struct reading {
    struct ruler *ruler;
    struct rule_dir *dir_before, *dir;
    struct rule_store *store_before, *store;
    bool is_changed;
    struct err *error;
};

void ruler_load_open(struct ruler *r)
{
    r->load = mem_new(struct ruler_load);
    r->load->opened_ms = clock_mono_ms(&clock_system);
}

void ruler_load_close(struct ruler *r)
{
    if (!r->load)
        return;
    rule_dir_unref(r->load->dir);
    rule_store_unref(r->load->store);
    mem_free(r->load);
    r->load = NULL;
}

bool ruler_load_is_ready(const struct ruler *r, struct buf *ret)
{
    if (!r->load->has_files && r->conf->rule_path[0])
        buf_str(ret, "rule files have not been read");
    else if (!r->load->has_tried_bucket &&
             clock_mono_ms(&clock_system) - r->load->opened_ms < BUCKET_WAIT_MS)
        buf_str(ret, "rules in the bucket have not been read");
    else
        return true;
    return false;
}

/* What is read now is in force. */
static void publish(struct ruler *r, bool is_changed)
{
    struct rule_set *before = r->set;

    r->set = rule_set_new(r->load->dir, r->load->store);
    r->m.stored_bad = r->load->store ? (int64_t)r->load->store->n_bad : 0;
    r->m.files_bad = r->load->dir ? (int64_t)r->load->dir->n_bad : 0;
    if (is_changed) {
        r->m.reloads++;
        ruler_groups_reconcile(r, before);
        LOG_INFO(ruler, "rules read", KV_U64("count", (uint64_t)r->m.groups));
    }
    rule_set_unref(before);
}

static void reading_free(struct reading *l)
{
    rule_dir_unref(l->dir_before);
    rule_store_unref(l->store_before);
    err_free(l->error);
    mem_free(l);
}

static void end(struct reading *l)
{
    struct ruler *r = l->ruler;

    r->n_loading--;
    reading_free(l);
    ruler_groups_check_drained(r);
}

static struct reading *reading_new(struct ruler *r)
{
    struct reading *l = mem_new(struct reading);

    l->ruler = r;
    return l;
}

/* False: no worker takes it. */
static bool run(struct reading *l, loop_fn *work, loop_fn *done)
{
    struct ruler *r = l->ruler;
    struct err *e = job_run(process_jobs(r->process), r->loop, work, done, l);

    if (!e) {
        r->n_loading++;
        return true;
    }
    LOG_WARN(ruler, "rules not looked at", KV_ERR(e));
    err_free(e);
    reading_free(l);
    return false;
}

/* ---- files ---- */

static void work_files(void *arg)
{
    struct reading *l = arg;
    const struct ruler_conf *c = l->ruler->conf;

    l->error =
        rule_dir_load(c->rule_path, c->default_tenant, l->dir_before, &l->dir, &l->is_changed);
}

static void on_files(void *arg)
{
    struct reading *l = arg;
    struct ruler *r = l->ruler;

    r->load->is_reading_files = false;
    if (l->error) {
        LOG_ERROR(ruler, "rule files cannot be read", KV_ERR(l->error));
        r->m.reload_failures++;
    } else {
        rule_dir_unref(r->load->dir);
        r->load->dir = l->dir;
        publish(r, l->is_changed);
        r->load->has_files = true;
    }
    end(l);
}

void ruler_load_files(struct ruler *r)
{
    struct reading *l;

    if (r->load->is_reading_files || r->is_stopping)
        return;
    l = reading_new(r);
    l->dir_before = r->load->dir ? rule_dir_ref(r->load->dir) : NULL;
    r->load->is_reading_files = run(l, work_files, on_files);
}

/* ---- the bucket ---- */

static void work_bucket(void *arg)
{
    struct reading *l = arg;
    struct process *p = l->ruler->process;
    struct rule_store_opts opts = {.store = process_objstore(p),
                                   .jobs = process_jobs(p),
                                   .prefix = SLICE(RULE_OBJECT_PREFIX),
                                   .now_ms = clock_mono_ms(&clock_system)};

    l->error = rule_store_load(&opts, l->store_before, &l->store, &l->is_changed);
}

struct sweep {
    struct ruler *ruler;
    struct objstore *store;
    char *key;
};

static void work_sweep(void *arg)
{
    struct sweep *s = arg;
    struct err *e = rule_store_sweep(s->store, slice_cstr(s->key));

    if (e)
        LOG_WARN(ruler, "namespace without groups not deleted", KV_STR("path", s->key), KV_ERR(e));
    err_free(e);
}

static void on_swept(void *arg)
{
    struct sweep *s = arg;
    struct ruler *r = s->ruler;

    r->n_loading--;
    mem_free(s->key);
    mem_free(s);
    ruler_groups_check_drained(r);
}

/* Not behind more than a few: the tenants' changes wait in the same queue, and what is left is seen again with the next reading. */
static void sweep(struct ruler *r, struct objstore *store, struct slice key,
                  struct job_pool *changer)
{
    struct sweep *s;
    struct err *e;

    if (job_pool_queued(changer) >= MAX_SWEEPS)
        return;
    s = mem_new(struct sweep);
    *s = (struct sweep){r, store, slice_dup(key)};
    e = job_run(changer, r->loop, work_sweep, on_swept, s);
    if (!e) {
        r->n_loading++;
        return;
    }
    err_free(e); /* the next time */
    mem_free(s->key);
    mem_free(s);
}

static bool may_sweep(const struct ruler *r, int64_t mono_ms)
{
    return mono_ms - ORR_MAX(r->ring_changed_ms, r->load->opened_ms) >= SWEEP_AFTER_MS;
}

/* Namespaces that have had no groups for long, of the tenants whose changes are made here. */
static void sweep_empty(struct ruler *r)
{
    int64_t now_ms = clock_wall_ms(&clock_system);
    struct ring *ring;
    int self;

    if (!may_sweep(r, clock_mono_ms(&clock_system)))
        return;
    ring = membership_ring(process_membership(r->process), MEMBER_RULER, 0);
    self = ring_find(ring, slice_cstr(process_instance(r->process)));
    for (size_t i = 0; i < r->load->store->n && self >= 0; i++) {
        const struct rule_store_entry *entry = &r->load->store->entries[i];
        uint32_t key = ring_key(entry->ns->tenant);

        if (rule_store_is_empty(entry, now_ms) && ring_owner(ring, key) == self)
            sweep(r, process_objstore(r->process), entry->key, r->changers[key % RULER_CHANGERS]);
    }
    ring_unref(ring);
}

static void on_bucket(void *arg)
{
    struct reading *l = arg;
    struct ruler *r = l->ruler;

    r->load->is_reading_bucket = false;
    if (l->error) {
        LOG_ERROR(ruler, "rules in the bucket cannot be read: those that are known go on",
                  KV_ERR(l->error));
        r->m.reload_failures++;
    } else {
        rule_store_unref(r->load->store);
        r->load->store = l->store;
        publish(r, l->is_changed);
        if (!r->is_stopping)
            sweep_empty(r);
    }
    r->load->has_tried_bucket = true;
    end(l);
}

void ruler_load_bucket(struct ruler *r)
{
    struct reading *l;

    if (r->load->is_reading_bucket || r->is_stopping)
        return;
    l = reading_new(r);
    l->store_before = r->load->store ? rule_store_ref(r->load->store) : NULL;
    r->load->is_reading_bucket = run(l, work_bucket, on_bucket);
}

void ruler_load_soon(struct ruler *r)
{
    r->load->is_wanted = true;
}

bool ruler_load_is_due(struct ruler *r)
{
    bool is_due = r->load->is_wanted && !r->load->is_reading_bucket;

    if (is_due)
        r->load->is_wanted = false;
    return is_due;
}
