/*
 * TraceQL pipelines against a slow evaluator, on random traces and queries. The slow one looks at every
 * span by itself, at every pair of spans for an operator between sets, and knows no columns.
 */
#include <stdlib.h>

#include "common/base/mem.h"
#include "common/base/re.h"
#include "common/base/rng.h"
#include "common/base/vec.h"
#include "querier/traces/tracepipe.h"
#include "tests/unit/querier/traces/random_query.h"
#include "tests/unit/test.h"

static struct tracevalue random_value(struct rng *r, struct tracevalue *items)
{
    struct tracevalue v = {.type = TRACECELL_NONE};

    switch (rng_below(r, 6)) {
    case 0:
        v.type = TRACECELL_INT;
        v.v.i = (int64_t)rng_below(r, 5) - 1;
        break;
    case 1:
        v.type = TRACECELL_FLOAT;
        v.v.f = (double)rng_below(r, 8) / 2;
        break;
    case 2:
        v.type = TRACECELL_BOOL;
        v.v.b = rng_chance(r, 0.5);
        break;
    case 3:
        if (items) {
            v.type = TRACECELL_ARRAY;
            v.v.array.n = rng_below(r, 3);
            v.v.array.ptr = items;
            for (size_t i = 0; i < v.v.array.n; i++)
                items[i] = random_value(r, NULL);
            break;
        }
        /* fallthrough */
    default:
        v.type = TRACECELL_STRING;
        v.v.s = slice_cstr(texts[rng_below(r, ORR_COUNT(texts))]);
    }
    return v;
}

static void add_attributes(struct tracebuild *b, struct rng *r, enum tracetable table)
{
    static const char *const keys[] = {"x", "y", "z"};

    for (size_t i = 0; i < ORR_COUNT(keys); i++) {
        struct tracevalue items[3], v = random_value(r, items);

        if (rng_chance(r, 0.5))
            tracebuild_attribute(b, table, slice_cstr(keys[i]), &v);
    }
}

static void add_span(struct tracebuild *b, struct rng *r, uint64_t id, uint64_t parent)
{
    int64_t start = (int64_t)rng_below(r, 1000);
    struct tracebuild_span s = {
        .span_id = id,
        .parent_id = parent,
        .name = slice_cstr(names[rng_below(r, ORR_COUNT(names))]),
        .message = slice_cstr(texts[rng_below(r, ORR_COUNT(texts))]),
        .kind = (uint8_t)rng_below(r, 6),
        .status = (uint8_t)rng_below(r, 3),
        .start_ns = start,
        .end_ns = start + (int64_t)rng_below(r, 100),
        .resource = (uint32_t)rng_below(r, 3),
        .library = (uint32_t)rng_below(r, 2),
    };
    static const uint8_t linked[16] = {1};

    (void)tracebuild_span(b, &s);
    add_attributes(b, r, TRACE_SPANS);
    for (uint64_t n = rng_below(r, 3); n > 0; n--) {
        (void)tracebuild_event(b, slice_cstr(names[n - 1]), start + 1);
        add_attributes(b, r, TRACE_EVENTS);
    }
    if (rng_chance(r, 0.3)) {
        (void)tracebuild_link(b, linked, 7);
        add_attributes(b, r, TRACE_LINKS);
    }
}

static const struct tracecols *random_traces(struct arena *a, struct rng *r)
{
    struct tracebuild *b = tracebuild_new(a);

    for (size_t i = 0; i < 3; i++) {
        (void)tracebuild_resource(b);
        add_attributes(b, r, TRACE_RESOURCES);
    }
    for (size_t i = 0; i < 2; i++) {
        (void)tracebuild_library(b, slice_cstr(texts[i]), SLICE("1"));
        add_attributes(b, r, TRACE_LIBRARIES);
    }
    for (uint8_t t = 1; t < 9; t++) {
        uint8_t id[16] = {t};
        uint64_t n = 1 + rng_below(r, 12);

        tracebuild_trace(b, id);
        for (uint64_t i = 1; i <= n;
             i++) { /* some parents are not there, some come later, one is itself */
            uint64_t parent = i == 1 ? 0 : 1 + rng_below(r, n + 1);

            add_span(b, r, i, rng_chance(r, 0.05) ? 0 : parent);
        }
    }
    return tracebuild_end(b);
}

/* The slow evaluator. */
struct slow {
    const struct tracecols *c;
    struct arena *a;
};

struct list {
    size_t n;
    struct traceql_static v[64];
};

