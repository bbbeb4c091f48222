/* Commands broken off at every step, as by kill -9, and called again; and what others do between two steps. */
#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "common/block/block_store.h"
#include "common/objstore/objstore_fs.h"
#include "deploy/orreryctl/ctl_block.h"
#include "tests/unit/common/block/block_fixture.h"

/* ---- a store that is gone after so many calls ---- */

struct mortal {
    struct objstore base;
    struct objstore *under;
    uint64_t left;
    void (*at_deletion)(struct objstore *under); /* before the first; NULL: nothing */
};

static struct err *lives(struct objstore *s)
{
    struct mortal *m = (struct mortal *)s;

    if (m->left == 0)
        return err_new(ERR_IO, "killed");
    m->left--;
    return NULL;
}

static struct objstore *under(struct objstore *s)
{
    return ((struct mortal *)s)->under;
}

static struct err *m_get(struct objstore *s, struct slice key, const struct objstore_get *opts,
                         struct buf *ret, struct objstore_info *info)
{
    struct err *e = lives(s);

    return e ? e : objstore_get(under(s), key, opts, ret, info);
}

static struct err *m_put(struct objstore *s, struct slice key, struct slice content,
                         const struct objstore_put *opts, struct objstore_info *info)
{
    struct err *e = lives(s);

    return e ? e : objstore_put(under(s), key, content, opts, info);
}

static struct err *m_put_file(struct objstore *s, struct slice key, const char *path,
                              const struct objstore_put *opts, struct objstore_info *info)
{
    struct err *e = lives(s);

    return e ? e : objstore_put_file(under(s), key, path, opts, info);
}

static struct err *m_list(struct objstore *s, struct arena *a, const struct objstore_list *opts,
                          struct objstore_listing *ret)
{
    struct err *e = lives(s);

    return e ? e : objstore_list(under(s), a, opts, ret);
}

static struct err *m_del(struct objstore *s, struct slice key)
{
    struct mortal *m = (struct mortal *)s;
    struct err *e = lives(s);

    if (e)
        return e;
    if (m->at_deletion)
        m->at_deletion(under(s));
    m->at_deletion = NULL;
    return objstore_delete(under(s), key);
}

static struct err *m_stat(struct objstore *s, struct slice key, struct objstore_info *ret)
{
    struct err *e = lives(s);

    return e ? e : objstore_stat(under(s), key, ret);
}

static void m_close(struct objstore *s)
{
    objstore_close(under(s));
    mem_free(s->name);
    mem_free(s);
}

static const struct objstore_ops mortal_ops = {.get = m_get,
                                               .put = m_put,
                                               .put_file = m_put_file,
                                               .list = m_list,
                                               .del = m_del,
                                               .stat = m_stat,
                                               .close = m_close};

/* ---- a bucket ---- */

struct fixture {
    struct ctl c;
    struct mortal *m;
    const char *args[2];
};

static const char *source(void) /* of two blocks */
{
    static char path[512];

    snprintf(path, sizeof(path), "%s", tmp_path("source"));
    return path;
}

static void make_source(struct arena *a)
{
    CHECK_OK(fsx_remove_tree(source()));
    for (unsigned i = 1; i <= 2; i++) {
        struct block_writer_opts o = {.dir = source(), .no_sync = true};
        struct chunk chunk = floats(a, FIXTURE_T0 + i * 100000, 1000, 3, i);
        struct block_writer *w;
        struct block_meta m;

        o.meta.ulid = fixture_ulid(i);
        o.meta.level = 1;
        CHECK_OK(block_writer_open(&o, &w));
        CHECK_OK(block_writer_add(w, &(struct block_series){.labels = labels_from(a, "a=1"),
                                                            .chunks = &chunk,
                                                            .n_chunks = 1}));
        finish_writer(w, a, &m);
    }
}

