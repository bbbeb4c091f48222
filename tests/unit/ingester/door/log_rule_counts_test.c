#include <stdio.h>

#include "common/base/metric.h"
#include "ingester/door/log_rule_counts.h"
#include "tests/unit/test.h"

TEST(log_rule_counts_counts_by_tenant_and_rule_and_is_bounded)
{
    struct log_rule_counts *c = log_rule_counts_new();
    struct buf out = {0};
    char name[16];

    log_rule_counts_add(c, SLICE("a\"b"), SLICE("r"), "drop", 2, 10);
    log_rule_counts_add(c, SLICE("a\"b"), SLICE("r"), "drop", 1, 5);
    for (int i = 0; i < LOG_RULE_COUNTS_MAX + 5; i++) {
        (void)snprintf(name, sizeof(name), "t%d", i);
        log_rule_counts_add(c, slice_cstr(name), SLICE("r"), "scrub", 1, 1);
    }
    metric_write(&out, false);
    CHECK(strstr(buf_cstr(&out),
                 "orrery_log_rule_lines_total{tenant=\"a\\\"b\",rule=\"r\",action=\"drop\"} 3\n"));
    CHECK(strstr(buf_cstr(&out),
                 "orrery_log_rule_bytes_total{tenant=\"a\\\"b\",rule=\"r\",action=\"drop\"} 15\n"));
    CHECK(strstr(buf_cstr(&out),
                 "orrery_log_rule_lines_total{tenant=\"\",rule=\"other\",action=\"\"} 6\n"));
    buf_done(&out);
    log_rule_counts_free(c);
}
