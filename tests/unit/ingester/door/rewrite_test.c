#include "ingester/door/push_builder.h"
#include "ingester/door/rewrite.h"
#include "ingester/door/write_request.h"
#include "tests/unit/ingester/door/rw_build.h"
#include "tests/unit/test.h"

#define T0 1767225600000

#define L(n, v)                                                                                    \
    {                                                                                              \
        SLICE_INIT(n), SLICE_INIT(v)                                                               \
    }

/* Rules from the lines of an overrides file. */
static struct tenant_rules *rules_of(const char *yaml)
{
    struct tenant_rules *r = tenant_rules_new(NULL);
    struct arena *a = arena_new(0);
    struct yaml_node *root = NULL;
    bool is_known;

    r->ha_cluster_label = SLICE("cluster");
    r->ha_replica_label = SLICE("__replica__");
    CHECK_OK(yaml_load("t", slice_cstr(yaml), a, &root));
    for (size_t i = 0; root && i < root->n; i++) {
        CHECK_OK(tenant_rules_read(r, "t", &root->keys[i], root->items[i], &is_known));
        CHECK(is_known);
    }
    arena_free(a);
    return r;
}

static const char *const drop_go =
    "{drop_labels: [uid], metric_relabel_configs: [{source_labels: [__name__], regex: 'go_.*', "
    "action: drop}, {source_labels: [__meta_tenant_id], target_label: team}]}";

TEST(rewrite_is_nothing_without_rules)
{
    CHECK(rewrite_new(SLICE("t"), rules_of("{}"), false, 1 << 20) == NULL);
    CHECK(rewrite_bytes(NULL) == 0);
    rewrite_free(NULL);
}

struct rewritten {
    struct push *p;
    struct push_builder b;
    struct fp_cache known;
    struct rewrite *w;
};

static void begin(struct rewritten *t)
{
    t->p = push_new(SLICE("t"), &(struct tenant_limits){.generation = 1});
    push_builder_init(&t->b, t->p, &t->known, T0);
    t->b.rewrite = t->w;
}

static void open_rewritten(struct rewritten *t, const char *rules, bool accept_ha, size_t bytes)
{
    *t = (struct rewritten){0};
    fp_cache_init(&t->known, 1 << 20);
    t->w = rewrite_new(SLICE("t"), rules_of(rules), accept_ha, bytes);
    begin(t);
}

static void next(struct rewritten *t)
{
    push_builder_remember(t->p, &t->known);
    push_free(t->p);
    begin(t);
}

static void close_rewritten(struct rewritten *t)
{
    push_free(t->p);
    rewrite_free(t->w);
    fp_cache_done(&t->known);
}

static const struct sample one = {T0, 1.5};

static void add(struct rewritten *t, const struct label *ls, size_t n)
{
    CHECK_OK(push_builder_add(
        &t->b, &(struct push_in){.labels = ls, .n_labels = n, .samples = &one, .n_samples = 1}));
}

static void check_series(const struct rewritten *t, size_t i, const struct label *ls, size_t n)
{
    struct buf want = {0};

    labels_canonical(&want, (struct labels){ls, n});
    CHECK(i < t->p->series.len);
    CHECK(slice_eq(t->p->series.ptr[i].labels, buf_slice(&want)));
    CHECK(hash128_eq(t->p->series.ptr[i].fp, labels_fingerprint_of_canonical(buf_slice(&want))));
    buf_done(&want);
}

TEST(rewrite_applies_rules_then_drops_labels)
{
    static const struct label up[] = {L("uid", "1"), L("__name__", "up"), L("zero", "")};
    static const struct label go[] = {L("__name__", "go_gc"), L("uid", "1")};
    static const struct label want[] = {L("__name__", "up"), L("team", "t")};
    static const struct label twice[] = {L("__name__", "up"), L("a", "1"), L("a", "1")};
    static const struct label unnamed[] = {L("uid", "2")};
    struct rewritten t;

    open_rewritten(&t, drop_go, false, 1 << 20);
    for (int i = 0; i < 2; i++) { /* worked out, then remembered */
        add(&t, up, 3);
        add(&t, go, 2);
        add(&t, twice, 3);
        add(&t, unnamed, 1);
        CHECK_INT(t.p->series.len, 1);
        check_series(&t, 0, want, 2);
        CHECK_INT(t.p->series.ptr[0].is_known, i == 1);
        CHECK_INT(t.b.rejects.relabelled, 1);
        CHECK_INT(t.b.rejects.samples[DOOR_DUPLICATE_LABEL], 1);
        CHECK_INT(t.b.rejects.samples[DOOR_MISSING_NAME], 1);
        next(&t);
    }
    close_rewritten(&t);
}

