#include "alertmanager/amapi.h"

#include "alertmanager/amapi_internal.h"
#include "common/base/mem.h"
#include "common/base/reader.h"

#define MAX_PARAMS 1000
#define ARENA_BYTES (16u << 20)

void amapi_error(struct amapi_answer *a, struct err *e)
{
    a->status = err_code_http(err_code(e));
    buf_reset(&a->body);
    buf_json_str(&a->body, slice_cstr(err_msg(e)));
    buf_byte(&a->body, '\n');
    err_free(e);
}

void amapi_encode(struct buf *out, struct slice what, const struct http_param *params, size_t n)
{
    buf_lstr(out, what);
    for (size_t i = 0; i < n; i++) {
        buf_lstr(out, params[i].name);
        buf_lstr(out, params[i].value);
    }
}

/* ---- the question ---- */

static struct err *read_question(struct amapi_question *q, struct slice bytes,
                                 struct slice *ret_what)
{
    struct reader r = reader_new(bytes);

    *ret_what = reader_lstr(&r);
    q->params = arena_array(q->arena, struct http_param, MAX_PARAMS);
    while (reader_ok(&r) && reader_left(&r)) {
        if (q->n_params == MAX_PARAMS)
            return err_new(ERR_LIMIT, "more than %d parameters", MAX_PARAMS);
        q->params[q->n_params].name = reader_lstr(&r);
        q->params[q->n_params++].value = reader_lstr(&r);
    }
    return reader_ok(&r) ? NULL : err_new(ERR_INVALID, "malformed question");
}

struct slice amapi_param(const struct amapi_question *q, const char *name)
{
    for (size_t i = 0; i < q->n_params; i++)
        if (slice_eq_cstr(q->params[i].name, name))
            return q->params[i].value;
    return SLICE_EMPTY;
}

struct err *amapi_truth(const struct amapi_question *q, const char *name, bool *ret)
{
    struct slice v = amapi_param(q, name);

    *ret = true;
    if (slice_eq_cstr(v, "false") || slice_eq_cstr(v, "0"))
        *ret = false;
    else if (v.len && !slice_eq_cstr(v, "true") && !slice_eq_cstr(v, "1"))
        return err_new(ERR_INVALID, "%s: true or false is wanted", name);
    return NULL;
}

static struct err *read_receiver(struct amapi_question *q)
{
    struct slice pattern = amapi_param(q, "receiver"), whole;

    if (!pattern.len)
        return NULL;
    whole = slice_cstr(arena_printf(q->arena, "(?-s:%.*s)", SLICE_ARG(pattern)));
    return err_wrap(re_compile(whole, RE_ANCHORED, &q->receiver), "receiver");
}

/* All parameters of that name, each a matcher. */
static struct err *read_matchers(struct amapi_question *q, const char *name,
                                 struct ammatch_list *ret)
{
    struct err *e = NULL;

    ret->ptr = arena_array(q->arena, struct ammatch, q->n_params + 1);
    for (size_t i = 0; !e && i < q->n_params; i++)
        if (slice_eq_cstr(q->params[i].name, name) &&
            !(e = ammatch_parse(q->arena, AMMATCH_FALLBACK, q->params[i].value, &ret->ptr[ret->n])))
            ret->n++;
    return err_wrap(e, "%s", name);
}

static struct err *read_filters(struct amapi_question *q)
{
    struct err *e;

    if ((e = read_receiver(q)) || (e = read_matchers(q, "filter", &q->filters)))
        return e;
    return read_matchers(q, "receiver_matchers", &q->receiver_matchers);
}

bool amapi_wants_receiver(const struct amapi_question *q, const struct amconf_receiver *r)
{
    return (!q->receiver || re_match(q->receiver, r->name)) &&
           ammatch_list_matches(&q->receiver_matchers, r->labels);
}

/* ---- receivers and status ---- */

static struct err *get_receivers(struct amapi_question *q)
{
    const struct amconf *c = q->view->conf;

