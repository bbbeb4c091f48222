#include "ingester/door/expo_import.h"

#include "common/base/base64.h"
#include "common/model/textformat.h"
#include "ingester/door/expo_created.h"
#include "ingester/door/family_wire.h"

/* ---- decoding ---- */

struct importing {
    struct push_builder *b;
    struct line_request *q;
    int64_t now_ms;
    struct push_metadata meta;    /* being put together; family.len 0: none */
    struct expo_created *created; /* NULL: lines _created are series like any other */
    /* Arrays of one native histogram and its exemplars, from series to series. */
    struct push_in_exemplar *exemplars;
    size_t cap_exemplars;
};

static void flush_meta(struct importing *im)
{
    if (im->meta.family.len)
        push_builder_metadata(im->b, &im->meta);
    im->meta = (struct push_metadata){SLICE_EMPTY, SLICE_EMPTY, SLICE_EMPTY, METRIC_UNKNOWN};
}

/* HELP, TYPE and UNIT of a family come one after the other. */
static void take_meta(struct importing *im, const struct textformat *t, enum textformat_entry entry)
{
    if (!slice_eq(im->meta.family, t->family))
        flush_meta(im);
    im->meta.family = t->family;
    if (entry == TEXTFORMAT_TYPE)
        im->meta.type = t->type;
    else if (entry == TEXTFORMAT_HELP)
        im->meta.help = t->text;
    else
        im->meta.unit = t->text;
}

static struct err *add(struct importing *im, struct push_in *in)
{
    struct labels ls = line_request_labels(im->q, (struct labels){in->labels, in->n_labels});

    in->labels = ls.ptr;
    in->n_labels = ls.n;
    return push_builder_add(im->b, in);
}

static struct err *text_series(struct importing *im, const struct textformat *t)
{
    struct sample s = {t->has_time ? t->t_ms : im->now_ms, t->value};
    struct push_in_exemplar x;
    struct push_in in = {
        .labels = t->labels.ptr, .n_labels = t->labels.n, .samples = &s, .n_samples = 1};

    if (im->created && expo_created_is(t))
        return NULL;
    if (im->created)
        in.created_ms = expo_created_of(im->created, t);
    if (t->has_exemplar) {
        x = (struct push_in_exemplar){t->exemplar_labels.ptr, t->exemplar_labels.n,
                                      t->exemplar_value,
                                      t->has_exemplar_time ? t->exemplar_t_ms : s.t_ms};
        in.exemplars = &x;
        in.n_exemplars = 1;
    }
    return add(im, &in);
}

static struct err *text(struct importing *im, enum textformat_kind kind)
{
    struct textformat t;
    enum textformat_entry entry;
    struct err *e = NULL;

    textformat_init(&t, push_builder_arena(im->b), kind, im->q->body);
    while (!e && (entry = textformat_next(&t)) != TEXTFORMAT_END)
        switch (entry) {
        case TEXTFORMAT_BAD:
            return textformat_err(&t);
        case TEXTFORMAT_SERIES:
            e = text_series(im, &t);
            break;
        case TEXTFORMAT_COMMENT:
            break;
        default:
            take_meta(im, &t, entry);
        }
    flush_meta(im);
    return e;
}

static struct err *openmetrics(struct importing *im)
{
    struct expo_created created;
    struct err *e;

    if (!push_builder_limits(im->b)->created_timestamp_zero_ingestion &&
        !push_builder_limits(im->b)->start_timestamp_storage)
        return text(im, TEXTFORMAT_OPENMETRICS);
    expo_created_init(&created, push_builder_arena(im->b), im->q->body);
    im->created = &created;
    e = text(im, TEXTFORMAT_OPENMETRICS);
    expo_created_done(&created);
    return e;
}

static struct err *on_family(void *arg, const struct family_meta *m)
{
    struct importing *im = arg;

    push_builder_metadata(im->b, &(struct push_metadata){m->name, m->help, m->unit, m->type});
    return NULL;
}

