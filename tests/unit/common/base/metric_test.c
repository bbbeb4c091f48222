#include "common/base/metric.h"
#include "common/base/thread.h"
#include "tests/unit/test.h"

struct wal_metrics {
    uint64_t appended_bytes;
    int64_t depth;
    double level, cpu_s;
    struct metric_hist sync_s;
};

static const struct metric_field wal_fields[] = {
    METRIC_COUNTER(struct wal_metrics, appended_bytes, "test_appended_bytes_total",
                   "Payload bytes \"appended\"\nand \\ more."),
    METRIC_GAUGE(struct wal_metrics, depth, "test_depth", "Depth."),
    METRIC_GAUGE_F64(struct wal_metrics, level, "test_level", "Level."),
    METRIC_COUNTER_F64(struct wal_metrics, cpu_s, "test_cpu_seconds_total", "CPU."),
    METRIC_HIST(struct wal_metrics, sync_s, "test_sync_seconds", "Time of a sync."),
};

/* Only the families of this test: test_*. */
static const char *exposed(bool is_openmetrics, struct buf *ret)
{
    struct buf text = {0};
    struct slice rest, line;

    buf_reset(ret);
    metric_write(&text, is_openmetrics);
    rest = buf_slice(&text);
    while (slice_split(&rest, '\n', &line)) {
        bool is_head = slice_has_prefix(line, SLICE("# "));
        struct slice name = is_head ? slice_from(line, 7) : line;

        if (slice_has_prefix(name, SLICE("test_"))) {
            buf_slice_append(ret, line);
            buf_byte(ret, '\n');
        }
    }
    buf_done(&text);
    return buf_cstr(ret);
}

TEST(metric_families_of_several_objects_are_one)
{
    struct wal_metrics a = {.appended_bytes = UINT64_MAX, .depth = -3, .level = 0.5};
    struct wal_metrics b = {.appended_bytes = 7, .cpu_s = 1e21};
    struct buf text = {0};

    metric_register(&a, wal_fields, 4, "signal=\"logs\"");
    metric_register(&b, wal_fields, 4, NULL);
    CHECK_STR(exposed(false, &text),
              "# HELP test_appended_bytes_total Payload bytes \"appended\"\\nand \\\\ more.\n"
              "# TYPE test_appended_bytes_total counter\n"
              "test_appended_bytes_total{signal=\"logs\"} 18446744073709551615\n"
              "test_appended_bytes_total 7\n"
              "# HELP test_cpu_seconds_total CPU.\n"
              "# TYPE test_cpu_seconds_total counter\n"
              "test_cpu_seconds_total{signal=\"logs\"} 0\n"
              "test_cpu_seconds_total 1000000000000000000000\n"
              "# HELP test_depth Depth.\n"
              "# TYPE test_depth gauge\n"
              "test_depth{signal=\"logs\"} -3\n"
              "test_depth 0\n"
              "# HELP test_level Level.\n"
              "# TYPE test_level gauge\n"
              "test_level{signal=\"logs\"} 0.5\n"
              "test_level 0\n");
    metric_unregister(&a);
    CHECK(!strstr(exposed(false, &text), "signal"));
    metric_unregister(&b);
    CHECK_STR(exposed(false, &text), "");
    buf_done(&text);
}

TEST(metric_openmetrics_names_counters_without_total)
{
    struct wal_metrics a = {.appended_bytes = 1};
    struct buf text = {0};

    metric_register(&a, wal_fields, 1, NULL);
    CHECK_STR(exposed(true, &text),
              "# HELP test_appended_bytes Payload bytes \\\"appended\\\"\\nand \\\\ more.\n"
              "# TYPE test_appended_bytes counter\n"
              "test_appended_bytes_total 1\n");
    metric_unregister(&a);
    buf_reset(&text);
    metric_write(&text, true);
    CHECK(slice_has_suffix(buf_slice(&text), SLICE("\n# EOF\n")));
    CHECK(
        strstr(buf_cstr(&text), "# TYPE process_cpu_seconds counter\nprocess_cpu_seconds_total "));
    buf_done(&text);
}

