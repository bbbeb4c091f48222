/* Functions of one value and the scalars beside it. Histograms have no such value and drop out. */
#include <math.h>

#include "querier/engine/ops.h"

struct math_node {
    struct node node;
    enum promql_fn fn;
    struct node *child, *arg, *arg2;
    const double *arg_v, *arg2_v;
    double (*fn1)(double);
};

static double fn_sgn(double v)
{
    return v < 0 ? -1 : v > 0 ? 1 : v;
}

static double fn_deg(double v)
{
    return v * 180 / M_PI;
}

static double fn_rad(double v)
{
    return v * M_PI / 180;
}

/* As Go's, which make more of exp() than it can give: infinite from 709.8 on, not from 710.5. */
#define GO_EXP_FROM 21
static double go_sinh(double v)
{
    return fabs(v) > GO_EXP_FROM ? copysign(exp(fabs(v)) * 0.5, v) : sinh(v);
}

static double go_cosh(double v)
{
    return fabs(v) > GO_EXP_FROM ? exp(fabs(v)) * 0.5 : cosh(v);
}

static const struct {
    enum promql_fn fn;
    double (*fn1)(double);
} math_funcs[] = {
    {PROMQL_FN_ABS, fabs},     {PROMQL_FN_CEIL, ceil},   {PROMQL_FN_FLOOR, floor},
    {PROMQL_FN_EXP, exp},      {PROMQL_FN_SQRT, sqrt},   {PROMQL_FN_LN, log},
    {PROMQL_FN_LOG2, log2},    {PROMQL_FN_LOG10, log10}, {PROMQL_FN_SIN, sin},
    {PROMQL_FN_COS, cos},      {PROMQL_FN_TAN, tan},     {PROMQL_FN_ASIN, asin},
    {PROMQL_FN_ACOS, acos},    {PROMQL_FN_ATAN, atan},   {PROMQL_FN_SINH, go_sinh},
    {PROMQL_FN_COSH, go_cosh}, {PROMQL_FN_TANH, tanh},   {PROMQL_FN_ASINH, asinh},
    {PROMQL_FN_ACOSH, acosh},  {PROMQL_FN_ATANH, atanh}, {PROMQL_FN_SGN, fn_sgn},
    {PROMQL_FN_DEG, fn_deg},   {PROMQL_FN_RAD, fn_rad},
};

/* Go's math.Min and Max: an infinity that decides wins over NaN, else NaN wins. */
static double go_min(double a, double b)
{
    if (a == -INFINITY || b == -INFINITY)
        return -INFINITY;
    return isnan(a) || isnan(b) ? sample_from_bits(SAMPLE_NAN_BITS) : fmin(a, b);
}

static double go_max(double a, double b)
{
    if (a == INFINITY || b == INFINITY)
        return INFINITY;
    return isnan(a) || isnan(b) ? sample_from_bits(SAMPLE_NAN_BITS) : fmax(a, b);
}

static double round_to(double v, double to)
{
    double inverse = 1 / to;

    return floor(v * inverse + 0.5) / inverse;
}

static double compute(const struct math_node *m, double v, size_t i)
{
    switch (m->fn) {
    case PROMQL_FN_ROUND:
        return round_to(v, m->arg_v ? m->arg_v[i] : 1);
    case PROMQL_FN_CLAMP:
        if (m->arg2_v[i] < m->arg_v[i])
            return ROW_ABSENT;
        return go_max(m->arg_v[i], go_min(m->arg2_v[i], v));
    case PROMQL_FN_CLAMP_MIN:
        return go_max(m->arg_v[i], v);
    case PROMQL_FN_CLAMP_MAX:
        return go_min(m->arg_v[i], v);
    default:
        return m->fn1(v);
    }
}

static bool math_next(struct node *n, struct row *ret)
{
    struct math_node *m = (struct math_node *)n;
    bool has_any = false;

    if (m->arg && !m->arg_v && !(m->arg_v = node_scalar(m->arg)))
        return false;
    if (m->arg2 && !m->arg2_v && !(m->arg2_v = node_scalar(m->arg2)))
        return false;
    do {
        if (!node_next(m->child, ret))
            return false;
        ret->h = NULL;
        has_any = false;
        for (size_t i = 0; i < n->grid.n; i++) {
            if (!row_has_float(ret, i))
                continue;
            ret->v[i] = compute(m, ret->v[i], i);
            has_any = true;
        }
    } while (!has_any);
    row_drop_name(n->x, node_tmp(n), ret);
    return true;
}