static void take_exemplars(struct importing *im, const struct family_series *s, int64_t t_ms,
                           struct push_in *in)
{
    if (s->n_exemplars > im->cap_exemplars) {
        im->cap_exemplars = 2 * s->n_exemplars;
        im->exemplars =
            arena_array(push_builder_arena(im->b), struct push_in_exemplar, im->cap_exemplars);
    }
    for (size_t i = 0; i < s->n_exemplars; i++) {
        const struct family_exemplar *x = &s->exemplars[i];

        im->exemplars[i] = (struct push_in_exemplar){x->labels, x->n_labels, x->value,
                                                     x->has_time ? x->t_ms : t_ms};
    }
    in->exemplars = im->exemplars;
    in->n_exemplars = s->n_exemplars;
}

static struct err *on_series(void *arg, const struct family_series *s)
{
    struct importing *im = arg;
    int64_t t_ms = s->has_time ? s->t_ms : im->now_ms;
    struct sample sample = {t_ms, s->value};
    struct push_histogram h;
    struct push_in in = {.labels = s->labels, .n_labels = s->n_labels, .created_ms = s->created_ms};

    if (s->histogram) {
        h = (struct push_histogram){t_ms, *s->histogram};
        in.histograms = &h;
        in.n_histograms = 1;
    } else {
        in.samples = &sample;
        in.n_samples = 1;
    }
    take_exemplars(im, s, t_ms, &in);
    return add(im, &in);
}

struct err *expo_import_decode(struct push_builder *b, const void *arg)
{
    static const struct family_ops ops = {on_family, on_series};
    const struct expo_import *x = arg;
    struct line_request q = x->q;
    struct importing im = {.b = b, .q = &q, .now_ms = x->t_ms ? x->t_ms : push_builder_now_ms(b)};
    int64_t max = push_builder_limits(b)->max_native_histogram_buckets;

    switch (x->format) {
    case EXPO_PROTOBUF:
        return family_wire_decode(push_builder_arena(b), q.body, (size_t)max, &ops, &im);
    case EXPO_OPENMETRICS:
        return openmetrics(&im);
    default:
        return text(&im, TEXTFORMAT_PROMETHEUS);
    }
}

/* ---- the request ---- */

static struct err *check_protobuf(struct slice rest)
{
    struct slice part, key;

    while (slice_split(&rest, ';', &part)) {
        struct slice value = slice_trim(part);

        if (!slice_split(&value, '=', &key) || !value.ptr)
            continue;
        if ((slice_eq_nocase(key, SLICE("proto")) &&
             !slice_eq_cstr(value, "io.prometheus.client.MetricFamily")) ||
            (slice_eq_nocase(key, SLICE("encoding")) && !slice_eq_cstr(value, "delimited")))
            return err_new(ERR_MEDIA_TYPE,
                           "protobuf with %.*s=%.*s: only io.prometheus.client.MetricFamily, "
                           "delimited, is taken here",
                           SLICE_ARG(slice_sub(key, 0, 64)), SLICE_ARG(slice_sub(value, 0, 128)));
    }
    return NULL;
}

struct err *expo_import_format(struct slice content_type, enum expo_format *ret)
{
    struct slice rest = slice_trim(content_type), type = SLICE_EMPTY;

    if (rest.len)
        (void)slice_split(&rest, ';', &type);
    type = slice_trim(type);
    *ret = EXPO_TEXT;
    if (type.len == 0 || slice_eq_nocase(type, SLICE("text/plain")) ||
        slice_eq_nocase(type, SLICE("application/x-www-form-urlencoded")))
        return NULL;
    *ret = EXPO_OPENMETRICS;
    if (slice_eq_nocase(type, SLICE("application/openmetrics-text")))
        return NULL;
    *ret = EXPO_PROTOBUF;
    if (slice_eq_nocase(type, SLICE("application/vnd.google.protobuf")))
        return rest.ptr ? check_protobuf(rest) : NULL;
    return err_new(ERR_MEDIA_TYPE,
                   "content type %.*s: an import is text/plain, application/openmetrics-text or "
                   "application/vnd.google.protobuf",
                   SLICE_ARG(slice_sub(type, 0, 128)));
}

