#include "ingester/metrics/head_match.h"

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/metric.h"

static roaring_bitmap_t *all_refs(const struct head_matching *hm)
{
    roaring_bitmap_t *all = roaring_bitmap_create();

    for (uint32_t ref = 0; ref < hm->n_refs; ref++)
        if (hm->is_used(hm->arg, ref))
            roaring_bitmap_add(all, ref);
    return all;
}

static bool accepts(const struct matcher *m, struct slice value)
{
    if (m->op == MATCHER_RE && slice_eq(m->value, SLICE(".+")))
        return value.len > 0;
    /* far cheaper than the regex, and most values fail here */
    if (m->op == MATCHER_RE && m->prefix.len && !slice_has_prefix(value, m->prefix))
        return false;
    return matcher_matches(m, value);
}

static void or_pair(const struct head_index *x, uint32_t name, struct slice value,
                    roaring_bitmap_t *into)
{
    int64_t pair = head_index_pair(x, name, value);

    if (pair >= 0)
        head_posting_or(head_pair_at(x, (uint32_t)pair), into);
}

/* ---- remembered regexes ---- */

static int64_t bytes_of(const struct head_accepted *s)
{
    return (int64_t)(s->pattern.len + s->ids.cap * sizeof(uint32_t));
}

static void forget(struct head_regexes *rx, struct head_accepted *s)
{
    if (!s->pattern.ptr)
        return;
    METRIC_ADD(rx->m->entries, -1);
    METRIC_ADD(rx->m->bytes, -bytes_of(s));
    mem_free((void *)s->pattern.ptr);
    vec_done(&s->ids);
    *s = (struct head_accepted){0};
}

static void evict(struct head_regexes *rx, struct head_accepted *s)
{
    METRIC_ADD(rx->m->evictions, s->pattern.ptr != NULL);
    forget(rx, s);
}

void head_regexes_forget(struct head_regexes *rx, struct head_index *x)
{
    for (size_t i = 0; i < HEAD_ACCEPTED_SLOTS; i++)
        forget(rx, &x->accepted[i]);
    for (size_t i = rx->indexes.len; i-- > 0;)
        if (rx->indexes.ptr[i] == x)
            vec_remove_swap(&rx->indexes, i);
    x->has_accepted = false;
    if (!rx->indexes.len)
        vec_done(&rx->indexes);
}

/* The one of all indexes that was not used for longest. */
static struct head_accepted *oldest_of(struct head_regexes *rx)
{
    struct head_accepted *oldest = NULL;

    VEC_FOREACH (x, &rx->indexes)
        for (size_t i = 0; i < HEAD_ACCEPTED_SLOTS; i++) {
            struct head_accepted *s = &(*x)->accepted[i];

            if (s->pattern.ptr && (!oldest || s->used_at < oldest->used_at))
                oldest = s;
        }
    return oldest;
}

static void keep_budget(struct head_regexes *rx)
{
    struct head_accepted *oldest;

    while (rx->m->bytes > rx->max_bytes && (oldest = oldest_of(rx)))
        evict(rx, oldest);
}

/* The slot of this regex on this name, made the newest; a fresh one takes the place of the oldest. */
static struct head_accepted *accepted_slot(const struct head_matching *hm,
                                           const struct head_name *name, struct slice pattern)
{
    struct head_index *x = hm->index;
    struct head_regexes *rx = hm->regexes;
    struct head_accepted *oldest = &x->accepted[0], *s;

    if (!x->has_accepted) {
        x->has_accepted = true;
        vec_push(&rx->indexes, x);
    }
    for (s = x->accepted; s < x->accepted + HEAD_ACCEPTED_SLOTS; s++) {
        if (s->pattern.ptr && s->name == name->id && slice_eq(s->pattern, pattern))
            break;
        if (s->used_at < oldest->used_at)
            oldest = s;
    }
    if (s == x->accepted + HEAD_ACCEPTED_SLOTS) {
        s = oldest;
        evict(rx, s);
        *s = (struct head_accepted){.name = name->id, .removals = name->removals, .is_new = true};
        s->pattern = slice_of(mem_dup(pattern.ptr, pattern.len), pattern.len);
        METRIC_ADD(rx->m->entries, 1);
        METRIC_ADD(rx->m->bytes, bytes_of(s));
    }
    if (s->removals != name->removals) {
        s->removals = name->removals;
        s->seen = 0;
        s->is_new = true;
        vec_clear(&s->ids);
    }
    s->used_at = ++rx->clock;
    return s;
}

