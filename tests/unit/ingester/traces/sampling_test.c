#include "common/base/hash.h"
#include "ingester/traces/sampling.h"
#include "tests/unit/ingester/traces/sampling_fixture.h"

static struct sampling_verdict judge_at(struct sf_rules *t, const struct sampling_evidence *e,
                                        uint64_t id, struct sampling_rates *rates)
{
    uint8_t bytes[16];

    sf_id(bytes, id);
    return sampling_judge(&t->r, bytes, e, rates);
}

/* Kept by the policies, a span of that kind? */
static bool keeps(const char *policies, struct tracepiece *p)
{
    struct tokenbucket buckets[8] = {{0}};
    struct sampling_rates rates = {buckets, 1, 1, NS_PER_S};
    struct sampling_evidence e = {0};
    struct sf_rules t;
    bool ret;

    sf_parse(&t, policies);
    sampling_look(&t.r, p, &e);
    ret = judge_at(&t, &e, 1, &rates).is_kept;
    sf_done(&t);
    return ret;
}

static bool keeps_value(const char *policies, const char *key, struct otlp_value v)
{
    struct sf_span a, b;
    bool ret = keeps(policies, sf_piece(&a, 0, 1, 0, key, v, false));

    CHECK_INT(ret, keeps(policies, sf_piece(&b, 0, 1, 0, key, v, true))); /* of its resource */
    return ret;
}

TEST(sampling_by_status_and_latency)
{
    static const char *const errors =
        "{name: e, type: status_code, status_code: {status_codes: [ERROR]}}";
    static const char *const slow =
        "{name: e, type: latency, latency: {threshold_ms: 100, upper_threshold_ms: 200}}";
    struct otlp_value none = {0};
    struct sf_span s;

    CHECK(keeps(errors, sf_piece(&s, 0, 1, 2, NULL, none, false)));
    CHECK(!keeps(errors, sf_piece(&s, 0, 1, 1, NULL, none, false)));
    CHECK(!keeps(slow, sf_piece(&s, 5, 99, 0, NULL, none, false)));
    CHECK(keeps(slow, sf_piece(&s, 5, 100, 0, NULL, none, false)));
    CHECK(keeps(slow, sf_piece(&s, 5, 200, 0, NULL, none, false)));
    CHECK(!keeps(slow, sf_piece(&s, 5, 201, 0, NULL, none, false)));
    sf_piece(&s, 5, 0, 0, NULL, none, false);
    s.span.end_ns = 0; /* ends before it starts */
    CHECK(!keeps(slow, &s.piece));
}

TEST(sampling_by_attributes)
{
    static const char *const text =
        "{name: a, type: string_attribute, string_attribute: {key: k, values: [one, two]}}";
    static const char *const regex = "{name: a, type: string_attribute, string_attribute: {key: k,"
                                     " values: ['^/api/', x+], enabled_regex_matching: true}}";
    static const char *const inverse = "{name: a, type: string_attribute, string_attribute: {key: "
                                       "k, values: [one], invert_match: true}}";
    static const char *const number = "{name: a, type: numeric_attribute, numeric_attribute: {key: "
                                      "k, min_value: 50, max_value: 100}}";
    static const char *const truth =
        "{name: a, type: boolean_attribute, boolean_attribute: {key: k, value: false}}";
    struct otlp_value yes = {.kind = OTLP_VALUE_BOOL, .b = true}, no = {.kind = OTLP_VALUE_BOOL},
                      half = {.kind = OTLP_VALUE_DOUBLE, .d = 50.5};

    CHECK(keeps_value(text, "k", sf_text("two")));
    CHECK(!keeps_value(text, "k", sf_text("three")));
    CHECK(!keeps_value(text, "j", sf_text("two")));
    CHECK(!keeps_value(text, "k", sf_int(1)));
    CHECK(keeps_value(regex, "k", sf_text("/api/v1")));
    CHECK(keeps_value(regex, "k", sf_text("axxb")));
    CHECK(!keeps_value(regex, "k", sf_text("v/api/")));
    CHECK(!keeps_value(inverse, "k", sf_text("one")));
    CHECK(keeps_value(inverse, "k", sf_text("two")));
    CHECK(keeps_value(inverse, "j", sf_text("one")));
    CHECK(keeps_value(number, "k", sf_int(50)));
    CHECK(keeps_value(number, "k", half));
    CHECK(!keeps_value(number, "k", sf_int(49)));
    CHECK(!keeps_value(number, "k", sf_int(101)));
    CHECK(!keeps_value(number, "k", sf_text("70")));
    CHECK(keeps_value(truth, "k", no));
    CHECK(!keeps_value(truth, "k", yes));
}

