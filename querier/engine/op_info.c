/*
 * info(v, {selector}): adds to each series of v the labels of the info series (target_info, or what the
 * selector names) that has the same instance and job, at each step the newest of each name. Two of
 * one name that are equally new are an error.
 */
#include "common/base/gostr.h"
#include "querier/engine/ops.h"

static const struct slice identifying[] = {SLICE_INIT("instance"), SLICE_INIT("job")};
#define INFO_ALTERNATIVES 1000 /* values put into a matcher on an identifying label */
#define INFO_MATCHER_BYTES                                                                         \
    (64 << 10) /* and about so much of them: they may be as long as a query makes them */

struct info_series {
    struct labels labels;
    int64_t *stamp; /* of the newest sample at each step; INT64_MIN: none */
};

struct info_group { /* info series of equal identifying labels */
    size_t *series;
    size_t n, cap;
};

struct info_node {
    struct node node;
    struct node *child;
    struct timeref ref;
    struct matcher *matchers; /* of the info series */
    size_t n_matchers;
    struct slice *wanted; /* names of data labels; none: all */
    size_t n_wanted;
    bool may_be_absent; /* the data matchers all match an absent label */
    struct rowset base, out;
    struct labelmap keys, out_map;
    struct info_group *groups;
    size_t groups_cap;
    struct info_series *series;
    size_t n_series, series_cap;
    size_t at;
    bool is_loaded;
};

static void info_done(struct node *n)
{
    struct info_node *f = (struct info_node *)n;

    for (size_t i = 0; i < f->n_matchers; i++)
        matcher_done(&f->matchers[i]);
    f->n_matchers = 0;
}

static bool is_name(struct slice s)
{
    return slice_eq(s, SLICE(LABEL_NAME));
}

/* Whether a series of v is an info series itself: those stay as they are. */
static bool is_info_name(const struct info_node *f, struct slice name)
{
    for (size_t i = 0; i < f->n_matchers; i++)
        if (is_name(f->matchers[i].name) && !matcher_matches(&f->matchers[i], name))
            return false;
    return true;
}

static struct promql_names key_names(void)
{
    return (struct promql_names){identifying, ORR_COUNT(identifying)};
}

static struct info_group *info_group(struct info_node *f, struct labels ls, bool *ret_is_new)
{
    struct arena *a = f->node.x->arena;
    size_t i = labelmap_index(&f->keys, ops_match_labels(a, ls, true, key_names()), ret_is_new);

    if (i >= f->groups_cap) {
        size_t cap = f->groups_cap ? f->groups_cap * 2 : 16;

        f->groups =
            arena_grow(a, f->groups, f->groups_cap * sizeof(*f->groups), cap * sizeof(*f->groups));
        f->groups_cap = cap;
    }
    if (*ret_is_new)
        f->groups[i] = (struct info_group){0};
    return &f->groups[i];
}

static bool add_matcher(struct info_node *f, enum matcher_op op, struct slice name,
                        struct slice value)
{
    struct exec *x = f->node.x;
    struct err *e = matcher_init(x->arena, op, name, value, &f->matchers[f->n_matchers]);

    if (e)
        return exec_fail(x, e);
    f->n_matchers++;
    return true;
}

/* Asks the storage only for the instances and jobs that are there. */
static bool narrow(struct info_node *f, struct slice name)
{
    struct labelmap values = {.arena = f->node.x->arena};
    struct buf re = {0};
    bool is_ok = true;

    for (size_t i = 0; i < f->base.n; i++) {
        struct label l = {name, labels_get(f->base.ptr[i].labels, name)};
        bool is_new;

        if (is_info_name(f, ops_name_of(f->base.ptr[i].labels)))
            continue;
        if (l.value.len == 0 || values.n > INFO_ALTERNATIVES || re.len > INFO_MATCHER_BYTES)
            goto out;
        (void)labelmap_index(&values, (struct labels){&l, 1}, &is_new);
        if (!is_new)
            continue;
        if (re.len)
            buf_byte(&re, '|');
        for (size_t k = 0; k < l.value.len; k++) {
            if (strchr("\\.+*?()|[]{}^$", l.value.ptr[k]) && l.value.ptr[k])
                buf_byte(&re, '\\');
            buf_byte(&re, l.value.ptr[k]);
        }
    }
    if (re.len)
        is_ok = add_matcher(f, MATCHER_RE, name, arena_dup(f->node.x->arena, buf_slice(&re)));
out:
    buf_done(&re);
    return is_ok;
}