static bool is_remembered(const struct head_index *x, const struct matcher *m, int64_t name)
{
    return name >= 0 && (m->op == MATCHER_RE || m->op == MATCHER_NRE) && !m->set &&
           x->names.ptr[name]->pairs.len >= HEAD_ACCEPTED_VALUES;
}

/* Looks at values not looked at yet, for up to max_ns (0: all); false when some are left. */
static bool look_at_values(const struct head_index *x, const struct matcher *m,
                           const struct head_name *name, struct head_accepted *s, int64_t max_ns)
{
    const struct matcher re = {
        .op = MATCHER_RE, .value = m->value, .re = m->re, .prefix = m->prefix};
    int64_t until = max_ns ? clock_mono_ns(&clock_system) + max_ns : 0;

    for (size_t looked = 1; s->seen < name->pairs.len; looked++) {
        uint32_t id = name->pairs.ptr[s->seen++];

        if (accepts(&re, head_value_text(head_pair_at(x, id)->value)))
            vec_push(&s->ids, id);
        if (max_ns && looked % 16 == 0 && clock_mono_ns(&clock_system) >= until)
            return s->seen == name->pairs.len;
    }
    return true;
}

static bool look_on(const struct head_matching *hm, const struct matcher *m,
                    const struct head_name *name, struct head_accepted *s, int64_t max_ns)
{
    const struct head_index *x = hm->index;
    int64_t before = bytes_of(s);
    bool is_done;

    is_done = look_at_values(x, m, name, s, max_ns);
    METRIC_ADD(hm->regexes->m->bytes, bytes_of(s) - before);
    return is_done;
}

bool head_matching_prepare(const struct head_matching *hm, struct matchers ms, int64_t *io_spent_ns)
{
    int64_t began = clock_mono_ns(&clock_system);
    bool is_done = true;

    for (size_t i = 0; i < ms.n && is_done; i++) {
        const struct matcher *m = &ms.ptr[i];
        int64_t id = head_index_name(hm->index, m->name);

        if (is_remembered(hm->index, m, id)) {
            const struct head_name *name = hm->index->names.ptr[id];

            is_done = look_on(hm, m, name, accepted_slot(hm, name, m->value), HEAD_MATCH_TURN_NS);
        }
    }
    *io_spent_ns += clock_mono_ns(&clock_system) - began;
    return is_done;
}

struct err *head_match_costly(void)
{
    return err_new(ERR_LIMIT,
                   "the query's regexes take longer than %d s to look at the label's values",
                   (int)(HEAD_MATCH_MAX_NS / 1000000000));
}

/* Many ids are of no use for long: every value accepted is found as fast without them. */
static void forget_large(const struct head_matching *hm)
{
    for (size_t i = 0; i < HEAD_ACCEPTED_SLOTS; i++)
        if (hm->index->accepted[i].ids.len > HEAD_ACCEPTED_IDS)
            evict(hm->regexes, &hm->index->accepted[i]);
}

/* Series of the pairs that the regex accepts, or (wanted false) of the others. */
static void or_remembered(const struct head_matching *hm, const struct matcher *m,
                          const struct head_name *name, bool wanted, roaring_bitmap_t *into)
{
    const struct head_index *x = hm->index;
    struct head_accepted *s = accepted_slot(hm, name, m->value);
    size_t next = 0;

    METRIC_ADD(hm->regexes->m->misses, s->is_new);
    METRIC_ADD(hm->regexes->m->hits, !s->is_new);
    s->is_new = false;
    (void)look_on(hm, m, name, s, 0);
    if (wanted) {
        VEC_FOREACH (id, &s->ids)
            head_posting_or(head_pair_at(x, *id), into);
        return;
    }
    VEC_FOREACH (id, &name->pairs) { /* ids are among them, in the same order */
        if (next < s->ids.len && s->ids.ptr[next] == *id)
            next++;
        else
            head_posting_or(head_pair_at(x, *id), into);
    }
}

/* Series whose value of the label the matcher accepts (or, wanted false, refuses). */
static roaring_bitmap_t *union_of(const struct head_matching *hm, const struct matcher *m,
                                  bool wanted)
{
    const struct head_index *x = hm->index;
    roaring_bitmap_t *out = roaring_bitmap_create();
    int64_t name = head_index_name(x, m->name);
    bool is_literal = (wanted && (m->op == MATCHER_EQ || (m->op == MATCHER_RE && m->set))) ||
                      (!wanted && (m->op == MATCHER_NE || (m->op == MATCHER_NRE && m->set)));

    if (name < 0)
        return out;
    if (is_literal && (m->op == MATCHER_EQ || m->op == MATCHER_NE)) {
        or_pair(x, (uint32_t)name, m->value, out);
        return out;
    }
    if (is_literal) {
        for (size_t i = 0; i < m->set_n; i++)
            or_pair(x, (uint32_t)name, m->set[i], out);
        return out;
    }
    if (is_remembered(x, m, name)) {
        or_remembered(hm, m, x->names.ptr[name], (m->op == MATCHER_RE) == wanted, out);
        return out;
    }
    VEC_FOREACH (id, &x->names.ptr[name]->pairs) {
        const struct head_pair *p = head_pair_at(x, *id);

        if (p->n && accepts(m, head_value_text(p->value)) == wanted)
            head_posting_or(p, out);
    }
    return out;
}