struct node *op_math(struct exec *x, struct grid grid, const struct promql_expr *e)
{
    static const struct node_ops ops = {math_next, NULL};
    const struct promql_call *c = &e->u.call;
    struct math_node *m = node_new_of(x, struct math_node, &ops, grid);

    m->fn = c->func->id;
    for (size_t i = 0; i < ORR_COUNT(math_funcs); i++)
        if (math_funcs[i].fn == m->fn)
            m->fn1 = math_funcs[i].fn1;
    m->child = build_node(x, c->args[0], grid);
    if (m->child && c->n_args > 1)
        m->arg = build_node(x, c->args[1], grid);
    if (exec_ok(x) && c->n_args > 2)
        m->arg2 = build_node(x, c->args[2], grid);
    return exec_ok(x) ? &m->node : NULL;
}

/* Calendar functions, of sample values or (without an argument) of the evaluation time; UTC. */
struct date_node {
    struct node node;
    enum promql_fn fn;
    struct node *child;
    bool is_over;
};

struct civil {
    int64_t year;
    int month, day, year_day; /* 1..12, 1..31, 1..366 */
    int week_day;             /* 0 Sunday */
    int hour, minute;
};

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static bool is_leap(int64_t y)
{
    return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

static int days_in_month(int64_t y, int m)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return days[m - 1] + (m == 2 && is_leap(y));
}

/* Days since 1970-01-01 to the calendar, counting 400-year eras from March 1st of year 0. */
static struct civil civil_of(int64_t unix_s)
{
    int64_t days = floor_div(unix_s, 86400), rest = unix_s - days * 86400;
    int64_t shifted = days + 719468, era = floor_div(shifted, 146097), doe = shifted - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    struct civil c;

    c.day = (int)(doy - (153 * mp + 2) / 5 + 1);
    c.month = (int)(mp < 10 ? mp + 3 : mp - 9);
    c.year = yoe + era * 400 + (c.month <= 2);
    c.week_day = (int)(((days + 4) % 7 + 7) % 7);
    c.hour = (int)(rest / 3600);
    c.minute = (int)(rest / 60 % 60);
    c.year_day = c.day;
    for (int m = 1; m < c.month; m++)
        c.year_day += days_in_month(c.year, m);
    return c;
}

static double date_part(enum promql_fn fn, double v)
{
    struct civil c;

    /* As Go's conversion on amd64: what no int64 can hold becomes its least value. */
    if (!(v >= -9223372036854775808.0 && v < 9223372036854775808.0))
        v = -9223372036854775808.0;
    /* Years beyond 2^39 days have no meaning; keep the arithmetic in range. */
    c = civil_of((int64_t)fmax(fmin(v, 4e18), -4e18));
    switch (fn) {
    case PROMQL_FN_DAYS_IN_MONTH:
        return days_in_month(c.year, c.month);
    case PROMQL_FN_DAY_OF_MONTH:
        return c.day;
    case PROMQL_FN_DAY_OF_WEEK:
        return c.week_day;
    case PROMQL_FN_DAY_OF_YEAR:
        return c.year_day;
    case PROMQL_FN_HOUR:
        return c.hour;
    case PROMQL_FN_MINUTE:
        return c.minute;
    case PROMQL_FN_MONTH:
        return c.month;
    default:
        return (double)c.year;
    }
}

static bool date_next(struct node *n, struct row *ret)
{
    struct date_node *d = (struct date_node *)n;
    bool has_any = false;

    if (!d->child) {
        if (d->is_over)
            return false;
        d->is_over = true;
        *ret = (struct row){.v = arena_array(node_tmp(n), double, n->grid.n)};
        for (size_t i = 0; i < n->grid.n; i++)
            ret->v[i] = date_part(d->fn, (double)grid_t(&n->grid, i) / 1000);
        return true;
    }
    do {
        if (!node_next(d->child, ret))
            return false;
        ret->h = NULL;
        for (size_t i = 0; i < n->grid.n; i++) {
            if (!row_has_float(ret, i))
                continue;
            ret->v[i] = date_part(d->fn, ret->v[i]);
            has_any = true;
        }
    } while (!has_any);
    row_drop_name(n->x, node_tmp(n), ret);
    return true;
}

struct node *op_date(struct exec *x, struct grid grid, const struct promql_expr *e)
{
    static const struct node_ops ops = {date_next, NULL};
    struct date_node *d = node_new_of(x, struct date_node, &ops, grid);

    d->fn = e->u.call.func->id;
    if (e->u.call.n_args && !(d->child = build_node(x, e->u.call.args[0], grid)))
        return NULL;
    return &d->node;
}
