#include "ingester/door/graphite_write.h"

#include <math.h>
#include <stdio.h>

#include "common/base/jsonval.h"
#include "ingester/door/graphite_line.h"

#define JSON_DEPTH 8
#define JSON_MAX_BYTES (8u << 20) /* a document takes several times its text */

struct writing {
    struct push_builder *b;
    struct line_request *q; /* may be NULL */
    uint64_t published, invalid;
};

/* The labels are p's tags; the first is for the name. */
static struct err *add(struct writing *w, struct graphite_line *p)
{
    struct sample s = {p->has_time ? p->t_ms : push_builder_now_ms(w->b), p->value};
    struct labels ls = {p->tags, p->n_tags + 1};

    p->tags[0] = (struct label){SLICE(LABEL_NAME), p->path};
    if (w->q)
        ls = line_request_labels(w->q, ls);
    w->published++;
    return push_builder_add(
        w->b, &(struct push_in){.labels = ls.ptr, .n_labels = ls.n, .samples = &s, .n_samples = 1});
}

static void refuse(struct writing *w, const char *what, size_t number, const char *why)
{
    char detail[128];

    (void)snprintf(detail, sizeof(detail), "%s %zu: %s", what, number, why);
    push_builder_reject_with(w->b, DOOR_BAD_LINE, 1, SLICE_EMPTY, detail);
    w->invalid++;
}

static struct err *lines(struct writing *w, struct slice text)
{
    struct graphite_line p;
    enum graphite_item item;
    struct err *e = NULL;

    graphite_line_init(&p, text);
    while (!e && (item = graphite_line_next(&p)) != GRAPHITE_END)
        if (item == GRAPHITE_POINT)
            e = add(w, &p);
        else
            refuse(w, "line", p.line, p.error);
    return e;
}

/* ---- JSON ---- */

static bool number_of(struct jsonval v, double *ret)
{
    switch (jsonval_kind(v)) {
    case JSONVAL_I64:
        *ret = (double)jsonval_i64(v);
        return true;
    case JSONVAL_U64:
        *ret = (double)jsonval_u64(v);
        return true;
    case JSONVAL_F64:
        *ret = jsonval_f64(v);
        return true;
    default:
        return false;
    }
}

static const char *read_tags(struct graphite_line *p, struct jsonval list)
{
    struct jsonval_iter it = jsonval_iter(list);
    struct slice none, key;
    struct jsonval v;

    if (jsonval_kind(list) == JSONVAL_NULL)
        return NULL;
    if (jsonval_kind(list) != JSONVAL_LIST)
        return "tags must be a list";
    while (jsonval_next(&it, &none, &v)) {
        struct slice value;

        if (jsonval_kind(v) != JSONVAL_TEXT)
            return "a tag must be name=value";
        value = jsonval_text(v);
        if (!slice_split(&value, '=', &key) || !value.ptr || key.len == 0)
            return "a tag must be name=value";
        if (p->n_tags == GRAPHITE_MAX_TAGS)
            return "too many tags";
        p->tags[++p->n_tags] = (struct label){key, value};
    }
    return NULL;
}

/* Why it cannot be taken, or NULL. */
static const char *read_point(struct graphite_line *p, struct jsonval point)
{
    struct jsonval_iter it = jsonval_iter(point);
    bool has_value = false;
    struct slice key;
    struct jsonval v;
    const char *why;
    double seconds;

    p->path = SLICE_EMPTY;
    p->n_tags = 0;
    p->has_time = false;
    if (jsonval_kind(point) != JSONVAL_OBJECT)
        return "not an object";
    while (jsonval_next(&it, &key, &v))
        if (slice_eq_cstr(key, "name") && jsonval_kind(v) == JSONVAL_TEXT) {
            p->path = jsonval_text(v);
        } else if (slice_eq_cstr(key, "value")) {
            has_value = number_of(v, &p->value);
        } else if (slice_eq_cstr(key, "time")) {
            if (!number_of(v, &seconds) || !(fabs(seconds) < 1e13))
                return "a time that is no Unix time";
            p->has_time = true;
            p->t_ms = (int64_t)(seconds * 1000);
        } else if (slice_eq_cstr(key, "tags") && (why = read_tags(p, v))) {
            return why;
        }
    return p->path.len == 0 ? "a name is missing" : has_value ? NULL : "a value is missing";
}