/* The newest sample of the series at each step, as an instant selector finds it. */
static bool add_series(struct info_node *f, const struct storage_series *in)
{
    struct exec *x = f->node.x;
    size_t steps = f->node.grid.n, at = 0;
    struct info_series s = {.stamp = arena_array(x->arena, int64_t, steps)};
    struct info_group *g;
    bool has_any = false, is_new;

    for (size_t i = 0; i < steps; i++) {
        int64_t t = timeref_at(&f->ref, &f->node.grid, i);

        s.stamp[i] = INT64_MIN;
        while (at < in->n && in->t_ms[at] <= t)
            at++;
        if (at == 0 || in->t_ms[at - 1] <= t - x->lookback_ms || sample_is_stale(in->v[at - 1]))
            continue;
        if (in->h && in->h[at - 1])
            return exec_fail(x, err_new(ERR_EXEC,
                                        "this should be an info metric, with float samples: %.*s",
                                        SLICE_ARG(ops_name_of(in->labels))));
        s.stamp[i] = in->t_ms[at - 1];
        has_any = true;
    }
    if (!has_any)
        return true;
    s.labels = labels_dup(x->arena, in->labels);
    if (f->n_series == f->series_cap) {
        size_t cap = f->series_cap ? f->series_cap * 2 : 16;

        f->series = arena_grow(x->arena, f->series, f->series_cap * sizeof(s), cap * sizeof(s));
        f->series_cap = cap;
    }
    g = info_group(f, s.labels, &is_new);
    if (g->n == g->cap) {
        size_t cap = g->cap ? g->cap * 2 : 4;

        g->series = arena_grow(x->arena, g->series, g->cap * sizeof(size_t), cap * sizeof(size_t));
        g->cap = cap;
    }
    g->series[g->n++] = f->n_series;
    f->series[f->n_series++] = s;
    return exec_hold(x, steps);
}

static bool fetch(struct info_node *f)
{
    struct exec *x = f->node.x;
    const struct grid *g = &f->node.grid;
    struct storage_request req = {.matchers = {f->matchers, f->n_matchers},
                                  .start_ms = timeref_at(&f->ref, g, 0) - x->lookback_ms + 1,
                                  .end_ms = timeref_at(&f->ref, g, g->n - 1),
                                  .step_ms = g->n > 1 ? g->step_ms : 0,
                                  .func = SLICE_INIT("info"),
                                  .needs_samples = true,
                                  .deadline_mono_ms = x->q->deadline_mono_ms,
                                  .cancel = x->q->cancel};
    struct series_set *set;
    struct storage_series in;
    struct err *e = storage_select(x->st, x->arena, &req, &set);

    if (e)
        return exec_fail(x, e);
    while (exec_tick(x) && series_set_next(set, &in))
        if (!add_series(f, &in))
            break;
    for (size_t i = 0; i < set->n_warnings; i++)
        annot_add_text(&x->annots, ANNOT_WARNING, set->warnings[i]);
    (void)exec_fail(x, series_set_close(set));
    return exec_ok(x);
}

static bool is_wanted(const struct info_node *f, struct slice name)
{
    for (size_t i = 0; i < f->n_wanted; i++)
        if (slice_eq(f->wanted[i], name))
            return true;
    return f->n_wanted == 0;
}

/* {__name__="target_info", job="j"} */
static void all_labels(struct buf *out, struct labels ls)
{
    buf_byte(out, '{');
    for (size_t i = 0; i < ls.n; i++) {
        buf_printf(out, "%s%.*s=", i ? ", " : "", SLICE_ARG(ls.ptr[i].name));
        gostr_quote(out, ls.ptr[i].value);
    }
    buf_byte(out, '}');
}

static struct err *duplicate(const struct info_series *old, const struct info_series *new, size_t i)
{
    struct buf a = {0}, b = {0};
    struct err *e;

    all_labels(&a, old->labels);
    all_labels(&b, new->labels);
    e = err_new(ERR_EXEC,
                "found duplicate series for info metric: existing %s @ %lld, new %s @ %lld",
                buf_cstr(&a), (long long)old->stamp[i], buf_cstr(&b), (long long)new->stamp[i]);
    buf_done(&a);
    buf_done(&b);
    return e;
}

/* Of those of the name of the group's k-th, which is the first that has it: as they come, each has to
 * be older or newer than the newest so far, at every step where there is something to be joined. */
