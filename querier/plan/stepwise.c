#include "querier/plan/stepwise.h"

#include "common/base/hash.h"
#include "querier/engine/result_wire.h"
#include "querier/plan/steps_join.h"

#define MAX_STEP_MS (INT64_C(1) << 40) /* longer ones are not kept: 34 years */
#define LEAST_STEPS 64                 /* of a stretch that is cut off for its length */
#define MOST_STRETCHES 16  /* about: each has memory of its own, and reads the labels again */
#define DECODED_PER_BYTE 5 /* memory that a piece needs in an answer, per byte kept */

/* One piece as far as this query goes: its steps [from, to), and what is kept of it. */
struct piece {
    struct slice key;
    size_t from, to;
    bool has_kept, is_used;   /* something is kept; some of the query's steps come from it */
    struct answer_piece kept; /* save its bytes */
    struct engine_result result;
};

struct stretch {
    size_t from, to;    /* steps that are wanted of the job */
    size_t first, last; /* steps that it computes */
};

struct stepwise {
    const struct stepwise_ask *ask;
    struct arena *arena;
    int64_t step_ms, start_ms;
    size_t n;
    size_t keep_from, keep_to; /* steps that may be kept */
    struct piece *pieces;
    size_t n_pieces;
    uint8_t *is_kept; /* of each step */
    int64_t split_ms;
    bool is_marked; /* has annotations, it is known: jobs end where pieces do */
    struct slice mark_key;
    struct stretch *stretches; /* of the jobs */
    struct engine_job *jobs;
    size_t n_jobs;
};