static struct err *json(struct writing *w, struct slice text)
{
    struct jsonval_doc *doc;
    struct jsonval root, point;
    struct jsonval_iter it;
    struct graphite_line p;
    struct slice none;
    struct err *e;
    size_t n = 0;

    if (text.len > JSON_MAX_BYTES)
        return err_new(ERR_TOO_LARGE, "more than %u bytes of JSON", JSON_MAX_BYTES);
    if ((e = jsonval_parse(text, JSON_DEPTH, &doc, &root)))
        return e;
    if (jsonval_kind(root) != JSONVAL_LIST)
        e = err_new(ERR_INVALID, "a list of points was expected");
    for (it = jsonval_iter(root); !e && jsonval_next(&it, &none, &point);) {
        const char *why = read_point(&p, point);

        n++;
        if (why)
            refuse(w, "point", n, why);
        else
            e = add(w, &p);
    }
    jsonval_free(doc);
    return e;
}

struct err *graphite_write_decode(struct push_builder *b, const void *arg)
{
    const struct graphite_write *x = arg;
    struct writing w = {.b = b, .q = x ? x->q : NULL};
    struct slice body = w.q ? w.q->body : push_builder_body(b);
    struct err *e = x && x->is_json ? json(&w, body) : lines(&w, body);

    if (w.q) {
        *x->published = w.published;
        *x->invalid = w.invalid;
    }
    return e;
}

/* ---- HTTP ---- */

static struct err *check_type(struct http_request *r, bool *ret_is_json)
{
    struct slice rest = slice_trim(http_request_header(r, "Content-Type")), type = SLICE_EMPTY;

    if (rest.len)
        (void)slice_split(&rest, ';', &type);
    type = slice_trim(type);
    *ret_is_json = slice_eq_nocase(type, SLICE("application/json"));
    if (*ret_is_json || type.len == 0 || slice_eq_nocase(type, SLICE("text/plain")) ||
        slice_eq_nocase(type, SLICE("application/x-www-form-urlencoded")))
        return NULL;
    return err_new(ERR_MEDIA_TYPE,
                   "content type %.*s: Graphite points are application/json or text/plain here",
                   SLICE_ARG(slice_sub(type, 0, 128)));
}

static struct err *on_headers(struct http_request *r)
{
    bool is_json;
    struct err *e = check_type(r, &is_json);

    return e ? e : line_request_admit(r);
}

static void on_done(void *arg, struct err *e, const struct door_written *written)
{
    struct http_request *r = arg;
    const struct graphite_write *x = r->user;
    struct buf b = {0};

    (void)written;
    if (e) {
        http_reply_err(r, e);
        return;
    }
    buf_printf(&b, "{\"published\":%llu,\"invalid\":%llu}", (unsigned long long)*x->published,
               (unsigned long long)*x->invalid);
    http_reply_buf(r, 200, HTTP_JSON, &b);
}

static void handle(struct http_request *r)
{
    struct graphite_write *x = arena_new_of(r->arena, struct graphite_write);
    struct push_decoder decoder = {
        .name = "graphite_http", .decode = graphite_write_decode, .arg = x};
    struct err *e;

    x->q = arena_new_of(r->arena, struct line_request);
    x->published = arena_new_of(r->arena, uint64_t);
    x->invalid = arena_new_of(r->arena, uint64_t);
    r->user = x;
    if ((e = check_type(r, &x->is_json)) || (e = line_request_init(r, x->q)))
        http_reply_err(r, e);
    else
        line_request_write(r, &decoder, on_done, r);
}

void graphite_write_routes(struct http_server *s, struct door *d)
{
    http_server_route(s, &(struct http_route){.methods = HTTP_POST,
                                              .pattern = "/graphite/metrics",
                                              .max_body_bytes = door_max_body_bytes(d),
                                              .on_headers = on_headers,
                                              .handler = handle,
                                              .arg = d});
}
