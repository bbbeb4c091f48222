/*
 * orreryctl trace show: a trace as a tree.
 *
 *   checkout     place order            12.3 ms  ▕  ████████        ▏  error: no price
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/base/vec.h"
#include "deploy/orreryctl/ctl_http.h"
#include "deploy/orreryctl/ctl_json.h"
#include "deploy/orreryctl/ctl_show.h"

#define BAR 32        /* characters */
#define INDENT_MAX 20 /* levels that are shown by their place */

struct node {
    const char *id, *parent, *name, *service, *failure;
    int64_t start_ns, end_ns;
    size_t first, next; /* a child and a sibling, + 1; 0: none */
    bool has_parent, is_shown;
};
struct tree {
    struct ctl *ctl;
    VEC(struct node) nodes; /* ascending by start */
    int64_t start_ns, end_ns;
};

static int by_start(const void *a, const void *b)
{
    const struct node *x = a, *y = b;

    return (x->start_ns > y->start_ns) - (x->start_ns < y->start_ns);
}

/* ---- reading ---- */

static const char *copy(struct tree *t, json_t *v)
{
    return ctl_plain(t->ctl->arena, slice_cstr(ctl_json_text(v)));
}

static int64_t time_of(json_t *span, const char *name)
{
    return strtoll(ctl_json_text(json_object_get(span, name)), NULL, 10);
}

static bool is_failure(json_t *status)
{
    json_t *code = json_object_get(status, "code");

    return json_integer_value(code) == 2 || strcmp(ctl_json_text(code), "STATUS_CODE_ERROR") == 0;
}

static void add_span(struct tree *t, const char *service, json_t *span)
{
    json_t *status = json_object_get(span, "status");

    vec_push(&t->nodes,
             ((struct node){
                 .id = copy(t, json_object_get(span, "spanId")),
                 .parent = copy(t, json_object_get(span, "parentSpanId")),
                 .name = copy(t, json_object_get(span, "name")),
                 .service = service,
                 .failure = is_failure(status) ? copy(t, json_object_get(status, "message")) : NULL,
                 .start_ns = time_of(span, "startTimeUnixNano"),
                 .end_ns = time_of(span, "endTimeUnixNano")}));
}

static const char *service_of(struct tree *t, json_t *resource)
{
    json_t *attribute;
    size_t i;

    json_array_foreach(
        json_object_get(resource, "attributes"), i,
        attribute) if (strcmp(ctl_json_text(json_object_get(attribute, "key")), "service.name") ==
                       0) return copy(t, json_object_get(json_object_get(attribute, "value"),
                                                         "stringValue"));
    return "";
}

static void read_trace(struct tree *t, json_t *trace)
{
    json_t *resource, *scope, *span;
    size_t i, k, n;

    json_array_foreach(json_object_get(trace, "resourceSpans"), i, resource)
    {
        const char *service = service_of(t, json_object_get(resource, "resource"));

        json_array_foreach(json_object_get(resource, "scopeSpans"), k, scope)
            json_array_foreach(json_object_get(scope, "spans"), n, span) add_span(t, service, span);
    }
}

/* Children in order of their starts. */
static void link_nodes(struct tree *t)
{
    struct map by_id = {0};

    qsort(t->nodes.ptr, t->nodes.len, sizeof(t->nodes.ptr[0]), by_start);
    t->start_ns = t->nodes.ptr[0].start_ns;
    for (size_t i = 0; i < t->nodes.len; i++) {
        struct node *n = &t->nodes.ptr[i];

        (void)map_put(&by_id, slice_cstr(n->id), (void *)(i + 1));
        t->end_ns = ORR_MAX(t->end_ns, n->end_ns);
    }
    for (size_t i = t->nodes.len; i-- > 0;) {
        struct node *n = &t->nodes.ptr[i];
        size_t parent = n->parent[0] ? (size_t)map_get(&by_id, slice_cstr(n->parent)) : 0;

        if (!parent || parent == i + 1)
            continue;
        n->has_parent = true;
        n->next = t->nodes.ptr[parent - 1].first;
        t->nodes.ptr[parent - 1].first = i + 1;
    }
    map_done(&by_id);
}

/* ---- showing ---- */

