#include <stdlib.h>

#include "common/base/reader.h"
#include "common/base/vec.h"
#include "common/block/block_reader_internal.h"

/*
 * From matchers to series. A matcher that refuses the empty string keeps the union of the postings
 * of the values it accepts; one that accepts it takes off those of the values it refuses (and so
 * keeps series without the label). The smallest union comes first; the others only narrow it.
 */
struct union_of {
    VEC(uint32_t) entries; /* of the postings table, whose lists are read when all are known */
    VEC(struct block_index_list) lists;
    uint64_t total;
};

/* Without a call of the regex where that can be seen. */
static bool is_anything(const struct matcher *m)
{
    return (m->op == MATCHER_RE || m->op == MATCHER_NRE) && slice_eq(m->value, SLICE(".*"));
}

static bool is_something(const struct matcher *m)
{
    return (m->op == MATCHER_RE || m->op == MATCHER_NRE) && slice_eq(m->value, SLICE(".+"));
}

static void add_value(const struct block_reader *r, struct union_of *u,
                      const struct block_index_name *n, struct slice value)
{
    uint32_t at = block_index_lower_bound(&r->index, n, value);

    if (at != n->first + n->n && slice_eq(block_index_value(&r->index, at), value))
        vec_push(&u->entries, at);
}

/* Values that the matcher's own pattern, read as = or =~, accepts (or refuses). */
static void add_matching(const struct block_reader *r, struct union_of *u,
                         const struct block_index_name *n, const struct matcher *m, bool accepted)
{
    bool is_negated = m->op == MATCHER_NE || m->op == MATCHER_NRE;
    bool is_literal = m->op == MATCHER_EQ || m->op == MATCHER_NE;
    uint32_t first = n->first, end = n->first + n->n;

    if (accepted && is_literal) {
        add_value(r, u, n, m->value);
        return;
    }
    if (accepted && m->set) {
        for (size_t i = 0; i < m->set_n; i++)
            if (i == 0 || !slice_eq(m->set[i - 1], m->set[i]))
                add_value(r, u, n, m->set[i]);
        return;
    }
    if (accepted && m->prefix.len)
        first = block_index_lower_bound(&r->index, n, m->prefix);
    for (uint32_t i = first; i < end; i++) {
        struct slice v = block_index_value(&r->index, i);

        if (accepted && m->prefix.len && !slice_has_prefix(v, m->prefix))
            break;
        if (is_anything(m) || (is_something(m) && v.len)) {
            if (accepted)
                vec_push(&u->entries, i);
        } else if ((matcher_matches(m, v) != is_negated) == accepted) {
            vec_push(&u->entries, i);
        }
    }
}

/* The union for one matcher, and whether it is kept or taken off. */
static void union_for(const struct block_reader *r, const struct matcher *m, struct union_of *u,
                      bool *ret_keep)
{
    const struct block_index_name *n = block_index_find(&r->index, m->name);
    bool is_negated = m->op == MATCHER_NE || m->op == MATCHER_NRE;
    bool keep = !matcher_matches_empty(m);

    *ret_keep = keep;
    if (n)
        add_matching(r, u, n, m, keep != is_negated);
}

/* Lists of one name share no series, so together they are not longer than the file: more means that
 * entries point to the same list, and a small file could ask for any amount of memory. */
static struct err *add_list(const struct block_reader *r, struct union_of *u,
                            const struct block_index_list *l)
{
    vec_push(&u->lists, *l);
    u->total += l->n;
    if (u->total > r->index.size / 4)
        return err_new(ERR_CORRUPT, "block %s: index: postings table: entries share a list",
                       block_reader_name(r));
    return NULL;
}

static struct err *read_lists(const struct block_reader *r, struct arena *a, struct union_of *u)
{
    struct block_index_list l;
    struct err *e = NULL;

    for (size_t i = 0; !e && i < u->entries.len; i++)
        if (!(e = block_index_postings(&r->index, a, u->entries.ptr[i], &l)))
            e = add_list(r, u, &l);
    return e;
}

/* ---- sets of refs ---- */

static void radix_sort(uint32_t *v, uint32_t *tmp, size_t n)
{
    for (unsigned shift = 0; shift < 32; shift += 8) {
        size_t count[257] = {0};
        uint32_t *swap;

        for (size_t i = 0; i < n; i++)
            count[(v[i] >> shift & 255) + 1]++;
        for (int i = 0; i < 256; i++)
            count[i + 1] += count[i];
        for (size_t i = 0; i < n; i++)
            tmp[count[v[i] >> shift & 255]++] = v[i];
        swap = v;
        v = tmp;
        tmp = swap;
    }
}

static struct block_refs materialise(struct arena *a, const struct union_of *u)
{
    struct block_refs out = {arena_array(a, uint32_t, u->total), 0};
    bool is_sorted = true;
    size_t n = 0;

