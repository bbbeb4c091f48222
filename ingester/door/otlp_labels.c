#include "ingester/door/otlp_labels.h"

#include <stdlib.h>

#include "common/base/hash.h"

#define SHORT 32 /* labels up to which insertion is the fastest way to sort */

static const struct slice service_name = SLICE_INIT("service.name");
static const struct slice service_namespace = SLICE_INIT("service.namespace");
static const struct slice service_instance = SLICE_INIT("service.instance.id");

void otlp_labels_init(struct otlp_labels *l, struct arena *a, const struct otlp_config *config)
{
    *l = (struct otlp_labels){
        .a = a,
        .config = config,
        .how = {.is_utf8 = otlp_config_is_utf8(config->strategy),
                .has_key_prefix = config->has_key_prefix,
                .keeps_underscores = config->keeps_underscores},
    };
}

/* ---- names ---- */

static struct err *escape(struct otlp_labels *l, struct slice name, struct slice *ret)
{
    struct label *slot;
    struct err *e;

    if (l->how.is_utf8 || otlp_name_label_stands(&l->how, name)) {
        *ret = name;
        return NULL;
    }
    slot = &l->names[hash_xxh64(name, 0) & (OTLP_LABELS_NAMES - 1)];
    if (slot->name.ptr && slice_eq(slot->name, name)) {
        *ret = slot->value;
        return NULL;
    }
    if ((e = otlp_name_label(l->a, &l->how, name, ret)))
        return e;
    *slot = (struct label){name, *ret};
    return NULL;
}

/* ---- what a resource, a scope and a metric bring ---- */

static void set(struct otlp_labels *l, struct otlp_fixed_set *s, struct slice name,
                struct slice value, bool is_weak)
{
    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 16;

        s->ptr = arena_grow(l->a, s->ptr, s->cap * sizeof(*s->ptr), cap * sizeof(*s->ptr));
        s->cap = cap;
    }
    s->ptr[s->n] = (struct otlp_fixed){{name, value}, is_weak, (uint32_t)s->n};
    s->n++;
}

static int by_name_and_nth(const void *a, const void *b)
{
    const struct otlp_fixed *x = a, *y = b;
    int c = slice_cmp(x->label.name, y->label.name);

    return c ? c : (x->nth > y->nth) - (x->nth < y->nth);
}

/* In order; of those that were set twice the last stays. */
static void settle(struct otlp_fixed_set *s)
{
    size_t n = 0;

    if (s->n > 1)
        qsort(s->ptr, s->n, sizeof(*s->ptr), by_name_and_nth);
    for (size_t i = 0; i < s->n; i++)
        if (i + 1 == s->n || !slice_eq(s->ptr[i].label.name, s->ptr[i + 1].label.name)) {
            s->ptr[n] = s->ptr[i];
            s->ptr[n].nth = (uint32_t)n;
            n++;
        }
    s->n = n;
}

static void begin_with(struct otlp_labels *l, struct otlp_fixed_set *s,
                       const struct otlp_fixed_set *base)
{
    s->n = 0;
    for (size_t i = 0; i < base->n; i++)
        set(l, s, base->ptr[i].label.name, base->ptr[i].label.value, base->ptr[i].is_weak);
}

static bool is_listed(const struct conf_list *list, struct slice name)
{
    for (size_t i = 0; i < list->n; i++)
        if (slice_eq_cstr(name, list->items[i]))
            return true;
    return false;
}

static bool is_promoted(const struct otlp_config *c, struct slice name)
{
    return c->promotes_all ? !is_listed(&c->ignored, name) : is_listed(&c->promoted, name);
}

static void set_target(struct otlp_labels *l, struct otlp_fixed_set *s, struct otlp_attrs attrs)
{
    struct slice name = otlp_attr(attrs, service_name);
    struct slice space = otlp_attr(attrs, service_namespace);
    struct slice instance = otlp_attr(attrs, service_instance);

    if (name.ptr && space.ptr) {
        uint8_t *job = arena_alloc(l->a, space.len + 1 + name.len);

        memcpy(job, space.ptr, space.len);
        job[space.len] = '/';
        memcpy(job + space.len + 1, name.ptr, name.len);
        name = slice_of(job, space.len + 1 + name.len);
    }
    if (name.len)
        set(l, s, SLICE("job"), name, false);
    if (instance.len)
        set(l, s, SLICE("instance"), instance, false);
}

static struct err *check_count(const struct otlp_fixed_set *s)
{
    return s->n <= OTLP_LABELS_MAX
               ? NULL
               : err_new(ERR_INVALID, "more than %d attributes that become labels",
                         OTLP_LABELS_MAX);
}

struct err *otlp_labels_resource(struct otlp_labels *l, struct otlp_attrs attrs)
{
    const struct otlp_config *c = l->config;

