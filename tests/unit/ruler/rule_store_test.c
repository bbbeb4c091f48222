#include "common/objstore/objstore_fs.h"
#include "ruler/rule_store.h"
#include "ruler/rule_yaml.h"
#include "tests/unit/test.h"

#define NS "ns"

static struct objstore *bucket(void)
{
    struct objstore *s;

    CHECK_OK(objstore_fs_open(tmp_path("bucket"), &(struct objstore_fs_opts){.no_sync = true}, &s));
    return s;
}

struct edit {
    const char *name, *yaml; /* yaml NULL: it goes */
};

static struct err *edit_fn(void *arg, struct arena *a, struct rule_object *o, bool *ret_changed)
{
    const struct edit *ed = arg;

    *ret_changed = true;
    if (ed->yaml)
        rule_object_set(a, o,
                        (struct rule_object_group){slice_cstr(ed->name), slice_cstr(ed->yaml)});
    else
        *ret_changed = rule_object_remove(o, slice_cstr(ed->name));
    return NULL;
}

static struct err *change(struct objstore *s, const char *ns, const char *name, const char *yaml)
{
    struct edit ed = {name, yaml};

    return rule_store_change(s, SLICE("t"), RULE_PROMQL, slice_cstr(ns), edit_fn, &ed);
}

static struct rule_store *load(struct objstore *s, int64_t now_ms, const struct rule_store *before,
                               bool *ret_changed)
{
    struct rule_store_opts opts = {
        .store = s, .prefix = SLICE(RULE_OBJECT_PREFIX), .now_ms = now_ms};
    struct rule_store *ret;

    CHECK_OK(rule_store_load(&opts, before, &ret, ret_changed));
    return ret;
}

static const struct rule_group *group(const struct rule_store *s, size_t ns, size_t i)
{
    CHECK(ns < s->n && i < s->entries[ns].ns->n);
    CHECK(s->entries[ns].ns->groups[i].rules);
    return &s->entries[ns].ns->groups[i].rules->groups[0];
}

#define GROUP(expr) "name: g\nrules: [{record: r, expr: " expr "}]\n"

TEST(rule_store_has_what_was_changed)
{
    struct objstore *s = bucket();
    struct rule_store *a, *b, *c;
    bool is_changed;

    a = load(s, 0, NULL, &is_changed);
    CHECK_INT(a->n, 0);
    CHECK_OK(change(s, NS, "g", GROUP("up")));
    CHECK_OK(change(s, NS, "h", "name: h\nrules: [{alert: A, expr: up}]\n"));
    CHECK_OK(change(s, "other/ns", "g", GROUP("vector(1)")));
    b = load(s, 1, a, &is_changed);
    CHECK(is_changed);
    CHECK_INT(b->n, 2);
    CHECK_SLICE(b->entries[0].ns->ns, NS);
    CHECK_SLICE(b->entries[1].ns->ns, "other/ns");
    CHECK_SLICE(b->entries[0].ns->tenant, "t");
    CHECK_SLICE(group(b, 0, 0)->rules[0].expr, "up");
    CHECK_SLICE(group(b, 0, 1)->name, "h");
    CHECK_OK(change(s, NS, "g", NULL));
    c = load(s, 2, b, &is_changed);
    CHECK(is_changed);
    CHECK_SLICE(group(c, 0, 0)->name, "h");
    /* what is the same is not parsed again */
    CHECK(c->entries[0].ns->groups[0].rules == b->entries[0].ns->groups[1].rules);
    CHECK(c->entries[1].ns == b->entries[1].ns);
    rule_store_unref(a);
    rule_store_unref(b);
    rule_store_unref(c);
    objstore_close(s);
}

/* A store whose listings tell of all objects the same size and time, and that counts its gets. */
struct blind {
    struct objstore base;
    struct objstore *inner;
    size_t gets;
    enum err_code fails;    /* of gets; ERR_INTERNAL: none */
    const char *fails_only; /* of this key; NULL: all */
};

static struct err *blind_get(struct objstore *s, struct slice key, const struct objstore_get *opts,
                             struct buf *ret, struct objstore_info *info)
{
    struct blind *b = (struct blind *)s;

