#include "querier/logs/logstretch.h"

#include <stdlib.h>

/* ---- cuts ---- */

/* The nearest multiple of the grid; false: it is not within the range. */
static bool on_grid(int64_t t_ns, int64_t from_ns, int64_t to_ns, int64_t *ret)
{
    int64_t rest;

    /* so far within the range that rounding cannot overflow */
    if (t_ns <= from_ns || t_ns >= to_ns)
        return false;
    rest = t_ns % LOGSTRETCH_GRID_NS;
    if (rest < 0)
        rest += LOGSTRETCH_GRID_NS;
    if (2 * rest < LOGSTRETCH_GRID_NS) {
        if (t_ns < INT64_MIN + rest)
            return false;
        *ret = t_ns - rest;
    } else {
        if (t_ns > INT64_MAX - LOGSTRETCH_GRID_NS)
            return false;
        *ret = t_ns - rest + LOGSTRETCH_GRID_NS;
    }
    return *ret > from_ns && *ret < to_ns;
}

static int by_time(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static void make_cuts(struct logstretch *s, struct arena *a, const struct logstretch_block *blocks,
                      size_t n)
{
    int64_t *cuts = arena_array(a, int64_t, 2 * n + 1);
    size_t found = 0, kept = 0;

    for (size_t i = 0; i < n; i++) {
        found += on_grid(blocks[i].min_ns, s->from_ns, s->to_ns, &cuts[found]);
        found += on_grid(blocks[i].max_ns, s->from_ns, s->to_ns, &cuts[found]);
    }
    if (found > 1)
        qsort(cuts, found, sizeof(*cuts), by_time);
    for (size_t i = 0; i < found; i++)
        if (!kept || cuts[kept - 1] != cuts[i])
            cuts[kept++] = cuts[i];
    s->cuts = cuts;
    s->n_cuts = kept;
}

struct logstretch logstretch_plan(struct arena *a, int64_t from_ns, int64_t to_ns, bool is_forward,
                                  bool wants_first, const struct logstretch_block *blocks, size_t n)
{
    struct logstretch s = {.from_ns = from_ns,
                           .to_ns = to_ns,
                           .is_forward = is_forward,
                           .width_ns = wants_first ? LOGSTRETCH_FIRST_NS : 0};

    make_cuts(&s, a, blocks, n);
    return s;
}

/* ---- stretches ---- */

bool logstretch_peek(const struct logstretch *s, int64_t *ret_ns)
{
    if (s->from_ns >= s->to_ns)
        return false;
    *ret_ns = s->is_forward ? s->from_ns : s->to_ns - 1;
    return true;
}

/* How much of a length a stretch takes: what would be left of it must be worth one of its own. */
static uint64_t share_of(const struct logstretch *s, uint64_t length)
{
    uint64_t width = (uint64_t)s->width_ns;

    return width && length > 2 * width ? width : length;
}

/* Forward: the cut that comes first, which is where it ends; else to. */
static int64_t next_cut(struct logstretch *s)
{
    if (s->is_forward) {
        while (s->n_cuts && s->cuts[0] <= s->from_ns) {
            s->cuts++;
            s->n_cuts--;
        }
        return s->n_cuts ? s->cuts[0] : s->to_ns;
    }
    while (s->n_cuts && s->cuts[s->n_cuts - 1] >= s->to_ns)
        s->n_cuts--;
    return s->n_cuts ? s->cuts[s->n_cuts - 1] : s->from_ns;
}

bool logstretch_next(struct logstretch *s, int64_t *ret_from_ns, int64_t *ret_to_ns)
{
    int64_t cut;
    uint64_t length;

    if (s->from_ns >= s->to_ns)
        return false;
    cut = next_cut(s);
    *ret_from_ns = s->is_forward ? s->from_ns : cut;
    *ret_to_ns = s->is_forward ? cut : s->to_ns;
    length = share_of(s, (uint64_t)*ret_to_ns - (uint64_t)*ret_from_ns);
    if (s->is_forward)
        s->from_ns = *ret_to_ns = (int64_t)((uint64_t)*ret_from_ns + length);
    else
        s->to_ns = *ret_from_ns = (int64_t)((uint64_t)*ret_to_ns - length);
    if (s->width_ns && s->width_ns < INT64_MAX / LOGSTRETCH_GROWTH)
        s->width_ns *= LOGSTRETCH_GROWTH;
    return true;
}