static void setup(struct fixture *f)
{
    static char bucket[512];

    snprintf(bucket, sizeof(bucket), "%s", tmp_path("bucket"));
    CHECK_OK(fsx_remove_tree(bucket));
    *f = (struct fixture){.c = {.arena = arena_new(0), .root = bucket, .args = f->args}};
    f->m = mem_new(struct mortal);
    f->m->base = (struct objstore){&mortal_ops, mem_strdup("mortal")};
    f->m->left = UINT64_MAX;
    f->c.store = &f->m->base;
    CHECK_OK(objstore_fs_open(bucket, &(struct objstore_fs_opts){.no_sync = true}, &f->m->under));
    make_source(f->c.arena);
}

static void teardown(struct fixture *f)
{
    objstore_close(f->c.store);
    arena_free(f->c.arena);
}

static struct err *upload(struct fixture *f)
{
    f->args[0] = source();
    f->c.n_args = 1;
    f->c.opts = (struct ctl_opts){.tenant = "t"};
    return ctl_block_upload(&f->c);
}

static struct err *copy(struct fixture *f)
{
    f->args[0] = "t";
    f->args[1] = "u";
    f->c.n_args = 2;
    f->c.opts = (struct ctl_opts){.is_dry = false};
    return ctl_tenant_copy(&f->c);
}

static struct err *delete (struct fixture *f)
{
    f->args[0] = "t";
    f->c.n_args = 1;
    f->c.opts = (struct ctl_opts){.is_yes = true};
    return ctl_tenant_delete(&f->c);
}

static struct err *adopt(struct fixture *f)
{
    f->c.n_args = 0;
    f->c.opts = (struct ctl_opts){.layout = "mimir", .prefix = "theirs"};
    return ctl_bucket_adopt(&f->c);
}

/* What is live is whole; returns how many are. */
static size_t check_live(struct fixture *f, const char *tenant)
{
    const struct catalogue_block *b;
    struct catalogue *cat;
    size_t n;

    CHECK_OK(catalogue_load(f->c.store, CTL_SIGNAL, slice_cstr(tenant), &cat));
    b = catalogue_blocks(cat, &n);
    for (size_t i = 0; i < n; i++) {
        struct slice dir = block_store_dir(f->c.arena, cat, b[i].ulid, b[i].dir);
        struct ctl_block at;

        CHECK_OK(ctl_block_load(&f->c, f->c.arena, dir, &at));
        CHECK_OK(ctl_block_check(&at));
        CHECK_INT(at.bytes, b[i].bytes);
    }
    catalogue_free(cat);
    return n;
}

static size_t objects(struct fixture *f, const char *prefix)
{
    struct objstore_listing l;

    CHECK_OK(objstore_list(f->c.store, f->c.arena,
                           &(struct objstore_list){.prefix = slice_cstr(prefix)}, &l));
    return l.n;
}

typedef struct err *command_fn(struct fixture *f);

/* Runs it so that it ends after n calls of the store; true: it came to its end. Then again, to its end. */
static bool break_off(struct fixture *f, command_fn *command, uint64_t n)
{
    struct err *e;
    bool is_whole;

    f->m->left = n;
    e = command(f);
    is_whole = e == NULL;
    if (e)
        CHECK(err_is(e, ERR_IO));
    err_free(e);
    f->m->left = UINT64_MAX;
    (void)check_live(f, "t");
    (void)check_live(f, "u");
    CHECK_OK(command(f));
    CHECK_INT(f->c.wrong, 0);
    return is_whole;
}

TEST(ctl_steps_of_upload)
{
    bool is_whole = false;

    for (uint64_t n = 0; !is_whole; n++) {
        struct fixture f;

        setup(&f);
        is_whole = break_off(&f, upload, n);
        CHECK_INT(check_live(&f, "t"), 2);
        teardown(&f);
    }
}

TEST(ctl_steps_of_copy)
{
    bool is_whole = false;

    for (uint64_t n = 0; !is_whole; n++) {
        struct fixture f;

        setup(&f);
        CHECK_OK(upload(&f));
        is_whole = break_off(&f, copy, n);
        CHECK_INT(check_live(&f, "t"), 2);
        CHECK_INT(check_live(&f, "u"), 2);
        teardown(&f);
    }
}

static struct err *set_origin(void *arg, struct catalogue *c, bool *ret_changed)
{
    size_t n;

