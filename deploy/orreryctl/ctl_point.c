#include "deploy/orreryctl/ctl_point.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/num.h"
#include "common/model/fhist.h"

bool ctl_format_parse(const char *name, enum ctl_format *ret)
{
    static const char *const names[] = {
#define X(sym, text) text,
        CTL_FORMATS(X)
#undef X
    };

    for (size_t i = 0; i < ORR_COUNT(names); i++)
        if (strcmp(name, names[i]) == 0) {
            *ret = (enum ctl_format)i;
            return true;
        }
    return false;
}

bool ctl_point_is_stale(const struct ctl_point *s)
{
    return sample_is_stale(s->h ? s->h->sum : s->v);
}

/* ---- text ---- */

static void put_value_text(struct buf *b, struct slice s)
{
    buf_byte(b, '"');
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '\n')
            buf_str(b, "\\n");
        else if (s.ptr[i] == '"' || s.ptr[i] == '\\')
            buf_printf(b, "\\%c", s.ptr[i]);
        else
            buf_byte(b, s.ptr[i]);
    }
    buf_byte(b, '"');
}

void ctl_point_name(struct buf *b, struct labels ls)
{
    struct slice name = labels_get(ls, SLICE(LABEL_NAME));
    bool is_plain = labels_is_legacy_metric(name), is_first = true;

    if (is_plain)
        buf_slice_append(b, name);
    if (is_plain && ls.n == 1)
        return;
    buf_byte(b, '{');
    if (!is_plain && name.len) {
        put_value_text(b, name);
        is_first = false;
    }
    for (size_t i = 0; i < ls.n; i++) {
        if (slice_eq_cstr(ls.ptr[i].name, LABEL_NAME))
            continue;
        if (!is_first)
            buf_byte(b, ',');
        is_first = false;
        if (labels_is_legacy_name(ls.ptr[i].name))
            buf_slice_append(b, ls.ptr[i].name);
        else
            put_value_text(b, ls.ptr[i].name);
        buf_byte(b, '=');
        put_value_text(b, ls.ptr[i].value);
    }
    buf_byte(b, '}');
}

void ctl_point_text(struct buf *b, struct arena *tmp, enum ctl_format format, struct slice name,
                    const struct ctl_point *s)
{
    buf_slice_append(b, name);
    buf_byte(b, ' ');
    if (s->h)
        fhist_text(b, tmp, fhist_from(tmp, s->h));
    else
        buf_f64_text(b, s->v);
    if (format == CTL_FORMAT_LINES)
        buf_printf(b, " %lld\n", (long long)s->t);
    else /* seconds; the sign apart, so that -0.5 keeps it */
        buf_printf(b, " %s%lld.%03lld\n", s->t < 0 ? "-" : "", llabs(s->t / MS_PER_S),
                   llabs(s->t % MS_PER_S));
}

/* ---- JSON ---- */

static void put_number(struct buf *b, double v)
{
    if (sample_is_stale(v))
        buf_str(b, "null");
    else if (isnan(v))
        buf_str(b, "\"NaN\"");
    else if (isinf(v))
        buf_str(b, v > 0 ? "\"Infinity\"" : "\"-Infinity\"");
    else
        num_format(b, v, 'g', -1);
}

static void put_numbers(struct buf *b, const char *key, const double *v, size_t n)
{
    buf_printf(b, ",\"%s\":[", key);
    for (size_t i = 0; i < n; i++) {
        buf_str(b, i ? "," : "");
        put_number(b, v[i]);
    }
    buf_byte(b, ']');
}

static void put_spans(struct buf *b, const char *key, const struct histogram_span *s, size_t n)
{
    buf_printf(b, ",\"%s\":[", key);
    for (size_t i = 0; i < n; i++)
        buf_printf(b, "%s[%d,%u]", i ? "," : "", (int)s[i].offset, s[i].length);
    buf_byte(b, ']');
}

static void put_histogram(struct buf *b, const struct histogram *h)
{
    static const char *const hints[] = {
        [HISTOGRAM_UNKNOWN] = "unknown",
        [HISTOGRAM_RESET] = "reset",
        [HISTOGRAM_NOT_RESET] = "not_reset",
        [HISTOGRAM_GAUGE] = "gauge",
    };

    buf_str(b, "{\"count\":");
    put_number(b, h->count);
    buf_str(b, ",\"sum\":");
    put_number(b, h->sum);
    buf_printf(b, ",\"schema\":%d,\"zero_threshold\":", (int)h->schema);
    put_number(b, h->zero_threshold);
    buf_str(b, ",\"zero_count\":");
    put_number(b, h->zero_count);
    put_spans(b, "positive_spans", h->pos_spans, h->n_pos_spans);
    put_numbers(b, "positive_counts", h->pos_buckets, h->n_pos_buckets);
    put_spans(b, "negative_spans", h->neg_spans, h->n_neg_spans);
    put_numbers(b, "negative_counts", h->neg_buckets, h->n_neg_buckets);
    put_numbers(b, "custom_values", h->custom_bounds, h->n_custom_bounds);
    buf_printf(b, ",\"hint\":\"%s\",\"is_integer\":%s}", hints[h->hint],
               h->is_int ? "true" : "false");
}

static void put_metric(struct buf *b, struct labels ls)
{
    buf_str(b, "{\"metric\":{");
    for (size_t i = 0; i < ls.n; i++) {
        buf_str(b, i ? "," : "");
        buf_json_str(b, ls.ptr[i].name);
        buf_byte(b, ':');
        buf_json_str(b, ls.ptr[i].value);
    }
    buf_byte(b, '}');
}

void ctl_point_json(struct buf *b, struct labels ls, const struct ctl_point *s, size_t n)
{
    put_metric(b, ls);
    buf_str(b, s->h ? ",\"histograms\":[" : ",\"values\":[");
    for (size_t i = 0; i < n; i++) {
        buf_str(b, i ? "," : "");
        if (s[i].h)
            put_histogram(b, s[i].h);
        else
            put_number(b, s[i].v);
    }
    buf_str(b, "],\"timestamps\":[");
    for (size_t i = 0; i < n; i++)
        buf_printf(b, "%s%lld", i ? "," : "", (long long)s[i].t);
    buf_str(b, "]}\n");
}