static void push(struct list *l, struct traceql_static v)
{
    CHECK(l->n < ORR_COUNT(l->v));
    l->v[l->n++] = v;
}

static struct traceql_static slow_cell(const struct tracecols *c, uint8_t type, uint64_t value)
{
    struct traceql_static v = {.type = TRACEQL_NIL};

    if (type == TRACECELL_INT)
        v = (struct traceql_static){TRACEQL_INT, {.i = (int64_t)value}};
    else if (type == TRACECELL_STRING)
        v = (struct traceql_static){TRACEQL_STRING, {.s = c->dict[value]}};
    else if (type == TRACECELL_BOOL)
        v = (struct traceql_static){TRACEQL_BOOL, {.b = value}};
    else if (type == TRACECELL_FLOAT) {
        v.type = TRACEQL_FLOAT;
        memcpy(&v.v.f, &value, sizeof(value));
    }
    return v;
}

static bool belongs(const struct tracecols *c, enum tracetable t, uint32_t row, uint32_t span)
{
    switch (t) {
    case TRACE_SPANS:
        return row == span;
    case TRACE_RESOURCES:
        return row == c->resource[span];
    case TRACE_LIBRARIES:
        return row == c->library[span];
    case TRACE_EVENTS:
        return row >= c->event_first[span] && row < c->event_first[span + 1];
    default:
        return row >= c->link_first[span] && row < c->link_first[span + 1];
    }
}

static void slow_table(const struct tracecols *c, enum tracetable t, struct slice key,
                       uint32_t span, struct list *out)
{
    for (size_t k = 0; k < c->n_cols[t]; k++) {
        const struct tracecol *col = &c->cols[t][k];

        for (uint32_t i = 0; i < col->n && slice_eq(col->key, key); i++) {
            if (!belongs(c, t, col->rows[i], span))
                continue;
            if (col->types[i] != TRACECELL_ARRAY) {
                push(out, slow_cell(c, col->types[i], col->values[i]));
                continue;
            }
            for (uint32_t m = 0; m < c->arrays[col->values[i]].n; m++)
                push(out, slow_cell(c, c->arrays[col->values[i]].types[m],
                                    c->arrays[col->values[i]].values[m]));
        }
    }
}

static struct traceql_static id_text(struct slow *s, uint64_t id)
{
    return (struct traceql_static){
        TRACEQL_STRING, {.s = slice_cstr(arena_printf(s->a, "%016lx", (unsigned long)id))}};
}

static void slow_intrinsic(struct slow *s, enum traceql_intrinsic i, uint32_t row, struct list *out)
{
    static const int64_t statuses[] = {TRACEQL_STATUS_UNSET, TRACEQL_STATUS_OK,
                                       TRACEQL_STATUS_ERROR};
    const struct tracecols *c = s->c;
    const struct tracecols_trace *t = &c->traces[c->trace[row]];
    struct traceql_static v = {.type = TRACEQL_STRING};

    switch (i) {
    case TRACEQL_NAME:
        v.v.s = c->dict[c->name[row]];
        break;
    case TRACEQL_STATUS_MESSAGE:
        v.v.s = c->dict[c->message[row]];
        break;
    case TRACEQL_ROOT_NAME:
        v.v.s = t->root == UINT32_MAX ? SLICE("") : c->dict[c->name[t->root]];
        break;
    case TRACEQL_SPAN_ID:
        v = id_text(s, c->span_id[row]);
        break;
    case TRACEQL_SPAN_STATUS:
        v = (struct traceql_static){TRACEQL_STATUS, {.i = statuses[c->status[row]]}};
        break;
    case TRACEQL_KIND:
        v = (struct traceql_static){TRACEQL_SPAN_KIND, {.i = c->kind[row]}};
        break;
    case TRACEQL_SPAN_DURATION:
        v = (struct traceql_static){TRACEQL_DURATION, {.i = c->end_ns[row] - c->start_ns[row]}};
        break;
    case TRACEQL_TRACE_DURATION:
        v = (struct traceql_static){TRACEQL_DURATION, {.i = t->end_ns - t->start_ns}};
        break;
    case TRACEQL_EVENT_NAME:
        for (uint32_t k = c->event_first[row]; k < c->event_first[row + 1]; k++)
            push(out, (struct traceql_static){TRACEQL_STRING, {.s = c->dict[c->event_name[k]]}});
        return;
    default: /* link:spanID */
        for (uint32_t k = c->link_first[row]; k < c->link_first[row + 1]; k++)
            push(out, id_text(s, c->link_span[k]));
        return;
    }
    push(out, v);
}

