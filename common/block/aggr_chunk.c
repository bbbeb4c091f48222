#include "common/block/aggr_chunk.h"

#include <math.h>

#include "common/base/reader.h"

static const char *const kind_names[] = {
#define X(sym, name) name,
    AGGR_KINDS(X)
#undef X
};

static struct err *wrong(enum aggr_kind kind, const char *what)
{
    return err_new(ERR_CORRUPT, "chunk of aggregates: %s %s", kind_names[kind], what);
}

/* ---- the five as bytes ---- */

struct err *aggr_chunk_split(struct slice data, struct aggr_chunk *ret)
{
    struct reader r = reader_new(data);
    struct aggr_chunk c = {0};

    for (int k = 0; k < AGGR_KIND_COUNT; k++) {
        uint64_t n = reader_uvarint(&r);

        if (!reader_ok(&r) || n > data.len)
            return wrong((enum aggr_kind)k, "ends too soon");
        if (n == 0)
            continue;
        c.parts[k].encoding = reader_u8(&r);
        c.parts[k].data = reader_bytes(&r, (size_t)n);
        if (!reader_ok(&r))
            return wrong((enum aggr_kind)k, "ends too soon");
        if (c.parts[k].encoding < CHUNK_XOR || c.parts[k].encoding > CHUNK_FLOAT_HISTOGRAM)
            return wrong((enum aggr_kind)k, "has an unknown encoding");
    }
    if (reader_left(&r))
        return err_new(ERR_CORRUPT, "chunk of aggregates: something is left behind its end");
    *ret = c;
    return NULL;
}

void aggr_chunk_join(struct buf *out, const struct aggr_chunk *c)
{
    for (int k = 0; k < AGGR_KIND_COUNT; k++) {
        const struct aggr_part *p = &c->parts[k];

        if (p->encoding == CHUNK_NONE) {
            buf_uvarint(out, 0);
            continue;
        }
        buf_uvarint(out, p->data.len);
        buf_byte(out, p->encoding);
        buf_slice_append(out, p->data);
    }
}

size_t aggr_chunk_points(struct slice data)
{
    struct aggr_chunk c;
    struct err *e = aggr_chunk_split(data, &c);
    size_t n = e || c.parts[AGGR_COUNT].encoding != CHUNK_XOR
                   ? 0
                   : chunk_samples(c.parts[AGGR_COUNT].data);

    err_free(e);
    return n;
}

/* ---- as columns ---- */

static struct err *decode_part(struct arena *a, const struct aggr_chunk *c, enum aggr_kind kind,
                               bool is_hist, struct chunk_columns *ret)
{
    const struct aggr_part *p = &c->parts[kind];
    struct err *e;

    if (p->encoding == CHUNK_NONE)
        return err_new(ERR_UNSUPPORTED, "chunk of aggregates without %s", kind_names[kind]);
    if ((p->encoding != CHUNK_XOR) != is_hist)
        return wrong(kind, "is of another kind than the others");
    if ((e = chunk_decode(a, p->encoding, p->data, ret)))
        return err_wrap(e, "chunk of aggregates: %s", kind_names[kind]);
    return NULL;
}

/* One of those that have a sample for each point; the first one tells the points. */
static struct err *decode_column(struct arena *a, const struct aggr_chunk *c, enum aggr_kind kind,
                                 struct aggr_columns *io, const double **ret)
{
    struct chunk_columns cols;
    struct err *e = decode_part(a, c, kind, false, &cols);

    if (e)
        return e;
    if (!io->t) {
        io->n = cols.n;
        io->t = cols.t;
    }
    if (cols.n == 0 || cols.n != io->n || memcmp(cols.t, io->t, cols.n * sizeof(*cols.t)) != 0)
        return wrong(kind, "has other times than count");
    *ret = cols.v;
    return NULL;
}

static struct err *decode_count(struct arena *a, const struct aggr_chunk *c,
                                struct aggr_columns *ret)
{
    struct chunk_columns cols;
    struct err *e = decode_part(a, c, AGGR_COUNT, false, &cols);

    if (e)
        return e;
    if (cols.n == 0)
        return wrong(AGGR_COUNT, "has no points");
    for (size_t i = 0; i < cols.n; i++)
        if (!(cols.v[i] > 0) || isinf(cols.v[i]))
            return wrong(AGGR_COUNT, "is not a number above 0");
    ret->n = cols.n;
    ret->t = cols.t;
    ret->count = cols.v;
    return NULL;
}

size_t aggr_chunk_counter_room(const struct aggr_chunk *c)
{
    struct slice data = c->parts[AGGR_COUNTER].data;
    size_t n = chunk_samples(data);

    return c->parts[AGGR_COUNTER].encoding != CHUNK_XOR || n > data.len * 4 ? 0 : n;
}

