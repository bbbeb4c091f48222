/*
 * The notification log and the silences on disk: DATA/alertmanager (RocksDB), a key "n" and the log
 * entry's key → the entry (nflog.h), a key "s" and the silence's key → the silence (silences.h), a key "c" and
 * a tenant → what the bucket has as his configuration (amstore.h).
 * Written in batches by a worker, synced.
 */
#include <errno.h>

#include "alertmanager/alertmanager_internal.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/reader.h"

#define LOG_ENTRY 'n'
#define SILENCE 's'
#define TENANT_CONFIG 'c'

struct writing {
    struct alertmanager *am;
    struct kv_batch *batch;
    struct buf keys;             /* lstr each: to be written again if this fails */
    alertmanager_wait_vec waits; /* for this to end */
    struct kv *kv;               /* opened by this job: the disk was full at start */
    struct buf found;            /* lstr key, lstr value each: what is in it */
    struct err *e;
};

static void writing_free(struct writing *w)
{
    VEC_FOREACH (x, &w->waits) {
        w->am->calls--;
        x->done(x->arg);
    }
    vec_done(&w->waits);
    kv_batch_free(w->batch);
    buf_done(&w->keys);
    buf_done(&w->found);
    mem_free(w);
}

static void add_dirty(struct writing *w, char kind, struct slice key, struct slice value)
{
    struct buf k = {0};

    buf_byte(&k, (uint8_t)kind);
    buf_slice_append(&k, key);
    if (value.len)
        kv_batch_put(w->batch, buf_slice(&k), value);
    else
        kv_batch_delete(w->batch, buf_slice(&k));
    buf_lstr(&w->keys, buf_slice(&k));
    buf_done(&k);
}

static void add_log_entry(void *arg, struct slice key, struct slice entry)
{
    add_dirty(arg, LOG_ENTRY, key, entry);
}

static void add_silence(void *arg, struct slice key, struct slice entry)
{
    add_dirty(arg, SILENCE, key, entry);
}

static void add_tenant(void *arg, struct slice tenant, struct slice object)
{
    add_dirty(arg, TENANT_CONFIG, tenant, object);
}

static struct err *open_kv(struct alertmanager *am, struct kv **ret)
{
    char *dir = mem_printf("%s/alertmanager", process_data_dir(am->process));
    struct err *e = kv_open(dir, NULL, ret);

    mem_free(dir);
    return e;
}

static struct err *collect(void *arg, struct slice key, struct slice value)
{
    buf_lstr(arg, key);
    buf_lstr(arg, value);
    return NULL;
}

static void write_batch(void *arg)
{
    struct writing *w = arg;
    struct kv *kv = w->am->kv;

    if (!kv) {
        if ((w->e = open_kv(w->am, &w->kv)) ||
            (w->e = kv_each(w->kv, SLICE_EMPTY, collect, &w->found)))
            return;
        kv = w->kv;
    }
    w->e = kv_write(kv, w->batch, true);
}

static struct err *merge(void *arg, struct slice key, struct slice value)
{
    struct alertmanager *am = arg;
    int64_t now = clock_wall_ns(&clock_system);
    struct err *e = NULL;

    if (key.len && key.ptr[0] == LOG_ENTRY)
        e = nflog_merge(am->log, value, now / NS_PER_MS, NULL);
    else if (key.len && key.ptr[0] == SILENCE)
        e = silences_merge(am->silences, value, now, NULL);
    else if (key.len && key.ptr[0] == TENANT_CONFIG && !map_has(&am->confs, slice_from(key, 1)))
        alertmanager_tenants_known(am, slice_from(key, 1), value);
    if (e) {
        am->metrics.log_errors++;
        LOG_WARN(nflog, "entry on disk refused", KV_U64("bytes", value.len), KV_ERR(e));
        err_free(e);
    }
    return NULL;
}

/* What a disk that was full at start had to tell. */
static void take_kv(struct writing *w)
{
    struct reader r = reader_new(buf_slice(&w->found));

    if (!w->kv)
        return;
    w->am->kv = w->kv;
    while (reader_left(&r)) {
        struct slice key = reader_lstr(&r);

        err_free(merge(w->am, key, reader_lstr(&r)));
    }
}

static void mark_again(struct alertmanager *am, struct slice key)
{
    if (key.ptr[0] == LOG_ENTRY)
        nflog_mark_dirty(am->log, slice_from(key, 1));
    else if (key.ptr[0] == SILENCE)
        silences_mark_dirty(am->silences, slice_from(key, 1));
    else
        alertmanager_tenants_mark_dirty(am, slice_from(key, 1));
}

static void written(void *arg)
{
    struct writing *w = arg;
    struct alertmanager *am = w->am;

    take_kv(w);
    if (w->e) {
        am->metrics.log_errors++;
        LOG_ERROR(nflog, "notification log and silences not written, it will be tried again",
                  KV_ERR(w->e));
        for (struct reader r = reader_new(buf_slice(&w->keys)); reader_left(&r);)
            mark_again(am, reader_lstr(&r));
    }
    err_free(w->e);
    am->is_writing = false;
    writing_free(w);
    if (am->must_write)
        alertmanager_disk_write(am);
}

void alertmanager_disk_write(struct alertmanager *am)
{
    struct writing *w;
    struct err *e;

    am->must_write = am->is_writing;
    if (am->is_writing)
        return;
    w = mem_new(struct writing);
    w->am = am;
    w->batch = kv_batch_new();
    w->waits = am->waits;
    am->waits = (alertmanager_wait_vec){0};
    nflog_take_dirty(am->log, add_log_entry, w);
    silences_take_dirty(am->silences, add_silence, w);
    alertmanager_tenants_take_dirty(am, add_tenant, w);
    if (kv_batch_count(w->batch) == 0 && am->kv) {
        writing_free(w);
        return;
    }
    am->is_writing = true;
    if ((e = job_run(process_jobs(am->process), am->loop, write_batch, written, w))) {
        w->e = e;
        written(w);
    }
}

void alertmanager_disk_write_then(struct alertmanager *am, alertmanager_wait_fn *done, void *arg)
{
    am->calls++;
    vec_push(&am->waits, ((struct alertmanager_wait){done, arg}));
    alertmanager_disk_write(am);
}

/* On a full disk notifications go on, with all of it in memory and at the peers;
 * alertmanager_disk_write() opens it later. */
static struct err *open_and_load(struct alertmanager *am)
{
    struct err *e = open_kv(am, &am->kv);

    if (!e)
        return kv_each(am->kv, SLICE_EMPTY, merge, am);
    if (err_errnum_of(e) != ENOSPC)
        return e;
    am->metrics.log_errors++;
    LOG_ERROR(nflog, "notification log and silences not opened, it will be tried again", KV_ERR(e));
    err_free(e);
    return NULL;
}

struct err *alertmanager_disk_open(struct alertmanager *am)
{
    struct conf *c = process_conf(am->process);
    const struct alertmanager_conf *conf = conf_section(c, "alertmanager");
    struct rng rng;

    rng_seed_system(&rng);
    am->log = nflog_new();
    am->silences = silences_new(
        &(struct silences_opts){.retention_ns = conf->silence_retention_ns, .seed = rng_u64(&rng)});
    conf_unref(c);
    return open_and_load(am);
}

void alertmanager_disk_close(struct alertmanager *am)
{
    if (am->is_writing)
        return; /* a shutdown that ran out of time: a worker still holds them */
    kv_close(am->kv);
    nflog_free(am->log);
    silences_free(am->silences);
    vec_done(&am->waits);
}
