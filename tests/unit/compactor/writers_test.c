#include <stdatomic.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/block/tombstone_list.h"
#include "common/objstore/objstore_fs.h"
#include "compactor/writers.h"
#include "tests/unit/test.h"

/* Long enough for a loaded machine to renew in time. */
#define LEASE_MS 200
#define PUT_MS 1000
#define KEY SLICE("metrics/t/catalogue")

/* A bucket without conditional puts, over a directory: it looks, and then writes. */
struct plain {
    struct objstore base;
    struct objstore *below;
    bool is_atomic;
    atomic_int failing;     /* so many of the next conditional puts fail, and may have been done */
    atomic_int overwriting; /* behind so many another writes the same object */
    atomic_int conditional; /* puts that came here */
};

static struct plain *plain_of(struct objstore *base)
{
    return (struct plain *)base;
}

static struct err *plain_get(struct objstore *base, struct slice key,
                             const struct objstore_get *opts, struct buf *ret,
                             struct objstore_info *info)
{
    return objstore_get(plain_of(base)->below, key, opts, ret, info);
}

static struct err *plain_put(struct objstore *base, struct slice key, struct slice content,
                             const struct objstore_put *opts, struct objstore_info *info)
{
    struct plain *p = plain_of(base);
    struct err *e;

    if (opts->cond != OBJSTORE_ALWAYS) {
        atomic_fetch_add(&p->conditional, 1);
        CHECK((opts->until_ms != 0) == !p->is_atomic);
        CHECK(opts->until_ms <= clock_mono_ms(&clock_system) + PUT_MS);
        if (atomic_load(&p->failing) > 0) {
            atomic_fetch_sub(&p->failing, 1);
            return err_new(ERR_TIMEOUT, "told to fail");
        }
    }
    e = objstore_put(p->below, key, content, opts, info);
    if (!e && opts->cond != OBJSTORE_ALWAYS && atomic_load(&p->overwriting) > 0) {
        atomic_fetch_sub(&p->overwriting, 1);
        e = objstore_put(p->below, key, SLICE("another's"), NULL, NULL);
    }
    return e;
}

static struct err *plain_list(struct objstore *base, struct arena *a,
                              const struct objstore_list *opts, struct objstore_listing *ret)
{
    return objstore_list(plain_of(base)->below, a, opts, ret);
}

static struct err *plain_del(struct objstore *base, struct slice key)
{
    return objstore_delete(plain_of(base)->below, key);
}

static struct err *plain_stat(struct objstore *base, struct slice key, struct objstore_info *ret)
{
    return objstore_stat(plain_of(base)->below, key, ret);
}

static struct err *plain_needs_one_writer(struct objstore *base, bool *ret)
{
    *ret = !plain_of(base)->is_atomic;
    return NULL;
}

static struct err *plain_is_atomic(struct objstore *base, bool *ret)
{
    *ret = plain_of(base)->is_atomic;
    return NULL;
}

static const struct objstore_ops plain_ops = {.get = plain_get,
                                              .put = plain_put,
                                              .list = plain_list,
                                              .del = plain_del,
                                              .stat = plain_stat,
                                              .is_atomic = plain_is_atomic,
                                              .needs_one_writer = plain_needs_one_writer};

struct fixture {
    struct plain bucket;
    atomic_bool wants[2]; /* what the ring says */
    struct writers *w[2];
};

static bool wants(void *arg, unsigned shard)
{
    return shard == writelease_shard(SLICE("t")) && atomic_load((atomic_bool *)arg);
}

static void open_bucket(struct fixture *f, bool is_atomic)
{
    *f =
        (struct fixture){.bucket = {.base = {&plain_ops, (char *)"plain"}, .is_atomic = is_atomic}};
    CHECK_OK(objstore_fs_open(tmp_path("bucket"), &(struct objstore_fs_opts){.no_sync = true},
                              &f->bucket.below));
}

static void on_ended(void *arg)
{
    (void)arg;
}

static void start(struct fixture *f, int i)
{
    atomic_store(&f->wants[i], true);
    f->w[i] = writers_new(&(struct writers_opts){.below = &f->bucket.base,
                                                 .instance = i ? "c2" : "c1",
                                                 .lease_ms = LEASE_MS,
                                                 .put_ms = PUT_MS,
                                                 .wants = wants,
                                                 .arg = &f->wants[i]});
    CHECK_OK(writers_start(f->w[i], on_ended, NULL));
}

static void close_all(struct fixture *f)
{
    writers_free(f->w[0]);
    writers_free(f->w[1]);
    objstore_close(f->bucket.below);
}

static void sleep_ms(int64_t ms)
{
    struct timespec t = {ms / MS_PER_S, ms % MS_PER_S * NS_PER_MS};

    (void)nanosleep(&t, NULL);
}

static void wait_for(struct writers *w)
{
    while (!writers_may(w, SLICE("t")))
        sleep_ms(5);
}

static struct err *put(struct writers *w, struct slice text)
{
    struct objstore_info info = {0};
    struct err *e = objstore_stat(writers_store(w), KEY, &info);
    bool is_new = err_is(e, ERR_NOT_FOUND);
    struct objstore_put opts = {.cond = is_new ? OBJSTORE_IF_ABSENT : OBJSTORE_IF_MATCH,
                                .etag = info.etag};

    err_free(e);
    return objstore_put(writers_store(w), KEY, text, &opts, NULL);
}

static void check_text(struct fixture *f, struct slice key, const char *text, bool is_whole)
{
    struct buf b = {0};

    CHECK_OK(objstore_get(f->bucket.below, key, NULL, &b, NULL));
    if (is_whole)
        CHECK_SLICE(buf_slice(&b), text);
    else
        CHECK(slice_has_prefix(buf_slice(&b), slice_cstr(text)));
    buf_done(&b);
}