    l->resource.n = l->target.n = 0;
    for (size_t i = 0; (c->promotes_all || c->promoted.n) && i < attrs.n; i++) {
        struct slice name;
        struct err *e;

        if (!is_promoted(c, attrs.ptr[i].name))
            continue;
        if ((e = otlp_name_label(l->a, &l->how, attrs.ptr[i].name, &name)) ||
            (e = check_count(&l->resource)))
            return err_wrap(e, "resource");
        set(l, &l->resource, name, attrs.ptr[i].value, true);
    }
    set_target(l, &l->resource, attrs);
    settle(&l->resource);
    set_target(l, &l->target, attrs);
    return NULL;
}

struct err *otlp_labels_scope(struct otlp_labels *l, const struct otlp_scope *scope)
{
    begin_with(l, &l->scope, &l->resource);
    if (!l->config->promotes_scope || !scope->name.len)
        return NULL;
    for (size_t i = 0; i < scope->attrs.n; i++) {
        const struct label *at = &scope->attrs.ptr[i];
        uint8_t *text = arena_alloc(l->a, 11 + at->name.len);
        struct slice name;
        struct err *e;

        memcpy(text, "otel_scope_", 11);
        memcpy(text + 11, at->name.ptr, at->name.len);
        if ((e = otlp_name_label(l->a, &l->how, slice_of(text, 11 + at->name.len), &name)) ||
            (e = check_count(&l->scope)))
            return err_wrap(e, "scope");
        set(l, &l->scope, name, at->value, false);
    }
    set(l, &l->scope, SLICE("otel_scope_name"), scope->name, false);
    set(l, &l->scope, SLICE("otel_scope_version"), scope->version, false);
    set(l, &l->scope, SLICE("otel_scope_schema_url"), scope->schema_url, false);
    settle(&l->scope);
    return NULL;
}

void otlp_labels_metric(struct otlp_labels *l, struct slice name, const char *type,
                        struct slice unit)
{
    l->plans[0].is_valid = l->plans[1].is_valid = false;
    begin_with(l, &l->metric, &l->scope);
    if (type[0])
        set(l, &l->metric, SLICE("__type__"), slice_cstr(type), false);
    if (unit.len)
        set(l, &l->metric, SLICE("__unit__"), unit, false);
    set(l, &l->metric, SLICE(LABEL_NAME), name, false);
    l->name = name;
    settle(&l->metric);
}

/* ---- a point ---- */

static int by_final_name(const void *a, const void *b)
{
    const struct otlp_named *x = a, *y = b;
    int c = slice_cmp(x->label.name, y->label.name);

    return c ? c : slice_cmp(x->from, y->from);
}

static void sort(struct otlp_named *ls, size_t n)
{
    if (n > SHORT) {
        qsort(ls, n, sizeof(*ls), by_final_name);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        struct otlp_named l = ls[i];
        size_t k = i;

        for (; k > 0 && by_final_name(&ls[k - 1], &l) > 0; k--)
            ls[k] = ls[k - 1];
        ls[k] = l;
    }
}

static struct slice join(struct otlp_labels *l, struct slice a, struct slice b)
{
    uint8_t *text = arena_alloc(l->a, a.len + 1 + b.len);

    memcpy(text, a.ptr, a.len);
    text[a.len] = ';';
    memcpy(text + a.len + 1, b.ptr, b.len);
    return slice_of(text, a.len + 1 + b.len);
}

/* Of equal names one is left, where escaping made them equal; without it they are the sender's
 * fault, and the door refuses the series. Empty ones are left out. */
static size_t collapse(struct otlp_labels *l, struct otlp_named *ls, size_t n, bool *ret_joined)
{
    size_t out = 0;

    *ret_joined = false;
    for (size_t i = 0; i < n; i++) {
        if (!l->how.is_utf8 && out && slice_eq(ls[out - 1].label.name, ls[i].label.name)) {
            ls[out - 1].label.value = join(l, ls[out - 1].label.value, ls[i].label.value);
            *ret_joined = true;
        } else if (ls[i].label.value.len) {
            ls[out++] = ls[i];
        }
    }
    return out;
}

/* Attributes with their final names, in order. *ret_is_plain: each attribute that was not left out
 * is one of them, with its own value. */
static struct err *name_attrs(struct otlp_labels *l, struct otlp_attrs attrs,
                              bool (*is_left_out)(struct slice name), size_t *ret_n,
                              bool *ret_is_plain)
{
    size_t n = 0;
    bool is_joined;

    if (attrs.n > l->point_cap) {
        l->point_cap = 2 * attrs.n;
        l->point = arena_array(l->a, struct otlp_named, l->point_cap);
    }
    for (size_t i = 0; i < attrs.n; i++) {
        struct otlp_named *to = &l->point[n];
        struct err *e;

        if (is_left_out(attrs.ptr[i].name))
            continue;
        to->from = attrs.ptr[i].name;
        to->nth = (uint32_t)i;
        to->label.value = attrs.ptr[i].value;
        if ((e = escape(l, to->from, &to->label.name)))
            return e;
        n++;
    }
    sort(l->point, n);
    *ret_n = collapse(l, l->point, n, &is_joined);
    *ret_is_plain = *ret_n == n && !is_joined;
    return NULL;
}