static void slow_attribute(struct slow *s, const struct traceql_attribute *a, uint32_t row,
                           struct list *out)
{
    static const enum tracetable tables[] = {TRACE_SPANS,  TRACE_RESOURCES, TRACE_SPANS,
                                             TRACE_EVENTS, TRACE_LINKS,     TRACE_LIBRARIES};
    static const enum tracetable any[] = {TRACE_SPANS, TRACE_RESOURCES, TRACE_EVENTS, TRACE_LINKS,
                                          TRACE_LIBRARIES};

    if (a->intrinsic) {
        slow_intrinsic(s, a->intrinsic, row, out);
    } else if (a->scope) {
        slow_table(s->c, tables[a->scope], a->name, row, out);
    } else {
        for (size_t i = 0; i < ORR_COUNT(any) && out->n == 0; i++)
            slow_table(s->c, any[i], a->name, row, out);
    }
}

/* 1, 0, or -1 where the types do not go together. with_constant: as Tempo has it for those. */
static int slow_say(enum traceql_op op, const struct traceql_static *l,
                    const struct traceql_static *r, bool with_constant)
{
    struct traceql_static v;
    struct re *re;
    int said;

    if (op == TRACEQL_RE || op == TRACEQL_NOT_RE) {
        if (l->type != TRACEQL_STRING)
            return -1;
        CHECK_OK(re_compile(r->v.s, RE_ANCHORED, &re));
        said = re_match(re, l->v.s);
        re_free(re);
        return said;
    }
    if (with_constant && l->type == TRACEQL_INT && r->type == TRACEQL_FLOAT)
        return -1;
    if (with_constant && l->type == TRACEQL_FLOAT && r->type == TRACEQL_INT &&
        (op == TRACEQL_EQ || op == TRACEQL_NE))
        return -1;
    if (l->type != r->type && !(traceql_is_numeric(l->type) && traceql_is_numeric(r->type)))
        return -1;
    return traceql_apply(op == TRACEQL_NE ? TRACEQL_EQ : op, l, r, &v) ? v.v.b : -1;
}

static void slow_field(struct slow *s, const struct traceql_field *f, uint32_t row,
                       struct list *out);

static bool slow_true(struct slow *s, const struct traceql_field *f, uint32_t row)
{
    struct list l = {0};

    slow_field(s, f, row, &l);
    for (size_t i = 0; i < l.n; i++)
        if (l.v[i].type == TRACEQL_BOOL && l.v[i].v.b)
            return true;
    return false;
}

static bool slow_compare(struct slow *s, const struct traceql_field *f, uint32_t row)
{
    enum traceql_op op = f->u.binary.op;
    /* what is an attribute and a constant, and no intrinsic */
    bool with_constant = f->u.binary.lhs->kind == TRACEQL_ATTRIBUTE &&
                         !f->u.binary.lhs->u.attribute.intrinsic &&
                         f->u.binary.rhs->kind == TRACEQL_STATIC;
    bool is_negative = op == TRACEQL_NE || op == TRACEQL_NOT_RE, has_yes = false, has_no = false;
    struct list l = {0}, r = {0};

    slow_field(s, f->u.binary.lhs, row, &l);
    slow_field(s, f->u.binary.rhs, row, &r);
    for (size_t i = 0; i < l.n; i++) {
        for (size_t k = 0; k < r.n; k++) {
            int said = slow_say(op, &l.v[i], &r.v[k], with_constant);

            has_yes = has_yes || said == 1;
            has_no = has_no || said == 0;
        }
    }
    return is_negative ? has_no && !has_yes : has_yes;
}

static void slow_field(struct slow *s, const struct traceql_field *f, uint32_t row,
                       struct list *out)
{
    struct traceql_static v = {.type = TRACEQL_BOOL};
    struct list l = {0}, r = {0};

