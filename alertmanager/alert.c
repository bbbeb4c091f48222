#include "alertmanager/alert.h"

#include "alertmanager/amroute.h"
#include "common/base/gotime.h"
#include "common/base/mem.h"
#include "common/base/reader.h"

struct alert *alert_new(struct labels labels, struct labels annotations, struct slice generator)
{
    struct alert *a = mem_new(struct alert);

    a->refs = 1;
    a->labels = labels_dup_heap(labels);
    a->annotations = labels_dup_heap(annotations);
    a->generator_url = slice_of(slice_dup(generator), generator.len);
    a->fingerprint = amroute_fingerprint(a->labels);
    return a;
}

struct alert *alert_ref(struct alert *a)
{
    a->refs++;
    return a;
}

void alert_unref(struct alert *a)
{
    if (!a || --a->refs)
        return;
    mem_free((void *)a->labels.ptr);
    mem_free((void *)a->annotations.ptr);
    mem_free((void *)a->generator_url.ptr);
    mem_free(a);
}

void alert_vec_done(alert_vec *v)
{
    VEC_FOREACH (a, v)
        alert_unref(*a);
    vec_done(v);
}

static struct alert *merge(const struct alert *older, const struct alert *younger, int64_t now_ns)
{
    struct alert *m = alert_new(younger->labels, younger->annotations, younger->generator_url);

    m->starts_ns = ORR_MIN(older->starts_ns, younger->starts_ns);
    m->ends_ns = younger->ends_ns;
    m->updated_ns = younger->updated_ns;
    m->is_timeout = younger->is_timeout;
    if (older->ends_ns > younger->ends_ns &&
        (alert_is_resolved(younger, now_ns) ? alert_is_resolved(older, now_ns)
                                            : !older->is_timeout))
        m->ends_ns = older->ends_ns;
    return m;
}

struct alert *alert_merge(struct alert *old, struct alert *new_one, int64_t now_ns)
{
    bool ends_inside = new_one->ends_ns > old->starts_ns && new_one->ends_ns < old->ends_ns;
    bool starts_inside = new_one->starts_ns > old->starts_ns && new_one->starts_ns < old->ends_ns;

    if (!ends_inside && !starts_inside)
        return alert_ref(new_one);
    return new_one->updated_ns < old->updated_ns ? merge(new_one, old, now_ns)
                                                 : merge(old, new_one, now_ns);
}

static int cmp_label(const struct alert *a, const struct alert *b, struct slice name)
{
    struct slice x = labels_get(a->labels, name), y = labels_get(b->labels, name);

    if (!x.len || !y.len)
        return (x.len == 0) - (y.len == 0); /* those without come last */
    return slice_cmp(x, y);
}

int alert_cmp(const struct alert *a, const struct alert *b)
{
    size_t n = a->labels.n;
    int c;

    if ((c = cmp_label(a, b, SLICE("job"))) || (c = cmp_label(a, b, SLICE("instance"))))
        return c;
    if (n != b->labels.n)
        return n < b->labels.n ? -1 : 1;
    for (size_t i = 0; i < n; i++) {
        const struct label *x = &a->labels.ptr[i], *y = &b->labels.ptr[i];

        /* the smaller name is missing in the other */
        if ((c = slice_cmp(x->name, y->name)))
            return c < 0 ? 1 : -1;
        if ((c = slice_cmp(x->value, y->value)))
            return c;
    }
    return 0;
}

/* ---- wire ---- */

void alert_encode(struct buf *out, const alert_vec *v)
{
    buf_uvarint(out, v->len);
    VEC_FOREACH (p, v) {
        const struct alert *a = *p;

        labels_put(out, a->labels);
        labels_put(out, a->annotations);
        buf_lstr(out, a->generator_url);
        buf_varint(out, a->starts_ns);
        buf_varint(out, a->ends_ns);
        buf_varint(out, a->updated_ns);
        buf_byte(out, a->is_timeout);
    }
}

static bool take_labels(struct reader *r, struct label *ls, struct labels *ret)
{
    uint64_t n = reader_uvarint(r);
    struct slice dup;

    if (n > ALERT_MAX_LABELS)
        return false;
    for (uint64_t i = 0; i < n; i++) {
        ls[i].name = reader_lstr(r);
        ls[i].value = reader_lstr(r);
        if (!reader_ok(r) || !ls[i].name.len || !ls[i].value.len)
            return false;
    }
    *ret = (struct labels){ls, (size_t)n};
    return labels_sort(ls, (size_t)n, &dup);
}

static struct alert *take(struct reader *r)
{
    struct label ls[ALERT_MAX_LABELS], as[ALERT_MAX_LABELS];
    struct labels labels, annotations;
    struct slice generator;
    struct alert *a;

    if (!take_labels(r, ls, &labels) || !take_labels(r, as, &annotations) || !labels.n)
        return NULL;
    generator = reader_lstr(r);
    if (!reader_ok(r))
        return NULL;
    a = alert_new(labels, annotations, generator);
    a->starts_ns = reader_varint(r);
    a->ends_ns = reader_varint(r);
    a->updated_ns = reader_varint(r);
    a->is_timeout = reader_u8(r) != 0;
    if (!reader_ok(r)) {
        alert_unref(a);
        return NULL;
    }
    return a;
}

struct err *alert_decode(struct slice bytes, alert_vec *ret)
{
    struct reader r = reader_new(bytes);
    uint64_t n = reader_uvarint(&r);
    alert_vec v = {0};

    if (!reader_ok(&r) || n > ALERT_MAX_POST)
        return err_new(ERR_INVALID, "alerts: malformed");
    for (uint64_t i = 0; i < n; i++) {
        struct alert *a = take(&r);

        if (!a) {
            alert_vec_done(&v);
            return err_new(ERR_INVALID, "alerts: malformed");
        }
        vec_push(&v, a);
    }
    *ret = v;
    return NULL;
}

/* ---- times ---- */

void alert_time_text(struct buf *out, int64_t ns)
{
    struct gotime t = gotime_of_ns(ns, NULL);

    if (ns == INT64_MIN)
        buf_str(out, "0001-01-01T00:00:00Z");
    else
        gotime_format(out, &t, SLICE(GOTIME_RFC3339_NANO));
}

void alert_time_api(struct buf *out, int64_t ns)
{
    struct gotime t = gotime_of_ns(ns, NULL);

    gotime_format(out, &t, SLICE("2006-01-02T15:04:05.000Z07:00"));
}