    b->gets++;
    if (b->fails != ERR_INTERNAL && (!b->fails_only || slice_eq_cstr(key, b->fails_only)))
        return err_new(b->fails, "no");
    return objstore_get(b->inner, key, opts, ret, info);
}

static struct err *blind_put(struct objstore *s, struct slice key, struct slice content,
                             const struct objstore_put *opts, struct objstore_info *info)
{
    return objstore_put(((struct blind *)s)->inner, key, content, opts, info);
}

static struct err *blind_list(struct objstore *s, struct arena *a, const struct objstore_list *opts,
                              struct objstore_listing *ret)
{
    struct err *e = objstore_list(((struct blind *)s)->inner, a, opts, ret);

    for (size_t i = 0; !e && i < ret->n; i++) {
        ret->ptr[i].bytes = 1;
        ret->ptr[i].modified_ms = 1000;
    }
    return e;
}

static struct err *blind_stat(struct objstore *s, struct slice key, struct objstore_info *ret)
{
    return objstore_stat(((struct blind *)s)->inner, key, ret);
}

static const struct objstore_ops blind_ops = {
    .get = blind_get, .put = blind_put, .list = blind_list, .stat = blind_stat};

TEST(rule_store_misses_nothing_that_a_listing_does_not_tell)
{
    struct objstore *inner = bucket();
    struct blind b = {.base = {.ops = &blind_ops, .name = mem_strdup("blind")},
                      .inner = inner,
                      .fails = ERR_INTERNAL};
    struct rule_store *first, *soon, *later, *last;
    bool is_changed;

    CHECK_OK(change(inner, NS, "g", GROUP("up")));
    first = load(&b.base, 5000, NULL, &is_changed);
    CHECK_OK(change(inner, NS, "g", GROUP("u2"))); /* in the same second, and as long */
    soon = load(&b.base, 5001, first, &is_changed);
    CHECK(!is_changed);
    CHECK_INT(b.gets, 1);
    later = load(&b.base, 5000 + RULE_STORE_SETTLE_MS, soon, &is_changed);
    CHECK(is_changed);
    CHECK_INT(b.gets, 2);
    CHECK_SLICE(group(later, 0, 0)->rules[0].expr, "u2");
    last = load(&b.base, 100000, later, &is_changed);
    CHECK(!is_changed);
    CHECK_INT(b.gets, 2); /* now it is known for good */
    rule_store_unref(first);
    rule_store_unref(soon);
    rule_store_unref(later);
    rule_store_unref(last);
    mem_free(b.base.name);
    objstore_close(inner);
}

TEST(rule_store_exact_reads_what_may_have_changed)
{
    struct objstore *inner = bucket();
    struct blind b = {.base = {.ops = &blind_ops, .name = mem_strdup("blind")},
                      .inner = inner,
                      .fails = ERR_INTERNAL};
    struct rule_store_opts opts = {
        .store = &b.base, .prefix = SLICE("rules/t/metrics/"), .now_ms = 5001, .is_exact = true};
    struct rule_store *first, *exact;
    bool is_changed;

    CHECK_OK(change(inner, NS, "g", GROUP("up")));
    first = load(&b.base, 5000, NULL, &is_changed);
    CHECK_OK(change(inner, NS, "g", GROUP("u2")));
    CHECK_OK(rule_store_load(&opts, first, &exact, &is_changed));
    CHECK_SLICE(group(exact, 0, 0)->rules[0].expr, "u2");
    rule_store_unref(exact);
    b.fails = ERR_UNAVAILABLE; /* who asks what is there now is not told what was */
    CHECK_ERR(rule_store_load(&opts, first, &exact, &is_changed), ERR_UNAVAILABLE, "");
    rule_store_unref(first);
    mem_free(b.base.name);
    objstore_close(inner);
}

