#include "common/base/fsx.h"
#include "common/objstore/objstore_fs.h"
#include "ruler/rule_set.h"
#include "ruler/rule_yaml.h"
#include "tests/unit/test.h"

#define GROUP "name: g\nrules: [{record: r, expr: vector(1)}]\n"

static struct err *edit(void *arg, struct arena *a, struct rule_object *o, bool *ret_changed)
{
    (void)arg;
    rule_object_set(a, o, (struct rule_object_group){SLICE("g"), SLICE(GROUP)});
    *ret_changed = true;
    return NULL;
}

static void put_file(const char *name)
{
    CHECK_OK(fsx_write_atomic(tmp_path(name),
                              SLICE("groups: [{name: g, rules: [{record: r, expr: vector(1)}]}]")));
}

/* Files x.yml and namespaces x.yml of both languages, all with a group g: a file may be called as an object is. */
static struct rule_set *both(struct objstore **ret_store)
{
    struct rule_store_opts opts = {.prefix = SLICE(RULE_OBJECT_PREFIX)};
    struct rule_dir *dir = NULL;
    struct rule_store *stored = NULL;
    struct rule_set *set;
    bool is_changed;
    char *top;

    CHECK_OK(fsx_mkdirs(tmp_path("rules/t/logs")));
    put_file("rules/t/x.yml");
    put_file("rules/t/logs/x.yml");
    top = mem_strdup(tmp_path("rules"));
    CHECK_OK(rule_dir_load(top, "anonymous", NULL, &dir, &is_changed));
    mem_free(top);
    CHECK_OK(objstore_fs_open(tmp_path("bucket"), &(struct objstore_fs_opts){.no_sync = true},
                              ret_store));
    CHECK_OK(rule_store_change(*ret_store, SLICE("t"), RULE_PROMQL, SLICE("x.yml"), edit, NULL));
    CHECK_OK(rule_store_change(*ret_store, SLICE("t"), RULE_LOGQL, SLICE("x.yml"), edit, NULL));
    CHECK_OK(rule_store_change(*ret_store, SLICE("t"), RULE_LOGQL, SLICE("a/b"), edit, NULL));
    opts.store = *ret_store;
    CHECK_OK(rule_store_load(&opts, NULL, &stored, &is_changed));
    set = rule_set_new(dir, stored);
    rule_dir_unref(dir);
    rule_store_unref(stored);
    return set;
}

TEST(rule_set_has_files_and_bucket_and_no_key_twice)
{
    struct objstore *store;
    struct rule_set *set = both(&store);
    size_t n_stored = 0;

    CHECK_INT(set->n, 5);
    for (size_t i = 0; i < set->n; i++) {
        CHECK_STR(set->groups[i].tenant, "t");
        n_stored += set->groups[i].is_stored;
        for (size_t k = 0; k < i; k++)
            CHECK(strcmp(set->groups[i].key, set->groups[k].key) != 0);
    }
    CHECK_INT(n_stored, 3);
    CHECK_STR(set->groups[2].key, "@rules/t/logs/a!2Fb/g");
    CHECK_STR(set->groups[2].file, "a/b");
    CHECK(rule_set_is_file(set, SLICE("t"), RULE_LOGQL, SLICE("x.yml")));
    CHECK(!rule_set_is_file(set, SLICE("t"), RULE_LOGQL, SLICE("a/b")));
    CHECK(!rule_set_is_file(set, SLICE("u"), RULE_LOGQL, SLICE("x.yml")));
    rule_set_unref(set);
    objstore_close(store);
}

/* What a set did not have since its namespace could not be read may have been evaluated all the same. */
TEST(rule_set_knows_what_it_could_not_read)
{
    struct objstore *store;
    struct rule_set *set = both(&store), *without;
    struct rule_store_opts opts = {.prefix = SLICE(RULE_OBJECT_PREFIX)};
    struct rule_store *stored = NULL;
    bool is_changed;

    CHECK_OK(objstore_put(store, SLICE("rules/t/logs/a!2Fb"), SLICE("junk"), NULL, NULL));
    opts.store = store;
    CHECK_OK(rule_store_load(&opts, NULL, &stored, &is_changed));
    without = rule_set_new(NULL, stored);
    CHECK_INT(without->n, 2);
    CHECK_STR(set->groups[2].key, "@rules/t/logs/a!2Fb/g");
    CHECK(rule_set_is_unread(without, &set->groups[2]));
    CHECK(!rule_set_is_unread(set, &set->groups[2]));
    CHECK(!rule_set_is_unread(without, &set->groups[3]));
    rule_store_unref(stored);
    rule_set_unref(without);
    rule_set_unref(set);
    objstore_close(store);
}

TEST(rule_set_is_told_by_namespace_in_order)
{
    struct objstore *store;
    struct rule_set *set = both(&store);
    struct buf b = {0};

    CHECK_OK(rule_yaml(&b, set, SLICE("t"), RULE_LOGQL, SLICE_EMPTY, SLICE_EMPTY));
    CHECK_INT(slice_find(buf_slice(&b), SLICE("a/b:\n    - name: g\n"), 0), 0);
    CHECK(slice_find(buf_slice(&b), SLICE("\nx.yml:\n"), 0) > 0);
    /* both of x.yml below one key: a key twice is no YAML */
    CHECK_INT(slice_find(buf_slice(&b), SLICE("x.yml:"),
                         (size_t)slice_find(buf_slice(&b), SLICE("x.yml:"), 0) + 1),
              -1);
    buf_done(&b);
    rule_set_unref(set);
    objstore_close(store);
}