/* A small cache forgets; the results are the same. */
TEST(rewrite_cache_is_bounded)
{
    struct rewritten t;
    char value[32];

    open_rewritten(&t, drop_go, false, 32 << 10);
    for (int i = 0; i < 5000; i++) {
        struct label ls[] = {L("__name__", "up"), L("a", ""), L("uid", "x")};
        struct label want[] = {L("__name__", "up"), L("a", ""), L("team", "t")};

        (void)snprintf(value, sizeof(value), "v%d", i);
        ls[1].value = want[1].value = slice_cstr(value);
        add(&t, ls, 3);
        check_series(&t, (size_t)i, want, 3);
        CHECK(rewrite_bytes(t.w) <= 40 << 10);
    }
    close_rewritten(&t);
}

static void put_series(struct buf *req, const char *name)
{
    struct buf m = {0};

    rw_build_label(&m, "uid", "1"); /* not in order */
    rw_build_label(&m, "__name__", name);
    rw_build_sample(&m, 1, T0);
    rw_build_field(req, 1, &m);
}

TEST(rewrite_is_applied_to_remote_write_1)
{
    static const struct label want[] = {L("__name__", "up"), L("team", "t")};
    struct buf req = {0};
    struct rewritten t;

    put_series(&req, "up");
    put_series(&req, "go_gc");
    put_series(&req, "");
    open_rewritten(&t, drop_go, false, 1 << 20);
    for (int i = 0; i < 3; i++) {
        buf_slice_append(&t.p->body, buf_slice(&req));
        CHECK_OK(write_request_decoder.decode(&t.b, NULL));
        CHECK_INT(t.p->series.len, 1);
        check_series(&t, 0, want, 2);
        CHECK_INT(t.p->series.ptr[0].is_known, i > 0);
        CHECK_INT(t.b.rejects.relabelled, 1);
        CHECK_INT(t.b.rejects.samples[DOOR_MISSING_NAME], 1);
        next(&t);
    }
    buf_done(&req);
    close_rewritten(&t);
}

/* ---- pairs ---- */

static size_t n_asked;

/* Replica a is the elected one. */
static enum ha_verdict elect(void *arg, const struct push *p, struct slice cluster,
                             struct slice replica)
{
    (void)arg;
    CHECK_SLICE(p->tenant, "t");
    n_asked++;
    if (slice_eq_cstr(cluster, "full"))
        return HA_TOO_MANY_CLUSTERS;
    CHECK_SLICE(cluster, "c");
    return slice_eq_cstr(replica, "a") ? HA_ELECTED : HA_OTHER_REPLICA;
}

TEST(rewrite_takes_the_replica_off_and_asks_for_each_pair)
{
    static const struct label a[] = {L("__name__", "up"), L("__replica__", "a"), L("cluster", "c")};
    static const struct label b[] = {L("__name__", "up"), L("__replica__", "b"), L("cluster", "c")};
    static const struct label full[] = {L("__name__", "up"), L("__replica__", "b"),
                                        L("cluster", "full")};
    static const struct label alone[] = {L("__name__", "up"), L("__replica__", "b")};
    static const struct label want[] = {L("__name__", "up"), L("cluster", "c")};
    struct rewritten t;

    open_rewritten(&t, "{}", true, 1 << 20);
    n_asked = 0;
    for (int i = 0; i < 2; i++) {
        t.b.ha = elect;
        add(&t, a, 3);
        add(&t, a, 3);
        CHECK_INT(n_asked, 1);
        add(&t, b, 3);
        add(&t, full, 3);
        add(&t, alone, 2); /* no cluster: of no pair, and nothing is taken off */
        CHECK_INT(n_asked, 3);
        CHECK_INT(t.p->series.len, 3);
        check_series(&t, 0, want, 2);
        check_series(&t, 2, alone, 2);
        CHECK_INT(t.b.rejects.deduplicated, 1);
        CHECK_INT(t.b.rejects.samples[DOOR_HA_CLUSTERS], 1);
        n_asked = 0;
        next(&t);
    }
    close_rewritten(&t);
}