/* Takes out samples at the time of the one before; all but the last two are in order nearly always. */
static struct err *thin_counter(int64_t *t, double *v, size_t n, size_t *ret_n)
{
    bool is_strict = true;
    size_t kept;

    for (size_t i = 1; i + 1 < n; i++)
        is_strict &= t[i] > t[i - 1];
    kept = is_strict ? n - 1 : 0;
    for (size_t i = kept; i < n; i++) {
        if (kept && t[i] < t[kept - 1])
            return wrong(AGGR_COUNTER, "goes back in time");
        if (kept && t[i] == t[kept - 1])
            continue;
        t[kept] = t[i];
        v[kept++] = v[i];
    }
    *ret_n = kept;
    return NULL;
}

/* A sample at the time of the one before says what the counter was in truth. */
struct err *aggr_chunk_counter(const struct aggr_chunk *c, int64_t *t, double *v, size_t *ret_n,
                               double *ret_last)
{
    const struct aggr_part *counter = &c->parts[AGGR_COUNTER];
    size_t n = aggr_chunk_counter_room(c);
    struct err *e;

    if (counter->encoding != CHUNK_XOR)
        return wrong(AGGR_COUNTER, "is absent, or of another kind than the others");
    if (n == 0)
        return wrong(AGGR_COUNTER, "has no samples, or says more than it holds");
    if ((e = chunk_xor_decode(counter->data, n, t, v, &n)))
        return err_wrap(e, "chunk of aggregates: counter");
    *ret_last = v[n - 1];
    return thin_counter(t, v, n, ret_n);
}

static struct err *decode_counter(struct arena *a, const struct aggr_chunk *c,
                                  struct aggr_columns *ret)
{
    size_t room = aggr_chunk_counter_room(c);
    int64_t *t = arena_array(a, int64_t, room);
    double *v = arena_array(a, double, room);

    ret->counter_t = t;
    ret->counter = v;
    return aggr_chunk_counter(c, t, v, &ret->n_counter, &ret->last);
}

static struct err *decode_floats(struct arena *a, const struct aggr_chunk *c, unsigned parts,
                                 struct aggr_columns *ret)
{
    struct err *e;

    if (((parts & AGGR_BIT(AGGR_COUNT)) && (e = decode_count(a, c, ret))) ||
        ((parts & AGGR_BIT(AGGR_SUM)) && (e = decode_column(a, c, AGGR_SUM, ret, &ret->sum))) ||
        ((parts & AGGR_BIT(AGGR_MIN)) && (e = decode_column(a, c, AGGR_MIN, ret, &ret->min))) ||
        ((parts & AGGR_BIT(AGGR_MAX)) && (e = decode_column(a, c, AGGR_MAX, ret, &ret->max))))
        return e;
    return parts & AGGR_BIT(AGGR_COUNTER) ? decode_counter(a, c, ret) : NULL;
}

static struct err *decode_histograms(struct arena *a, const struct aggr_chunk *c, unsigned parts,
                                     struct aggr_columns *ret)
{
    struct chunk_columns cols;
    struct err *e = decode_count(a, c, ret);

    if (!e && (parts & AGGR_BIT(AGGR_SUM)) && !(e = decode_part(a, c, AGGR_SUM, true, &cols))) {
        if (cols.n != ret->n || memcmp(cols.t, ret->t, cols.n * sizeof(*cols.t)) != 0)
            return wrong(AGGR_SUM, "has other times than count");
        ret->sum_h = cols.h;
    }
    if (!e && (parts & AGGR_BIT(AGGR_COUNTER)) &&
        !(e = decode_part(a, c, AGGR_COUNTER, true, &cols))) {
        ret->n_counter = cols.n;
        ret->counter_t = cols.t;
        ret->counter_h = cols.h;
    }
    return e;
}

/* It begins before the points do, and does not go on behind them. */
static struct err *check_counter_times(const struct aggr_columns *c)
{
    if (c->n_counter == 0 || c->counter_t[0] > c->t[0] ||
        c->counter_t[c->n_counter - 1] > c->t[c->n - 1])
        return wrong(AGGR_COUNTER, "has other times than count");
    for (size_t i = 0, k = 0; c->counter_h && i < c->n; i++) {
        while (k < c->n_counter && c->counter_t[k] < c->t[i])
            k++;
        if (k == c->n_counter || c->counter_t[k] != c->t[i])
            return wrong(AGGR_COUNTER, "has no histogram for a point");
    }
    return NULL;
}

struct err *aggr_chunk_decode(struct arena *a, struct slice data, unsigned parts,
                              struct aggr_columns *ret)
{
    struct aggr_chunk c;
    struct err *e = aggr_chunk_split(data, &c);