TEST(rule_store_keeps_what_was_read_of_what_cannot_be)
{
    struct objstore *inner = bucket();
    struct blind b = {.base = {.ops = &blind_ops, .name = mem_strdup("blind")},
                      .inner = inner,
                      .fails = ERR_INTERNAL};
    struct rule_store_opts opts = {
        .store = &b.base, .prefix = SLICE(RULE_OBJECT_PREFIX), .now_ms = 100000};
    struct rule_store *first, *second, *third, *none;
    bool is_changed;

    CHECK_OK(change(inner, NS, "g", GROUP("up")));
    b.fails = ERR_UNAVAILABLE; /* at the first time nothing is known, and that is said */
    CHECK_ERR(rule_store_load(&opts, NULL, &none, &is_changed), ERR_UNAVAILABLE, "");
    b.fails = ERR_INTERNAL;
    first = load(&b.base, 0, NULL, &is_changed);
    b.fails = ERR_UNAVAILABLE;
    second = load(&b.base, 100000, first, &is_changed);
    CHECK(!is_changed);
    CHECK_INT(second->n_bad, 1);
    CHECK_SLICE(group(second, 0, 0)->rules[0].expr, "up");
    b.fails = ERR_INTERNAL;
    CHECK_OK(change(inner, NS, "g", GROUP("u2")));
    third = load(&b.base, 100001, second, &is_changed);
    CHECK(is_changed);
    CHECK_INT(third->n_bad, 0);
    CHECK_SLICE(group(third, 0, 0)->rules[0].expr, "u2");
    rule_store_unref(first);
    rule_store_unref(second);
    rule_store_unref(third);
    mem_free(b.base.name);
    objstore_close(inner);
}

TEST(rule_store_names_what_is_damaged_and_goes_on)
{
    struct objstore *s = bucket();
    struct rule_store *a, *b;
    bool is_changed;

    CHECK_OK(change(s, "a", "g", GROUP("up")));
    CHECK_OK(change(s, "b", "bad", "name: bad\nrules: [{record: r, expr: 'sum('}]\n"));
    CHECK_OK(change(s, "b", "g", GROUP("up")));
    CHECK_OK(change(s, "b", "called", GROUP("up")));
    CHECK_OK(objstore_put(s, SLICE("rules/t/metrics/c"), SLICE("junk"), NULL, NULL));
    CHECK_OK(objstore_put(s, SLICE("rules/t/no-language"), SLICE("junk"), NULL, NULL));
    a = load(s, 0, NULL, &is_changed);
    CHECK_INT(a->n, 3);
    CHECK_INT(a->n_bad, 3);
    CHECK(!a->entries[1].ns->groups[0].rules);
    CHECK_SLICE(group(a, 1, 1)->name, "g");
    CHECK(!a->entries[1].ns->groups[2].rules);
    CHECK(a->entries[2].is_bad && a->entries[2].ns->n == 0);
    CHECK_SLICE(group(a, 0, 0)->name, "g");
    /* a group that was good and is not any more is evaluated as it was */
    CHECK_OK(change(s, "a", "g", "name: g\nrules: [{record: r, expr: 'sum('}]\n"));
    CHECK_OK(objstore_put(s, SLICE("rules/t/metrics/b"), SLICE("junk"), NULL, NULL));
    b = load(s, 1, a, &is_changed);
    CHECK_SLICE(group(b, 0, 0)->rules[0].expr, "up");
    CHECK_INT(b->entries[0].ns->n_bad, 1);
    CHECK_SLICE(group(b, 1, 1)->name, "g");
    CHECK(b->entries[1].is_bad);
    rule_store_unref(a);
    rule_store_unref(b);
    objstore_close(s);
}

/* Also at the first time, and whatever the reason: others are not to pay for it. */
TEST(rule_store_goes_on_without_an_object_that_the_bucket_does_not_give)
{
    static const enum err_code codes[] = {ERR_FORBIDDEN, ERR_IO, ERR_UNSUPPORTED};
    struct objstore *inner = bucket();
    struct blind b = {.base = {.ops = &blind_ops, .name = mem_strdup("blind")},
                      .inner = inner,
                      .fails_only = "rules/t/metrics/b"};
    struct rule_store_opts exact = {
        .store = &b.base, .prefix = SLICE(RULE_OBJECT_PREFIX), .now_ms = 100000, .is_exact = true};
    struct rule_store *first, *second, *none;
    bool is_changed;

    CHECK_OK(change(inner, "a", "g", GROUP("up")));
    CHECK_OK(change(inner, "b", "g", GROUP("up")));
    for (size_t i = 0; i < ORR_COUNT(codes); i++) {
        b.fails = codes[i];
        first = load(&b.base, 0, NULL, &is_changed);
        CHECK_INT(first->n, 2);
        CHECK_INT(first->n_bad, 1);
        CHECK_SLICE(group(first, 0, 0)->name, "g");
        CHECK(first->entries[1].is_bad && first->entries[1].ns->n == 0);
        CHECK(rule_store_is_unread(first, SLICE("rules/t/metrics/b")));
        CHECK(!rule_store_is_unread(first, SLICE("rules/t/metrics/a")));
        CHECK(!rule_store_is_unread(first, SLICE("rules/t/metrics/c")));
        CHECK_ERR(rule_store_load(&exact, first, &none, &is_changed), codes[i], "metrics/b");
        b.fails = ERR_INTERNAL;
        second = load(&b.base, 1, first, &is_changed); /* it is tried again */
        CHECK(is_changed);
        CHECK_INT(second->n_bad, 0);
        CHECK_SLICE(group(second, 1, 0)->name, "g");
        CHECK(!rule_store_is_unread(second, SLICE("rules/t/metrics/b")));
        rule_store_unref(first);
        rule_store_unref(second);
    }
    mem_free(b.base.name);
    objstore_close(inner);
}

