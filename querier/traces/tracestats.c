#include "querier/traces/tracestats.h"

#include <stdio.h>

#include "common/base/metric.h"

struct row {
    enum metric_type type;
    const char *name, *help;
    uint64_t value;
};

static void write_skipped(const struct store_traces_stats *t, struct buf *out, bool is_openmetrics)
{
    static const char name[] = "orrery_querier_traces_skipped_blocks_total";

    metric_write_family(out, is_openmetrics, METRIC_T_COUNTER, name,
                        "Blocks of traces that were not opened, by what said so.");
    for (int i = 0; i < BLOCK_SKIP_REASONS; i++) {
        char labels[64];

        (void)snprintf(labels, sizeof(labels), "reason=\"%s\"",
                       block_skip_text((enum block_skip)i));
        metric_write_u64(out, name, labels, t->skipped[i]);
    }
}

void tracestats_write(const struct store_stats *s, struct buf *out, bool is_openmetrics)
{
    const struct store_traces_stats *t = &s->traces;
    const struct row rows[] = {
        {METRIC_T_COUNTER, "orrery_querier_traces_selects_total",
         "Selects over blocks of traces: a query makes two for each range of trace ids.",
         t->selects},
        {METRIC_T_COUNTER, "orrery_querier_traces_failed_selects_total",
         "Selects over blocks of traces that could not begin.", t->failures},
        {METRIC_T_COUNTER, "orrery_querier_traces_selected_blocks_total",
         "Blocks of traces that selects read.", t->blocks},
        {METRIC_T_COUNTER, "orrery_querier_traces_groups_total",
         "Row groups of blocks of traces that were opened.", t->groups},
        {METRIC_T_COUNTER, "orrery_querier_traces_skipped_groups_total",
         "Row groups that were not: times, ids or services said that nothing of them is wanted.",
         t->groups_skipped},
        {METRIC_T_COUNTER, "orrery_querier_traces_group_bytes_total",
         "Bytes of row groups that were read, as they are stored.", t->bytes},
        {METRIC_T_COUNTER, "orrery_querier_traces_block_spans_total",
         "Spans of blocks that filters looked at.", t->spans},
        {METRIC_T_GAUGE, "orrery_querier_traces_open_blocks", "Blocks of traces held open.",
         s->trace_blocks.open},
        {METRIC_T_COUNTER, "orrery_querier_traces_opened_blocks_total", "Blocks of traces opened.",
         s->trace_blocks.opened},
        {METRIC_T_GAUGE, "orrery_querier_traces_open_block_bytes",
         "Memory of the blocks of traces held open.", s->trace_blocks.reader_bytes},
        {METRIC_T_COUNTER, "orrery_querier_traces_catalogue_loads_total",
         "Catalogues of traces read.", s->trace_blocks.catalogue_loads},
        {METRIC_T_COUNTER, "orrery_querier_traces_catalogue_checks_total",
         "Looks at the bucket for a newer catalogue of traces.", s->trace_blocks.catalogue_checks},
    };

    for (size_t i = 0; i < ORR_COUNT(rows); i++) {
        metric_write_family(out, is_openmetrics, rows[i].type, rows[i].name, rows[i].help);
        metric_write_u64(out, rows[i].name, NULL, rows[i].value);
    }
    write_skipped(t, out, is_openmetrics);
}