static int64_t time_of(const struct stepwise *s, size_t i)
{
    return s->start_ms + (int64_t)i * s->step_ms;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t piece_ms(const struct stepwise *s)
{
    return s->step_ms * STEPWISE_PIECE_STEPS;
}

static int64_t piece_of(const struct stepwise *s, size_t i)
{
    return floor_div(time_of(s, i), piece_ms(s));
}

/* ---- what may be kept ---- */

/* Steps [0, i) whose time is at most t_ms. */
static size_t steps_until(const struct stepwise *s, int64_t t_ms)
{
    if (t_ms < s->start_ms)
        return 0;
    return (size_t)ORR_MIN((t_ms - s->start_ms) / s->step_ms + 1, (int64_t)s->n);
}

static void find_keepable(struct stepwise *s)
{
    const struct stepwise_ask *ask = s->ask;
    const struct reach *r = ask->reach;

    if (!ask->cache || s->step_ms > MAX_STEP_MS)
        return;
    if (r->has_fixed &&
        (r->fixed_max_ms > ask->keep_until_ms || r->fixed_min_ms <= ask->visible_min_ms))
        return;
    s->keep_to = steps_until(s, ask->keep_until_ms - r->ahead_ms);
    if (ask->visible_min_ms != INT64_MIN)
        s->keep_from = ORR_MIN(steps_until(s, ask->visible_min_ms + r->back_ms), s->keep_to);
}

static struct slice key_of(const struct stepwise *s, const char *kind, int64_t number)
{
    const struct stepwise_ask *ask = s->ask;
    struct buf b = {0};
    struct slice key;

    buf_str(&b, kind);
    buf_lstr(&b, ask->tenant);
    buf_lstr(&b, ask->reach->text);
    buf_lstr(&b, ask->settings);
    buf_varint(&b, s->step_ms);
    buf_varint(&b, s->start_ms - floor_div(s->start_ms, s->step_ms) * s->step_ms);
    buf_varint(&b, ask->q->lookback_ms);
    buf_varint(&b, number);
    key = arena_dup(s->arena, buf_slice(&b));
    buf_done(&b);
    return key;
}

static void lay_out_pieces(struct stepwise *s)
{
    if (s->keep_from == s->keep_to)
        return;
    s->pieces = arena_array(s->arena, struct piece,
                            (size_t)(piece_of(s, s->keep_to - 1) - piece_of(s, s->keep_from)) + 1);
    for (size_t i = s->keep_from; i < s->keep_to;) {
        struct piece *p = &s->pieces[s->n_pieces++];
        int64_t number = piece_of(s, i);

        p->key = key_of(s, "p", number);
        p->from = i;
        p->to = ORR_MIN(steps_until(s, (number + 1) * piece_ms(s) - 1), s->keep_to);
        i = p->to;
    }
}

/* ---- what is kept ---- */

static uint64_t text_hash(const struct stepwise *s)
{
    return hash_xxh64(s->ask->q->expr, 0);
}

static bool has_annotations(const struct engine_result *r)
{
    return r->n_warnings + r->n_infos > 0;
}

static bool is_usable(const struct stepwise *s, const struct answer_piece *kept)
{
    if (!kept->has_annotations)
        return true;
    return kept->text_hash == text_hash(s) && kept->first_ms >= s->start_ms &&
           kept->last_ms <= time_of(s, s->n - 1);
}

static void use_piece(struct stepwise *s, struct piece *p)
{
    for (size_t i = p->from; i < p->to; i++) {
        if (time_of(s, i) < p->kept.first_ms || time_of(s, i) > p->kept.last_ms)
            continue;
        s->is_kept[i] = 1;
        p->is_used = true;
    }
}

/* Reads what is kept of p, if it takes no more than room. */
static size_t find_piece(struct stepwise *s, struct piece *p, size_t room)
{
    const struct answer_piece *held = answer_cache_get(s->ask->cache, p->key, s->ask->version);
    size_t need = held ? held->bytes.len * DECODED_PER_BYTE : 0;
    struct err *e;

    if (held && need <= room) {
        e = result_wire_decode(s->arena, arena_dup(s->arena, held->bytes), &p->result);
        p->has_kept = !e;
        err_free(e); /* what we wrote ourselves: cannot be, and would cost no answer */
        p->kept = *held;
        p->kept.bytes = SLICE_EMPTY;
        p->result.stats = (struct engine_stats){0}; /* nothing is read for it now */
        if (p->has_kept && is_usable(s, &p->kept))
            use_piece(s, p);
    }
    answer_cache_release(held);
    return need;
}

/* False: the query's memory has no room for what is kept, so it is to be run as if nothing were. */
static bool find_pieces(struct stepwise *s, struct stepwise_stats *io_stats)
{
    size_t limit = arena_limit(s->arena), room = SIZE_MAX;
    const struct answer_piece *mark;

    if (!s->n_pieces)
        return true;
    if (limit)
        room = limit - ORR_MIN(limit, arena_used(s->arena));
    s->mark_key = key_of(s, "m", 0);
    mark = answer_cache_get(s->ask->cache, s->mark_key, 0);
    s->is_marked = mark != NULL;
    answer_cache_release(mark);
    for (size_t i = 0; i < s->n_pieces; i++) {
        size_t need = find_piece(s, &s->pieces[i], room);

        if (need > room)
            return false;
        room -= need;
        io_stats->pieces_hit += s->pieces[i].is_used;
        io_stats->pieces_missed += !s->pieces[i].is_used;
    }
    return true;
}

/* ---- what is left ---- */

static bool is_cut(const struct stepwise *s, size_t i)
{
    if (s->is_marked && i >= s->keep_from && i <= s->keep_to && s->keep_from < s->keep_to &&
        (i == s->keep_from || i == s->keep_to || piece_of(s, i) != piece_of(s, i - 1)))
        return true;
    return s->split_ms &&
           floor_div(time_of(s, i), s->split_ms) != floor_div(time_of(s, i - 1), s->split_ms);
}

/* A multiple of what was asked for, so that stretches are neither short nor many; 0: no cuts. They read what
 * lies before them once more, which is not worth it where that is as much as they are. */
static int64_t split_of(const struct stepwise *s)
{
    int64_t split_ms = s->ask->split_ms, least_ms;

    if (!split_ms || s->step_ms > MAX_STEP_MS)
        return 0;
    least_ms = ORR_MAX(s->step_ms * LEAST_STEPS, (int64_t)s->n * s->step_ms / MOST_STRETCHES);
    split_ms *= (least_ms + split_ms - 1) / split_ms;
    return s->ask->reach->back_ms + s->ask->reach->ahead_ms <= split_ms ? split_ms : 0;
}

static void add_stretch(struct stepwise *s, size_t from, size_t to)
{
    struct stretch st = {from, to, from, to - 1};

    if (to - from == 1) { /* see the header */
        st.first -= from > 0;
        st.last += from == 0;
    }
    s->stretches[s->n_jobs++] = st;
}

static void find_stretches(struct stepwise *s)
{
    size_t from = 0;

    s->split_ms = split_of(s);
    s->stretches = arena_array(s->arena, struct stretch, s->n);
    for (size_t i = 0; i < s->n; i++) {
        if (s->is_kept[i]) {
            if (from < i)
                add_stretch(s, from, i);
            from = i + 1;
        } else if (i > from && is_cut(s, i)) {
            add_stretch(s, from, i);
            from = i;
        }
    }
    if (from < s->n)
        add_stretch(s, from, s->n);
    s->jobs = arena_array(s->arena, struct engine_job, s->n_jobs + 1);
    for (size_t i = 0; i < s->n_jobs; i++) {
        s->jobs[i].q = *s->ask->q;
        s->jobs[i].q.start_ms = time_of(s, s->stretches[i].first);
        s->jobs[i].q.end_ms = time_of(s, s->stretches[i].last);
    }
}

/* ---- the answer ---- */

static struct err *run_whole(const struct stepwise_ask *ask, engine_run_fn *run, void *arg,
                             struct stepwise_stats *io_stats, struct engine_result *ret)
{
    struct engine_job job = {.q = *ask->q};

    io_stats->steps_run += io_stats->steps_kept;
    io_stats->steps_kept = io_stats->pieces_hit = 0;
    io_stats->jobs++;
    run(arg, &job, 1);
    if (!job.err)
        *ret = job.result;
    return job.err;
}

static struct steps_part part_of_job(const struct stepwise *s, size_t i)
{
    return (struct steps_part){&s->jobs[i].result, time_of(s, s->stretches[i].from),
                               time_of(s, s->stretches[i].to - 1)};
}

static void add_part(struct steps_part *parts, size_t *io_n, struct steps_part p)
{
    parts[(*io_n)++] = p;
}

/* All stretches and all runs of kept steps, in order of time. */
static struct err *join_all(struct stepwise *s, struct engine_result *ret, bool *ret_is_whole)
{
    struct steps_part *parts = arena_array(s->arena, struct steps_part, s->n_jobs + s->n_pieces);
    size_t n = 0, job = 0;

    for (size_t k = 0; k < s->n_pieces; k++) {
        const struct piece *p = &s->pieces[k];
        size_t from, to;

        if (!p->is_used)
            continue;
        for (from = p->from; !s->is_kept[from];)
            from++;
        for (to = from; to < p->to && s->is_kept[to];)
            to++;
        for (; job < s->n_jobs && s->stretches[job].from < from; job++)
            add_part(parts, &n, part_of_job(s, job));
        add_part(parts, &n, (struct steps_part){&p->result, time_of(s, from), time_of(s, to - 1)});
    }
    for (; job < s->n_jobs; job++)
        add_part(parts, &n, part_of_job(s, job));
    return steps_join(s->arena, parts, n, ret, ret_is_whole);
}

static bool has_too_much(const struct stepwise *s, const struct engine_result *r)
{
    uint64_t max = s->ask->q->max_samples ? s->ask->q->max_samples : ENGINE_MAX_SAMPLES;

    return r->n_series > max / s->n; /* the engine holds columns, whatever is in them */
}

/* The first error; *ret_is_limit: one of those that the parts of a query meet otherwise than the whole. */
static struct err *take_errors(struct stepwise *s, bool *ret_is_limit)
{
    struct err *e = NULL;

    *ret_is_limit = false;
    for (size_t i = 0; i < s->n_jobs; i++) {
        *ret_is_limit |= s->jobs[i].err && err_is(s->jobs[i].err, ERR_LIMIT);
        e = err_first(e, s->jobs[i].err);
        s->jobs[i].err = NULL;
    }
    return e;
}

/* ---- keeping ---- */

/* Annotations of the query itself: they hang on nothing that may be otherwise the next time. */
static bool is_of_query(const struct slice *texts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!slice_has_prefix(texts[i], SLICE("PromQL ")))
            return false;
    return true;
}