    (void)catalogue_blocks(c, &n);
    for (size_t i = 0; i < n; i++) {
        struct catalogue_block b = catalogue_blocks(c, &n)[i];

        b.origin.instance = SLICE("ingester-1");
        catalogue_add(c, &b);
    }
    *ret_changed = arg == NULL;
    return NULL;
}

/* What other ingesters have, and no block yet, is not the copy's: it can do without none of its blocks. */
TEST(ctl_steps_of_copy_forget_whose_segments_a_block_holds)
{
    struct catalogue *c;
    struct fixture f;
    size_t n;

    setup(&f);
    CHECK_OK(upload(&f));
    CHECK_OK(catalogue_update(f.c.store, SLICE("metrics"), SLICE("t"), set_origin, NULL, NULL));
    CHECK_OK(copy(&f));
    CHECK_OK(catalogue_load(f.c.store, SLICE("metrics"), SLICE("t"), &c));
    CHECK_SLICE(catalogue_blocks(c, &n)[0].origin.instance, "ingester-1");
    catalogue_free(c);
    CHECK_OK(catalogue_load(f.c.store, SLICE("metrics"), SLICE("u"), &c));
    CHECK_INT(catalogue_blocks(c, &n)[0].origin.instance.len, 0);
    CHECK_INT(n, 2);
    catalogue_free(c);
    teardown(&f);
}

/* A summary says whose it is, so a block that gets another name goes without. */
TEST(ctl_steps_of_upload_under_another_name_leave_out_the_summary)
{
    struct block_writer_opts o = {.dir = source(), .no_sync = true, .has_summary = true};
    const struct catalogue_block *b;
    struct block_writer *w;
    struct catalogue *c;
    struct block_meta m;
    struct chunk chunk;
    struct fixture f;
    size_t n;

    setup(&f);
    CHECK_OK(upload(&f));
    CHECK_OK(fsx_remove_tree(source()));
    o.meta.ulid = fixture_ulid(1);
    o.meta.level = 1;
    chunk = floats(f.c.arena, FIXTURE_T0 + 700000, 1000, 3, 9);
    CHECK_OK(block_writer_open(&o, &w));
    CHECK_OK(block_writer_add(w, &(struct block_series){.labels = labels_from(f.c.arena, "b=2"),
                                                        .chunks = &chunk,
                                                        .n_chunks = 1}));
    finish_writer(w, f.c.arena, &m);
    CHECK(block_meta_has_sidecar(&m, "summary"));
    CHECK_OK(upload(&f));
    CHECK_OK(catalogue_load(f.c.store, SLICE("metrics"), SLICE("t"), &c));
    b = catalogue_blocks(c, &n);
    CHECK_INT(n, 3);
    CHECK(!ulid_eq(b[2].ulid, fixture_ulid(1)));
    CHECK_INT(b[2].summary_bytes, 0);
    catalogue_free(c);
    f.args[0] = "t";
    f.c.opts = (struct ctl_opts){.is_dry = false};
    CHECK_OK(ctl_bucket_verify(&f.c));
    CHECK_INT(f.c.wrong, 0);
    teardown(&f);
}

/* A block of its own and one that was adopted. */
static void make_theirs(struct fixture *f)
{
    static const char *const files[] = {"chunks/000001", "index", "meta.json"};
    struct arena *a = f->c.arena;

    for (size_t i = 0; i < ORR_COUNT(files); i++) {
        const char *name = ulid_print(fixture_ulid(2)).s;
        char *path = arena_printf(a, "%s/%s/%s", source(), name, files[i]);
        char *key = arena_printf(a, "theirs/t/%s/%s", name, files[i]);

        CHECK_OK(objstore_put_file(f->c.store, slice_cstr(key), path, NULL, NULL));
    }
    CHECK_OK(fsx_remove_tree(arena_printf(a, "%s/%s", source(), ulid_print(fixture_ulid(2)).s)));
}

