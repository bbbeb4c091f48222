/*
 * What the compactor shows and what it can be told:
 *
 *   GET  /compactor/status   JSON: flushes under way, windows that wait and why, the last error; and what
 *                            upkeep.h does and would do, by tenant
 *   POST /compactor/run      look now; 202
 *   RPC  compactor.hint      the same, from an ingester with new segments
 */
#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "compactor/compactor_internal.h"

static const struct metric_field fields[] = {
    METRIC_COUNTER(struct compactor_metrics, rounds, "orrery_compactor_rounds_total",
                   "Looks at ingesters and bucket."),
    METRIC_COUNTER(struct compactor_metrics, hints, "orrery_compactor_hints_total",
                   "Ingesters that said they have new segments."),
};

/* Of each signal; those of metrics without a label. */
#define FIELD_COUNTER(member, name, help)                                                          \
    METRIC_COUNTER(struct compactor_part_metrics, member, "orrery_compactor_" name, help)
#define FIELD_GAUGE(member, name, help)                                                            \
    METRIC_GAUGE(struct compactor_part_metrics, member, "orrery_compactor_" name, help)

static const struct metric_field part_fields[] = {
    FIELD_COUNTER(polls, "polls_total", "Ingesters asked for their segments."),
    FIELD_COUNTER(poll_failures, "poll_failures_total", "Those that gave no good answer."),
    FIELD_COUNTER(catalogue_failures, "catalogue_failures_total",
                  "Catalogues that could not be read."),
    FIELD_COUNTER(drops, "drops_total", "Segments that ingesters were told to drop."),
    FIELD_COUNTER(drop_failures, "drop_failures_total", "Drops that did not get through."),
    FIELD_GAUGE(segments, "backlog_segments", "Segments that wait to be flushed."),
    FIELD_GAUGE(windows, "backlog_windows", "Tenants' windows with such segments."),
    FIELD_GAUGE(backlog_bytes, "backlog_bytes", "Their size."),
    METRIC_GAUGE_F64(struct compactor_part_metrics, oldest_s,
                     "orrery_compactor_backlog_oldest_seconds",
                     "Age of the oldest segment that waits."),
    FIELD_GAUGE(quarantined, "quarantined_segments", "Corrupt segments that are left out."),
    FIELD_GAUGE(running, "flushes_running", "Flushes under way."),
    FIELD_COUNTER(flush.flushes, "flushes_total", "Blocks that flushes added to catalogues."),
    FIELD_COUNTER(flush.repeated, "flushes_repeated_total",
                  "Flushes that found it done, or that another did it meanwhile."),
    FIELD_COUNTER(flush.taken_up, "flushes_taken_up_total",
                  "Blocks added that an earlier attempt had uploaded."),
    FIELD_COUNTER(flush.empty, "flushes_empty_total", "Flushes with no segment left to merge."),
    FIELD_COUNTER(flush.segments, "flush_segments_total", "Segments merged."),
    FIELD_COUNTER(flush.fetched_bytes, "flush_fetched_bytes_total", "Read from ingesters."),
    FIELD_COUNTER(flush.block_bytes, "flush_block_bytes_total", "Size of the blocks."),
    FIELD_COUNTER(flush.samples, "flush_samples_total", "Samples in the blocks."),
    FIELD_COUNTER(flush.bad_segments, "bad_segments_total", "Times a segment was found corrupt."),
    FIELD_COUNTER(flush.gone_segments, "gone_segments_total",
                  "Segments that were gone when they were fetched."),
    FIELD_COUNTER(flush.make.bad_sidecars, "bad_sidecars_total",
                  "Corrupt sidecars of segments, left out."),
    FIELD_COUNTER(flush.make.chunks_copied, "flush_chunks_copied_total",
                  "Chunks copied as they were."),
    FIELD_COUNTER(flush.make.chunks_deduplicated, "flush_chunks_deduplicated_total",
                  "Chunks that several replicas had alike."),
    FIELD_COUNTER(flush.make.chunks_decoded, "flush_chunks_decoded_total",
                  "Chunks decoded and merged sample by sample."),
    FIELD_COUNTER(flush.make.duplicate_lines, "flush_duplicate_lines_total",
                  "Log lines left out because another replica has them, too."),
    FIELD_COUNTER(flush.make.duplicate_spans, "flush_duplicate_spans_total",
                  "Spans left out because another replica has them, too."),
    FIELD_COUNTER(flush.make.cut_traces, "flush_cut_traces_total",
                  "Traces too large to be merged, of which spans were left out."),
    FIELD_COUNTER(flush.make.deleted_samples, "flush_deleted_samples_total",
                  "Samples left out of blocks because a tombstone deletes them."),
    METRIC_HIST(struct compactor_part_metrics, flush_s, "orrery_compactor_flush_seconds",
                "Time of a flush, failed ones too."),
};
static const struct metric_field waste_field = {
    METRIC_T_COUNTER, 0, "orrery_compactor_flush_wasted_blocks_total",
    "Blocks that flushes made whole and no catalogue came to name, by reason."};