/* A bucket of empty namespaces: n_a of tenant a, n_junk objects that are none, one of tenant z. Counts what it lists. */
struct crowd {
    struct objstore base;
    size_t n_a, n_junk;
    size_t listed;
};

static struct slice crowd_key(struct arena *a, const struct crowd *c, size_t i)
{
    if (i < c->n_a)
        return slice_cstr(arena_printf(a, "rules/a/metrics/%06zu", i));
    if (i < c->n_a + c->n_junk)
        return slice_cstr(arena_printf(a, "rules/b/junk/%06zu", i));
    return SLICE("rules/z/metrics/x");
}

static struct err *crowd_get(struct objstore *s, struct slice key, const struct objstore_get *opts,
                             struct buf *ret, struct objstore_info *info)
{
    struct arena *a = arena_new(0);
    struct rule_object o = {.n = 0};
    enum rule_lang lang;
    struct slice tenant;
    struct err *e;

    (void)s;
    (void)opts;
    (void)info;
    CHECK(rule_object_key_read(a, key, &tenant, &lang, &o.ns));
    buf_reset(ret);
    e = rule_object_write(ret, &o);
    arena_free(a);
    return e;
}

static struct err *crowd_list(struct objstore *s, struct arena *a, const struct objstore_list *opts,
                              struct objstore_listing *ret)
{
    struct crowd *c = (struct crowd *)s;

    *ret = (struct objstore_listing){
        .ptr = arena_array(a, struct objstore_entry, c->n_a + c->n_junk + 1)};
    for (size_t i = 0; i <= c->n_a + c->n_junk; i++) {
        struct slice key = crowd_key(a, c, i);

        if (opts->start_after.len && slice_cmp(key, opts->start_after) <= 0)
            continue;
        if (opts->limit && ret->n == opts->limit) {
            ret->is_truncated = true;
            break;
        }
        ret->ptr[ret->n++] = (struct objstore_entry){.key = key, .bytes = 1};
    }
    c->listed += ret->n;
    return NULL;
}

static const struct objstore_ops crowd_ops = {.get = crowd_get, .list = crowd_list};

TEST(rule_store_takes_of_a_tenant_what_he_may_have_and_goes_on)
{
    struct crowd c = {.base = {.ops = &crowd_ops, .name = mem_strdup("crowd")},
                      .n_a = RULE_STORE_MAX_NAMESPACES};
    struct rule_store *s;
    bool is_changed;

    s = load(&c.base, 0, NULL, &is_changed);
    CHECK_INT(s->n, RULE_STORE_MAX_NAMESPACES + 1);
    CHECK_INT(s->n_bad, 0);
    rule_store_unref(s);
    c.n_a = RULE_STORE_MAX_OBJECTS + 1;
    c.listed = 0;
    s = load(&c.base, 0, NULL, &is_changed);
    CHECK_INT(s->n, RULE_STORE_MAX_NAMESPACES + 1);
    CHECK_INT(s->n_bad, 1); /* that it is too much is said */
    CHECK_SLICE(s->entries[RULE_STORE_MAX_NAMESPACES - 1].key, "rules/a/metrics/009999");
    CHECK_SLICE(s->entries[RULE_STORE_MAX_NAMESPACES].key, "rules/z/metrics/x");
    CHECK(c.listed <= 3 * RULE_STORE_MAX_NAMESPACES); /* not all that he has */
    rule_store_unref(s);
    mem_free(c.base.name);
}