    if (f->kind == TRACEQL_STATIC) {
        push(out, f->u.value);
        return;
    }
    if (f->kind == TRACEQL_ATTRIBUTE) {
        slow_attribute(s, &f->u.attribute, row, out);
        return;
    }
    if (f->kind == TRACEQL_UNARY && f->u.unary.op == TRACEQL_NOT) {
        v.v.b = !slow_true(s, f->u.unary.operand, row);
    } else if (f->kind == TRACEQL_UNARY) { /* != nil */
        slow_field(s, f->u.unary.operand, row, &l);
        v.v.b = l.n > 0;
    } else if (f->u.binary.op == TRACEQL_AND) {
        v.v.b = slow_true(s, f->u.binary.lhs, row) && slow_true(s, f->u.binary.rhs, row);
    } else if (f->u.binary.op == TRACEQL_OR) {
        v.v.b = slow_true(s, f->u.binary.lhs, row) || slow_true(s, f->u.binary.rhs, row);
    } else if (f->u.binary.op == TRACEQL_ADD) {
        slow_field(s, f->u.binary.lhs, row, &l);
        slow_field(s, f->u.binary.rhs, row, &r);
        if (l.n != 1 || !traceql_is_numeric(l.v[0].type) ||
            !traceql_apply(TRACEQL_ADD, &l.v[0], &r.v[0], &v))
            return;
    } else {
        v.v.b = slow_compare(s, f, row);
    }
    push(out, v);
}

static bool is_ancestor(const struct tracecols *c, uint32_t up, uint32_t down)
{
    return c->left[up] > 0 && c->left[up] < c->left[down] && c->right[down] < c->right[up];
}

/* Whether r is to l what the operator says. */
static bool relates(const struct tracecols *c, enum traceql_spanset_op op, uint32_t l, uint32_t r)
{
    switch (op) {
    case TRACEQL_CHILD:
        return c->left[l] > 0 && c->set_parent[r] == c->left[l];
    case TRACEQL_PARENT:
        return c->left[r] > 0 && c->set_parent[l] == c->left[r];
    case TRACEQL_DESCENDANT:
        return is_ancestor(c, l, r);
    case TRACEQL_ANCESTOR:
        return is_ancestor(c, r, l);
    default:
        return l != r && c->set_parent[l] > 0 && c->set_parent[l] == c->set_parent[r];
    }
}

/* in[row]: whether the span is in the set. */
static void slow_spanset(struct slow *s, const struct traceql_spanset *set,
                         const struct tracecols_trace *t, bool *in)
{
    uint32_t end = t->first + t->n;
    bool *l, *r;
    enum traceql_spanset_op op;
    bool has_l = false, has_r = false;

    if (set->kind == TRACEQL_FILTER) {
        for (uint32_t i = t->first; i < end; i++)
            in[i] = slow_true(s, set->u.filter, i);
        return;
    }
    if (set->kind == TRACEQL_SPANSET_PIPELINE) { /* of one element: parentheses */
        slow_spanset(s, set->u.pipeline->ptr[0].u.spanset, t, in);
        return;
    }
    op = set->u.operation.op;
    l = arena_zalloc(s->a, s->c->n_spans);
    r = arena_zalloc(s->a, s->c->n_spans);
    slow_spanset(s, set->u.operation.lhs, t, l);
    slow_spanset(s, set->u.operation.rhs, t, r);
    for (uint32_t i = t->first; i < end; i++) {
        has_l = has_l || l[i];
        has_r = has_r || r[i];
        in[i] = false;
    }
    for (uint32_t i = t->first; i < end; i++) {
        if (op == TRACEQL_SPANSET_AND || op == TRACEQL_SPANSET_UNION) {
            in[i] = (l[i] || r[i]) && (op == TRACEQL_SPANSET_UNION || (has_l && has_r));
            continue;
        }
        if (op >= TRACEQL_NOT_CHILD && op <= TRACEQL_NOT_SIBLING)
            in[i] = r[i];
        for (uint32_t k = t->first; k < end; k++) {
            if (op < TRACEQL_NOT_CHILD)
                in[i] = in[i] || (r[i] && l[k] && relates(s->c, op, k, i));
            else if (op < TRACEQL_UNION_CHILD)
                in[i] =
                    in[i] && !(l[k] && relates(s->c, op - TRACEQL_NOT_CHILD + TRACEQL_CHILD, k, i));
            else
                in[i] =
                    in[i] ||
                    (r[i] && l[k] &&
                     relates(s->c, op - TRACEQL_UNION_CHILD + TRACEQL_CHILD, k, i)) ||
                    (l[i] && r[k] && relates(s->c, op - TRACEQL_UNION_CHILD + TRACEQL_CHILD, i, k));
        }
    }
}