static void plan_room(struct otlp_labels *l, struct otlp_plan *plan, size_t most)
{
    if (most <= plan->cap)
        return;
    plan->cap = 2 * most;
    plan->out = arena_array(l->a, struct label, plan->cap);
    plan->from = arena_array(l->a, uint32_t, plan->cap);
}

/* The n named attributes and what is fixed, and one more strong label. */
static void merge(struct otlp_labels *l, size_t n, const struct otlp_fixed_set *fixed,
                  const struct label *extra, struct otlp_plan *plan)
{
    struct otlp_fixed more = {0};
    const struct otlp_fixed *pending = extra ? &more : NULL;
    size_t i = 0, f = 0, out = 0;

    plan_room(l, plan, n + fixed->n + 1);
    if (extra)
        more.label = *extra;
    while (i < n || f < fixed->n || pending) {
        const struct otlp_fixed *next = f < fixed->n ? &fixed->ptr[f] : NULL;
        const struct otlp_named *own = i < n ? &l->point[i] : NULL;
        int c;

        /* The smallest of the two fixed ones; the extra one replaces its equal. */
        c = !next ? 1 : !pending ? -1 : slice_cmp(next->label.name, pending->label.name);
        if (pending && c >= 0) {
            f += c == 0;
            next = pending;
        }
        c = !next ? -1 : !own ? 1 : slice_cmp(own->label.name, next->label.name);
        if (c < 0) {
            plan->from[out] = own->nth;
            plan->out[out++] = own->label;
            i++;
            continue;
        }
        if (c == 0 && next->is_weak) {
            f++;
            continue; /* the point's own comes next */
        }
        while (c == 0 && i < n && slice_eq(l->point[i].label.name, next->label.name))
            i++;
        plan->from[out] = UINT32_MAX;
        plan->out[out] = next->label;
        if (slice_eq(next->label.name, SLICE(LABEL_NAME)))
            plan->name = &plan->out[out].value;
        if (next == pending) {
            plan->extra = &plan->out[out].value;
            pending = NULL;
        } else {
            f++;
        }
        out += next->label.value.len > 0;
    }
    plan->n = out;
}

static bool is_reserved(struct slice name)
{
    return slice_eq(name, SLICE(LABEL_NAME));
}

/* Whether these attributes have the keys that the plan was made for, and it was followed. */
static bool follow(struct otlp_plan *plan, struct otlp_attrs attrs, struct slice name)
{
    if (!plan->is_valid || attrs.n != plan->keys.n)
        return false;
    for (size_t i = 0; i < attrs.n; i++)
        if (attrs.ptr[i].value.len == 0 || !slice_eq(attrs.ptr[i].name, plan->keys.ptr[i].name))
            return false;
    for (size_t i = 0; i < plan->n; i++)
        if (plan->from[i] != UINT32_MAX)
            plan->out[i].value = attrs.ptr[plan->from[i]].value;
    *plan->name = name;
    return true;
}

struct err *otlp_labels_point(struct otlp_labels *l, struct otlp_attrs attrs, const char *extra,
                              struct labels *ret, struct slice **ret_name, struct slice **ret_extra)
{
    struct otlp_plan *plan = &l->plans[extra != NULL];
    struct label more = {slice_cstr(extra), SLICE("?")};
    struct err *e;
    size_t n;

    if (!follow(plan, attrs, l->name)) {
        if ((e = name_attrs(l, attrs, is_reserved, &n, &plan->is_valid)))
            return e;
        merge(l, n, &l->metric, extra ? &more : NULL, plan);
        plan->keys = attrs;
    }
    *ret = (struct labels){plan->out, plan->n};
    *ret_name = plan->name;
    if (ret_extra)
        *ret_extra = plan->extra;
    return NULL;
}

/* ---- target_info ---- */

static bool is_identifying(struct slice name)
{
    return slice_eq(name, service_name) || slice_eq(name, service_namespace) ||
           slice_eq(name, service_instance);
}

static bool is_nothing(struct slice name)
{
    (void)name;
    return false;
}

struct err *otlp_labels_target(struct otlp_labels *l, struct otlp_attrs attrs, struct slice name,
                               struct labels *ret)
{
    struct otlp_plan *plan = &l->target_plan;
    bool has_other = false, is_plain;
    struct err *e;
    size_t n;

    *ret = (struct labels){0};
    for (size_t i = 0; i < attrs.n; i++)
        has_other |= !is_identifying(attrs.ptr[i].name);
    if (!has_other) /* job and instance say all there is */
        return NULL;
    if ((e = name_attrs(l, attrs, l->config->keeps_identifying ? is_nothing : is_identifying, &n,
                        &is_plain)))
        return err_wrap(e, "resource");
    set(l, &l->target, SLICE(LABEL_NAME), name, false);
    settle(&l->target);
    merge(l, n, &l->target, NULL, plan);
    *ret = (struct labels){plan->out, plan->n};
    if (!labels_has(*ret, SLICE("job")) && !labels_has(*ret, SLICE("instance")))
        *ret = (struct labels){0};
    return NULL;
}
