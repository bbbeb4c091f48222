/* Leaving out lines by what one field of them is, before any line is made. */
#include "common/logblock/logblock_internal.h"

/* The label that the filter asks of is then not the stage's: that one has another name. */
struct err *logblock_bound_counts(struct logblock *b, const struct logblock_bound *bound, bool *ret)
{
    struct arena *a = arena_new(0);
    struct block_names names;
    struct err *e = block_reader_label_names(b->streams, a, &names);

    *ret = true;
    for (size_t i = 0; !e && i < names.n; i++)
        *ret &= !slice_eq(names.ptr[i], bound->name);
    arena_free(a);
    return e;
}

struct err *logblock_bound_may(struct logpage *p, const struct logblock_bound *b, bool *ret)
{
    struct logpage_range r = logpage_column_range(p, b->stage, b->name);
    bool is_metadata;
    struct err *e = NULL;

    *ret = r.has_unknown || (r.has_values && !(r.is_numeric && (r.max < b->min || r.min > b->max)));
    if (*ret || (e = logpage_meta_may_have(p, b->name, &is_metadata)))
        return e;
    *ret = is_metadata;
    return NULL;
}

/* Of 64 numbers from first on; what is no number is not in it. */
static uint64_t within(const double *num, uint32_t n, const struct logblock_bound *b)
{
    uint64_t set = 0;

    for (uint32_t i = 0; i < n; i++)
        set |= (uint64_t)(num[i] >= b->min && num[i] <= b->max) << i;
    return set;
}

struct err *logblock_bound_narrow(struct logpage *p, const struct logblock_bound *b, uint64_t *want,
                                  bool *ret_has)
{
    uint32_t n = logpage_n_entries(p);
    struct logpage_column c;
    uint64_t any = 0;
    bool is_metadata;
    struct err *e;

    *ret_has = true;
    if ((e = logpage_meta_may_have(p, b->name, &is_metadata)) || is_metadata ||
        (e = logpage_column(p, b->stage, b->name, &c)))
        return e;
    for (uint32_t i = 0; i < LOGPAGE_WORDS(n); i++) {
        uint64_t is_in = c.num ? within(c.num + 64 * i, ORR_MIN(n - 64 * i, 64u), b) : UINT64_MAX;

        any |= want[i] &= (c.is_value[i] & is_in) | c.is_unknown[i];
    }
    *ret_has = any != 0;
    return NULL;
}