static struct err *on_headers(struct http_request *r)
{
    enum expo_format format;
    struct err *e = expo_import_format(http_request_header(r, "Content-Type"), &format);

    return e ? e : line_request_admit(r);
}

static bool base64_value(struct arena *a, struct slice s, struct slice *ret)
{
    struct buf b = {0};
    bool is_fine = base64_decode(s, &b);

    if (is_fine)
        *ret = arena_dup(a, buf_slice(&b));
    buf_done(&b);
    return is_fine;
}

/* job/JOB/LABEL/VALUE...: behind the query's extra labels, which win. */
static struct err *path_labels(struct http_request *r, struct slice path, struct line_request *q)
{
    struct slice rest = path, name, value;
    struct label *all;
    size_t parts = 0, n = 0;

    for (size_t i = 0; i < path.len; i++)
        parts += path.ptr[i] == '/';
    if (parts > 2 * 64)
        return err_new(ERR_INVALID, "more than 64 labels in the path");
    all = arena_array(r->arena, struct label, parts + q->extra.n + 1);
    while (slice_split(&rest, '/', &name)) {
        if (!rest.ptr || !slice_split(&rest, '/', &value) || name.len == 0)
            return err_new(ERR_INVALID, "labels in the path come as /name/value");
        if (n == 0 && !slice_eq_cstr(name, "job") && !slice_eq_cstr(name, "job@base64"))
            return err_new(ERR_INVALID, "the path's first label must be job");
        if (slice_has_suffix(name, SLICE("@base64"))) {
            name.len -= strlen("@base64");
            if (!base64_value(r->arena, value, &value))
                return err_new(ERR_INVALID, "label %.*s in the path is not base64",
                               SLICE_ARG(slice_sub(name, 0, 128)));
        }
        all[n++] = (struct label){name, value};
    }
    for (size_t i = 0; i < q->extra.n; i++)
        all[n++] = q->extra.ptr[i];
    q->extra = (struct labels){all, n};
    return NULL;
}

static struct err *read_request(struct http_request *r, struct expo_import *x)
{
    struct slice path = http_request_segment(r, "*"), time = line_request_param(r, "timestamp");
    struct err *e;

    if ((e = expo_import_format(http_request_header(r, "Content-Type"), &x->format)) ||
        (e = line_request_init(r, &x->q)))
        return e;
    if (time.ptr && !slice_to_i64(time, &x->t_ms))
        return err_new(ERR_INVALID, "timestamp must be Unix milliseconds");
    if (!path.ptr)
        return NULL;
    if (!slice_has_prefix(path, SLICE("metrics/")))
        return err_new(ERR_NOT_FOUND, "there is /api/v1/import/prometheus, and below it "
                                      "metrics/job/JOB/LABEL/VALUE");
    return path_labels(r, slice_from(path, strlen("metrics/")), &x->q);
}

static void on_done(void *arg, struct err *e, const struct door_written *written)
{
    struct http_request *r = arg;

    (void)written;
    if (e)
        http_reply_err(r, e);
    else
        http_reply(r, 204, NULL, SLICE_EMPTY);
}

static void handle(struct http_request *r)
{
    static const char *const names[] = {"import_text", "import_openmetrics", "import_protobuf"};
    struct expo_import *x = arena_new_of(r->arena, struct expo_import);
    struct err *e = read_request(r, x);
    struct push_decoder decoder = {
        .name = names[x->format], .decode = expo_import_decode, .arg = x};

    if (e)
        http_reply_err(r, e);
    else
        line_request_write(r, &decoder, on_done, r);
}

void expo_import_routes(struct http_server *s, struct door *d)
{
    static const char *const patterns[] = {"/api/v1/import/prometheus",
                                           "/api/v1/import/prometheus/*"};

    for (size_t i = 0; i < ORR_COUNT(patterns); i++)
        http_server_route(s, &(struct http_route){.methods = HTTP_POST | HTTP_PUT,
                                                  .pattern = patterns[i],
                                                  .max_body_bytes = door_max_body_bytes(d),
                                                  .on_headers = on_headers,
                                                  .handler = handle,
                                                  .arg = d});
}
