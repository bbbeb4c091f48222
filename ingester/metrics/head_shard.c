/* A shard's thread. */
#include "common/base/mem.h"
#include "ingester/metrics/head_log.h"

#define F(type, member, name, help) METRIC_##type(struct head_shard_metrics, member, name, help)
static const struct metric_field shard_fields[] = {
    F(COUNTER, samples, "orrery_head_samples_appended_total",
      "Samples and histograms accepted, repeats included."),
    F(COUNTER, histograms, "orrery_head_histograms_appended_total", "Native histograms accepted."),
    F(COUNTER, exemplars, "orrery_head_exemplars_appended_total", "Exemplars accepted."),
    F(COUNTER, created_zeros, "orrery_head_created_zeros_total",
      "Zeros stored where a series says it was created."),
    F(COUNTER, duplicates, "orrery_head_repeated_samples_total",
      "Samples that were there already, with the same value."),
    F(COUNTER, out_of_order_accepted, "orrery_head_out_of_order_samples_total",
      "Samples accepted behind the newest of their series."),
    F(COUNTER, late, "orrery_head_late_samples_total",
      "Samples accepted behind the newest of their series, since a quorum of replicas had them."),
    F(COUNTER, rejected[BATCH_OUT_OF_ORDER], "orrery_head_rejected_out_of_order_total",
      "Samples refused: out of order."),
    F(COUNTER, rejected[BATCH_TOO_OLD], "orrery_head_rejected_too_old_total",
      "Samples refused: older than the out-of-order window or the age limit."),
    F(COUNTER, rejected[BATCH_DUPLICATE], "orrery_head_rejected_duplicate_total",
      "Samples refused: another value at the same time."),
    F(COUNTER, rejected[BATCH_TOO_FAR], "orrery_head_rejected_too_far_in_future_total",
      "Samples refused: too far in the future."),
    F(COUNTER, rejected[BATCH_MAX_SERIES_LIMIT], "orrery_head_rejected_series_limit_total",
      "Samples refused: the tenant's limit of active series."),
    F(COUNTER, rejected[BATCH_WINDOWS_LIMIT], "orrery_head_rejected_windows_limit_total",
      "Samples refused: the tenant's limit of open windows."),
    F(COUNTER, rejected[BATCH_BAD_LABELS], "orrery_head_rejected_bad_labels_total",
      "Series refused: malformed labels."),
    F(COUNTER, rejected[BATCH_BAD_HISTOGRAM], "orrery_head_rejected_bad_native_total",
      "Native histograms refused: malformed."),
    F(COUNTER, rejected[BATCH_EXEMPLAR], "orrery_head_rejected_exemplars_total",
      "Exemplars refused."),
    F(COUNTER, rejected[BATCH_METADATA_LIMIT], "orrery_head_rejected_metadata_total",
      "Metadata refused: the tenant's limit."),
    F(COUNTER, starts, "orrery_head_start_timestamps_total",
      "Samples stored with a start timestamp."),
    F(GAUGE, starts_series, "orrery_head_start_timestamp_series",
      "Active series that have start timestamps."),
    F(COUNTER, series_created, "orrery_head_series_created_total", "Series that appeared."),
    F(COUNTER, series_removed, "orrery_head_series_removed_total", "Idle series forgotten."),
    F(COUNTER, unknown, "orrery_head_unknown_series_total",
      "Series asked for again with their labels."),
    F(COUNTER, chunks_closed, "orrery_head_chunks_closed_total", "Chunks moved to mapped files."),
    F(COUNTER, chunk_bytes, "orrery_head_chunk_bytes_total", "Bytes of closed chunks."),
    F(COUNTER, broken_chunks, "orrery_head_broken_chunks_total",
      "Closed chunks that failed their checksum."),
    F(GAUGE, series, "orrery_head_series", "Active series."),
    F(GAUGE, chunk_file_bytes, "orrery_head_chunk_file_bytes", "Size of the mapped chunk files."),
    F(COUNTER, chunk_file_failures, "orrery_head_chunk_file_failures_total",
      "Files for closed chunks that could not be made; memory took their place."),
    F(GAUGE, open_windows, "orrery_head_open_windows",
      "2-hour windows with samples, over all tenants of the shard."),
    F(GAUGE, memory_chunk_bytes, "orrery_head_memory_chunk_bytes",
      "Closed chunks in memory, for want of a file."),
    F(COUNTER, regex.hits, "orrery_head_regex_cache_hits_total",
      "Regex matchers whose values were known from a query before."),
    F(COUNTER, regex.misses, "orrery_head_regex_cache_misses_total",
      "Regex matchers for which all values of a label were looked at."),
    F(COUNTER, regex.evictions, "orrery_head_regex_cache_evictions_total",
      "Remembered regexes that gave way: to others, or to the budget."),
    F(GAUGE, regex.entries, "orrery_head_regex_cache_entries", "Remembered regexes."),
    F(GAUGE, regex.bytes, "orrery_head_regex_cache_bytes", "Memory they take."),
    F(GAUGE, label_pairs, "orrery_head_label_pairs", "Distinct label pairs in the index."),
};
#undef F

