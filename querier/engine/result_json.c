#include "querier/engine/result_json.h"

#include "common/base/base64.h"
#include "common/base/mem.h"
#include "common/base/num.h"
#include "common/model/fhist.h"
#include "common/model/hist_wire.h"

/* Longest: a sign, 19 digits, a point, 3 digits. */
#define TIME_BYTES 24

static size_t write_time(char *out, int64_t t_ms)
{
    uint64_t abs = t_ms < 0 ? 0 - (uint64_t)t_ms : (uint64_t)t_ms;
    unsigned ms = (unsigned)(abs % 1000);
    size_t n = 0;

    if (t_ms < 0)
        out[n++] = '-';
    n += num_write_u64(abs / 1000, out + n);
    if (ms) {
        out[n++] = '.';
        out[n++] = (char)('0' + ms / 100);
        out[n++] = (char)('0' + ms / 10 % 10);
        out[n++] = (char)('0' + ms % 10);
    }
    return n;
}

void result_json_time(struct buf *out, int64_t t_ms)
{
    char *at = (char *)buf_reserve(out, TIME_BYTES);

    if (at)
        out->len += write_time(at, t_ms);
}

static void value_text(struct buf *out, double v)
{
    char *at = (char *)buf_reserve(out, NUM_F_BYTES + 2), *p = at;

    if (!at)
        return;
    *p++ = '"';
    p += num_write_f(v, p);
    *p++ = '"';
    out->len += (size_t)(p - at);
}

/* Which ends belong to a bucket: 0 the upper, 1 the lower, 2 none, 3 both. */
static int bucket_rule(const struct fhist_range *r)
{
    if (r->lower < 0)
        return r->upper > 0 ? 3 : 1;
    return r->upper > 0 ? 0 : 2;
}

void result_json_histogram(struct buf *out, const struct histogram *h)
{
    struct arena *a = arena_new(0);
    struct fhist_range *r;
    size_t n = fhist_ranges(a, fhist_from(a, h), &r);

    buf_str(out, "{\"count\":");
    value_text(out, h->count);
    buf_str(out, ",\"sum\":");
    value_text(out, h->sum);
    if (n)
        buf_str(out, ",\"buckets\":[");
    for (size_t i = 0; i < n; i++) {
        buf_printf(out, "%s[%d,", i ? "," : "", bucket_rule(&r[i]));
        value_text(out, r[i].lower);
        buf_byte(out, ',');
        value_text(out, r[i].upper);
        buf_byte(out, ',');
        value_text(out, r[i].count);
        buf_byte(out, ']');
    }
    buf_str(out, n ? "]}" : "}");
    arena_free(a);
}

/*
 * The series of a matrix have the same few hundred or thousand times, so the text of a time is kept
 * from one series to the next, by the place of the point in its series.
 */
struct json_times {
    struct {
        int64_t t_ms;
        uint8_t len; /* 0: not yet made */
        char text[TIME_BYTES];
    } * at;
    size_t n;
};

static size_t kept_time(struct json_times *times, size_t i, char *out, int64_t t_ms)
{
    if (!times || i >= times->n)
        return write_time(out, t_ms);
    if (times->at[i].t_ms != t_ms || !times->at[i].len) {
        times->at[i].t_ms = t_ms;
        times->at[i].len = (uint8_t)write_time(times->at[i].text, t_ms);
    }
    memcpy(out, times->at[i].text, TIME_BYTES);
    return times->at[i].len;
}

#define POINT_BYTES (TIME_BYTES + NUM_F_BYTES + 6)

/* [time,"value"] */
static size_t write_point(char *out, struct json_times *times, size_t i, int64_t t_ms, double v)
{
    char *p = out;

    *p++ = '[';
    p += kept_time(times, i, p, t_ms);
    *p++ = ',';
    *p++ = '"';
    p += num_write_f(v, p);
    *p++ = '"';
    *p++ = ']';
    return (size_t)(p - out);
}

static void float_point(struct buf *out, int64_t t_ms, double v)
{
    char *at = (char *)buf_reserve(out, POINT_BYTES);

    if (at)
        out->len += write_point(at, NULL, 0, t_ms, v);
}

/* The bulk of most answers: written straight into the buffer. */
static void float_points(struct buf *out, const struct engine_series *s, struct json_times *times)
{
    for (size_t i = 0; i < s->n; i++) {
        char *at = (char *)buf_reserve(out, POINT_BYTES), *p = at;

        if (!at)
            return;
        if (i)
            *p++ = ',';
        p += write_point(p, times, i, s->t_ms[i], s->v[i]);
        out->len += (size_t)(p - at);
    }
}