TEST(ctl_steps_of_adopt_and_delete)
{
    bool is_whole = false;

    for (uint64_t n = 0; !is_whole; n++) {
        struct fixture f;

        setup(&f);
        make_theirs(&f);
        CHECK_OK(upload(&f));
        is_whole = break_off(&f, adopt, n);
        CHECK_INT(check_live(&f, "t"), 2);
        teardown(&f);
    }
    is_whole = false;
    for (uint64_t n = 0; !is_whole; n++) {
        struct fixture f;

        setup(&f);
        make_theirs(&f);
        CHECK_OK(upload(&f));
        CHECK_OK(adopt(&f));
        is_whole = break_off(&f, delete, n);
        CHECK_INT(check_live(&f, "t"), 0);
        CHECK_INT(objects(&f, "metrics/t/"), 2); /* the tombstones, and a catalogue of nothing */
        CHECK_INT(objects(&f, "theirs/"), 0);
        teardown(&f);
    }
}

/* ---- a block that comes while its tenant is deleted ---- */

static struct err *add_block(void *arg, struct catalogue *cat, bool *ret_changed)
{
    (void)arg;
    catalogue_add(cat, &(struct catalogue_block){.ulid = fixture_ulid(7), .max_t = 1, .level = 1});
    *ret_changed = true;
    return NULL;
}

static void flush_lines(struct objstore *under)
{
    static const char *const files[] = {"pages", "meta.json"};
    char key[128];

    for (size_t i = 0; i < ORR_COUNT(files); i++) {
        snprintf(key, sizeof(key), "logs/t/%s/%s", ulid_print(fixture_ulid(7)).s, files[i]);
        CHECK_OK(objstore_put(under, slice_cstr(key), SLICE("x"), NULL, NULL));
    }
    CHECK_OK(catalogue_update(under, SLICE("logs"), SLICE("t"), add_block, NULL, NULL));
}

/* Its catalogue stays, so a block that is named in it has to keep its files. */
TEST(ctl_steps_of_delete_leave_a_block_that_comes_between)
{
    struct fixture f;
    struct catalogue *cat;

    setup(&f);
    CHECK_OK(upload(&f));
    CHECK_OK(objstore_put(f.c.store, SLICE("logs/t/something"), SLICE("x"), NULL, NULL));
    f.m->at_deletion = flush_lines;
    CHECK_OK(delete (&f));
    CHECK_OK(catalogue_load(f.c.store, SLICE("logs"), SLICE("t"), &cat));
    CHECK(catalogue_find(cat, fixture_ulid(7)));
    catalogue_free(cat);
    /* the block's two files, the catalogue, and the deletion that is for what ingesters still hold */
    CHECK_INT(objects(&f, "logs/t/"), 4);
    CHECK_INT(objects(&f, "logs/t/tombstones"), 1);
    CHECK_INT(objects(&f, "traces/t/tombstones"), 1);
    CHECK_INT(check_live(&f, "t"), 0);
    teardown(&f);
}

static struct err *add_traces(void *arg, struct catalogue *cat, bool *ret_changed)
{
    struct slice segment = SLICE("flushed");

    (void)arg;
    catalogue_add(cat, &(struct catalogue_block){.ulid = fixture_ulid(7),
                                                 .max_t = 1,
                                                 .level = 1,
                                                 .segments = &segment,
                                                 .n_segments = 1});
    *ret_changed = true;
    return NULL;
}

/* Its ingester may have the segment yet: named by nobody it would become a block again. */
TEST(ctl_steps_of_delete_leave_segments_of_blocks_named)
{
    struct fixture f;
    struct catalogue *cat;
    size_t n;

    setup(&f);
    CHECK_OK(catalogue_update(f.c.store, SLICE("traces"), SLICE("t"), add_traces, NULL, NULL));
    CHECK_OK(delete (&f));
    CHECK_OK(catalogue_load(f.c.store, SLICE("traces"), SLICE("t"), &cat));
    (void)catalogue_blocks(cat, &n);
    CHECK_INT(n, 0);
    (void)catalogue_retired(cat, &n);
    CHECK_INT(n, 0);
    CHECK(catalogue_has_segment(cat, SLICE("flushed")));
    catalogue_free(cat);
    teardown(&f);
}