static bool check_name(struct info_node *f, const struct info_group *g, size_t k,
                       const bool *is_met)
{
    struct exec *x = f->node.x;
    struct slice name = ops_name_of(f->series[g->series[k]].labels);
    size_t steps = f->node.grid.n;
    const struct info_series **newest;

    (void)node_tmp(&f->node);
    arena_reset(f->node.tmp);
    newest = arena_array(f->node.tmp, const struct info_series *, steps);
    for (; k < g->n && exec_tick(x); k++) {
        const struct info_series *s = &f->series[g->series[k]];

        if (!slice_eq(ops_name_of(s->labels), name))
            continue;
        for (size_t i = 0; i < steps; i++) {
            if (!is_met[i] || s->stamp[i] == INT64_MIN)
                continue;
            if (newest[i] && newest[i]->stamp[i] == s->stamp[i])
                return exec_fail(x, duplicate(newest[i], s, i));
            if (!newest[i] || newest[i]->stamp[i] < s->stamp[i])
                newest[i] = s;
        }
    }
    return exec_ok(x);
}

static bool check_duplicates(struct info_node *f)
{
    struct exec *x = f->node.x;
    size_t steps = f->node.grid.n;
    bool *is_met = arena_array(x->arena, bool, steps);

    for (size_t r = 0; r < f->base.n && exec_tick(x); r++)
        for (size_t i = 0; i < steps; i++)
            is_met[i] |= row_has(&f->base.ptr[r], i);
    for (size_t k = 0; k < f->keys.n; k++) {
        const struct info_group *g = &f->groups[k];

        for (size_t i = 0; i < g->n; i++) {
            struct slice name = ops_name_of(f->series[g->series[i]].labels);
            bool is_first = true;

            for (size_t j = 0; j < i && is_first; j++)
                is_first = !slice_eq(ops_name_of(f->series[g->series[j]].labels), name);
            if (g->n > 1 && is_first && !check_name(f, g, i, is_met))
                return false;
        }
    }
    return exec_ok(x);
}

/* The info series of the group that counts at step i: the newest of its name. */
static bool is_newest(const struct info_node *f, const struct info_group *g, size_t k, size_t i)
{
    const struct info_series *s = &f->series[g->series[k]];

    if (s->stamp[i] == INT64_MIN)
        return false;
    for (size_t j = 0; j < g->n; j++) {
        const struct info_series *o = &f->series[g->series[j]];

        if (j == k || !slice_eq(ops_name_of(o->labels), ops_name_of(s->labels)))
            continue;
        if (o->stamp[i] > s->stamp[i])
            return false;
    }
    return true;
}

/* The labels of base with those of the info series of step i; *ret_is_met: there was one. */
static struct labels enrich(struct info_node *f, const struct info_group *g, struct labels base,
                            size_t i, bool *ret_is_met)
{
    struct exec *x = f->node.x;
    struct labels_builder b;

    *ret_is_met = false;
    labels_builder_init(&b, node_tmp(&f->node), base);
    for (size_t k = 0; g && k < g->n; k++) {
        struct labels info;

        if (!is_newest(f, g, k, i))
            continue;
        *ret_is_met = true;
        info = f->series[g->series[k]].labels;
        for (size_t l = 0; l < info.n; l++) {
            struct slice name = info.ptr[l].name, was;

            if (is_name(name) || !is_wanted(f, name) || labels_has(base, name))
                continue;
            was = labels_builder_get(&b, name);
            if (was.len && !slice_eq(was, info.ptr[l].value)) {
                (void)exec_fail(x, err_new(ERR_EXEC, "conflicting label: %.*s", SLICE_ARG(name)));
                return base;
            }
            labels_builder_set(&b, name, info.ptr[l].value);
        }
    }
    return labels_builder_labels(&b);
}

static void put(struct info_node *f, struct labels ls, const struct row *r, size_t i)
{
    struct exec *x = f->node.x;
    bool is_new;
    size_t at = labelmap_index(&f->out_map, ls, &is_new);
    struct row *o;

    if (is_new) {
        struct row fresh = {
            .labels = ls, .drop_name = r->drop_name, .v = row_column(x->arena, f->node.grid.n)};

        rowset_add(x, &f->out, &fresh, f->node.grid.n);
        (void)exec_hold(x, f->node.grid.n);
    }
    o = &f->out.ptr[at];
    if (row_has(o, i)) {
        (void)exec_fail(x,
                        err_new(ERR_EXEC, "vector cannot contain metrics with the same labelset"));
    } else if (row_has_hist(r, i)) {
        if (!o->h)
            o->h = row_hist_column(x->arena, f->node.grid.n);
        o->h[i] = r->h[i];
    } else {
        o->v[i] = r->v[i];
    }
}

static void join(struct info_node *f, const struct row *r)
{
    struct labels key = ops_match_labels(f->node.x->arena, r->labels, true, key_names());
    bool is_info = is_info_name(f, ops_name_of(r->labels)), is_new, is_met = false;
    const struct info_group *g = NULL;

    if (!is_info && key.n)
        g = info_group(f, r->labels, &is_new);
    for (size_t i = 0; i < f->node.grid.n && exec_ok(f->node.x); i++) {
        struct labels ls;

        if (!row_has(r, i))
            continue;
        (void)node_tmp(&f->node);
        arena_reset(f->node.tmp);
        ls = is_info ? r->labels : enrich(f, g, r->labels, i, &is_met);
        if (is_info || is_met || f->may_be_absent)
            put(f, ls, r, i);
    }
}