    return e ? e : aggr_chunk_decode_split(a, &c, parts, ret);
}

struct err *aggr_chunk_decode_split(struct arena *a, const struct aggr_chunk *c, unsigned parts,
                                    struct aggr_columns *ret)
{
    struct aggr_columns cols = {.is_hist = c->parts[AGGR_SUM].encoding > CHUNK_XOR};
    struct err *e =
        cols.is_hist ? decode_histograms(a, c, parts, &cols) : decode_floats(a, c, parts, &cols);

    if (e || (parts == AGGR_ALL && (e = check_counter_times(&cols))))
        return e;
    *ret = cols;
    return NULL;
}

/* ---- and back ---- */

static struct aggr_part xor_part(struct arena *a, const int64_t *t, const double *v, size_t n)
{
    struct buf b = {0};
    struct slice data;

    chunk_xor_encode(&b, t, v, n);
    data = arena_dup(a, buf_slice(&b));
    buf_done(&b);
    return (struct aggr_part){CHUNK_XOR, data};
}

static void put_chunk(struct arena *a, const struct aggr_chunk *c, int64_t min_t, int64_t max_t,
                      struct chunk_build *out)
{
    struct buf b = {0};
    struct chunk chunk = {.encoding = CHUNK_AGGR, .min_t = min_t, .max_t = max_t};

    aggr_chunk_join(&b, c);
    chunk.data = arena_dup(a, buf_slice(&b));
    buf_done(&b);
    chunk_build_copy(out, &chunk);
}

static void encode_floats(struct arena *a, const struct aggr_columns *c, struct chunk_build *out)
{
    int64_t *t = arena_array(a, int64_t, c->n_counter + 1);
    double *v = arena_array(a, double, c->n_counter + 1);
    struct aggr_chunk parts = {.parts = {[AGGR_COUNT] = xor_part(a, c->t, c->count, c->n),
                                         [AGGR_SUM] = xor_part(a, c->t, c->sum, c->n),
                                         [AGGR_MIN] = xor_part(a, c->t, c->min, c->n),
                                         [AGGR_MAX] = xor_part(a, c->t, c->max, c->n)}};

    memcpy(t, c->counter_t, c->n_counter * sizeof(*t));
    memcpy(v, c->counter, c->n_counter * sizeof(*v));
    t[c->n_counter] = c->t[c->n - 1];
    v[c->n_counter] = c->last;
    parts.parts[AGGR_COUNTER] = xor_part(a, t, v, c->n_counter + 1);
    put_chunk(a, &parts, c->t[0], c->t[c->n - 1], out);
}

/* Sums and counters of histograms that are being put into one chunk. */
struct hist_parts {
    struct chunk_hist_appender *sum, *counter;
    size_t n_counter; /* samples of counter that are in, or were passed over */
};

/* Point i with its counters; false: they do not fit behind the others. */
static bool add_histograms(struct hist_parts *p, const struct aggr_columns *c, size_t i)
{
    struct histogram h = c->sum_h[i];

    h.hint = HISTOGRAM_GAUGE;
    h.is_int = false;
    if (chunk_hist_append(p->sum, c->t[i], &h, CHUNK_MAX_SAMPLES) != CHUNK_HIST_ADDED)
        return false;
    for (; p->n_counter < c->n_counter && c->counter_t[p->n_counter] <= c->t[i]; p->n_counter++) {
        h = c->counter_h[p->n_counter];
        h.is_int = false;
        if (chunk_hist_append(p->counter, c->counter_t[p->n_counter], &h, CHUNK_MAX_SAMPLES) !=
            CHUNK_HIST_ADDED)
            return false;
    }
    return true;
}

/* Points from..end, as far as they go into one chunk; returns where they do not. */
static size_t add_points(struct hist_parts *p, const struct aggr_columns *c, size_t from,
                         size_t end, size_t n_counter, enum chunk_hist_fit why)
{
    chunk_hist_appender_next(p->sum, CHUNK_HIST_ADDED);
    chunk_hist_appender_next(p->counter, why);
    p->n_counter = n_counter;
    for (size_t i = from; i < end; i++)
        if (!add_histograms(p, c, i))
            return i;
    return end;
}

static void encode_histograms(struct arena *a, const struct aggr_columns *c,
                              enum chunk_hist_fit why, struct chunk_build *out)
{
    struct hist_parts p = {chunk_hist_appender_new(), chunk_hist_appender_new(), 0};
    size_t from = 0, end, n_counter = 0;