/* The series' pair of that name; -1: it has none. */
static int64_t pair_of(const struct head_matching *hm, uint32_t ref, int64_t name)
{
    struct slice packed = head_index_packed(hm->index, hm->labels(hm->arg, ref));
    struct reader r = reader_new(packed);
    uint32_t pair;

    (void)reader_uvarint(&r);
    while (name >= 0 && head_packed_next(&r, &pair))
        if (head_pair_at(hm->index, pair)->name == name)
            return pair;
    return -1;
}

/* Few candidates and many values: asking each candidate is cheaper than each value. Neighbours often
 * have the same value (the series of a pod), which is then asked for once. */
static void filter_each(const struct head_matching *hm, const struct matcher *m,
                        roaring_bitmap_t *result)
{
    uint64_t n = roaring_bitmap_get_cardinality(result);
    uint32_t *refs = mem_new_array(uint32_t, n);
    int64_t name = head_index_name(hm->index, m->name), last = -2;
    bool is_match = false;

    roaring_bitmap_to_uint32_array(result, refs);
    for (uint64_t i = 0; i < n; i++) {
        int64_t pair = pair_of(hm, refs[i], name);

        if (pair != last)
            is_match = matcher_matches(
                m, pair < 0 ? SLICE_EMPTY
                            : head_value_text(head_pair_at(hm->index, (uint32_t)pair)->value));
        last = pair;
        if (!is_match)
            roaring_bitmap_remove(result, refs[i]);
    }
    mem_free(refs);
}

static size_t values_of(const struct head_matching *hm, const struct matcher *m)
{
    int64_t name = head_index_name(hm->index, m->name);

    return name < 0 ? 0 : hm->index->names.ptr[name]->pairs.len;
}

/* Cost of evaluating the matcher through the postings: the cheap ones go first. */
static size_t cost_of(const struct head_matching *hm, const struct matcher *m)
{
    if (m->op == MATCHER_EQ || m->op == MATCHER_NE)
        return 0;
    if (m->set)
        return m->set_n;
    return values_of(hm, m);
}

static void apply_one(const struct head_matching *hm, const struct matcher *m,
                      roaring_bitmap_t **result)
{
    bool with_absent = matcher_matches_empty(m);
    roaring_bitmap_t *b;

    if (*result && cost_of(hm, m) > 16 &&
        !is_remembered(hm->index, m, head_index_name(hm->index, m->name)) &&
        roaring_bitmap_get_cardinality(*result) * 2 < cost_of(hm, m)) {
        filter_each(hm, m, *result);
        return;
    }
    if (!*result && with_absent)
        *result = all_refs(hm);
    b = union_of(hm, m, !with_absent);
    if (!*result) {
        *result = b;
        return;
    }
    if (with_absent)
        roaring_bitmap_andnot_inplace(*result, b);
    else
        roaring_bitmap_and_inplace(*result, b);
    roaring_bitmap_free(b);
}

roaring_bitmap_t *head_matching_refs(const struct head_matching *hm, struct matchers ms)
{
    roaring_bitmap_t *result = NULL;
    bool *done = mem_new_array(bool, ms.n + 1);

    /* those that cannot accept an absent label first, cheapest first: they narrow */
    for (size_t round = 0; round < ms.n; round++) {
        size_t best = SIZE_MAX, best_cost = SIZE_MAX;

        for (size_t i = 0; i < ms.n; i++) {
            size_t cost = cost_of(hm, &ms.ptr[i]);

            if (matcher_matches_empty(&ms.ptr[i]))
                cost += 1u << 30;
            if (!done[i] && cost < best_cost) {
                best = i;
                best_cost = cost;
            }
        }
        done[best] = true;
        apply_one(hm, &ms.ptr[best], &result);
        if (roaring_bitmap_is_empty(result))
            break;
    }
    mem_free(done);
    forget_large(hm);
    keep_budget(hm->regexes);
    return result ? result : all_refs(hm);
}