char *head_shard_dir(const struct head_shard *sh)
{
    return mem_printf("%s/head/%u", sh->head->dir, sh->index);
}

static void update_gauges(struct head_shard *sh)
{
    int64_t pairs = 0, windows = 0;

    VEC_FOREACH (ts, &sh->tenants) {
        pairs += (int64_t)(*ts)->index.live_pairs;
        windows += (int64_t)(*ts)->windows.len;
    }
    METRIC_SET(sh->m.open_windows, windows);
    METRIC_SET(sh->m.label_pairs, pairs);
    METRIC_SET(sh->m.chunk_file_bytes, (int64_t)sh->chunks.bytes);
    head_note_memory(sh);
}

static bool run_msg(void *arg)
{
    struct head_msg *m = arg;
    struct head_shard *sh = m->shard;

    if (!m->fn(sh, m->arg)) /* m may be gone */
        return false;
    update_gauges(sh);
    return true;
}

void head_post(struct head_shard *sh, struct head_msg *m)
{
    m->shard = sh;
    m->msg = (struct mailbox_msg){.fn = run_msg, .arg = m};
    mailbox_post(&sh->box, &m->msg);
}

struct err *head_shard_start(struct head_shard *sh)
{
    char name[16];
    char labels[32];
    struct err *e;

    sh->scratch = arena_new(0);
    sh->regexes.m = &sh->m.regex;
    sh->regexes.max_bytes = sh->head->opts.regex_cache_bytes / (int64_t)sh->head->n_shards;
    (void)snprintf(name, sizeof(name), "head-%u", sh->index);
    (void)snprintf(labels, sizeof(labels), "shard=\"%u\"", sh->index);
    if ((e = mailbox_start(&sh->box, name)))
        return e;
    metric_register(&sh->m, shard_fields, ORR_COUNT(shard_fields), labels);
    return NULL;
}

void head_shard_stop(struct head_shard *sh)
{
    if (!sh->box.is_started)
        return;
    mailbox_stop(&sh->box);
    metric_unregister(&sh->m);
}

void head_shard_reset(struct head_shard *sh)
{
    VEC_FOREACH (tsp, &sh->tenants) {
        struct head_ts *ts = *tsp;

        (void)atomic_fetch_sub(&ts->tenant->series, ts->n_series);
        ts->tenant->ts[sh->index] = NULL;
        head_ts_free(ts);
    }
    vec_done(&sh->tenants);
    sh->m.series = 0;
}

void head_shard_free(struct head_shard *sh)
{
    head_shard_reset(sh);
    head_chunks_done(&sh->chunks);
    head_log_done(&sh->log);
    arena_free(sh->scratch);
    mailbox_done(&sh->box);
}

struct head_ts *head_ts_get(struct head_shard *sh, struct head_tenant *t)
{
    struct head_ts *ts = t->ts[sh->index];

    if (ORR_LIKELY(ts))
        return ts;
    ts = mem_new(struct head_ts);
    ts->shard = sh;
    ts->tenant = t;
    ts->max_ms = ts->window_ms = HEAD_NO_TIME;
    ts->min_ms = INT64_MAX;
    t->ts[sh->index] = ts;
    vec_push(&sh->tenants, ts);
    return ts;
}

/* ---- calls that wait ---- */

struct call {
    struct head_shard *shard;
    head_msg_fn *fn;
    void *arg;
};

static bool run_call(void *arg)
{
    struct call *c = arg;
    bool again = c->fn(c->shard, c->arg);

    update_gauges(c->shard);
    return again;
}

static void call_many(struct head_shard *shards, uint32_t n, head_msg_fn *fn, void *const *args)
{
    struct mailbox *boxes[HEAD_MAX_SHARDS];
    struct call calls[HEAD_MAX_SHARDS];
    void *call_args[HEAD_MAX_SHARDS];

    for (uint32_t i = 0; i < n; i++) {
        boxes[i] = &shards[i].box;
        calls[i] = (struct call){&shards[i], fn, args[i]};
        call_args[i] = &calls[i];
    }
    mailbox_call_many(boxes, n, run_call, call_args);
}

void head_call(struct head_shard *sh, head_msg_fn *fn, void *arg)
{
    call_many(sh, 1, fn, &arg);
}

void head_call_all(struct head *h, head_msg_fn *fn, void *const *args)
{
    call_many(h->shards, h->n_shards, fn, args);
}