static const char *duration(struct tree *t, int64_t ns)
{
    double v = (double)ns;

    return ns < NS_PER_US   ? arena_printf(t->ctl->arena, "%" PRId64 " ns", ns)
           : ns < NS_PER_MS ? arena_printf(t->ctl->arena, "%.3g us", v / NS_PER_US)
           : ns < NS_PER_S  ? arena_printf(t->ctl->arena, "%.3g ms", v / NS_PER_MS)
                            : arena_printf(t->ctl->arena, "%.3g s", v / NS_PER_S);
}

static void put_bar(const struct tree *t, const struct node *n, struct buf *out)
{
    double whole = (double)ORR_MAX(t->end_ns - t->start_ns, 1);
    int from = (int)((double)(n->start_ns - t->start_ns) / whole * BAR);
    int to = (int)((double)(n->end_ns - t->start_ns) / whole * BAR);

    from = ORR_MIN(from, BAR - 1);
    for (int i = 0; i < BAR; i++)
        buf_str(out, i >= from && (i < to || i == from) ? "█" : "·");
}

static void show_node(struct tree *t, struct node *n, size_t depth)
{
    struct buf out = {0};
    size_t indent = ORR_MIN(depth, INDENT_MAX) * 2;

    put_bar(t, n, &out);
    buf_printf(&out, " %9s  %*s%s: %s", duration(t, ORR_MAX(n->end_ns - n->start_ns, 0)),
               (int)indent, "", n->service, n->name);
    if (n->failure)
        buf_printf(&out, "  error%s%s", n->failure[0] ? ": " : "", n->failure);
    if (n->parent[0] && !n->has_parent)
        buf_str(&out, "  (its parent is not there)");
    ctl_say("%s", buf_cstr(&out));
    buf_done(&out);
    n->is_shown = true;
}

struct at {
    size_t node, depth;
};

static void show_below(struct tree *t, size_t root)
{
    VEC(struct at) todo = {0};

    vec_push(&todo, ((struct at){root, 0}));
    while (todo.len) {
        struct at a = todo.ptr[--todo.len];
        struct node *n = &t->nodes.ptr[a.node];
        size_t first = todo.len;

        if (n->is_shown) /* a cycle */
            continue;
        show_node(t, n, a.depth);
        for (size_t c = n->first; c; c = t->nodes.ptr[c - 1].next)
            vec_push(&todo, ((struct at){c - 1, a.depth + 1}));
        for (size_t i = first, k = todo.len; i + 1 < k; i++, k--) { /* the first is shown first */
            struct at swap = todo.ptr[i];

            todo.ptr[i] = todo.ptr[k - 1];
            todo.ptr[k - 1] = swap;
        }
    }
    vec_done(&todo);
}

static void show(struct tree *t)
{
    ctl_say("%s, %zu spans in %s", ctl_time(t->ctl->arena, t->start_ns / NS_PER_MS), t->nodes.len,
            duration(t, t->end_ns - t->start_ns));
    for (size_t i = 0; i < t->nodes.len; i++)
        if (!t->nodes.ptr[i].has_parent)
            show_below(t, i);
    for (size_t i = 0; i < t->nodes.len; i++) /* what is left are cycles of parents */
        show_below(t, i);
}

struct err *ctl_trace_show(struct ctl *c)
{
    const char *id = c->args[0];
    struct tree t = {.ctl = c};
    struct buf path = {0};
    json_t *answer;
    struct err *e;

    if (strspn(id, "0123456789abcdefABCDEF") != strlen(id) || strlen(id) > 32)
        return ctl_usage(c, "an id of a trace is up to 32 hexadecimal digits");
    buf_printf(&path, "/api/v2/traces/%s", id);
    e = ctl_json_get(c, buf_slice(&path), c->opts.is_json, &answer);
    buf_done(&path);
    if (!e && answer) {
        read_trace(&t, json_object_get(answer, "trace"));
        if (!t.nodes.len) {
            e = err_new(ERR_NOT_FOUND, "trace %s has no spans", id);
        } else {
            link_nodes(&t);
            show(&t);
        }
    }
    vec_done(&t.nodes);
    json_decref(answer);
    return e;
}