    buf_byte(q->out, '[');
    for (size_t i = 0; i < c->n_receivers; i++) {
        if (!amapi_wants_receiver(q, &c->receivers[i]))
            continue;
        buf_json_comma(q->out);
        buf_str(q->out, "{\"name\":");
        buf_json_str(q->out, c->receivers[i].name);
        buf_str(q->out, ",\"labels\":");
        labels_json(q->out, c->receivers[i].labels);
        buf_byte(q->out, '}');
    }
    buf_str(q->out, "]\n");
    return NULL;
}

static void put_unsupported(struct amapi_question *q)
{
    const struct amconf *c = q->view->conf;
    struct buf b = {0};
    bool any = false;

    buf_byte(q->out, '[');
    for (size_t i = 0; i < c->n_receivers; i++)
        for (size_t k = 0; k < c->receivers[i].n; k++) {
            const struct amconf_integration *in = &c->receivers[i].integrations[k];

            if (!in->unsupported)
                continue;
            buf_reset(&b);
            buf_printf(&b, "receiver %.*s: %s[%zu]: %s: notifications fail",
                       SLICE_ARG(c->receivers[i].name), in->kind, in->index, in->unsupported);
            buf_str(q->out, any ? "," : "");
            buf_json_str(q->out, buf_slice(&b));
            any = true;
        }
    if (c->has_route_labels)
        buf_str(q->out, any ? ",\"labels of routes\"" : "\"labels of routes\"");
    buf_byte(q->out, ']');
    buf_done(&b);
}

static struct err *get_status(struct amapi_question *q)
{
    const struct amapi_view *v = q->view;
    struct buf *o = q->out;

    buf_str(o, "{\"cluster\":{\"name\":");
    buf_json_str(o, slice_cstr(v->instance));
    buf_printf(o, ",\"status\":\"%s\",\"peers\":[", v->is_ready ? "ready" : "settling");
    for (size_t i = 0; i < v->n_peers; i++) {
        buf_str(o, i ? ",{\"name\":" : "{\"name\":");
        buf_json_str(o, slice_cstr(v->peers[i].name));
        buf_str(o, ",\"address\":");
        buf_json_str(o, slice_cstr(v->peers[i].address));
        buf_byte(o, '}');
    }
    buf_str(o, "]},\"versionInfo\":{\"version\":\"" ORR_VERSION
               "\",\"revision\":\"\",\"branch\":\"\",\"buildUser\":\"\",\"buildDate\":\"\","
               "\"goVersion\":\"\"},\"config\":{\"original\":");
    buf_json_str(o, v->conf->shown);
    buf_str(o, "},\"unsupported\":");
    put_unsupported(q);
    buf_str(o, ",\"uptime\":\"");
    alert_time_api(o, v->start_ns);
    buf_str(o, "\"}\n");
    return NULL;
}

static struct err *get(struct amapi_question *q, struct slice what)
{
    static const struct {
        const char *what;
        struct err *(*get)(struct amapi_question *q);
    } pages[] = {
        {"alerts", amapi_get_alerts},     {"alerts/groups", amapi_get_groups},
        {"silences", amapi_get_silences}, {"silence", amapi_get_silence},
        {"receivers", get_receivers},     {"status", get_status},
        {"page/alerts", ampage_alerts},   {"page/silences", ampage_silences},
        {"page/status", ampage_status},
    };

    for (size_t i = 0; i < ORR_COUNT(pages); i++)
        if (slice_eq_cstr(what, pages[i].what))
            return pages[i].get(q);
    return err_new(ERR_NOT_FOUND, "no such page: %.*s", SLICE_ARG(what));
}

void amapi_ask(const struct amapi_view *v, struct slice question, struct amapi_answer *ret)
{
    struct amapi_question q = {.view = v, .arena = arena_new(ARENA_BYTES), .out = &ret->body};
    struct slice what = SLICE_EMPTY;
    struct err *e = read_question(&q, question, &what);

    ret->status = 200;
    if (!e && !(e = read_filters(&q)))
        e = get(&q, what);
    if (!e && arena_over(q.arena))
        e = err_new(ERR_LIMIT, "the answer needs more than %u bytes", ARENA_BYTES);
    if (e)
        amapi_error(ret, e);
    ammatch_list_done(&q.filters);
    ammatch_list_done(&q.receiver_matchers);
    re_free(q.receiver);
    arena_free(q.arena);
}
