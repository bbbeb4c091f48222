#include "querier/logs/logtail.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "querier/logs/logjson.h"

#define SEED 0x7461696cull

struct seen {
    uint64_t hash;
    int64_t ts_ns;
    bool is_found; /* in the window at hand */
};

struct logtail {
    struct logtail_opts opts;
    char *expr;
    int64_t next_ns; /* where new lines begin: the end of the last window */
    int64_t
        first_ns; /* what stands before it is not given, or all of it was and is not known any more */
    int64_t late_ns; /* how far a window looks back before next_ns */
    bool has_begun;
    VEC(struct seen) seen; /* what was given from first_ns on, by hash */
};

struct logtail *logtail_new(const struct logtail_opts *opts)
{
    struct logtail *t = mem_new(struct logtail);

    t->opts = *opts;
    t->expr = slice_dup(opts->expr);
    t->opts.expr = slice_cstr(t->expr);
    t->opts.expr.len = opts->expr.len;
    t->next_ns = t->first_ns = opts->start_ns;
    t->late_ns = LOGTAIL_LATE_NS;
    return t;
}

void logtail_free(struct logtail *t)
{
    if (!t)
        return;
    vec_done(&t->seen);
    mem_free(t->expr);
    mem_free(t);
}

void logtail_batch_done(struct logtail_batch *b)
{
    VEC_FOREACH (m, &b->messages)
        buf_done(m);
    vec_done(&b->messages);
}

/* ---- the lines of a window ---- */

struct tail_entry {
    const struct logquery_stream *stream;
    const struct logquery_line *line;
    uint64_t hash;
    size_t order;
    bool is_new;
};

