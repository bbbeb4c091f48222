#include "common/base/fsx.h"
#include "common/model/limits.h"
#include "tests/unit/test.h"

static const struct conf_section *const sections[] = {&limits_section};

static struct conf *conf_with(const char *path)
{
    struct buf yaml = {0};
    struct conf *c = NULL;

    buf_printf(&yaml,
               "limits: {ingestion-rate: 100, max_label_names_per_series: 7, "
               "overrides-file: \"%s\"}\n",
               path);
    CHECK_OK(conf_load_text(&(struct conf_source){.sections = sections, .section_count = 1}, "t",
                            buf_slice(&yaml), &c));
    buf_done(&yaml);
    return c;
}

static void put(const char *text)
{
    CHECK_OK(fsx_write_atomic(tmp_path("over.yaml"), slice_cstr(text)));
}

static struct tenant_limits get(struct limits *l, const char *tenant)
{
    struct tenant_limits ret;

    limits_get(l, slice_cstr(tenant), &ret);
    return ret;
}

TEST(limits_defaults_come_from_the_configuration)
{
    struct conf *c = conf_with("");
    struct limits *l;
    bool changed = true;

    CHECK_OK(limits_new(c, "test", &l));
    CHECK(get(l, "a").ingestion_rate == 100);
    CHECK_INT(get(l, "a").max_label_names_per_series, 7);
    CHECK_INT(get(l, "a").creation_grace_period_ns, 600000000000);
    CHECK(get(l, "a").generation != 0);
    CHECK_OK(limits_poll(l, &changed));
    CHECK(!changed);
    limits_free(l);
    conf_unref(c);
}

TEST(limits_overrides_are_read_again_and_refused_whole)
{
    struct conf *c;
    struct limits *l;
    struct tenant_limits a;
    bool changed;

    put("overrides: {a: {ingestion-rate: 2.5e3, out_of_order_time_window: 30m}}\n");
    c = conf_with(tmp_path("over.yaml"));
    CHECK_OK(limits_new(c, "test", &l));
    a = get(l, "a");
    CHECK(a.ingestion_rate == 2500);
    CHECK_INT(a.out_of_order_time_window_ns, 1800000000000);
    CHECK_INT(a.max_label_names_per_series, 7);
    CHECK(get(l, "b").ingestion_rate == 100);

    put("overrides: {a: {ingestion_rate: 7}, b: {max_fetched_bytes_per_query: 64MiB}}\n");
    CHECK_OK(limits_poll(l, &changed));
    CHECK(changed && get(l, "a").ingestion_rate == 7);
    CHECK_INT(get(l, "a").out_of_order_time_window_ns, 0);
    CHECK_INT(get(l, "b").max_fetched_bytes_per_query, 64 << 20);
    CHECK(get(l, "a").generation != a.generation);

    put("overrides: {a: {shard_streams: {enabled: false, desired_rate: 3MB}}}\n");
    CHECK_OK(limits_poll(l, &changed));
    CHECK(!get(l, "a").shard_streams_enabled && get(l, "b").shard_streams_enabled);
    CHECK_INT(get(l, "a").shard_streams_desired_rate, 3000000);
    put("overrides: {a: {ingestion_rate: 7}}\n");
    CHECK_OK(limits_poll(l, &changed));

    put("overrides:\n  a: {ingestion_rate: 8}\n  b: {ingestion_rat: 1}\n");
    CHECK_ERR(limits_poll(l, &changed), ERR_INVALID, ":3: unknown limit ingestion_rat");
    CHECK(get(l, "a").ingestion_rate == 7);
    CHECK_OK(limits_poll(l, &changed)); /* said once */
    limits_free(l);
    conf_unref(c);
}

TEST(limits_refuses_bad_files)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"[1]", "not a mapping"},
        {"override: {}", "unknown key override"},
        {"overrides: [a]", "mapping of tenants"},
        {"overrides: {a: 7}", "mapping of limits"},
        {"overrides: {a/b: {}}", "tenant"},
        {"overrides: {a: {ingestion_rate: -1}}", "ingestion_rate"},
        {"overrides: {a: {ingestion_rate: NaN}}", "ingestion_rate"},
        {"overrides: {a: {max_label_name_length: 1.5}}", "max_label_name_length"},
        {"overrides: {a: {query_timeout: soon}}", "query_timeout"},
        {"overrides: {a: {query_timeout: }}", "query_timeout"},
        {"overrides: {a: {shard_streams: {enable: true}}}", "unknown limit shard_streams: enable"},
        {"overrides: {a: {shard_streams: true}}", "unknown limit shard_streams"},
    };
    struct conf *c = conf_with(tmp_path("over.yaml"));
    struct limits *l = NULL;

    for (size_t i = 0; i < ORR_COUNT(cases); i++) {
        put(cases[i].text);
        CHECK_ERR(limits_new(c, "test", &l), ERR_INVALID, cases[i].why);
    }
    conf_unref(c);
}

TEST(limits_missing_file_is_an_error_at_start)
{
    struct conf *c = conf_with(tmp_path("nothing"));
    struct limits *l = NULL;

    CHECK_ERR(limits_new(c, "test", &l), ERR_NOT_FOUND, "nothing");
    conf_unref(c);
}

TEST(limits_print_shows_defaults_and_overrides)
{
    struct conf *c;
    struct limits *l;
    struct buf out = {0};

    put("overrides: {b: {ingestion_rate: 1}, a: {out_of_order_time_window: 1h}}\n");
    c = conf_with(tmp_path("over.yaml"));
    CHECK_OK(limits_new(c, "test", &l));
    limits_print(l, &out);
    CHECK(strstr(buf_cstr(&out), "  ingestion_rate: 100\n"));
    CHECK(strstr(buf_cstr(&out), "overrides:\n  \"a\":\n    out_of_order_time_window: 1h\n"
                                 "  \"b\":\n    ingestion_rate: 1\n"));
    buf_done(&out);
    limits_free(l);
    conf_unref(c);
}