    for (; from < c->n; from = end, n_counter = p.n_counter, why = CHUNK_HIST_ADDED) {
        struct aggr_chunk parts = {.parts = {{CHUNK_NONE, SLICE_EMPTY}}};

        end = add_points(&p, c, from, c->n, n_counter, why);
        if (end == from) { /* its own counters do not fit together: the last is what counts */
            while (n_counter + 1 < c->n_counter && c->counter_t[n_counter + 1] <= c->t[from])
                n_counter++;
            end = from + 1;
        }
        end = add_points(&p, c, from, end, n_counter, why);
        parts.parts[AGGR_COUNT] = xor_part(a, c->t + from, c->count + from, end - from);
        parts.parts[AGGR_SUM] = (struct aggr_part){chunk_hist_appender_encoding(p.sum),
                                                   arena_dup(a, chunk_hist_appender_data(p.sum))};
        parts.parts[AGGR_COUNTER] =
            (struct aggr_part){chunk_hist_appender_encoding(p.counter),
                               arena_dup(a, chunk_hist_appender_data(p.counter))};
        put_chunk(a, &parts, c->t[from], c->t[end - 1], out);
    }
    chunk_hist_appender_free(p.sum);
    chunk_hist_appender_free(p.counter);
}

void aggr_chunk_encode(struct arena *a, const struct aggr_columns *c, enum chunk_hist_fit why,
                       struct chunk_build *out)
{
    ORR_ASSERT(c->n && c->n <= AGGR_MAX_POINTS && c->n_counter <= c->n + 1);
    if (c->sum_h)
        encode_histograms(a, c, why, out);
    else
        encode_floats(a, c, out);
}

/* ---- without some points ---- */

struct kept {
    struct aggr_columns c;
    int64_t *t, *counter_t;
    double *count, *sum, *min, *max, *counter;
    struct histogram *sum_h, *counter_h;
};

static void alloc_kept(struct arena *a, const struct aggr_columns *all, struct kept *k)
{
    bool is_hist = all->sum_h != NULL;

    k->t = arena_array(a, int64_t, all->n);
    k->count = arena_array(a, double, all->n);
    k->sum = arena_array(a, double, all->n);
    k->min = arena_array(a, double, all->n);
    k->max = arena_array(a, double, all->n);
    k->counter_t = arena_array(a, int64_t, all->n_counter);
    k->counter = arena_array(a, double, all->n_counter);
    if (is_hist) {
        k->sum_h = arena_array(a, struct histogram, all->n);
        k->counter_h = arena_array(a, struct histogram, all->n_counter);
    }
    k->c = (struct aggr_columns){.t = k->t,
                                 .count = k->count,
                                 .sum = k->sum,
                                 .min = k->min,
                                 .max = k->max,
                                 .sum_h = k->sum_h,
                                 .counter_t = k->counter_t,
                                 .counter = k->counter,
                                 .counter_h = k->counter_h,
                                 .last = all->last};
}

static void keep_point(struct kept *k, const struct aggr_columns *all, size_t i)
{
    size_t n = k->c.n++;

    k->t[n] = all->t[i];
    k->count[n] = all->count[i];
    if (all->sum_h) {
        k->sum_h[n] = all->sum_h[i];
    } else {
        k->sum[n] = all->sum[i];
        k->min[n] = all->min[i];
        k->max[n] = all->max[i];
    }
}

/* Counters of the points kept. What the counter was at the end of the chunk stays: the next one goes on from it. */
static void keep_counters(struct kept *k, const struct aggr_columns *all)
{
    size_t at = 0;

    for (size_t i = 0; i < all->n_counter; i++) {
        bool is_first = i == 0 && all->counter_t[0] < all->t[0];

        while (at < k->c.n && k->t[at] < all->counter_t[i])
            at++;
        if (is_first ? k->t[0] != all->t[0] : at == k->c.n || k->t[at] != all->counter_t[i])
            continue;
        k->counter_t[k->c.n_counter] = all->counter_t[i];
        if (all->counter_h)
            k->counter_h[k->c.n_counter++] = all->counter_h[i];
        else
            k->counter[k->c.n_counter++] = all->counter[i];
    }
}

struct err *aggr_chunk_without(struct arena *a, const struct chunk *c, aggr_point_fn *is_out,
                               void *arg, struct chunk_build *out, uint64_t *io_dropped)
{
    struct aggr_columns all;
    struct kept k = {.t = NULL};
    struct err *e = aggr_chunk_decode(a, c->data, AGGR_ALL, &all);

    if (e)
        return e;
    alloc_kept(a, &all, &k);
    for (size_t i = 0; i < all.n; i++)
        if (!is_out(arg, all.t[i]))
            keep_point(&k, &all, i);
    *io_dropped += all.n - k.c.n;
    if (k.c.n == 0)
        return NULL;
    keep_counters(&k, &all);
    if (k.c.n_counter == 0)
        return wrong(AGGR_COUNTER, "has nothing at the times of the points");
    aggr_chunk_encode(a, &k.c, CHUNK_HIST_ADDED, out);
    return NULL;
}
