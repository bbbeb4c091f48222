#include "common/model/relabel.h"
#include "tests/unit/test.h"

#define L(n, v)                                                                                    \
    {                                                                                              \
        SLICE_INIT(n), SLICE_INIT(v)                                                               \
    }

static const struct label input[] = {L("__name__", "http_requests_total"), L("instance", "h1:9090"),
                                     L("job", "Prod-EU"), L("pod", "p-1")};

/* The labels after as text, "dropped", or the error. */
static const char *relabelled(const char *yaml)
{
    static char out[512];
    struct arena *a = arena_new(0);
    struct yaml_node *root = NULL;
    struct relabel *r = NULL;
    struct labels after;
    struct buf b = {0};
    struct err *e;

    CHECK_OK(yaml_load("t", slice_cstr(yaml), a, &root));
    if ((e = relabel_parse("t", root, &r)))
        buf_printf(&b, "%s", err_msg(e));
    else if (relabel_apply(r, a, (struct labels){input, ORR_COUNT(input)}, &after))
        labels_text(&b, after);
    else
        buf_str(&b, "dropped");
    (void)snprintf(out, sizeof(out), "%s", buf_cstr(&b));
    err_free(e);
    relabel_free(r);
    buf_done(&b);
    arena_free(a);
    return out;
}

TEST(relabel_does_what_each_action_says)
{
    static const struct {
        const char *rules, *want;
    } cases[] = {
        {"[]", "http_requests_total{instance=\"h1:9090\", job=\"Prod-EU\", pod=\"p-1\"}"},
        {"- {source_labels: [instance], regex: '(.+):(\\d+)', target_label: host, replacement: "
         "'${1}-$2'}",
         "http_requests_total{host=\"h1-9090\", instance=\"h1:9090\", job=\"Prod-EU\", "
         "pod=\"p-1\"}"},
        {"- {source_labels: [pod], regex: 'p.*', target_label: pod, replacement: ''}",
         "http_requests_total{instance=\"h1:9090\", job=\"Prod-EU\"}"},
        {"- {source_labels: [job, pod], separator: '/', regex: 'Prod-EU/p-1', action: drop}",
         "dropped"},
        {"- {source_labels: [job], regex: 'Prod', action: keep}", "dropped"}, /* anchored */
        {"- {source_labels: [job], target_label: pod, action: keepequal}", "dropped"},
        {"- {source_labels: [job], target_label: job, action: DropEqual}", "dropped"},
        {"- {regex: 'pod|job', action: labeldrop}", "http_requests_total{instance=\"h1:9090\"}"},
        {"- {regex: 'pod|__name__', action: labelkeep}", "http_requests_total{pod=\"p-1\"}"},
        {"- {regex: 'p(.*)', replacement: 'x_$1', action: labelmap}",
         "http_requests_total{instance=\"h1:9090\", job=\"Prod-EU\", pod=\"p-1\", "
         "x_od=\"p-1\"}"},
        {"- {source_labels: [job], target_label: job, action: lowercase}",
         "http_requests_total{instance=\"h1:9090\", job=\"prod-eu\", pod=\"p-1\"}"},
        {"- {source_labels: [job], target_label: job, action: uppercase}",
         "http_requests_total{instance=\"h1:9090\", job=\"PROD-EU\", pod=\"p-1\"}"},
        {"- {source_labels: [pod], target_label: shard, modulus: 1000, action: hashmod}",
         "http_requests_total{instance=\"h1:9090\", job=\"Prod-EU\", pod=\"p-1\", "
         "shard=\"625\"}"},
    };

    for (size_t i = 0; i < ORR_COUNT(cases); i++)
        CHECK_STR(relabelled(cases[i].rules), cases[i].want);
}

TEST(relabel_refuses_what_makes_no_sense)
{
    static const struct {
        const char *rules, *want;
    } cases[] = {
        {"- {action: what}", "t:1: unknown relabel action: what"},
        {"- {action: hashmod, target_label: a}", "non-zero modulus"},
        {"- {action: hashmod, target_label: a, modulus: x}", "modulus is not a whole number"},
        {"- {source_labels: [a]}", "target_label"},
        {"- {regex: '(', target_label: a}", "t:1: error parsing regexp"},
        {"- {regex: a, target_label: a, action: keepequal}", "no other fields"},
        {"- {regex: a, source_labels: [], action: labeldrop}", "no other fields"},
        {"- {regex: a, replacement: '', action: labelmap}", "'replacement'"},
        {"- {source_labels: a, target_label: a}", "source_labels is a list"},
        {"- {bogus: 1}", "t:1: unknown field: bogus"},
        {"- 7", "a relabel rule is a mapping"},
        {"{a: 1}", "relabel rules are a list"},
    };

    for (size_t i = 0; i < ORR_COUNT(cases); i++)
        CHECK(strstr(relabelled(cases[i].rules), cases[i].want));
}

/* A value that grows with each rule ends with the series. */
TEST(relabel_bounds_values)
{
    struct buf b = {0};

    for (int i = 0; i < 40; i++)
        buf_str(&b, "- {source_labels: [job], target_label: job, replacement: '$1$1'}\n");
    CHECK_STR(relabelled(buf_cstr(&b)), "dropped");
    buf_done(&b);
}