TEST(sampling_by_and_or_not_and_drop)
{
#define ERRORS "{name: e, type: status_code, status_code: {status_codes: [ERROR]}}"
#define SLOW "{name: s, type: latency, latency: {threshold_ms: 100}}"
    static const char *const both =
        "{name: a, type: and, and: {and_sub_policy: [" ERRORS ", " SLOW "]}}";
    static const char *const either =
        "{name: a, type: or, or: {or_sub_policy: [" ERRORS ", " SLOW "]}}";
    static const char *const neither =
        "{name: a, type: not, not: {not_sub_policy: [" ERRORS ", " SLOW "]}}";
    /* drop stands behind, and overrules what was before it */
    static const char *const drop =
        "{name: all, type: always_sample}, {name: d, type: drop, drop: {drop_sub_policy: [" ERRORS
        ", " SLOW "]}}";
    struct otlp_value none = {0};

    for (unsigned is_error = 0; is_error < 2; is_error++)
        for (unsigned is_slow = 0; is_slow < 2; is_slow++) {
            struct sf_span s;

            sf_piece(&s, 0, is_slow ? 100 : 1, is_error ? 2 : 0, NULL, none, false);
            CHECK_INT(keeps(both, &s.piece), is_error && is_slow);
            CHECK_INT(keeps(either, &s.piece), is_error || is_slow);
            CHECK_INT(keeps(neither, &s.piece), !is_error && !is_slow);
            CHECK_INT(keeps(drop, &s.piece), !(is_error && is_slow));
        }
}

TEST(sampling_says_which_policy_decided)
{
    struct sampling_rates rates = {0};
    struct sampling_evidence e = {.spans = 1};
    struct sf_rules t;

    sf_parse(&t,
             ERRORS ", " SLOW
                    ", {name: d, type: drop, drop: {drop_sub_policy: [{name: n, type: span_count, "
                    "span_count: {min_spans: 9}}]}}");
    CHECK_INT(judge_at(&t, &e, 1, &rates).policy, SAMPLING_NO_POLICY);
    e.end_ns = NS_PER_S;
    CHECK_INT(judge_at(&t, &e, 1, &rates).policy, 1);
    e.leaves = 1;
    CHECK_INT(judge_at(&t, &e, 1, &rates).policy, 0);
    e.spans = 9;
    CHECK_INT(judge_at(&t, &e, 1, &rates).policy, 2);
    CHECK(!judge_at(&t, &e, 1, &rates).is_kept);
    sf_done(&t);
}

/* The hash is fixed: ingesters of two versions judge alike. */
TEST(sampling_by_probability_is_near_its_setting_and_the_same_for_ever)
{
    struct sampling_rates rates = {0};
    struct sampling_evidence e = {.spans = 1};
    struct sf_rules t, salted;
    int kept = 0, both = 0;
    uint64_t which = 0;

    sf_parse(&t, "{name: p, type: probabilistic, probabilistic: {sampling_percentage: 20}}");
    sf_parse(
        &salted,
        "{name: p, type: probabilistic, probabilistic: {sampling_percentage: 20, hash_salt: x}}");
    for (uint64_t i = 0; i < 100000; i++) {
        bool is_kept = judge_at(&t, &e, i, &rates).is_kept;

        kept += is_kept;
        both += is_kept && judge_at(&salted, &e, i, &rates).is_kept;
        if (i < 64)
            which |= (uint64_t)is_kept << i;
    }
    CHECK(kept > 19500 && kept < 20500);
    CHECK(both > 3600 && both < 4400); /* another choice */
    CHECK_INT(which, 0x8c1062000f40095);
    sf_done(&t);
    sf_done(&salted);
}