    for (size_t k = 0; k < u->lists.len; k++)
        for (uint32_t i = 0; i < u->lists.ptr[k].n; i++) {
            out.ptr[n] = block_index_ref(&u->lists.ptr[k], i);
            is_sorted &= n == 0 || out.ptr[n - 1] < out.ptr[n];
            n++;
        }
    if (!is_sorted) {
        uint32_t *tmp = mem_alloc(n * sizeof(*tmp));

        radix_sort(out.ptr, tmp, n); /* an even number of passes: the result is back in ptr */
        mem_free(tmp);
    }
    for (size_t i = 0; i < n; i++)
        if (out.n == 0 || out.ptr[i] != out.ptr[out.n - 1])
            out.ptr[out.n++] = out.ptr[i];
    return out;
}

/* First index at or behind from whose ref is not below ref. */
static uint32_t gallop(const struct block_index_list *l, uint32_t from, uint32_t ref)
{
    uint64_t step = 1;
    uint32_t lo = from, hi;

    while (lo + step < l->n && block_index_ref(l, (uint32_t)(lo + step)) < ref) {
        lo = (uint32_t)(lo + step);
        step *= 2;
    }
    hi = (uint32_t)ORR_MIN(lo + step + 1, (uint64_t)l->n);
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (block_index_ref(l, mid) < ref)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* Keeps (or drops) the refs that are in the list. */
static void narrow_by_list(struct block_refs *set, const struct block_index_list *l, bool keep)
{
    uint32_t at = 0;
    size_t out = 0;

    for (size_t i = 0; i < set->n; i++) {
        bool is_in;

        at = at < l->n ? gallop(l, at, set->ptr[i]) : at;
        is_in = at < l->n && block_index_ref(l, at) == set->ptr[i];
        if (is_in == keep)
            set->ptr[out++] = set->ptr[i];
    }
    set->n = out;
}

static void narrow_by_set(struct block_refs *set, const struct block_refs *by, bool keep)
{
    size_t k = 0, out = 0;

    for (size_t i = 0; i < set->n; i++) {
        while (k < by->n && by->ptr[k] < set->ptr[i])
            k++;
        if ((k < by->n && by->ptr[k] == set->ptr[i]) == keep)
            set->ptr[out++] = set->ptr[i];
    }
    set->n = out;
}

static void narrow(struct arena *a, struct block_refs *set, const struct union_of *u, bool keep)
{
    struct block_refs by;

    if (u->lists.len == 1) {
        narrow_by_list(set, &u->lists.ptr[0], keep);
        return;
    }
    by = materialise(a, u);
    narrow_by_set(set, &by, keep);
}

struct plan {
    struct union_of *unions;
    bool *keep;
    size_t n;
};

/* Whether a matcher that must find something finds no value: then no series matches. */
static bool is_hopeless(const struct plan *p)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->keep[i] && !p->unions[i].entries.len)
            return true;
    return false;
}

static bool needs_all(const struct plan *p)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->keep[i])
            return false;
    return true;
}

/* The lists of all matchers, which come together. */
static struct err *hold_lists(const struct block_reader *r, const struct plan *p,
                              struct objpages_hold **ret)
{
    VEC(struct block_source_range) ranges = {0};
    struct err *e;

    *ret = NULL;
    if (!r->src->ops->hold)
        return NULL;
    for (size_t i = 0; i < p->n; i++)
        VEC_FOREACH (entry, &p->unions[i].entries)
            vec_push(&ranges, block_index_list_range(&r->index, *entry));
    if (needs_all(p))
        vec_push(&ranges, block_index_list_range(&r->index, r->index.n_entries));
    e = block_source_hold(r->src, ranges.ptr, ranges.len, ret);
    vec_done(&ranges);
    return e;
}

static struct err *start_set(const struct block_reader *r, struct arena *a, struct plan *p,
                             struct block_refs *ret, size_t *ret_first)
{
    size_t best = p->n;
    struct union_of all = {0};
    struct block_index_list l;
    struct err *e;

    for (size_t i = 0; i < p->n; i++)
        if (p->keep[i] && (best == p->n || p->unions[i].total < p->unions[best].total))
            best = i;
    *ret_first = best;
    if (best < p->n) {
        *ret = materialise(a, &p->unions[best]);
        return NULL;
    }
    if ((e = block_index_all(&r->index, a, &l)))
        return e;
    vec_push(&all.lists, l);
    all.total = l.n;
    *ret = materialise(a, &all);
    vec_done(&all.lists);
    return NULL;
}

static struct err *select_by(const struct block_reader *r, struct arena *a, struct plan *p,
                             struct block_refs *ret)
{
    struct block_refs set;
    struct err *e = NULL;
    size_t first;