/* ---- failures by reason: the code of the error ---- */

static const struct {
    enum err_code code;
    const char *name;
} codes[] = {
#define X(sym, name, http, num) {sym, name},
    ERR_CODES(X)
#undef X
};

static void collect_failures(void *arg, struct buf *out, bool is_openmetrics)
{
    static const char name[] = "orrery_compactor_failures_total";
    struct compactor *c = arg;

    metric_write_family(out, is_openmetrics, METRIC_T_COUNTER, name,
                        "Steps that failed and will be tried again, by kind of error.");
    for (size_t i = 0; i < ORR_COUNT(codes); i++) {
        uint64_t n = __atomic_load_n(&c->failures[i], __ATOMIC_RELAXED);
        char labels[64];

        if (n == 0)
            continue;
        (void)snprintf(labels, sizeof(labels), "reason=\"%s\"", codes[i].name);
        metric_write_u64(out, name, labels, n);
    }
}

void compactor_note(struct compactor *c, const char *doing, struct err *e)
{
    uint64_t left_out;

    static_assert(ORR_COUNT(codes) <= COMPACTOR_CODES, "room for every error code");

    for (size_t i = 0; i < ORR_COUNT(codes); i++)
        if (codes[i].code == err_code(e))
            METRIC_ADD(c->failures[i], 1);
    lock_take(&c->lock);
    (void)snprintf(c->last_error, sizeof(c->last_error), "%s", err_msg(e));
    c->last_error_ms = clock_wall_ms(&clock_system);
    lock_release(&c->lock);
    if (spell_tells(&c->trouble, doing, e, clock_mono_ms(&clock_system), &left_out))
        LOG_WARN(compactor, "a step failed, it will be tried again", KV_STR("reason", doing),
                 KV_U64("skipped", left_out), KV_ERR(e));
    err_free(e);
}

/* ---- pages ---- */

static void put_running(struct buf *out, const struct compactor_running *run)
{
    buf_printf(out, "{\"signal\":\"%s\",\"tenant\":", run->signal->name);
    buf_json_str(out, slice_cstr(run->tenant));
    buf_printf(out, ",\"window\":%lld,\"segments\":%zu,\"bytes\":%llu,\"since\":%lld}",
               (long long)run->window_ms, run->segments, (unsigned long long)run->bytes,
               (long long)run->start_wall_ms);
}

/* Of all signals together, as far as it can be added up; then of each. */
static void put_parts(struct buf *out, const struct compactor *c)
{
    uint64_t flushes = 0, drops = 0;
    size_t ingesters = 0, missing = 0;

    for (size_t i = 0; i < ORR_COUNT(c->parts); i++) {
        flushes += METRIC_GET(c->parts[i].m.flush.flushes);
        drops += METRIC_GET(c->parts[i].m.drops);
        ingesters = ORR_MAX(ingesters, c->parts[i].ingesters);
        missing = ORR_MAX(missing, c->parts[i].ingesters - c->parts[i].answered);
    }
    buf_printf(out, "\"ingesters\":%zu,\"answered\":%zu,\"flushes\":%llu,\"drops\":%llu", ingesters,
               ingesters - missing, (unsigned long long)flushes, (unsigned long long)drops);
    buf_str(out, ",\"signals\":[");
    for (size_t i = 0; i < ORR_COUNT(c->parts); i++) {
        const struct compactor_part *part = &c->parts[i];

        buf_printf(out,
                   "%s{\"signal\":\"%s\",\"ingesters\":%zu,\"answered\":%zu,\"flushes\":%llu,"
                   "\"drops\":%llu}",
                   i ? "," : "", part->signal->name, part->ingesters, part->answered,
                   (unsigned long long)METRIC_GET(part->m.flush.flushes),
                   (unsigned long long)METRIC_GET(part->m.drops));
    }
    buf_byte(out, ']');
}