static void compare(const struct tracecols *c, struct arena *a, const char *text_of_query,
                    const struct traceql *q)
{
    struct tracepipe *pipe = tracepipe_new(&q->pipeline, c);
    struct slow s = {c, a};
    bool *want = arena_zalloc(a, c->n_spans);

    for (uint32_t t = 0; t < c->n_traces; t++) {
        struct tracesets sets = tracepipe_run(pipe, t);
        bool *got = arena_zalloc(a, c->n_spans);

        slow_spanset(&s, q->pipeline.ptr[0].u.spanset, &c->traces[t], want);
        CHECK(sets.n <= 1);
        for (uint32_t i = 0; sets.n > 0 && i < sets.ptr[0].n; i++)
            got[sets.ptr[0].rows[i]] = true;
        for (uint32_t i = c->traces[t].first; i < c->traces[t].first + c->traces[t].n; i++)
            if (got[i] != want[i]) {
                print_message("%s: span %u of trace %u: %d, slowly %d\n", text_of_query, i, t,
                              got[i], want[i]);
                CHECK_INT(got[i], want[i]);
            }
    }
    tracepipe_free(pipe);
}

TEST(tracepipe_random_queries)
{
    struct rng r;
    size_t n_valid = 0;

    rng_seed(&r, 7);
    for (int round = 0; round < 40; round++) {
        struct arena *a = arena_new(0);
        const struct tracecols *c = random_traces(a, &r);

        for (int i = 0; i < 40; i++) {
            struct buf text_of_query = {0};
            struct traceql q;
            struct err *e;

            put_spanset(&text_of_query, &r, 2);
            e = traceql_parse(a, buf_slice(&text_of_query), &q);
            if (!e) {
                n_valid++;
                compare(c, a, buf_cstr(&text_of_query), &q);
            }
            err_free(e); /* types that do not go together */
            buf_done(&text_of_query);
        }
        arena_free(a);
    }
    CHECK(n_valid >= 300);
}

static struct tracesets run(struct arena *a, const struct tracecols *c, const char *query,
                            struct tracepipe **ret)
{
    struct traceql *q = arena_new_of(a, struct traceql);

    CHECK_OK(traceql_parse(a, slice_cstr(query), q));
    *ret = tracepipe_new(&q->pipeline, c);
    return tracepipe_run(*ret, 0);
}

/* One trace: a root and n spans below one another. */
static const struct tracecols *chain(struct arena *a, uint64_t n)
{
    static const uint8_t id[16] = {1};
    struct tracebuild *b = tracebuild_new(a);

    (void)tracebuild_resource(b);
    (void)tracebuild_library(b, SLICE(""), SLICE(""));
    tracebuild_trace(b, id);
    for (uint64_t i = 0; i < n; i++) {
        struct tracebuild_span s = {.span_id = i + 1,
                                    .parent_id = i,
                                    .name = i + 1 == n ? SLICE("last") : SLICE("step"),
                                    .end_ns = (int64_t)i};

        (void)tracebuild_span(b, &s);
    }
    return tracebuild_end(b);
}

/* Not in the square of the spans: this would take minutes. */
TEST(tracepipe_a_deep_trace)
{
    struct arena *a = arena_new(0);
    const struct tracecols *c = chain(a, 100000);
    struct tracepipe *pipe;
    struct tracesets sets = run(a, c, "{ name = \"step\" } << { }", &pipe);

    CHECK_INT(sets.ptr[0].n, 99998);
    tracepipe_free(pipe);
    sets = run(a, c, "{ name = \"last\" } !<< { } && { } >> { name = \"last\" }", &pipe);
    CHECK_INT(sets.ptr[0].n, 1);
    tracepipe_free(pipe);
    CHECK_INT(c->right[0], 200000);
    CHECK_INT(c->set_parent[0], -1);
    arena_free(a);
}

TEST(tracepipe_groups_and_aggregates)
{
    struct arena *a = arena_new(0);
    const struct tracecols *c = chain(a, 4);
    struct tracepipe *pipe;
    struct tracesets sets = run(a, c, "{} | by(name) | count() > 1 | avg(duration) < 1s", &pipe);

    CHECK_INT(sets.n, 1);
    CHECK_INT(sets.ptr[0].n, 3);
    CHECK_INT(sets.ptr[0].n_values, 3);
    CHECK_SLICE(sets.ptr[0].values[0].value.v.s, "step");
    CHECK_INT(sets.ptr[0].values[1].value.v.i, 3);
    CHECK_INT(sets.ptr[0].values[2].value.v.i, 1);
    tracepipe_free(pipe);
    sets = run(a, c, "{} | by(name) | coalesce() | max(duration) = 3ns", &pipe);
    CHECK_INT(sets.n, 1);
    CHECK_INT(sets.ptr[0].n, 4);
    tracepipe_free(pipe);
    sets = run(a, c, "{ name = \"x\" } | count() = 0", &pipe);
    CHECK_INT(sets.n, 0);
    tracepipe_free(pipe);
    arena_free(a);
}
