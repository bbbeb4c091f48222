#include "alertmanager/inhibit.h"
#include "tests/unit/test.h"

#define S 1000000000ll

static struct amconf *rules(const char *text)
{
    struct amconf *conf = NULL;
    char *all =
        mem_printf("route: {receiver: a}\nreceivers: [{name: a}]\ninhibit_rules: [%s]\n", text);

    CHECK_OK(amconf_parse("conf", slice_cstr(all), 0, &conf));
    mem_free(all);
    return conf;
}

static struct alert *firing(const char *severity, const char *cluster, int64_t until_ns)
{
    struct label ls[] = {{SLICE("c"), slice_cstr(cluster)}, {SLICE("s"), slice_cstr(severity)}};
    struct alert *a = alert_new((struct labels){ls, 2}, (struct labels){NULL, 0}, SLICE_EMPTY);

    a->ends_ns = until_ns;
    return a;
}

static bool mutes(struct inhibit *x, const struct amconf *conf, const char *severity,
                  const char *cluster, int64_t now_ns)
{
    struct alert *a = firing(severity, cluster, INT64_MAX);
    bool ret = inhibit_find(x, conf, a->labels, now_ns) != NULL;

    alert_unref(a);
    return ret;
}

TEST(inhibit_mutes_what_agrees_while_the_source_fires)
{
    struct amconf *conf = rules("{source_match: {s: high}, target_match: {s: low}, equal: [c]}");
    struct inhibit *x = inhibit_new();
    struct alert *a = firing("high", "1", 10 * S), *later = firing("high", "1", 20 * S);

    CHECK(!mutes(x, conf, "low", "1", 0));
    inhibit_put(x, conf, a);
    CHECK(mutes(x, conf, "low", "1", 0));
    CHECK(!mutes(x, conf, "low", "2", 0));
    CHECK(!mutes(x, conf, "high", "1", 0));
    CHECK(!mutes(x, conf, "low", "1", 10 * S)); /* resolved, and dropped */
    inhibit_put(x, conf, later);
    CHECK(mutes(x, conf, "low", "1", 10 * S));
    inhibit_put(x, conf, later); /* takes its own place */
    inhibit_drop(x, conf, later);
    CHECK(!mutes(x, conf, "low", "1", 10 * S));
    inhibit_drop(x, conf, later);
    inhibit_put(x, conf, a);
    inhibit_clear(x);
    CHECK(!mutes(x, conf, "low", "1", 0));
    inhibit_free(x);
    alert_unref(a);
    alert_unref(later);
    amconf_unref(conf);
}

TEST(inhibit_what_matches_both_sides_is_muted_by_sources_alone)
{
    struct amconf *conf =
        rules("{source_match_re: {s: 'high|mid'}, target_match_re: {s: 'mid|low'}}");
    struct inhibit *x = inhibit_new();
    struct alert *mid = firing("mid", "1", INT64_MAX), *high = firing("high", "2", INT64_MAX);

    inhibit_put(x, conf, mid);
    CHECK(!mutes(x, conf, "mid", "1", 0));
    CHECK(!mutes(x, conf, "mid", "9", 0));
    CHECK(mutes(x, conf, "low", "9", 0)); /* no equal labels: everywhere */
    inhibit_put(x, conf, high);
    CHECK(mutes(x, conf, "mid", "1", 0));
    inhibit_free(x);
    alert_unref(mid);
    alert_unref(high);
    amconf_unref(conf);
}

TEST(inhibit_by_several_sources_takes_all_of_them)
{
    struct amconf *conf =
        rules("{sources: [{matchers: [s=high], equal: [c]}, {matchers: [s=mid]}], "
              "target_matchers: [s=low]}, "
              "{source_matchers: [s=other], target_matchers: [s=low]}");
    struct inhibit *x = inhibit_new();
    struct alert *high = firing("high", "1", 10 * S), *mid = firing("mid", "2", 20 * S);
    struct alert *other = firing("other", "3", 30 * S);

    CHECK_INT(conf->n_inhibit, 3);
    inhibit_put(x, conf, high);
    CHECK(!mutes(x, conf, "low", "1", 0));
    inhibit_put(x, conf, mid);
    CHECK(mutes(x, conf, "low", "1", 0));
    CHECK(!mutes(x, conf, "low", "2", 0)); /* the first source asks for the same c */
    CHECK(!mutes(x, conf, "low", "1", 10 * S));
    inhibit_put(x, conf, other); /* the next rule goes by itself */
    CHECK(mutes(x, conf, "low", "2", 10 * S));
    inhibit_free(x);
    alert_unref(high);
    alert_unref(mid);
    alert_unref(other);
    amconf_unref(conf);
}

TEST(inhibit_refuses_two_ways_to_name_sources)
{
    struct amconf *conf = NULL;

    CHECK_ERR(amconf_parse("conf",
                           SLICE("route: {receiver: a}\nreceivers: [{name: a}]\n"
                                 "inhibit_rules: [{sources: [{matchers: [a=b]}], equal: [c]}]\n"),
                           0, &conf),
              ERR_INVALID, "conf:3");
}

/* All against all would be 4 · 10⁸ comparisons. */
TEST(inhibit_searches_do_not_look_at_all_alerts)
{
    enum { MANY = 20000 };
    struct amconf *conf = rules("{source_match: {s: high}, target_match: {s: low}, equal: [c]}");
    struct inhibit *x = inhibit_new();
    alert_vec all = {0};
    char c[16];

    for (int i = 0; i < MANY; i++) {
        snprintf(c, sizeof(c), "%d", i);
        vec_push(&all, firing("high", c, (i & 1 ? 10 : 20) * S));
        inhibit_put(x, conf, vec_last(&all));
    }
    for (int i = 0; i < MANY; i++) {
        snprintf(c, sizeof(c), "%d", i);
        CHECK(mutes(x, conf, "low", c, 15 * S) == !(i & 1));
    }
    inhibit_free(x);
    alert_vec_done(&all);
    amconf_unref(conf);
}