static void put_backlog(struct buf *out, const struct compactor *c)
{
    bool any = false;

    for (size_t i = 0; i < ORR_COUNT(c->parts); i++) {
        if (any && c->parts[i].rows.len)
            buf_byte(out, ',');
        any = any || c->parts[i].rows.len;
        buf_slice_append(out, buf_slice(&c->parts[i].rows));
    }
}

static void status(struct http_request *r)
{
    struct compactor *c = r->arg;
    struct buf out = {0};

    lock_take(&c->lock);
    buf_printf(&out, "{\"on_ring\":%s,\"rounds\":%llu,\"last_round\":%lld,",
               c->is_owner ? "true" : "false", (unsigned long long)METRIC_GET(c->m.rounds),
               (long long)c->last_round_ms);
    put_parts(&out, c);
    buf_str(&out, ",\"running\":[");
    for (size_t i = 0; i < c->running.len; i++) {
        if (i)
            buf_byte(&out, ',');
        put_running(&out, c->running.ptr[i]);
    }
    buf_str(&out, "],\"backlog\":[");
    put_backlog(&out, c);
    buf_str(&out, "],\"last_error\":");
    buf_json_str(&out, slice_cstr(c->last_error));
    buf_printf(&out, ",\"last_error_at\":%lld", (long long)c->last_error_ms);
    lock_release(&c->lock);
    if (writers_decide(c->writers)) {
        buf_str(&out, ",\"leases\":");
        writers_put(c->writers, &out);
    }
    buf_str(&out, ",\"compaction\":");
    upkeep_status(c->upkeep, &out);
    buf_str(&out, "}\n");
    http_reply_buf(r, 200, HTTP_JSON, &out);
}

static void run_now(struct http_request *r)
{
    struct compactor *c = r->arg;

    compactor_hint(c);
    upkeep_hint(c->upkeep);
    http_reply(r, 202, HTTP_TEXT, SLICE("looking\n"));
}

static void on_hint(void *arg, struct rpc_call *call)
{
    struct compactor *c = arg;

    METRIC_ADD(c->m.hints, 1);
    compactor_hint(c);
    rpc_reply(call, SLICE_EMPTY);
}

void compactor_pages_open(struct compactor *c)
{
    struct http_server *http = process_http(c->process);

    metric_register(&c->m, fields, ORR_COUNT(fields), NULL);
    for (size_t i = 0; i < ORR_COUNT(c->parts); i++) {
        const char *labels = c->parts[i].signal->metric_labels;

        metric_register(&c->parts[i].m, part_fields, ORR_COUNT(part_fields), labels);
        blockmake_waste_register(&c->parts[i].m.flush.waste, &waste_field, labels);
    }
    metric_register_collector(collect_failures, c);
    http_server_route(http, &(struct http_route){.methods = HTTP_GET,
                                                 .pattern = "/compactor/status",
                                                 .handler = status,
                                                 .arg = c});
    http_server_route(
        http, &(struct http_route){
                  .methods = HTTP_POST, .pattern = "/compactor/run", .handler = run_now, .arg = c});
    rpc_server_handle(process_rpc(c->process), "compactor.hint", on_hint, c);
}

void compactor_pages_close(struct compactor *c)
{
    metric_unregister_collector(collect_failures, c);
    for (size_t i = 0; i < ORR_COUNT(c->parts); i++) {
        blockmake_waste_unregister(&c->parts[i].m.flush.waste);
        metric_unregister(&c->parts[i].m);
    }
    metric_unregister(&c->m);
}