    for (size_t i = 0; !e && i < p->n; i++)
        e = read_lists(r, a, &p->unions[i]);
    if (e || (e = start_set(r, a, p, &set, &first)))
        return e;
    for (size_t i = 0; i < p->n && set.n; i++)
        if (i != first)
            narrow(a, &set, &p->unions[i], p->keep[i]);
    if (arena_over(a))
        return err_new(ERR_LIMIT, "selecting series: over the memory budget");
    *ret = set;
    return NULL;
}

/* Ascending; by the labels that are in the index. */
static struct err *select_own(const struct block_reader *r, struct arena *a, struct matchers ms,
                              struct block_refs *ret)
{
    struct plan p = {.unions = mem_new_array(struct union_of, ms.n + 1),
                     .keep = mem_new_array(bool, ms.n + 1),
                     .n = ms.n};
    struct objpages_hold *hold;
    struct err *e = NULL;

    for (size_t i = 0; i < ms.n; i++)
        union_for(r, &ms.ptr[i], &p.unions[i], &p.keep[i]);
    if (is_hopeless(&p)) {
        *ret = (struct block_refs){0};
    } else if (!(e = hold_lists(r, &p, &hold))) {
        e = select_by(r, a, &p, ret);
        block_source_unhold(r->src, hold);
    }
    for (size_t i = 0; i < ms.n; i++) {
        vec_done(&p.unions[i].entries);
        vec_done(&p.unions[i].lists);
    }
    mem_free(p.unions);
    mem_free(p.keep);
    return e;
}

struct err *block_reader_select(const struct block_reader *r, struct arena *a, struct matchers ms,
                                struct block_refs *ret)
{
    struct block_refs set = {0};
    struct err *e = NULL;

    if (!r->external.labels.n)
        return select_own(r, a, ms, ret);
    if (block_external_narrow(r, a, ms, &ms) && !(e = select_own(r, a, ms, &set)))
        e = block_external_sort(r, set);
    if (!e)
        *ret = set;
    return e;
}

/* ---- by time ---- */

static bool is_deleted(const struct block_interval *in, size_t n, int64_t min_t, int64_t max_t)
{
    for (size_t i = 0; i < n; i++)
        if (in[i].min_t <= min_t && in[i].max_t >= max_t)
            return true;
    return false;
}

bool block_reader_reaches(const struct block_reader *r, uint32_t ref,
                          const struct block_chunk_meta *metas, size_t n, int64_t min_t,
                          int64_t max_t)
{
    size_t n_deleted;
    const struct block_interval *deleted = block_reader_tombstones(r, ref, &n_deleted);

    for (size_t i = 0; i < n && metas[i].min_t <= max_t; i++)
        if (metas[i].max_t >= min_t &&
            !is_deleted(deleted, n_deleted, ORR_MAX(metas[i].min_t, min_t),
                        ORR_MIN(metas[i].max_t, max_t)))
            return true;
    return false;
}

static struct err *has_chunk(const struct block_reader *r, struct arena *a, uint32_t ref,
                             int64_t min_t, int64_t max_t, bool *ret)
{
    struct block_reader_entry entry;
    struct block_chunk_meta m = {0};
    struct reader in;
    struct err *e;

    *ret = false;
    if ((e = block_reader_entry(r, a, NULL, ref, &entry)))
        return e;
    in = reader_new(entry.chunks);
    for (uint64_t i = 0; i < entry.n_chunks && !*ret; i++) {
        if (!block_reader_next_chunk(&in, i, &m))
            return err_new(ERR_CORRUPT, "block %s: series %u: impossible chunk times",
                           block_reader_name(r), ref);
        if (m.min_t > max_t)
            break;
        *ret = block_reader_reaches(r, ref, &m, 1, min_t, max_t);
    }
    return NULL;
}

/* fn for the entry of each ref; those of a block that is not at hand come in batches. */
struct each_entry {
    struct err *(*fn)(struct each_entry *each, struct arena *tmp, uint32_t ref);
    const struct block_reader *r;
};

static struct err *each_entry(struct each_entry *each, struct block_refs refs)
{
    struct arena *tmp = arena_new(0);
    struct err *e = NULL;

    for (size_t at = 0, n; !e && at < refs.n; at += n) {
        struct objpages_hold *hold;

        if ((e = block_reader_hold_series(each->r, refs.ptr + at, refs.n - at,
                                          block_reader_room(each->r, 1), &n, &hold)))
            break;
        for (size_t i = at; !e && i < at + n; i++) {
            arena_reset(tmp);
            e = each->fn(each, tmp, refs.ptr[i]);
        }
        block_source_unhold(each->r->src, hold);
    }
    arena_free(tmp);
    return e;
}

