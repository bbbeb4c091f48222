#include "common/base/hash.h"
#include "common/base/lock.h"
#include "common/base/mem.h"
#include "common/logblock/logfilter_internal.h"

struct logfilter_memo {
    size_t n_groups, n_words;
    unsigned n;
    struct lock lock;       /* guards what follows; what is known of a needle is its taker's */
    pthread_cond_t changed; /* somebody gave one back */
    uint64_t takes;
    struct logfilter_known known[LOGFILTER_MEMO_NEEDLES];
};

static size_t known_bytes(size_t n_groups, size_t n_words)
{
    return n_groups * sizeof(uint32_t) + n_words * sizeof(uint64_t);
}

void logfilter_known_init(struct logfilter_known *k, size_t n_groups, size_t n_words)
{
    *k = (struct logfilter_known){.done = mem_new_array(uint32_t, n_groups),
                                  .left = mem_new_array(uint64_t, n_words)};
    memset(k->left, 255, n_words * sizeof(*k->left));
}

void logfilter_known_done(struct logfilter_known *k)
{
    mem_free(k->done);
    mem_free(k->left);
    *k = (struct logfilter_known){0};
}

struct logfilter_memo *logfilter_memo_new(const struct logfilter *f)
{
    struct logfilter_memo *m = mem_new(struct logfilter_memo);
    size_t each;

    logfilter_sizes(f, &m->n_groups, &m->n_words);
    each = ORR_MAX(known_bytes(m->n_groups, m->n_words), (size_t)1);
    m->n = (unsigned)ORR_MIN(ORR_MAX(LOGFILTER_MEMO_BYTES / each, (size_t)1),
                             (size_t)LOGFILTER_MEMO_NEEDLES);
    lock_init(&m->lock, LOCK_LEAF_MODULE);
    lock_cond_init(&m->changed);
    return m;
}

void logfilter_memo_free(struct logfilter_memo *m)
{
    if (!m)
        return;
    for (unsigned i = 0; i < m->n; i++)
        logfilter_known_done(&m->known[i]);
    (void)pthread_cond_destroy(&m->changed);
    lock_done(&m->lock);
    mem_free(m);
}

size_t logfilter_memo_bytes(struct logfilter_memo *m)
{
    size_t n = sizeof(*m);

    lock_take(&m->lock);
    for (unsigned i = 0; i < m->n; i++)
        n += m->known[i].left ? known_bytes(m->n_groups, m->n_words) : 0;
    lock_release(&m->lock);
    return n;
}

/* With the lock. Of that needle; else the one to be forgotten, NULL: all are taken. */
static struct logfilter_known *find(struct logfilter_memo *m, struct hash128 key, bool *ret_is_it)
{
    struct logfilter_known *oldest = NULL;

    *ret_is_it = false;
    for (unsigned i = 0; i < m->n; i++) {
        struct logfilter_known *k = &m->known[i];

        if (k->used && hash128_eq(k->key, key)) {
            *ret_is_it = true;
            return k;
        }
        if (!k->is_taken && (!oldest || k->used < oldest->used))
            oldest = k;
    }
    return oldest;
}

struct logfilter_known *logfilter_memo_take(struct logfilter_memo *m,
                                            const struct logfilter_grams *needle)
{
    struct hash128 key = hash_xxh128(
        slice_of(needle->hashes.ptr, needle->hashes.len * sizeof(*needle->hashes.ptr)), 0);
    struct logfilter_known *k;
    bool is_it;

    lock_take(&m->lock);
    while ((k = find(m, key, &is_it)) && k->is_taken)
        lock_wait(&m->lock, &m->changed);
    if (k && !is_it) {
        logfilter_known_done(k);
        logfilter_known_init(k, m->n_groups, m->n_words);
        k->key = key;
    }
    if (k) {
        k->used = ++m->takes;
        k->is_taken = true;
    }
    lock_release(&m->lock);
    return k;
}

void logfilter_memo_give(struct logfilter_memo *m, struct logfilter_known *k)
{
    lock_take(&m->lock);
    k->is_taken = false;
    (void)pthread_cond_broadcast(&m->changed);
    lock_release(&m->lock);
}
