#include "common/block/block_external.h"

#include <stdlib.h>

#include "common/base/reader.h"
#include "common/block/block_reader_internal.h"
#include "common/block/block_skip.h"

/* ---- open ---- */

static uint64_t place_of(const struct block_index *x, struct slice name)
{
    uint32_t lo = 0, hi = x->n_symbols;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (slice_cmp(block_index_symbol(x, mid), name) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return (uint64_t)lo * 2 + (lo < x->n_symbols && slice_eq(block_index_symbol(x, lo), name));
}

void block_external_open(struct block_reader *r, struct labels labels)
{
    struct block_external *x = &r->external;
    struct label *kept = arena_array(r->arena, struct label, labels.n);
    size_t n = 0;

    for (size_t i = 0; i < labels.n; i++)
        if (labels.ptr[i].value.len)
            kept[n++] = labels.ptr[i];
    x->labels = labels_dup(r->arena, (struct labels){kept, n});
    x->at = arena_array(r->arena, uint64_t, n);
    for (size_t i = 0; i < n; i++)
        x->at[i] = place_of(&r->index, kept[i].name);
}

/* ---- matchers ---- */

bool block_external_narrow(const struct block_reader *r, struct arena *a, struct matchers ms,
                           struct matchers *ret)
{
    struct matcher *rest = arena_array(a, struct matcher, ms.n);
    size_t n = 0;

    if (!block_skip_labels_may_match(r->external.labels, ms))
        return false;
    for (size_t i = 0; i < ms.n; i++)
        if (!labels_get(r->external.labels, ms.ptr[i].name).len)
            rest[n++] = ms.ptr[i];
    *ret = (struct matchers){rest, n};
    return true;
}

/* ---- order ---- */

/* Walks a series' labels in order, external ones among them, by the places of their texts. */
struct walk {
    const struct block_reader *r;
    struct reader in;
    uint64_t left;
    size_t next;  /* external label */
    bool has_own; /* own_* are the next of the series */
    uint64_t own_name, own_value;
    uint64_t name, value; /* the current label; the value of an external one is always the same */
};

static struct err *bad_symbol(const struct block_reader *r)
{
    return err_new(ERR_CORRUPT, "block %s: series: names a symbol that does not exist",
                   block_reader_name(r));
}

static struct err *walk_own(struct walk *w)
{
    uint32_t name, value;

    if (w->has_own || !w->left)
        return NULL;
    if (!block_reader_next_label(w->r, &w->in, &name, &value))
        return bad_symbol(w->r);
    w->left--;
    w->has_own = true;
    w->own_name = (uint64_t)name * 2 + 1;
    w->own_value = value;
    return NULL;
}

static struct err *walk_next(struct walk *w, bool *ret_more)
{
    const struct block_external *x = &w->r->external;
    struct err *e = walk_own(w);

    *ret_more = !e && (w->has_own || w->next < x->labels.n);
    if (!*ret_more)
        return e;
    if (w->next < x->labels.n && (!w->has_own || x->at[w->next] <= w->own_name)) {
        if (w->has_own && x->at[w->next] == w->own_name)
            w->has_own = false; /* replaced */
        w->name = x->at[w->next++];
        w->value = 0;
        return NULL;
    }
    w->has_own = false;
    w->name = w->own_name;
    w->value = w->own_value;
    return NULL;
}

/* A series with its own labels as they stand in the index. */
struct placed {
    uint32_t ref;
    struct block_reader_entry entry;
};

static struct walk walk_begin(const struct block_reader *r, const struct placed *p)
{
    return (struct walk){.r = r, .in = reader_new(p->entry.labels), .left = p->entry.n_labels};
}

static struct err *compare(const struct block_reader *r, const struct placed *a,
                           const struct placed *b, int *ret)
{
    struct walk x = walk_begin(r, a), y = walk_begin(r, b);
    struct err *e;

    for (;;) {
        bool more_x, more_y;

        if ((e = walk_next(&x, &more_x)) || (e = walk_next(&y, &more_y)))
            return e;
        *ret = (int)more_x - (int)more_y;
        if (*ret || !more_x)
            return NULL;
        *ret = x.name != y.name ? (x.name > y.name) - (x.name < y.name)
                                : (x.value > y.value) - (x.value < y.value);
        if (*ret)
            return NULL;
    }
}

struct sorting {
    const struct block_reader *r;
    struct err *err; /* the first; then what is left is not looked at */
};

static int by_labels(const void *a, const void *b, void *arg)
{
    struct sorting *s = arg;
    int c = 0;

    if (!s->err)
        s->err = compare(s->r, a, b, &c);
    return s->err ? 0 : c;
}

static bool is_in_order(struct sorting *s, const struct placed *all, size_t n)
{
    for (size_t i = 1; i < n && !s->err; i++)
        if (by_labels(&all[i - 1], &all[i], s) >= 0)
            return false;
    return true;
}

static struct err *place_all(const struct block_reader *r, struct arena *a, struct block_refs refs,
                             struct placed *all)
{
    struct err *e = NULL;

    for (size_t at = 0, n; !e && at < refs.n; at += n) {
        struct objpages_hold *hold;

        if ((e = block_reader_hold_series(r, refs.ptr + at, refs.n - at, block_reader_room(r, 1),
                                          &n, &hold)))
            break;
        for (size_t i = at; !e && i < at + n; i++) {
            all[i].ref = refs.ptr[i];
            e = block_reader_entry(r, a, NULL, refs.ptr[i], &all[i].entry);
        }
        block_reader_unhold(r, hold);
    }
    return e;
}

static struct err *sort_placed(const struct block_reader *r, struct placed *all, size_t n)
{
    struct sorting s = {.r = r};

    if (is_in_order(&s, all, n))
        return s.err;
    if (!s.err)
        qsort_r(all, n, sizeof(*all), by_labels, &s);
    if (!s.err && !is_in_order(&s, all, n) && !s.err)
        return err_new(ERR_UNSUPPORTED,
                       "block %s: two series are the same once external labels replace their own",
                       block_reader_name(r));
    return s.err;
}

struct err *block_external_sort(const struct block_reader *r, struct block_refs refs)
{
    struct placed *all;
    struct arena *a;
    struct err *e;

    if (!r->external.labels.n)
        return NULL;
    a = arena_new(0);
    all = arena_array(a, struct placed, refs.n);
    if (!(e = place_all(r, a, refs, all)) && !(e = sort_placed(r, all, refs.n)))
        for (size_t i = 0; i < refs.n; i++)
            refs.ptr[i] = all[i].ref;
    arena_free(a);
    return e;
}

/* ---- what is shown ---- */

struct labels block_external_join(const struct block_reader *r, struct arena *a, struct labels own)
{
    struct labels ext = r->external.labels;
    struct label *out;
    size_t n = 0, i = 0, k = 0;

    if (!ext.n)
        return own;
    out = arena_array(a, struct label, own.n + ext.n);
    while (i < own.n || k < ext.n) {
        int c = i == own.n ? 1 : k == ext.n ? -1 : slice_cmp(own.ptr[i].name, ext.ptr[k].name);

        i += c <= 0;
        out[n++] = c < 0 ? own.ptr[i - 1] : ext.ptr[k++];
    }
    return (struct labels){out, n};
}

void block_external_names(const struct block_reader *r, struct arena *a, struct block_names *io)
{
    struct labels ext = r->external.labels;
    struct slice *out;
    size_t n = 0, i = 0, k = 0;

    if (!ext.n)
        return;
    out = arena_array(a, struct slice, io->n + ext.n);
    while (i < io->n || k < ext.n) {
        int c = i == io->n ? 1 : k == ext.n ? -1 : slice_cmp(io->ptr[i], ext.ptr[k].name);

        out[n++] = c <= 0 ? io->ptr[i] : ext.ptr[k].name;
        i += c <= 0;
        k += c >= 0;
    }
    *io = (struct block_names){out, n};
}

bool block_external_value(const struct block_reader *r, struct arena *a, struct slice name,
                          struct block_names *ret)
{
    struct slice value = labels_get(r->external.labels, name);

    if (!value.len)
        return false;
    *ret = (struct block_names){arena_array(a, struct slice, 1), 1};
    ret->ptr[0] = value;
    return true;
}