TEST(rule_store_has_the_first_of_more_objects_than_it_takes)
{
    struct crowd c = {.base = {.ops = &crowd_ops, .name = mem_strdup("crowd")},
                      .n_a = 1,
                      .n_junk = RULE_STORE_MAX_OBJECTS - 2};
    struct rule_store *s;
    bool is_changed;

    s = load(&c.base, 0, NULL, &is_changed);
    CHECK_INT(s->n, 2);
    CHECK_INT(s->n_bad, 0);
    rule_store_unref(s);
    c.n_junk++;
    s = load(&c.base, 0, NULL, &is_changed);
    CHECK_INT(s->n, 1);
    CHECK_INT(s->n_bad, 1);
    rule_store_unref(s);
    mem_free(c.base.name);
}

static struct err *edit_damaged(void *arg, struct arena *a, struct rule_object *o,
                                bool *ret_changed)
{
    (void)a;
    *(bool *)arg = o->is_damaged;
    *ret_changed = true;
    return NULL;
}

TEST(rule_store_a_damaged_namespace_can_be_replaced_knowingly)
{
    struct objstore *s = bucket();
    bool is_damaged = false;

    CHECK_OK(objstore_put(s, SLICE("rules/t/metrics/c"), SLICE("junk"), NULL, NULL));
    CHECK_OK(rule_store_change(s, SLICE("t"), RULE_PROMQL, SLICE("c"), edit_damaged, &is_damaged));
    CHECK(is_damaged);
    CHECK_OK(rule_store_change(s, SLICE("t"), RULE_PROMQL, SLICE("c"), edit_damaged, &is_damaged));
    CHECK(!is_damaged);
    objstore_close(s);
}

/* Whatever fails, the namespace is as it was or as it should be. */
TEST(rule_store_a_change_is_made_whole_or_not)
{
    FAULT_SWEEP (n) {
        struct objstore *s;
        struct err *e =
            objstore_fs_open(tmp_path("bucket"), &(struct objstore_fs_opts){.no_sync = true}, &s);
        struct rule_store *now = NULL;
        bool is_changed;

        if (e) {
            err_free(e);
            continue;
        }
        err_free(change(s, NS, "g", n % 2 ? GROUP("up") : GROUP("vector(1)")));
        fault_disarm();
        now = load(s, 0, NULL, &is_changed);
        CHECK_INT(now->n_bad, 0);
        CHECK(now->n == 0 || now->entries[0].ns->n == 1);
        rule_store_unref(now);
        objstore_close(s);
    }
}

TEST(rule_store_deletes_namespaces_that_stay_empty)
{
    struct objstore *s = bucket();
    struct rule_store *a, *b;
    bool is_changed;
    int64_t written_ms;

    CHECK_OK(change(s, NS, "g", GROUP("up")));
    CHECK_OK(change(s, NS, "g", NULL));
    CHECK_OK(change(s, "full", "g", GROUP("up")));
    a = load(s, 0, NULL, &is_changed);
    CHECK_INT(a->n, 2);
    written_ms = a->entries[1].modified_ms;
    CHECK(!rule_store_is_empty(&a->entries[1], written_ms + RULE_STORE_SWEEP_MS)); /* not settled */
    b = load(s, 100000, a, &is_changed);
    CHECK(!rule_store_is_empty(&b->entries[1], written_ms + RULE_STORE_SWEEP_MS - 1));
    CHECK(rule_store_is_empty(&b->entries[1], written_ms + RULE_STORE_SWEEP_MS));
    CHECK(!rule_store_is_empty(&b->entries[0], written_ms + RULE_STORE_SWEEP_MS));
    rule_store_unref(a);
    CHECK_OK(rule_store_sweep(s, b->entries[1].key));
    CHECK_OK(rule_store_sweep(s, b->entries[0].key)); /* has a group after all */
    a = load(s, 200000, b, &is_changed);
    CHECK_INT(a->n, 1);
    CHECK_SLICE(a->entries[0].ns->ns, "full");
    rule_store_unref(a);
    rule_store_unref(b);
    objstore_close(s);
}
