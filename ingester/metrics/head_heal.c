/*
 * Closed chunks that are in memory because no file could be made for them: how many, and moving them
 * to files once the disk has room. Until then there is no checkpoint, and the log keeps all of it; so
 * past a bound, pushes are refused.
 */
#include "common/base/mem.h"
#include "ingester/metrics/head_internal.h"

#define AGAIN_MS 1000

void head_note_memory(struct head_shard *sh)
{
    int64_t bytes = (int64_t)sh->chunks.volatile_bytes;
    struct head *h = sh->head;

    if (ORR_LIKELY(bytes == sh->m.memory_chunk_bytes))
        return;
    atomic_store(&h->memory_errnum, sh->chunks.volatile_errnum);
    (void)atomic_fetch_add(&h->memory_chunk_bytes, bytes - sh->m.memory_chunk_bytes);
    METRIC_SET(sh->m.memory_chunk_bytes, bytes);
    METRIC_SET(sh->m.chunk_file_failures, sh->chunks.failures);
}

/* One file a turn: each is a copy of up to 64 MiB. */
static bool run_heal(struct head_shard *sh, void *arg)
{
    struct err **ret = arg;
    bool more;

    *ret = head_chunks_persist(&sh->chunks, &more);
    head_note_memory(sh);
    return !*ret && more;
}

struct err *head_heal(struct head *h)
{
    struct err *errs[HEAD_MAX_SHARDS] = {0}, *e = NULL;
    void *args[HEAD_MAX_SHARDS];

    if (!atomic_load(&h->memory_chunk_bytes))
        return NULL;
    for (uint32_t i = 0; i < h->n_shards; i++)
        args[i] = &errs[i];
    head_call_all(h, run_heal, args);
    for (uint32_t i = 0; i < h->n_shards; i++)
        e = err_first(e, errs[i]);
    if (!e)
        LOG_INFO(head, "the closed chunks that were kept in memory are in files");
    return err_wrap(e, "closed chunks are in memory only");
}

static bool run_heal_soon(struct head_shard *sh, void *arg)
{
    struct err *e = NULL;

    (void)arg;
    if (run_heal(sh, &e))
        return true;
    err_free(e); /* what is not well is told to every push and by /ready */
    atomic_store(&sh->is_healing, false);
    return false;
}

/* At most once a second. */
static void heal_soon(struct head *h)
{
    int64_t now = clock_mono_ms(&clock_system), last = atomic_load(&h->healed_ms);

    if (now < last + AGAIN_MS || !atomic_compare_exchange_strong(&h->healed_ms, &last, now))
        return;
    for (uint32_t i = 0; i < h->n_shards; i++) {
        struct head_shard *sh = &h->shards[i];

        if (atomic_exchange(&sh->is_healing, true))
            continue;
        sh->heal = (struct head_msg){.fn = run_heal_soon};
        head_post(sh, &sh->heal);
    }
}

struct err *head_is_stuck(struct head *h)
{
    int64_t bytes = atomic_load_explicit(&h->memory_chunk_bytes, memory_order_relaxed);

    if (ORR_LIKELY(bytes < h->opts.memory_chunk_bytes))
        return NULL;
    heal_soon(h);
    return err_errnum(
        ERR_UNAVAILABLE, atomic_load(&h->memory_errnum),
        "no file can be made for closed chunks in %s/head, and %lld bytes of them are "
        "in memory",
        h->dir, (long long)bytes);
}