static int by_time(const void *a, const void *b)
{
    const struct tail_entry *x = a, *y = b;

    if (x->line->ts_ns != y->line->ts_ns)
        return x->line->ts_ns < y->line->ts_ns ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

static int by_hash(const void *a, const void *b)
{
    const struct seen *x = a, *y = b;

    return (x->hash > y->hash) - (x->hash < y->hash);
}

static uint64_t hash_of(uint64_t labels, const struct logquery_line *line)
{
    uint64_t h = hash_xxh64(slice_of(&line->ts_ns, sizeof(line->ts_ns)), labels);

    return hash_xxh64(line->line, h);
}

/* All of the answer, oldest first. */
static struct tail_entry *entries_of(struct arena *a, const struct logquery_result *r,
                                     size_t *ret_n)
{
    struct tail_entry *out;
    struct buf key = {0};
    size_t n = 0;

    for (size_t i = 0; i < r->n_streams; i++)
        n += r->streams[i].n;
    out = arena_array(a, struct tail_entry, n + 1);
    n = 0;
    for (size_t i = 0; i < r->n_streams; i++) {
        const struct logquery_stream *s = &r->streams[i];
        uint64_t labels;

        buf_reset(&key);
        labels_canonical(&key, s->labels);
        labels = hash_xxh64(buf_slice(&key), SEED);
        for (size_t k = 0; k < s->n; k++) {
            /* of one time and stream: as they came, also where newest first was asked for */
            size_t order = r->is_forward ? n : SIZE_MAX - n;

            out[n++] =
                (struct tail_entry){s, &s->lines[k], hash_of(labels, &s->lines[k]), order, true};
        }
    }
    buf_done(&key);
    if (n)
        qsort(out, n, sizeof(*out), by_time);
    *ret_n = n;
    return out;
}

/* Of lines with the same hash as many are not new as were given. */
static bool was_seen(struct logtail *t, uint64_t hash)
{
    size_t from = 0, to = t->seen.len;

    while (from < to) {
        size_t mid = (from + to) / 2;

        if (t->seen.ptr[mid].hash < hash)
            from = mid + 1;
        else
            to = mid;
    }
    for (; from < t->seen.len && t->seen.ptr[from].hash == hash; from++)
        if (!t->seen.ptr[from].is_found) {
            t->seen.ptr[from].is_found = true;
            return true;
        }
    return false;
}

/* Those that the next window can have; first_ns becomes its beginning. */
static void remember(struct logtail *t, const struct tail_entry *e, size_t n)
{
    size_t kept = 0;

    t->first_ns = ORR_MAX(t->first_ns, t->next_ns - t->late_ns);
    for (size_t i = 0; i < t->seen.len; i++)
        if (t->seen.ptr[i].ts_ns >= t->first_ns) {
            t->seen.ptr[kept] = t->seen.ptr[i];
            t->seen.ptr[kept++].is_found = false;
        }
    t->seen.len = kept;
    for (size_t i = 0; i < n; i++)
        if (e[i].is_new && e[i].line->ts_ns >= t->first_ns)
            vec_push(&t->seen, ((struct seen){e[i].hash, e[i].line->ts_ns, false}));
    if (t->seen.len)
        qsort(t->seen.ptr, t->seen.len, sizeof(*t->seen.ptr), by_hash);
    else
        vec_done(&t->seen);
}

/* ---- messages ---- */

static void put_entry(struct buf *out, const struct tail_entry *e, const struct tail_entry *before,
                      bool categorizes)
{
    bool is_same =
        before && (before->stream == e->stream ||
                   (categorizes && labels_eq(before->stream->stream, e->stream->stream)));

    if (is_same) {
        buf_byte(out, ',');
    } else {
        buf_str(out, before ? "]},{\"stream\":" : "{\"streams\":[{\"stream\":");
        labels_json(out, categorizes ? e->stream->stream : e->stream->labels);
        buf_str(out, ",\"values\":[");
    }
    logjson_line(out, e->stream, e->line, categorizes);
}

static void end_message(struct buf *out, bool categorizes)
{
    buf_str(out, "]}]");
    if (categorizes)
        buf_str(out, ",\"encodingFlags\":[\"categorize-labels\"]");
    buf_byte(out, '}');
}

/* The new ones, up to the bound; gives how many entries are done with. */
static size_t put_messages(struct logtail *t, const struct tail_entry *e, size_t n,
                           struct logtail_batch *ret)
{
    const struct tail_entry *before = NULL;
    struct buf *out = NULL;
    size_t in_message = 0, bytes = 0, i;

    for (i = 0; i < n && bytes < LOGTAIL_BYTES; i++) {
        if (!e[i].is_new)
            continue;
        if (!before)
            out = vec_add(&ret->messages);
        put_entry(out, &e[i], before, t->opts.categorizes);
        before = &e[i];
        ret->lines++;
        in_message++;
        bytes += e[i].line->line.len;
        if (in_message == LOGTAIL_MESSAGE_LINES || bytes >= LOGTAIL_BYTES) {
            end_message(out, t->opts.categorizes);
            before = NULL;
            in_message = 0;
        }
    }
    if (before)
        end_message(out, t->opts.categorizes);
    return i;
}

/* ---- polls ---- */

void logtail_window(const struct logtail *t, int64_t now_ns, int64_t *ret_start_ns,
                    int64_t *ret_end_ns)
{
    *ret_end_ns = now_ns - t->opts.delay_ns;
    *ret_start_ns = ORR_MIN(t->first_ns, *ret_end_ns);
}

/* The window is done with up to its end, or to the last entry that there was room for. */
static void advance(struct logtail *t, const struct tail_entry *e, size_t done, bool is_cut,
                    bool has_given, int64_t end_ns)
{
    if (!is_cut) {
        t->next_ns = ORR_MAX(t->next_ns, end_ns);
        if (done < LOGTAIL_LINES / 2)
            t->late_ns = ORR_MIN(ORR_MAX(t->late_ns * 2, LOGTAIL_LATE_NS / 64), LOGTAIL_LATE_NS);
        return;
    }
    t->late_ns = t->late_ns > NS_PER_MS ? t->late_ns / 2 : 0;
    /* Nothing new among as many of one moment as a window has: it is over with them. */
    if (!has_given && t->late_ns == 0 && e[done - 1].line->ts_ns <= t->next_ns)
        t->next_ns++;
    else
        t->next_ns = ORR_MAX(e[done - 1].line->ts_ns, t->next_ns);
}

static struct err *read_window(const struct logtail *t, const struct engine *eng,
                               struct logsource *source, struct arena *a,
                               const struct logtail_poll *poll, struct logquery_result *ret)
{
    struct logquery q = {.expr = t->opts.expr,
                         .is_forward = t->has_begun,
                         .limit = t->has_begun ? LOGTAIL_LINES : t->opts.limit,
                         .max_bytes = poll->max_bytes,
                         .deadline_mono_ms = poll->deadline_mono_ms,
                         .cancel = poll->cancel};

    logtail_window(t, poll->now_ns, &q.start_ns, &q.end_ns);
    return logquery(eng, &q, source, a, ret);
}

struct err *logtail_poll(struct logtail *t, const struct engine *eng, struct logsource *source,
                         struct arena *a, const struct logtail_poll *poll,
                         struct logtail_batch *ret)
{
    int64_t start_ns, end_ns;
    struct logquery_result r;
    struct tail_entry *e;
    size_t n, done;
    bool is_cut;
    struct err *err = read_window(t, eng, source, a, poll, &r);

    if (err)
        return err;
    logtail_window(t, poll->now_ns, &start_ns, &end_ns);
    e = entries_of(a, &r, &n);
    for (size_t i = 0; i < n; i++)
        e[i].is_new = !was_seen(t, e[i].hash);
    done = put_messages(t, e, n, ret);
    is_cut = done < n || (t->has_begun && n >= LOGTAIL_LINES);
    /* What stood before the newest limit lines is not new later. */
    if (!t->has_begun && n >= t->opts.limit)
        t->first_ns = e[0].line->ts_ns + 1;
    advance(t, e, done, is_cut, ret->lines > 0, end_ns);
    remember(t, e, done);
    t->has_begun = true;
    ret->has_more = is_cut;
    return NULL;
}
