#include "ingester/door/log_rule_counts.h"

#include "common/base/lock.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/metric.h"

/* The key in the map is its labels as metrics are written. */
struct log_rule_count {
    uint64_t lines, bytes;
};

struct log_rule_counts {
    struct lock lock;     /* rank LEAF_MODULE: all below */
    struct map by_labels; /* struct log_rule_count */
};

static void write_all(struct log_rule_counts *c, struct buf *out, bool is_openmetrics,
                      const char *name, const char *help, size_t offset)
{
    bool has_head = false;

    MAP_FOREACH (en, &c->by_labels) {
        char *labels = slice_dup(en->key);

        if (!has_head)
            metric_write_family(out, is_openmetrics, METRIC_T_COUNTER, name, help);
        has_head = true;
        metric_write_u64(out, name, labels, *(uint64_t *)((char *)en->value + offset));
        mem_free(labels);
    }
}

static void collect(void *arg, struct buf *out, bool is_openmetrics)
{
    struct log_rule_counts *c = arg;

    lock_take(&c->lock);
    write_all(c, out, is_openmetrics, "orrery_log_rule_lines_total",
              "Log lines that a tenant's rule dropped, sampled away or changed.",
              offsetof(struct log_rule_count, lines));
    write_all(c, out, is_openmetrics, "orrery_log_rule_bytes_total",
              "Bytes of those lines as they came.", offsetof(struct log_rule_count, bytes));
    lock_release(&c->lock);
}

struct log_rule_counts *log_rule_counts_new(void)
{
    struct log_rule_counts *c = mem_new(struct log_rule_counts);

    lock_init(&c->lock, LOCK_LEAF_MODULE);
    metric_register_collector(collect, c);
    return c;
}

void log_rule_counts_free(struct log_rule_counts *c)
{
    if (!c)
        return;
    metric_unregister_collector(collect, c);
    MAP_FOREACH (en, &c->by_labels)
        mem_free(en->value);
    map_done(&c->by_labels);
    lock_done(&c->lock);
    mem_free(c);
}

static struct log_rule_count *find(struct log_rule_counts *c, struct slice labels)
{
    struct log_rule_count *n = map_get(&c->by_labels, labels);

    if (!n && c->by_labels.len >= LOG_RULE_COUNTS_MAX) {
        labels = SLICE("tenant=\"\",rule=\"other\",action=\"\"");
        n = map_get(&c->by_labels, labels);
    }
    if (!n) {
        n = mem_new(struct log_rule_count);
        (void)map_put(&c->by_labels, labels, n);
    }
    return n;
}

void log_rule_counts_add(struct log_rule_counts *c, struct slice tenant, struct slice rule,
                         const char *action, uint64_t lines, uint64_t bytes)
{
    struct log_rule_count *n;
    struct buf labels = {0};

    buf_str(&labels, "tenant=\"");
    metric_escape(&labels, tenant);
    buf_str(&labels, "\",rule=\"");
    metric_escape(&labels, rule);
    buf_printf(&labels, "\",action=\"%s\"", action);
    lock_take(&c->lock);
    n = find(c, buf_slice(&labels));
    n->lines += lines;
    n->bytes += bytes;
    lock_release(&c->lock);
    buf_done(&labels);
}