static bool info_load(struct info_node *f)
{
    struct exec *x = f->node.x;

    f->is_loaded = true;
    if (!rowset_fill(x, &f->base, f->child) || f->base.n == 0)
        return exec_ok(x);
    for (size_t i = 0; i < ORR_COUNT(identifying); i++)
        if (!narrow(f, identifying[i]))
            return false;
    if (!fetch(f) || !check_duplicates(f))
        return false;
    for (size_t i = 0; i < f->base.n && exec_tick(x); i++)
        join(f, &f->base.ptr[i]);
    return exec_ok(x);
}

static bool info_next(struct node *n, struct row *ret)
{
    struct info_node *f = (struct info_node *)n;

    if (!f->is_loaded && !info_load(f))
        return false;
    if (f->at == f->out.n)
        return false;
    *ret = f->out.ptr[f->at++];
    return true;
}

/* The time as of which v is read: of its first selector, through the subqueries around it. An inner @
 * overrides what is around it; offsets add up. */
static bool find_ref(const struct exec *x, const struct promql_expr *e, struct timeref *ref)
{
    struct timeref own;

    e = promql_unwrap(e);
    switch (e->kind) {
    case PROMQL_SELECTOR:
        own = timeref_of(x, e->u.selector.at, e->u.selector.at_ms, e->u.selector.offset_ms);
        break;
    case PROMQL_SUBQUERY:
        own = timeref_of(x, e->u.subquery.at, e->u.subquery.at_ms, e->u.subquery.offset_ms);
        break;
    case PROMQL_RANGE:
        return find_ref(x, e->u.range.selector, ref);
    case PROMQL_CALL:
        for (size_t i = 0; i < e->u.call.n_args; i++)
            if (find_ref(x, e->u.call.args[i], ref))
                return true;
        return false;
    case PROMQL_AGGREGATE:
        return find_ref(x, e->u.aggregate.expr, ref);
    case PROMQL_BINARY:
        return find_ref(x, e->u.binary.lhs, ref) || find_ref(x, e->u.binary.rhs, ref);
    case PROMQL_UNARY:
        return find_ref(x, e->u.unary.expr, ref);
    default:
        return false;
    }
    if (own.has_at)
        *ref = own;
    else
        ref->offset_ms += own.offset_ms;
    return e->kind == PROMQL_SELECTOR || find_ref(x, e->u.subquery.expr, ref);
}

static bool init_matchers(struct info_node *f, const struct promql_expr *selector)
{
    struct exec *x = f->node.x;
    struct matchers ms = selector ? selector->u.selector.matchers : (struct matchers){0};
    bool has_name = false, has_positive = false;

    f->matchers = arena_array(x->arena, struct matcher, ms.n + 1 + ORR_COUNT(identifying));
    f->wanted = arena_array(x->arena, struct slice, ms.n);
    f->may_be_absent = true;
    for (size_t i = 0; i < ms.n; i++) {
        const struct matcher *m = &ms.ptr[i];

        if (!add_matcher(f, m->op, m->name, m->value))
            return false;
        if (is_name(m->name)) {
            has_name = true;
            has_positive |= m->op == MATCHER_EQ || m->op == MATCHER_RE;
            continue;
        }
        f->wanted[f->n_wanted++] = m->name;
        f->may_be_absent &= matcher_matches_empty(m);
    }
    if (!has_name)
        return add_matcher(f, MATCHER_EQ, SLICE(LABEL_NAME), SLICE("target_info"));
    /* A name that is only ruled out leaves all that are called info metrics. */
    return has_positive || add_matcher(f, MATCHER_RE, SLICE(LABEL_NAME), SLICE(".+_info"));
}

struct node *op_info(struct exec *x, struct grid grid, const struct promql_expr *e)
{
    static const struct node_ops ops = {info_next, info_done};
    const struct promql_call *c = &e->u.call;
    struct info_node *f = node_new_of(x, struct info_node, &ops, grid);

    f->keys.arena = f->out_map.arena = x->arena;
    (void)find_ref(x, c->args[0], &f->ref);
    if (!init_matchers(f, c->n_args > 1 ? promql_unwrap(c->args[1]) : NULL))
        return NULL;
    f->child = build_node(x, c->args[0], grid);
    return f->child ? &f->node : NULL;
}
