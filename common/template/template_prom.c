#include "common/template/template_prom.h"

#include <stdlib.h>

#include "common/template/template_escape.h"
#include "common/template/template_text.h"

#define DEFAULT_LIMIT_BYTES (16u << 20)
/* Prometheus puts these before every text of an alert. */
#define PREFIX                                                                                     \
    "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}"                                 \
    "{{$externalURL := .ExternalURL}}{{$value := .Value}}"

static const struct value_type type_sample = {.name = "template.sample"};
static const struct value_type type_result = {.name = "template.queryResult", .elem = VALUE_STRUCT};
static const struct value_type type_data = {
    .name = "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL "
            "string; Value interface {} }"};

static struct value sample_value(struct arena *a, const struct template_prom_sample *s)
{
    struct value_member *members = arena_array(a, struct value_member, 2);
    struct value v = value_struct(&type_sample, members, 2);

    members[0] = (struct value_member){SLICE("Labels"), value_labels(a, s->labels)};
    members[1] = (struct value_member){SLICE("Value"), value_float(s->value)};
    v.is_pointer = true;
    return v;
}

static struct err *func_query(struct value_call *call, const struct value *args, size_t n,
                              struct value *ret)
{
    const struct template_prom *p = call->ctx;
    struct template_prom_vector vector = {0};
    struct value *items;
    struct err *e;

    (void)n;
    if (!p->query)
        return err_new(ERR_UNSUPPORTED, "there is nothing to query here");
    if ((e = p->query->query(p->query->arg, call->arena, args[0].s, p->now_ms, &vector)))
        return e;
    items = arena_array(call->arena, struct value, vector.n);
    for (size_t i = 0; i < vector.n; i++)
        items[i] = sample_value(call->arena, &vector.ptr[i]);
    *ret = value_list(items, vector.n);
    ret->type = &type_result;
    return NULL;
}

static struct err *want_type(struct value_call *call, const struct value *v,
                             const struct value_type *type, const char *name)
{
    if (v->type == type)
        return NULL;
    return err_new(ERR_EXEC, "wrong type for value; expected %s; got %s", name,
                   value_type_text(call->arena, v));
}

static struct err *func_first(struct value_call *call, const struct value *args, size_t n,
                              struct value *ret)
{
    struct err *e = want_type(call, &args[0], &type_result, "template.queryResult");

    (void)n;
    if (e)
        return e;
    if (args[0].list.n == 0)
        return err_new(ERR_EXEC, "first() called on vector with no elements");
    *ret = args[0].list.items[0];
    return NULL;
}

static struct value label_of(const struct value *sample, struct slice name)
{
    const struct value *labels = value_get(sample, SLICE("Labels"));
    const struct value *v = value_get(labels, name);

    return v ? *v : value_string(SLICE_EMPTY);
}

static struct err *func_label(struct value_call *call, const struct value *args, size_t n,
                              struct value *ret)
{
    struct err *e = want_type(call, &args[1], &type_sample, "*template.sample");

    (void)n;
    if (!e)
        *ret = label_of(&args[1], args[0].s);
    return e;
}

static struct err *func_strvalue(struct value_call *call, const struct value *args, size_t n,
                                 struct value *ret)
{
    struct err *e = want_type(call, &args[0], &type_sample, "*template.sample");

    (void)n;
    if (!e)
        *ret = label_of(&args[0], SLICE("__value__"));
    return e;
}

static struct err *func_value(struct value_call *call, const struct value *args, size_t n,
                              struct value *ret)
{
    struct err *e = want_type(call, &args[0], &type_sample, "*template.sample");

    (void)n;
    if (!e)
        *ret = *value_get(&args[0], SLICE("Value"));
    return e;
}

struct keyed {
    struct slice key;
    size_t at; /* the sort is stable */
    struct value value;
};

static int keyed_order(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;
    int c = slice_cmp(x->key, y->key);

    return c ? c : (x->at > y->at) - (x->at < y->at);
}

static struct err *func_sort_by_label(struct value_call *call, const struct value *args, size_t n,
                                      struct value *ret)
{
    struct err *e = want_type(call, &args[1], &type_result, "template.queryResult");
    size_t len = e ? 0 : args[1].list.n;
    struct keyed *keyed = arena_array(call->arena, struct keyed, len);
    struct value *items = arena_array(call->arena, struct value, len);

    (void)n;
    if (e)
        return e;
    for (size_t i = 0; i < len; i++)
        keyed[i] =
            (struct keyed){label_of(&args[1].list.items[i], args[0].s).s, i, args[1].list.items[i]};
    qsort(keyed, len, sizeof(*keyed), keyed_order);
    for (size_t i = 0; i < len; i++)
        items[i] = keyed[i].value;
    *ret = value_list(items, len);
    ret->type = &type_result;
    return NULL;
}

static struct err *link_to(struct value_call *call, struct slice expr, const char *tab,
                           struct value *ret)
{
    struct buf b = {.max_bytes = call->max_bytes};

    buf_str(&b, "/graph?g0.expr=");
    template_escape_query(&b, expr);
    buf_str(&b, tab);
    *ret = value_take_text(call->arena, &b);
    return NULL;
}

static struct err *func_graph_link(struct value_call *call, const struct value *args, size_t n,
                                   struct value *ret)
{
    (void)n;
    return link_to(call, args[0].s, "&g0.tab=0", ret);
}

static struct err *func_table_link(struct value_call *call, const struct value *args, size_t n,
                                   struct value *ret)
{
    (void)n;
    return link_to(call, args[0].s, "&g0.tab=1", ret);
}

