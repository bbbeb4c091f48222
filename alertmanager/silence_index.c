/* Which of many silences an alert matches, asked again and again. */
#include "alertmanager/silences_internal.h"
#include "common/base/mem.h"

#define FEW 32 /* new silences, looked at one by one */

struct silence_bucket {
    silence_held_vec held;
};
/* What is known of an alert: those it matches of the silences up to seq. */
struct silence_memo {
    uint64_t seq;
    silence_held_vec hits; /* a reference each */
};

static struct slice fp_key(const uint64_t *fp)
{
    return slice_of(fp, sizeof(*fp));
}

static void memo_free(struct silence_memo *m)
{
    if (!m)
        return;
    VEC_FOREACH (h, &m->hits)
        silence_unref(*h);
    vec_done(&m->hits);
    mem_free(m);
}

static void clear(struct silence_index *x)
{
    MAP_FOREACH (e, &x->by_label) {
        struct silence_bucket *b = e->value;

        vec_done(&b->held);
        mem_free(b);
    }
    map_done(&x->by_label);
    vec_done(&x->rest);
}

void silence_index_done(struct silence_index *x)
{
    clear(x);
    vec_done(&x->all);
    MAP_FOREACH (e, &x->memos)
        memo_free(e->value);
    map_done(&x->memos);
}

/* ---- putting ---- */

static void label_key(struct buf *out, struct slice name, struct slice value)
{
    buf_reset(out);
    buf_lstr(out, name);
    buf_lstr(out, value);
}

static struct silence_bucket *bucket_of(struct silence_index *x, struct buf *key,
                                        const struct ammatch *m)
{
    void **slot;

    label_key(key, m->name, m->value);
    slot = map_slot(&x->by_label, buf_slice(key));
    if (!*slot)
        *slot = mem_new(struct silence_bucket);
    return *slot;
}

/* Under the label that the fewest others ask for; the one it is not under is a bucket made for nothing, which the next sweep takes. */
static void place(struct silence_index *x, struct silence_held *h)
{
    struct silence_bucket *best = NULL;
    struct buf key = {0};

    for (size_t i = 0; i < h->s.matchers.n; i++) {
        const struct ammatch *m = &h->s.matchers.ptr[i];
        struct silence_bucket *b;

        if (m->op != MATCHER_EQ || !m->value.len)
            continue;
        b = bucket_of(x, &key, m);
        if (!best || b->held.len < best->held.len)
            best = b;
    }
    buf_done(&key);
    if (best)
        vec_push(&best->held, h);
    else
        vec_push(&x->rest, h);
}

static void rebuild(struct silence_index *x)
{
    size_t kept = 0;

    clear(x);
    for (size_t i = 0; i < x->all.len; i++) {
        struct silence_held *h = x->all.ptr[i];

        h->is_listed = h->is_indexed;
        if (!h->is_indexed)
            continue;
        x->all.ptr[kept++] = h;
        place(x, h);
    }
    x->all.len = kept;
    x->n_retired = 0;
}

void silence_index_add(struct silence_index *x, struct silence_held *h)
{
    if (h->is_indexed)
        return;
    if (h->is_listed)
        rebuild(x); /* it has come back to life: not in its old place too */
    h->is_indexed = h->is_listed = true;
    h->seq = ++x->seq;
    vec_push(&x->all, h);
    place(x, h);
}

void silence_index_retire(struct silence_index *x, struct silence_held *h)
{
    if (!h->is_indexed)
        return;
    h->is_indexed = false;
    silence_forget_expressions(h);
    x->n_retired++;
}

void silence_index_sweep(struct silence_index *x, int64_t now_ns)
{
    VEC_FOREACH (p, &x->all)
        if (silence_state(&(*p)->s, now_ns) == SILENCE_EXPIRED)
            silence_index_retire(x, *p);
    if (x->n_retired)
        rebuild(x);
}

void silence_index_drop(struct silence_index *x, struct silence_held *h)
{
    h->is_indexed = false;
    if (h->is_listed)
        rebuild(x);
}

/* ---- asking ---- */

static void test(struct silence_index *x, struct silence_memo *m, struct labels ls,
                 struct silence_held *h)
{
    if (!h->is_indexed || h->seq <= m->seq)
        return;
    x->tests++;
    if (!ammatch_list_matches(&h->s.matchers, ls))
        return;
    h->refs++;
    vec_push(&m->hits, h);
}

static void test_indexed(struct silence_index *x, struct silence_memo *m, struct labels ls)
{
    struct buf key = {0};

    for (size_t i = 0; i < ls.n; i++) {
        struct silence_bucket *b;

        label_key(&key, ls.ptr[i].name, ls.ptr[i].value);
        b = map_get(&x->by_label, buf_slice(&key));
        for (size_t k = 0; b && k < b->held.len; k++)
            test(x, m, ls, b->held.ptr[k]);
    }
    VEC_FOREACH (h, &x->rest)
        test(x, m, ls, *h);
    buf_done(&key);
}

static void learn(struct silence_index *x, struct silence_memo *m, struct labels ls)
{
    size_t i = x->all.len;

    if (m->seq == x->seq)
        return;
    while (i && x->all.len - i <= FEW && x->all.ptr[i - 1]->seq > m->seq)
        i--;
    if (x->all.len - i > FEW)
        test_indexed(x, m, ls);
    else
        for (; i < x->all.len; i++)
            test(x, m, ls, x->all.ptr[i]);
    m->seq = x->seq;
}

/* What has left the index does not come back under the same memory of it (it gets a new seq). */
static void drop_stale(struct silence_memo *m)
{
    size_t kept = 0;

    for (size_t i = 0; i < m->hits.len; i++) {
        struct silence_held *h = m->hits.ptr[i];

        if (h->is_indexed && h->seq <= m->seq)
            m->hits.ptr[kept++] = h;
        else
            silence_unref(h);
    }
    m->hits.len = kept;
}

bool silence_index_find(struct silence_index *x, uint64_t fingerprint, struct labels ls,
                        int64_t now_ns, silence_vec *ret)
{
    struct silence_memo *m = map_get(&x->memos, fp_key(&fingerprint));
    bool found = false;

    if (!m && !x->all.len)
        return false;
    if (!m) {
        m = mem_new(struct silence_memo);
        (void)map_put(&x->memos, fp_key(&fingerprint), m);
    }
    drop_stale(m);
    learn(x, m, ls);
    VEC_FOREACH (h, &m->hits) {
        if (silence_state(&(*h)->s, now_ns) != SILENCE_ACTIVE)
            continue;
        found = true;
        if (!ret)
            break;
        vec_push(ret, &(*h)->s);
    }
    return found;
}

void silence_index_forget(struct silence_index *x, uint64_t fingerprint)
{
    memo_free(map_del(&x->memos, fp_key(&fingerprint)));
}