TEST(sampling_by_rate_keeps_to_its_share)
{
    struct tokenbucket buckets[2] = {{0}};
    struct sampling_rates rates = {buckets, 0.5, 2, 1};
    struct sampling_evidence e = {.spans = 10};
    struct sf_rules t;
    int kept = 0;

    sf_parse(&t, "{name: r, type: rate_limiting, rate_limiting: {spans_per_second: 1000}}");
    for (uint64_t i = 0; i < 10000; i++) { /* 10 s, 10000 spans a second; ours are 500 */
        rates.now_ns = 1 + (int64_t)i * 1000000;
        kept += judge_at(&t, &e, i, &rates).is_kept;
    }
    CHECK(kept * 10 <= 500 * (10 + 2) && kept * 10 >= 500 * 10);
    sf_done(&t);
    /* What others refuse takes nothing. */
    kept = 0;
    memset(buckets, 0, sizeof(buckets));
    rates.now_ns = 1;
    sf_parse(
        &t,
        "{name: a, type: and, and: {and_sub_policy: [{name: r, type: rate_limiting, rate_limiting: "
        "{spans_per_second: 10}}, " ERRORS "]}}");
    for (uint64_t i = 0; i < 10; i++)
        CHECK(!judge_at(&t, &e, i, &rates).is_kept);
    e.leaves = 1;
    CHECK(judge_at(&t, &e, 1, &rates).is_kept);
    CHECK(!judge_at(&t, &e, 1, &rates).is_kept);
    sf_done(&t);
}

TEST(sampling_by_composite_gives_each_its_part)
{
    struct tokenbucket buckets[2] = {{0}};
    struct sampling_rates rates = {buckets, 1, 1, 1};
    struct sampling_evidence error = {.spans = 1, .leaves = 1}, other = {.spans = 1};
    struct sf_rules t;
    int errors = 0, others = 0;

    sf_parse(&t, "{name: c, type: composite, composite: {max_total_spans_per_second: 100, "
                 "policy_order: [e, all],"
                 " composite_sub_policy: [{name: all, type: always_sample}, " ERRORS "],"
                 " rate_allocation: [{policy: e, percent: 70}, {policy: all, percent: 30}]}}");
    for (uint64_t i = 0; i < 200; i++) {
        errors += judge_at(&t, &error, i, &rates).is_kept;
        others += judge_at(&t, &other, i, &rates).is_kept;
    }
    CHECK_INT(errors, 70); /* not 100: the first that matches decides */
    CHECK_INT(others, 30);
    sf_done(&t);
}

static bool is_same(const struct sampling_evidence *a, const struct sampling_evidence *b)
{
    return a->leaves == b->leaves && a->start_ns == b->start_ns && a->end_ns == b->end_ns &&
           a->spans == b->spans;
}

TEST(sampling_evidence_is_united_as_sets_are)
{
    struct sampling_evidence a = {1, 100, 200, 3}, b = {2, 50, 150, 5}, none = {0}, ab = a, ba = b;
    struct buf out = {0};
    struct reader r;

    sampling_unite(&ab, &b);
    sampling_unite(&ba, &a);
    CHECK(is_same(&ab, &ba));
    CHECK(ab.leaves == 3 && ab.start_ns == 50 && ab.end_ns == 200 && ab.spans == 5);
    sampling_unite(&ab, &none);
    CHECK(is_same(&ab, &ba));
    sampling_unite(&none, &a);
    CHECK(is_same(&none, &a));
    CHECK(sampling_covers(&ab, &a) && sampling_covers(&ab, &b) && !sampling_covers(&a, &b));
    CHECK(!sampling_covers(&a, &(struct sampling_evidence){1, 100, 201, 1}));
    CHECK(!sampling_covers(&a, &(struct sampling_evidence){1, 99, 200, 1}));
    CHECK(sampling_covers(&a, &(struct sampling_evidence){0}));
    CHECK(!sampling_covers(&(struct sampling_evidence){0}, &a));
    sampling_evidence_encode(&out, &ab);
    CHECK_INT(out.len, SAMPLING_EVIDENCE_BYTES);
    r = reader_new(buf_slice(&out));
    memset(&ba, 0, sizeof(ba));
    sampling_evidence_decode(&r, &ba);
    CHECK(reader_ok(&r) && is_same(&ab, &ba));
    buf_done(&out);
}