static struct err *func_external_url(struct value_call *call, const struct value *args, size_t n,
                                     struct value *ret)
{
    const struct template_prom *p = call->ctx;

    (void)args, (void)n;
    *ret = value_string(p->external_url);
    return NULL;
}

/* The path of the external URL. */
static struct err *func_path_prefix(struct value_call *call, const struct value *args, size_t n,
                                    struct value *ret)
{
    const struct template_prom *p = call->ctx;
    struct slice rest = p->external_url;
    ptrdiff_t scheme = slice_find(rest, SLICE("://"), 0), slash;
    size_t end;

    (void)args, (void)n;
    if (scheme >= 0) {
        slash = slice_find_byte(rest, '/', (size_t)scheme + 3);
        rest = slash < 0 ? SLICE_EMPTY : slice_from(rest, (size_t)slash);
    }
    for (end = 0; end < rest.len && rest.ptr[end] != '?' && rest.ptr[end] != '#'; end++)
        ;
    *ret = value_string(slice_sub(rest, 0, end));
    return NULL;
}

static struct err *func_now(struct value_call *call, const struct value *args, size_t n,
                            struct value *ret)
{
    const struct template_prom *p = call->ctx;

    (void)args, (void)n;
    *ret = value_float((double)p->now_ms / 1000.0);
    return NULL;
}

static const struct value_func prom_funcs[] = {
    {"query", "s", func_query},
    {"first", "v", func_first},
    {"label", "sv", func_label},
    {"value", "v", func_value},
    {"strvalue", "v", func_strvalue},
    {"sortByLabel", "sv", func_sort_by_label},
    {"args", "v*", template_text_args},
    {"reReplaceAll", "sss", template_text_replace_all},
    {"match", "ss", template_text_match},
    {"title", "s", template_text_title},
    {"toUpper", "s", template_text_upper},
    {"toLower", "s", template_text_lower},
    {"safeHtml", "s", template_text_safe_html},
    {"urlQueryEscape", "s", template_text_query_escape},
    {"graphLink", "s", func_graph_link},
    {"tableLink", "s", func_table_link},
    {"pathPrefix", "", func_path_prefix},
    {"externalURL", "", func_external_url},
    {"stripPort", "s", template_text_strip_port},
    {"stripDomain", "s", template_text_strip_domain},
    {"humanize", "v", template_text_humanize},
    {"humanize1024", "v", template_text_humanize_1024},
    {"humanizeDuration", "v", template_text_humanize_duration},
    {"humanizePercentage", "v", template_text_humanize_percentage},
    {"humanizeTimestamp", "v", template_text_humanize_timestamp},
    {"toTime", "v", template_text_to_time},
    {"toDuration", "v", template_text_to_duration},
    {"parseDuration", "s", template_text_parse_duration},
    {"now", "", func_now},
};
static const struct template_funcs prom_table = {prom_funcs, ORR_COUNT(prom_funcs), NULL};

static struct value alert_data(struct arena *a, const struct template_prom *p)
{
    struct value_member *m = arena_array(a, struct value_member, 4);

    m[0] = (struct value_member){SLICE("Labels"), value_labels(a, p->labels)};
    m[1] = (struct value_member){SLICE("ExternalLabels"), value_labels(a, p->external_labels)};
    m[2] = (struct value_member){SLICE("ExternalURL"), value_string(p->external_url)};
    m[3].name = SLICE("Value");
    m[3].value = p->histogram.ptr ? value_string(p->histogram) : value_float(p->value);
    m[3].value.is_any = true;
    return value_struct(&type_data, m, 4);
}

static struct err *parse(const char *name, struct slice text, struct template_set **ret,
                         struct buf *full_name)
{
    struct template_set *set = template_new(&prom_table);
    struct buf full = {0};
    struct err *e;

    buf_printf(full_name, "__alert_%s", name);
    buf_str(&full, PREFIX);
    buf_slice_append(&full, text);
    e = template_parse(set, buf_slice(full_name), buf_slice(&full));
    buf_done(&full);
    if (!e) {
        *ret = set;
        return NULL;
    }
    template_free(set);
    return err_wrap(e, "error parsing template %s", buf_cstr(full_name));
}

struct err *template_prom_check(const char *name, struct slice text)
{
    struct template_set *set = NULL;
    struct buf full_name = {0};
    struct err *e = parse(name, text, &set, &full_name);

    template_free(set);
    buf_done(&full_name);
    return e;
}

struct err *template_prom_expand(const struct template_prom *p, struct slice text, struct buf *out)
{
    struct template_set *set = NULL;
    struct buf full_name = {0}, expanded = {0};
    struct err *e = parse(p->name, text, &set, &full_name);

    if (!e) {
        struct arena *a = arena_new(p->limit_bytes ? p->limit_bytes : DEFAULT_LIMIT_BYTES);
        struct template_run run = {.arena = a,
                                   .ctx = (void *)p,
                                   .missing = TEMPLATE_MISSING_ZERO,
                                   .max_output_bytes = p->max_output_bytes};

        e = template_execute(set, buf_slice(&full_name), alert_data(a, p), &run, &expanded);
        e = err_wrap(e, "error executing template %s", buf_cstr(&full_name));
        arena_free(a);
    }
    if (!e)
        buf_slice_append(out, buf_slice(&expanded));
    buf_done(&expanded);
    buf_done(&full_name);
    template_free(set);
    return e;
}