static void keep_result(struct stepwise *s, const struct piece *p, const struct engine_result *r,
                        int64_t first_ms, int64_t last_ms)
{
    struct answer_cache *cache = s->ask->cache;
    /* outside of the query's memory, so no more of it than the cache takes */
    struct buf b = {.max_bytes = ORR_MAX(answer_cache_max_bytes(cache), (size_t)1)};

    result_wire_encode(&b, r);
    if (!buf_ok(&b))
        answer_cache_refuse(cache, p->key);
    else
        answer_cache_put(cache, p->key,
                         &(struct answer_piece){.first_ms = first_ms,
                                                .last_ms = last_ms,
                                                .has_annotations = has_annotations(r),
                                                .text_hash = text_hash(s),
                                                .version = s->ask->version,
                                                .bytes = buf_slice(&b)});
    buf_done(&b);
}

static bool is_job_of_piece(const struct stepwise *s, size_t job, const struct piece *p)
{
    return s->stretches[job].first >= p->from && s->stretches[job].last < p->to;
}

static void leave_mark(struct stepwise *s)
{
    if (!s->is_marked)
        answer_cache_put(s->ask->cache, s->mark_key, &(struct answer_piece){.version = 0});
    s->is_marked = true;
}

/* The query's steps of one piece, with those that were kept before it and behind it. */
static void keep_piece(struct stepwise *s, struct piece *p)
{
    struct steps_part *parts = arena_array(s->arena, struct steps_part, s->n_jobs + 3);
    int64_t first_ms = time_of(s, p->from), last_ms = time_of(s, p->to - 1);
    const struct answer_piece *h = p->has_kept ? &p->kept : NULL;
    struct engine_result all;
    bool is_whole, is_new = false;
    size_t n = 0, job = 0;
    struct err *e;

    /* what is kept joins this only if no step is missing between, and if it is of the same text */
    if (h && (h->first_ms > last_ms + s->step_ms || h->last_ms < first_ms - s->step_ms ||
              (h->has_annotations && h->text_hash != text_hash(s))))
        h = NULL;
    if (h && h->first_ms < first_ms)
        add_part(parts, &n, (struct steps_part){&p->result, h->first_ms, first_ms - 1});
    for (size_t i = p->from; i < p->to;) {
        size_t to = i;

        while (to < p->to && s->is_kept[to] == s->is_kept[i])
            to++;
        if (s->is_kept[i]) {
            add_part(parts, &n, (struct steps_part){&p->result, time_of(s, i), time_of(s, to - 1)});
            i = to;
            continue;
        }
        while (s->stretches[job].to <= i)
            job++;
        to = ORR_MIN(s->stretches[job].to, p->to);
        if (has_annotations(&s->jobs[job].result) && !is_job_of_piece(s, job, p)) {
            leave_mark(s);
            return;
        }
        add_part(parts, &n,
                 (struct steps_part){&s->jobs[job].result, time_of(s, i), time_of(s, to - 1)});
        is_new = true;
        i = to;
    }
    if (!is_new)
        return;
    if (h && h->last_ms > last_ms)
        add_part(parts, &n, (struct steps_part){&p->result, last_ms + 1, h->last_ms});
    if (h) {
        first_ms = ORR_MIN(first_ms, h->first_ms);
        last_ms = ORR_MAX(last_ms, h->last_ms);
    }
    if ((e = steps_join(s->arena, parts, n, &all, &is_whole))) {
        err_free(e); /* no memory to keep it with: the answer stands */
        return;
    }
    /* Nothing is cheap to find again, and may be what has not come yet. */
    if (all.n_series && is_whole && !arena_over(s->arena) &&
        is_of_query(all.warnings, all.n_warnings) && is_of_query(all.infos, all.n_infos))
        keep_result(s, p, &all, first_ms, last_ms);
}

