#include "querier/api/step_tally.h"

#include "common/base/mem.h"
#include "querier/engine/result_json.h"

enum tally_mode { TALLY_STEPS, TALLY_FIXED, TALLY_LAST };

struct tally_set {
    struct series_set set;
    struct series_set *src;
    struct step_tally *t;
    enum tally_mode mode;
    bool is_range;
    int64_t window_ms, last_ms; /* of a step; where the last step's window ends */
};

/* The window of the step that ends at end_ms is left-open: (end - window, end]. */
static uint64_t count_window(const struct tally_set *ts, const struct storage_series *s,
                             size_t *io_from, int64_t end_ms)
{
    uint64_t n = 0;
    size_t i = *io_from;

    while (i < s->n && s->t_ms[i] <= end_ms - ts->window_ms)
        i++;
    *io_from = i;
    if (ts->is_range) {
        for (; i < s->n && s->t_ms[i] <= end_ms; i++)
            n += !sample_is_stale(s->v[i]);
        return n;
    }
    while (i < s->n && s->t_ms[i] <= end_ms)
        i++;
    return i > *io_from && !sample_is_stale(s->v[i - 1]);
}

static void count(struct tally_set *ts, const struct storage_series *s)
{
    struct step_tally *t = ts->t;
    size_t from = 0;

    if (ts->mode == TALLY_LAST) {
        t->samples[t->n - 1] += s->n;
        return;
    }
    for (size_t i = 0; i < t->n; i++) {
        int64_t end_ms = ts->last_ms;

        if (ts->mode == TALLY_STEPS)
            end_ms -= (int64_t)(t->n - 1 - i) * t->step_ms;
        t->samples[i] += count_window(ts, s, &from, end_ms);
    }
}

static bool tally_next(struct series_set *set, struct storage_series *ret)
{
    struct tally_set *ts = (struct tally_set *)set;
    bool more = series_set_next(ts->src, ret);

    if (more)
        count(ts, ret);
    set->warnings = ts->src->warnings;
    set->n_warnings = ts->src->n_warnings;
    return more;
}

static struct err *tally_close(struct series_set *set)
{
    struct tally_set *ts = (struct tally_set *)set;
    struct err *e = series_set_close(ts->src);

    mem_free(ts);
    return e;
}

/* The engine asks for the steps' windows together: their ends span (n - 1) steps, or none under @. */
static enum tally_mode mode_of(const struct step_tally *t, const struct storage_request *req,
                               int64_t window_ms)
{
    int64_t span_ms = req->end_ms - req->start_ms, steps_ms = (int64_t)(t->n - 1) * t->step_ms;
    int64_t rest_ms = span_ms - window_ms;

    /* the left end is open, or not */
    if (rest_ms == steps_ms || rest_ms == steps_ms - 1)
        return TALLY_STEPS;
    return rest_ms == 0 || rest_ms == -1 ? TALLY_FIXED : TALLY_LAST;
}

static struct err *tally_select(struct storage *st, struct arena *arena,
                                const struct storage_request *req, struct series_set **ret)
{
    static const struct series_set_ops ops = {tally_next, tally_close};
    struct step_tally *t = ORR_CONTAINER(st, struct step_tally, storage);
    struct tally_set *ts;
    struct series_set *src;
    struct err *e = storage_select(t->behind, arena, req, &src);

    if (e)
        return e;
    ts = mem_new(struct tally_set);
    ts->set.ops = &ops;
    ts->set.warnings = src->warnings;
    ts->set.n_warnings = src->n_warnings;
    ts->src = src;
    ts->t = t;
    ts->is_range = req->range_ms > 0;
    ts->window_ms = ts->is_range ? req->range_ms : t->lookback_ms;
    ts->last_ms = req->end_ms;
    ts->mode = mode_of(t, req, ts->window_ms);
    *ret = &ts->set;
    return NULL;
}

void step_tally_init(struct step_tally *t, struct arena *a, struct storage *behind,
                     int64_t start_ms, int64_t step_ms, size_t n, int64_t lookback_ms)
{
    static const struct storage_ops ops = {tally_select};

    *t = (struct step_tally){.storage = {&ops},
                             .behind = behind,
                             .start_ms = start_ms,
                             .step_ms = step_ms,
                             .lookback_ms = lookback_ms,
                             .n = n,
                             .samples = arena_array(a, uint64_t, n)};
}

void step_tally_json(struct buf *out, const struct step_tally *t)
{
    buf_str(out, ",\"totalQueryableSamplesPerStep\":[");
    for (size_t i = 0; i < t->n; i++) {
        buf_str(out, i ? ",[" : "[");
        result_json_time(out, t->start_ms + (int64_t)i * t->step_ms);
        buf_printf(out, ",%llu]", (unsigned long long)t->samples[i]);
    }
    buf_byte(out, ']');
}