TEST(metric_histogram_buckets_are_cumulative)
{
    struct wal_metrics a = {0};
    struct buf text = {0};

    metric_hist_observe(&a.sync_s, 64e-6); /* a bound belongs to its bucket */
    metric_hist_observe(&a.sync_s, 0.001);
    metric_hist_observe(&a.sync_s, 1000);
    metric_hist_observe(&a.sync_s, -1);
    metric_register(&a, wal_fields + 4, 1, "k=\"v\"");
    (void)exposed(false, &text);
    CHECK(strstr(buf_cstr(&text), "test_sync_seconds_bucket{k=\"v\",le=\"6.4e-05\"} 2\n"
                                  "test_sync_seconds_bucket{k=\"v\",le=\"0.000256\"} 2\n"
                                  "test_sync_seconds_bucket{k=\"v\",le=\"0.001024\"} 3\n"));
    CHECK(strstr(buf_cstr(&text), "test_sync_seconds_bucket{k=\"v\",le=\"268.435456\"} 3\n"
                                  "test_sync_seconds_bucket{k=\"v\",le=\"+Inf\"} 4\n"
                                  "test_sync_seconds_count{k=\"v\"} 4\n"
                                  "test_sync_seconds_sum{k=\"v\"} 1000.001064\n"));
    metric_unregister(&a);
    buf_done(&text);
}

static void collect(void *arg, struct buf *out, bool is_openmetrics)
{
    struct buf labels = {0};

    buf_str(&labels, "peer=\"");
    metric_escape(&labels, slice_cstr(arg));
    buf_byte(&labels, '"');
    metric_write_family(out, is_openmetrics, METRIC_T_GAUGE, "test_peers", "Peers.");
    metric_write_u64(out, "test_peers", buf_cstr(&labels), 1);
    metric_write_family(out, is_openmetrics, METRIC_T_COUNTER_F64, "test_a_total", "A.");
    metric_write_f64(out, "test_a_total", NULL, 0.25);
    buf_done(&labels);
}

TEST(metric_collectors_share_families)
{
    static char one[] = "a\"\\\n", two[] = "b";
    struct buf text = {0};

    metric_register_collector(collect, one);
    metric_register_collector(collect, two);
    CHECK_STR(exposed(false, &text), "# HELP test_a_total A.\n"
                                     "# TYPE test_a_total counter\n"
                                     "test_a_total 0.25\n"
                                     "test_a_total 0.25\n"
                                     "# HELP test_peers Peers.\n"
                                     "# TYPE test_peers gauge\n"
                                     "test_peers{peer=\"a\\\"\\\\\\n\"} 1\n"
                                     "test_peers{peer=\"b\"} 1\n");
    metric_unregister_collector(collect, one);
    metric_unregister_collector(collect, two);
    CHECK_STR(exposed(false, &text), "");
    buf_done(&text);
}

TEST(metric_process_shows_itself)
{
    static const char *const names[] = {"\nprocess_cpu_seconds_total ",
                                        "\nprocess_resident_memory_bytes ",
                                        "\nprocess_virtual_memory_bytes ",
                                        "\nprocess_open_fds ",
                                        "\nprocess_max_fds ",
                                        "\nprocess_start_time_seconds 1",
                                        "\nprocess_threads ",
                                        "\norrery_build_info{version=\"" ORR_VERSION "\"",
                                        "\norrery_memory_allocated_bytes ",
                                        "\norrery_memory_limit_bytes ",
                                        "\norrery_log_lines_total{level=\"error\"} "};
    struct buf text = {0};

    metric_write(&text, false);
    for (size_t i = 0; i < ORR_COUNT(names); i++)
        if (!strstr(buf_cstr(&text), names[i]))
            test_fail(__FILE__, __LINE__, "%s is missing", names[i] + 1);
    CHECK(!strstr(buf_cstr(&text), "\nprocess_resident_memory_bytes 0\n"));
    CHECK(!strstr(buf_cstr(&text), "\nprocess_open_fds 0\n"));
    buf_done(&text);
}

static void *observe_many(void *arg)
{
    struct wal_metrics *m = arg;

    for (int i = 0; i < 10000; i++) {
        metric_hist_observe(&m->sync_s, 0.5);
        METRIC_ADD(m->appended_bytes, 2);
    }
    return NULL;
}

TEST(metric_written_by_many_threads_while_read)
{
    struct wal_metrics m = {0};
    struct buf text = {0};
    pthread_t threads[3];

    metric_register(&m, wal_fields, ORR_COUNT(wal_fields), NULL);
    for (size_t i = 0; i < ORR_COUNT(threads); i++)
        CHECK_OK(thread_start("observer", observe_many, &m, &threads[i]));
    for (int i = 0; i < 100; i++) {
        m.depth++; /* the plain word of its one writer */
        (void)exposed(true, &text);
    }
    for (size_t i = 0; i < ORR_COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    (void)exposed(true, &text);
    CHECK(strstr(buf_cstr(&text), "test_sync_seconds_count 30000\ntest_sync_seconds_sum 15000\n"));
    CHECK(strstr(buf_cstr(&text), "test_appended_bytes_total 60000\n"));
    metric_unregister(&m);
    buf_done(&text);
}