static void keep(struct stepwise *s, const struct engine_result *r)
{
    if (!is_of_query(r->warnings, r->n_warnings) || !is_of_query(r->infos, r->n_infos))
        return;
    for (size_t i = 0; i < s->n_pieces; i++)
        keep_piece(s, &s->pieces[i]);
}

/* ---- */

static struct err *run_stepwise(struct stepwise *s, engine_run_fn *run, void *arg,
                                struct stepwise_stats *io_stats, struct engine_result *ret)
{
    bool is_limit, is_whole;
    struct err *e;

    lay_out_pieces(s);
    if (!find_pieces(s, io_stats))
        return run_whole(s->ask, run, arg, io_stats, ret);
    find_stretches(s);
    if (s->n_jobs) {
        io_stats->jobs += s->n_jobs;
        run(arg, s->jobs, s->n_jobs);
    }
    for (size_t i = 0; i < s->n; i++)
        io_stats->steps_kept += s->is_kept[i];
    io_stats->steps_run = s->n - io_stats->steps_kept;
    e = take_errors(s, &is_limit);
    if (e && is_limit && s->n_jobs > 1) {
        err_free(e);
        return run_whole(s->ask, run, arg, io_stats, ret);
    }
    if (e)
        return e;
    if (s->n_jobs == 1 && io_stats->steps_kept == 0) {
        *ret = s->jobs[0].result;
    } else {
        if ((e = join_all(s, ret, &is_whole)))
            return e;
        if (!is_whole || has_too_much(s, ret))
            return run_whole(s->ask, run, arg, io_stats, ret);
    }
    keep(s, ret);
    return NULL;
}

struct err *stepwise_query(const struct stepwise_ask *ask, struct arena *a, engine_run_fn *run,
                           void *arg, struct stepwise_stats *ret_stats, struct engine_result *ret)
{
    const struct engine_query *q = ask->q;
    struct stepwise s = {.ask = ask, .arena = a, .step_ms = q->step_ms, .start_ms = q->start_ms};
    uint64_t max = q->max_points ? q->max_points : ENGINE_MAX_POINTS, n;

    *ret_stats = (struct stepwise_stats){0};
    n = q->step_ms > 0 && q->end_ms > q->start_ms
            ? (uint64_t)(q->end_ms - q->start_ms) / (uint64_t)q->step_ms + 1
            : 1;
    if (n < 2 || n > max || !ask->reach->is_stepwise)
        return run_whole(ask, run, arg, ret_stats, ret);
    s.n = (size_t)n;
    s.is_kept = arena_zalloc(a, s.n);
    find_keepable(&s);
    return run_stepwise(&s, run, arg, ret_stats, ret);
}