TEST(writers_put_by_the_lease_alone)
{
    struct fixture f;
    char key[WRITELEASE_KEY_BYTES];
    struct buf out = {0};

    open_bucket(&f, false);
    start(&f, 0);
    CHECK_ERR(put(f.w[0], SLICE("early")), ERR_UNAVAILABLE, "lease of tenant t");
    CHECK_ERR(objstore_delete(writers_store(f.w[0]), KEY), ERR_UNAVAILABLE, "lease of tenant t");
    CHECK_INT(atomic_load(&f.bucket.conditional), 0);
    CHECK(writers_alone_ms(f.w[0], SLICE("t")) == 0);
    wait_for(f.w[0]);
    CHECK(writers_decide(f.w[0]));
    CHECK(writers_alone_ms(f.w[0], SLICE("t")) == INT64_MAX); /* nobody had it before */
    CHECK_OK(put(f.w[0], SLICE("one")));
    check_text(&f, KEY, "one", true);
    writers_put(f.w[0], &out);
    CHECK(out.len > 2);
    buf_done(&out);

    /* the second one gets nothing while the first holds it; then the ring changes its mind */
    start(&f, 1);
    sleep_ms(PUT_MS);
    CHECK(!writers_may(f.w[1], SLICE("t")));
    CHECK_ERR(put(f.w[1], SLICE("two")), ERR_UNAVAILABLE, "lease of tenant t");
    atomic_store(&f.wants[0], false);
    CHECK_ERR(put(f.w[0], SLICE("late")), ERR_UNAVAILABLE, "lease of tenant t");
    CHECK_ERR(objstore_delete(writers_store(f.w[0]), KEY), ERR_UNAVAILABLE, "lease of tenant t");
    wait_for(f.w[1]);
    CHECK(writers_alone_ms(f.w[1], SLICE("t")) < 600000); /* since it has it */
    CHECK_OK(put(f.w[1], SLICE("two")));
    check_text(&f, KEY, "two", true);
    CHECK_OK(objstore_delete(writers_store(f.w[1]), KEY));

    /* who ends gives back what it holds */
    writers_free(f.w[1]);
    f.w[1] = NULL;
    writelease_key(writelease_shard(SLICE("t")), key);
    check_text(&f, slice_cstr(key), "free ", false);
    close_all(&f);
}

/* Else whoever comes next would have to wait until it has run out, as after a crash. */
TEST(writers_that_end_give_back_what_they_have_just_claimed)
{
    struct objstore_info info;
    char key[WRITELEASE_KEY_BYTES];
    struct err *e = NULL;
    struct fixture f;

    open_bucket(&f, false);
    start(&f, 0);
    writelease_key(writelease_shard(SLICE("t")), key);
    do {
        err_free(e);
        sleep_ms(5);
    } while ((e = objstore_stat(f.bucket.below, slice_cstr(key), &info)));
    CHECK(!writers_may(f.w[0], SLICE("t")));
    writers_free(f.w[0]);
    f.w[0] = NULL;
    check_text(&f, slice_cstr(key), "free ", false);
    close_all(&f);
}

static struct err *add_one(void *arg, struct tombstone_list *l, bool *ret_changed)
{
    int *calls = arg;
    struct tombstone t = {.min_ms = 1, .max_ms = 2};

    (*calls)++;
    *ret_changed = true;
    return tombstone_list_add(l, &t);
}

TEST(writers_see_that_they_were_overwritten_and_wait_after_a_put_that_failed)
{
    struct tombstone_list *l = NULL;
    struct fixture f;
    int calls = 0;

    open_bucket(&f, false);
    start(&f, 0);
    wait_for(f.w[0]);
    atomic_store(&f.bucket.overwriting, 1);
    CHECK_ERR(put(f.w[0], SLICE("one")), ERR_CONFLICT, "overwritten");
    CHECK_OK(put(f.w[0], SLICE("two")));
    check_text(&f, KEY, "two", true);

    atomic_store(&f.bucket.failing, 1);
    CHECK_ERR(put(f.w[0], SLICE("three")), ERR_TIMEOUT, "told to fail");
    CHECK_ERR(put(f.w[0], SLICE("four")), ERR_UNAVAILABLE, "may still take place");
    CHECK_ERR(objstore_delete(writers_store(f.w[0]), KEY), ERR_UNAVAILABLE, "may still take place");
    check_text(&f, KEY, "two", true);
    sleep_ms(2 * PUT_MS);
    wait_for(f.w[0]);
    CHECK_OK(tombstone_list_update(writers_store(f.w[0]), SLICE("metrics"), SLICE("t"), add_one,
                                   &calls, &l));
    CHECK_INT((int64_t)tombstone_list_version(l), 1);
    CHECK_INT(calls, 1);
    tombstone_list_unref(l);
    close_all(&f);
}

TEST(writers_play_no_part_where_puts_are_conditional)
{
    struct fixture f;

    open_bucket(&f, true);
    start(&f, 0);
    atomic_store(&f.wants[0], false);
    CHECK_OK(put(f.w[0], SLICE("one")));
    CHECK_OK(put(f.w[0], SLICE("two")));
    CHECK_INT(atomic_load(&f.bucket.conditional), 2);
    CHECK(!writers_decide(f.w[0]));
    CHECK(writers_alone_ms(f.w[0], SLICE("t")) == INT64_MAX);
    CHECK_OK(objstore_delete(writers_store(f.w[0]), KEY));
    close_all(&f);
}