static void exact_histogram(struct buf *out, const struct histogram *h)
{
    struct buf bytes = {0};

    hist_wire_encode(&bytes, h);
    buf_byte(out, '"');
    base64_encode(buf_slice(&bytes), true, out);
    buf_byte(out, '"');
    buf_done(&bytes);
}

static void hist_point(struct buf *out, int64_t t_ms, const struct histogram *h, bool is_exact)
{
    buf_byte(out, '[');
    result_json_time(out, t_ms);
    buf_byte(out, ',');
    if (is_exact)
        exact_histogram(out, h);
    else
        result_json_histogram(out, h);
    buf_byte(out, ']');
}

static void vector_series(struct buf *out, const struct engine_series *s, bool is_exact)
{
    if (s->n) {
        buf_str(out, ",\"value\":");
        float_point(out, s->t_ms[0], s->v[0]);
    } else if (s->n_hist) {
        buf_str(out, ",\"histogram\":");
        hist_point(out, s->hist_t_ms[0], s->hist[0], is_exact);
    }
}

static void matrix_series(struct buf *out, const struct engine_series *s, struct json_times *times,
                          bool is_exact)
{
    if (s->n) {
        buf_str(out, ",\"values\":[");
        float_points(out, s, times);
        buf_byte(out, ']');
    }
    if (s->n_hist) {
        buf_str(out, ",\"histograms\":[");
        for (size_t i = 0; i < s->n_hist; i++) {
            if (i)
                buf_byte(out, ',');
            hist_point(out, s->hist_t_ms[i], s->hist[i], is_exact);
        }
        buf_byte(out, ']');
    }
}

#define MAX_KEPT_TIMES 16384 /* 11,000 points is the most that a range query has */

static void times_init(struct json_times *times, const struct engine_result *r)
{
    *times = (struct json_times){0};
    if (r->type != ENGINE_MATRIX || r->n_series < 2)
        return;
    for (size_t i = 0; i < r->n_series; i++)
        times->n = ORR_MAX(times->n, r->series[i].n);
    times->n = ORR_MIN(times->n, MAX_KEPT_TIMES);
    times->at = mem_alloc(ORR_MAX(times->n, 1) * sizeof(*times->at));
    for (size_t i = 0; i < times->n; i++)
        times->at[i].len = 0;
}

static struct err *series_list(struct buf *out, const struct engine_result *r,
                               const struct result_json_opts *opts)
{
    struct json_times times;
    struct err *e = NULL;

    times_init(&times, r);
    buf_byte(out, '[');
    for (size_t i = 0; i < r->n_series && !e; i++) {
        buf_str(out, i ? ",{\"metric\":" : "{\"metric\":");
        labels_json(out, r->series[i].labels);
        if (r->type == ENGINE_VECTOR)
            vector_series(out, &r->series[i], opts->exact_histograms);
        else
            matrix_series(out, &r->series[i], &times, opts->exact_histograms);
        buf_byte(out, '}');
        if (opts->on_series)
            e = opts->on_series(opts->arg);
    }
    buf_str(out, "]}");
    mem_free(times.at);
    return e;
}

struct err *result_json_pieces(struct buf *out, const struct engine_result *r,
                               const struct result_json_opts *opts)
{
    buf_printf(out, "{\"resultType\":\"%s\",\"result\":", engine_type_name(r->type));
    switch (r->type) {
    case ENGINE_STRING:
        buf_byte(out, '[');
        result_json_time(out, r->string_t_ms);
        buf_byte(out, ',');
        buf_json_str(out, r->string);
        buf_str(out, "]}");
        return NULL;
    case ENGINE_SCALAR:
        float_point(out, r->series[0].t_ms[0], r->series[0].v[0]);
        buf_byte(out, '}');
        return NULL;
    case ENGINE_VECTOR:
    case ENGINE_MATRIX:
        return series_list(out, r, opts);
    }
    return NULL;
}

void result_json_data(struct buf *out, const struct engine_result *r)
{
    struct err *e = result_json_pieces(out, r, &(struct result_json_opts){0});

    ORR_ASSERT(!e); /* nobody is called who could fail */
}

size_t result_json_estimate(const struct engine_result *r)
{
    size_t n = 0;

    for (size_t i = 0; i < r->n_series; i++) {
        const struct engine_series *s = &r->series[i];

        n += s->labels.n * 32 + s->n * 40 + s->n_hist * 2000;
    }
    return n;
}