TEST(limits_give_out_rules_of_tenants)
{
    struct conf *c;
    struct limits *l;
    struct tenant_rules *a, *b;
    struct buf out = {0};
    bool changed;

    put("overrides:\n  a:\n    drop_labels: [pod, uid]\n    ha-cluster-label: prom\n"
        "    accept_ha_samples: true\n    ha_tracker_failover_timeout: 5s\n"
        "    metric_relabel_configs: [{action: labeldrop, regex: x}]\n");
    c = conf_with(tmp_path("over.yaml"));
    CHECK_OK(limits_new(c, "test", &l));
    a = limits_rules(l, SLICE("a"));
    b = limits_rules(l, SLICE("b"));
    CHECK_INT(a->drop_labels.n, 2);
    CHECK_SLICE(a->drop_labels.ptr[1], "uid");
    CHECK_SLICE(a->ha_cluster_label, "prom");
    CHECK_SLICE(a->ha_replica_label, "__replica__");
    CHECK_INT(relabel_rules(a->metric_relabel), 1);
    CHECK(get(l, "a").accept_ha_samples && !get(l, "b").accept_ha_samples);
    CHECK(get(l, "a").ha_tracker_failover_timeout_ns == 5000000000);
    CHECK_INT(b->drop_labels.n, 0);
    CHECK_SLICE(b->ha_cluster_label, "cluster");
    CHECK(b->metric_relabel == NULL);
    limits_print(l, &out);
    CHECK(strstr(buf_cstr(&out), "  drop_labels: []\n  enforced_labels: []\n"
                                 "  default_resource_attributes_as_index_labels: "
                                 "[\"service.name\", "));
    CHECK(strstr(buf_cstr(&out), "\"k8s.job.name\"]\n  ruler_protected_namespaces: []\n"
                                 "  ha_cluster_label: \"cluster\"\n"));
    CHECK(strstr(buf_cstr(&out), "    drop_labels: [\"pod\", \"uid\"]\n"
                                 "    ha_cluster_label: \"prom\"\n"
                                 "    metric_relabel_configs: [{\"action\": \"labeldrop\", "
                                 "\"regex\": \"x\"}]\n"));
    /* New defaults: what the overrides leave open follows when the file is looked at next. */
    limits_set_defaults(l, c);
    CHECK_OK(limits_poll(l, &changed));
    CHECK(changed);
    tenant_rules_unref(b);
    b = limits_rules(l, SLICE("a"));
    CHECK_INT(b->drop_labels.n, 2);
    put("overrides: {a: {s3_sse_type: SSE-KMS, s3_sse_kms_key_id: k, deletion_mode: "
        "filter-only}}\n");
    CHECK_OK(limits_poll(l, &changed));
    tenant_rules_unref(b);
    b = limits_rules(l, SLICE("a"));
    CHECK_SLICE(b->s3_sse_type, "SSE-KMS");
    CHECK_INT(tenant_rules_deletion(b), TENANT_DELETION_FILTER_ONLY);
    CHECK_SLICE(b->s3_sse_kms_key_id, "k");
    put("overrides: {a: {retention_stream: [{selector: up, period: 1h}], logs_retention_period: "
        "2h,\n"
        "  logs_retention_stream: [{selector: '{env=\"dev\"}', period: 1d}]}}\n");
    CHECK_OK(limits_poll(l, &changed));
    tenant_rules_unref(b);
    b = limits_rules(l, SLICE("a"));
    CHECK_INT(b->retention.rules.ptr->period_ms, 3600000);
    CHECK_INT(b->logs_retention.rules.ptr->period_ms, 24 * 3600000);
    CHECK(get(l, "a").logs_retention_period_ns == 7200000000000);
    put("overrides: {a: {block_retention: 3h}, b: {compaction: {block_retention: 4h}}}\n");
    CHECK_OK(limits_poll(l, &changed));
    CHECK(get(l, "a").traces_retention_period_ns == 3 * 3600000000000);
    CHECK(get(l, "b").traces_retention_period_ns == 4 * 3600000000000);
    put("overrides: {a: {logs_retention_stream: [{selector: up}]}}\n");
    CHECK_ERR(limits_poll(l, &changed), ERR_INVALID, "over.yaml:1: logs_retention_stream: a rule");
    put("overrides: {a: {s3_sse_type: KMS}}\n");
    CHECK_ERR(limits_poll(l, &changed), ERR_INVALID, "over.yaml:1: s3_sse_type");
    put("overrides: {a: {deletion_mode: sometimes}}\n");
    CHECK_ERR(limits_poll(l, &changed), ERR_INVALID, "over.yaml:1: deletion_mode");
    put("overrides: {a: {metric_relabel_configs: [{action: keep, regex: '('}]}}\n");
    CHECK_ERR(limits_poll(l, &changed), ERR_INVALID, "over.yaml:1: error parsing regexp");
    put("overrides: {a: {drop_labels: pod}}\n");
    CHECK_ERR(limits_poll(l, &changed), ERR_INVALID, "drop_labels: not a list");
    CHECK_SLICE(a->drop_labels.ptr[0], "pod"); /* who holds a reference keeps it */
    tenant_rules_unref(a);
    tenant_rules_unref(b);
    buf_done(&out);
    limits_free(l);
    conf_unref(c);
}