struct in_range {
    struct each_entry each;
    int64_t min_t, max_t;
    struct block_refs kept;
};

static struct err *keep_if_in_range(struct each_entry *each, struct arena *tmp, uint32_t ref)
{
    struct in_range *f = (struct in_range *)each;
    bool has;
    struct err *e = has_chunk(each->r, tmp, ref, f->min_t, f->max_t, &has);

    if (!e && has)
        f->kept.ptr[f->kept.n++] = ref; /* in place: never ahead of what is read */
    return e;
}

struct err *block_reader_select_range(const struct block_reader *r, struct arena *a,
                                      struct matchers ms, int64_t min_t, int64_t max_t,
                                      struct block_refs *ret)
{
    struct in_range f = {{keep_if_in_range, r}, min_t, max_t, {0}};
    struct block_refs set = {0};
    struct err *e;

    if (max_t < r->meta.min_t || min_t >= r->meta.max_t) {
        *ret = set;
        return NULL;
    }
    if ((e = block_reader_select(r, a, ms, &set)))
        return e;
    f.kept.ptr = set.ptr;
    if (!(e = each_entry(&f.each, set)))
        *ret = f.kept;
    return e;
}

/* ---- names and values ---- */

struct err *block_reader_label_names(const struct block_reader *r, struct arena *a,
                                     struct block_names *ret)
{
    ret->n = r->index.n_names;
    ret->ptr = arena_array(a, struct slice, ret->n);
    for (size_t i = 0; i < ret->n; i++)
        ret->ptr[i] = r->index.names[i].name;
    block_external_names(r, a, ret);
    return NULL;
}

struct err *block_reader_label_values(const struct block_reader *r, struct arena *a,
                                      struct slice name, struct block_names *ret)
{
    const struct block_index_name *n = block_index_find(&r->index, name);

    if (block_external_value(r, a, name, ret))
        return NULL;
    ret->n = n ? n->n : 0;
    ret->ptr = arena_array(a, struct slice, ret->n);
    for (size_t i = 0; i < ret->n; i++)
        ret->ptr[i] = block_index_value(&r->index, n->first + (uint32_t)i);
    return NULL;
}

/* Marks the symbols that occur: all names, or values of one name. */
struct marks {
    struct each_entry each;
    const struct slice *name;
    uint8_t *seen;
};

static struct err *mark(struct each_entry *each, struct arena *tmp, uint32_t ref)
{
    const struct block_reader *r = each->r;
    struct marks *f = (struct marks *)each;
    struct block_reader_entry entry;
    struct reader in;
    struct err *e;

    if ((e = block_reader_entry(r, tmp, NULL, ref, &entry)))
        return e;
    in = reader_new(entry.labels);
    for (uint64_t k = 0; k < entry.n_labels; k++) {
        uint32_t ns, vs;

        if (!block_reader_next_label(r, &in, &ns, &vs))
            return err_new(ERR_CORRUPT, "block %s: series %u names no symbol", block_reader_name(r),
                           ref);
        if (!f->name) {
            f->seen[ns / 8] |= (uint8_t)(1 << ns % 8);
        } else if (slice_eq(block_index_symbol(&r->index, ns), *f->name)) {
            f->seen[vs / 8] |= (uint8_t)(1 << vs % 8);
            break;
        }
    }
    return NULL;
}

static struct err *marked(const struct block_reader *r, struct arena *a, struct block_refs refs,
                          const struct slice *name, struct block_names *ret)
{
    uint8_t *seen = mem_zalloc(r->index.n_symbols / 8 + 1);
    struct marks f = {{mark, r}, name, seen};
    struct err *e = each_entry(&f.each, refs);
    size_t n = 0;

    for (uint32_t i = 0; !e && i < r->index.n_symbols; i++)
        n += seen[i / 8] >> i % 8 & 1;
    if (!e) {
        *ret = (struct block_names){arena_array(a, struct slice, n), 0};
        for (uint32_t i = 0; i < r->index.n_symbols; i++)
            if (seen[i / 8] >> i % 8 & 1)
                ret->ptr[ret->n++] = block_index_symbol(&r->index, i);
    }
    mem_free(seen);
    return e;
}

struct err *block_reader_names_of(const struct block_reader *r, struct arena *a,
                                  struct block_refs refs, struct block_names *ret)
{
    struct err *e = marked(r, a, refs, NULL, ret);

    if (!e && refs.n)
        block_external_names(r, a, ret);
    return e;
}

struct err *block_reader_values_of(const struct block_reader *r, struct arena *a,
                                   struct block_refs refs, struct slice name,
                                   struct block_names *ret)
{
    if (refs.n && block_external_value(r, a, name, ret))
        return NULL;
    return marked(r, a, refs, &name, ret);
}
