#include "alertmanager/timeint.h"

#include <ctype.h>

#include "common/base/gotime.h"

#define MAX_TEXT 64
#define LONGEST_MONTH 31
/* a day counted from the end of a month stands, when ranges are checked, for one of a month of so many
 * days and one: as Alertmanager has it */
#define CHECK_MONTH 30

typedef struct err *read_fn(struct slice text, int *ret);

static struct err *at(const char *name, const struct yaml_node *n, struct err *e)
{
    return err_wrap(e, "%s:%u", name, n->line);
}

static struct err *read_int(struct slice s, int *ret)
{
    int64_t v;
    bool is_plus = s.len > 1 && s.ptr[0] == '+';

    if (!slice_to_i64(is_plus ? slice_from(s, 1) : s, &v) || v < -1000000 || v > 1000000)
        return err_new(ERR_INVALID, "couldn't parse number %.*s", SLICE_ARG(s));
    *ret = (int)v;
    return NULL;
}

static bool find_name(struct slice s, const char *const *names, int n, int *ret)
{
    for (int i = 0; i < n; i++)
        if (slice_eq_nocase(s, slice_cstr(names[i]))) {
            *ret = i;
            return true;
        }
    return false;
}

static struct err *read_weekday(struct slice s, int *ret)
{
    static const char *const names[] = {"sunday",   "monday", "tuesday", "wednesday",
                                        "thursday", "friday", "saturday"};

    if (find_name(s, names, 7, ret))
        return NULL;
    return err_new(ERR_INVALID, "%.*s is not a valid weekday", SLICE_ARG(s));
}

static struct err *read_month(struct slice s, int *ret)
{
    static const char *const names[] = {"january",   "february", "march",    "april",
                                        "may",       "june",     "july",     "august",
                                        "september", "october",  "november", "december"};
    int64_t v;

    if (find_name(s, names, 12, ret)) {
        (*ret)++;
        return NULL;
    }
    if (!slice_to_i64(s, &v) || v < 1 || v > 12)
        return err_new(ERR_INVALID, "%.*s is not a valid month", SLICE_ARG(s));
    *ret = (int)v;
    return NULL;
}

static struct err *read_day(struct slice s, int *ret)
{
    struct err *e = read_int(s, ret);

    if (!e && (*ret == 0 || *ret < -LONGEST_MONTH || *ret > LONGEST_MONTH))
        e = err_new(ERR_INVALID, "%d is not a valid day of the month: out of range", *ret);
    return e;
}

static struct err *check_days(struct timeint_range r)
{
    int begin = r.begin < 0 ? CHECK_MONTH + r.begin : r.begin;
    int end = r.end < 0 ? CHECK_MONTH + r.end : r.end;

    if (r.begin < 0 && r.end > 0)
        return err_new(ERR_INVALID, "end day must be negative if start day is negative");
    if (begin > end)
        return err_new(ERR_INVALID, "end day %d is always before start day %d", r.end, r.begin);
    return NULL;
}

static struct err *read_range(struct slice s, read_fn *read, struct timeint_range *ret)
{
    ptrdiff_t colon = slice_find_byte(s, ':', 0);
    struct err *e;

    if (s.len > MAX_TEXT)
        return err_new(ERR_INVALID, "a range of %zu bytes", s.len);
    if (colon < 0) {
        if ((e = read(s, &ret->begin)))
            return e;
        ret->end = ret->begin;
        return NULL;
    }
    if ((e = read(slice_sub(s, 0, (size_t)colon), &ret->begin)) ||
        (e = read(slice_from(s, (size_t)colon + 1), &ret->end)))
        return e;
    return NULL;
}

static struct err *read_ranges(struct arena *a, const char *name, const struct yaml_node *list,
                               read_fn *read, struct timeint_ranges *ret)
{
    struct err *e;

    if (!list || yaml_is_null(list))
        return NULL;
    if (list->kind != YAML_KIND_SEQ)
        return at(name, list, err_new(ERR_INVALID, "a list is wanted"));
    ret->is_set = true;
    ret->ptr = arena_array(a, struct timeint_range, list->n + 1);
    for (size_t i = 0; i < list->n; i++) {
        const struct yaml_node *n = list->items[i];
        struct timeint_range *r = &ret->ptr[ret->n];

        if (n->kind != YAML_KIND_SCALAR)
            return at(name, n, err_new(ERR_INVALID, "a range is wanted"));
        if ((e = read_range(n->text, read, r)))
            return at(name, n, e);
        if (read == read_day)
            e = check_days(*r);
        else if (r->begin > r->end)
            e = err_new(ERR_INVALID, "the range %.*s ends before it starts", SLICE_ARG(n->text));
        if (e)
            return at(name, n, e);
        ret->n++;
    }
    return NULL;
}

static struct err *read_clock(const struct yaml_node *n, int *ret)
{
    struct slice s = n && n->kind == YAML_KIND_SCALAR ? n->text : SLICE_EMPTY;

    if (s.len == 5 && s.ptr[2] == ':' && isdigit(s.ptr[0]) && isdigit(s.ptr[1]) &&
        isdigit(s.ptr[3]) && isdigit(s.ptr[4])) {
        int h = (s.ptr[0] - '0') * 10 + s.ptr[1] - '0', m = (s.ptr[3] - '0') * 10 + s.ptr[4] - '0';

        if ((h < 24 && m < 60) || (h == 24 && m == 0)) {
            *ret = h * 60 + m;
            return NULL;
        }
    }
    return err_new(ERR_INVALID, "couldn't parse timestamp %.*s, HH:MM is wanted", SLICE_ARG(s));
}

static struct err *check_keys(const char *name, const struct yaml_node *n, const char *const *keys)
{
    if (n->kind != YAML_KIND_MAP)
        return at(name, n, err_new(ERR_INVALID, "a mapping is wanted"));
    for (size_t i = 0; i < n->n; i++) {
        size_t k = 0;

        while (keys[k] && !slice_eq_cstr(n->keys[i].text, keys[k]))
            k++;
        if (!keys[k])
            return err_new(ERR_INVALID, "%s:%u: unknown key %.*s", name, n->keys[i].line,
                           SLICE_ARG(n->keys[i].text));
    }
    return NULL;
}

static struct err *read_times(struct arena *a, const char *name, const struct yaml_node *list,
                              struct timeint_ranges *ret)
{
    static const char *const keys[] = {"start_time", "end_time", NULL};
    struct err *e;

    if (!list || yaml_is_null(list))
        return NULL;
    if (list->kind != YAML_KIND_SEQ)
        return at(name, list, err_new(ERR_INVALID, "a list of times is wanted"));
    ret->is_set = true;
    ret->ptr = arena_array(a, struct timeint_range, list->n + 1);
    for (size_t i = 0; i < list->n; i++) {
        const struct yaml_node *n = list->items[i];
        struct timeint_range *r = &ret->ptr[ret->n];

        if ((e = check_keys(name, n, keys)))
            return e;
        if ((e = read_clock(yaml_get(n, "start_time"), &r->begin)) ||
            (e = read_clock(yaml_get(n, "end_time"), &r->end)))
            return at(name, n, e);
        if (r->begin >= r->end)
            return at(name, n,
                      err_new(ERR_INVALID, "start time cannot be equal or greater than end time"));
        ret->n++;
    }
    return NULL;
}

static struct err *read_zone(const char *name, const struct yaml_node *n, struct timeint *ti)
{
    struct err *e;

    if (!n || yaml_is_null(n))
        return NULL;
    if (n->kind != YAML_KIND_SCALAR)
        return at(name, n, err_new(ERR_INVALID, "a time zone is wanted"));
    if ((e = gozone_load(n->text, &ti->zone)))
        return at(name, n, e);
    return NULL;
}

static struct err *read_one(struct arena *a, const char *name, const struct yaml_node *n,
                            struct timeint *ti)
{
    static const char *const keys[] = {"times",    "weekdays", "days_of_month", "months", "years",
                                       "location", NULL};
    struct err *e;

    if (yaml_is_null(n))
        return NULL;
    if ((e = check_keys(name, n, keys)) ||
        (e = read_times(a, name, yaml_get(n, "times"), &ti->times)) ||
        (e = read_ranges(a, name, yaml_get(n, "weekdays"), read_weekday, &ti->weekdays)) ||
        (e = read_ranges(a, name, yaml_get(n, "days_of_month"), read_day, &ti->days)) ||
        (e = read_ranges(a, name, yaml_get(n, "months"), read_month, &ti->months)) ||
        (e = read_ranges(a, name, yaml_get(n, "years"), read_int, &ti->years)))
        return e;
    return read_zone(name, yaml_get(n, "location"), ti);
}

struct err *timeint_parse(struct arena *a, const char *name, const struct yaml_node *node,
                          struct timeint_list *ret)
{
    struct timeint_list l = {0};
    struct err *e = NULL;

    if (!node || yaml_is_null(node)) {
        *ret = l;
        return NULL;
    }
    if (node->kind != YAML_KIND_SEQ)
        return at(name, node, err_new(ERR_INVALID, "a list of time intervals is wanted"));
    l.ptr = arena_array(a, struct timeint, node->n + 1);
    for (; !e && l.n < node->n; l.n++)
        e = read_one(a, name, node->items[l.n], &l.ptr[l.n]);
    if (e) {
        timeint_list_done(&l);
        return e;
    }
    *ret = l;
    return NULL;
}

void timeint_list_done(struct timeint_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        gozone_free(l->ptr[i].zone);
    l->n = 0;
}

static bool holds(const struct timeint_ranges *r, int64_t v)
{
    if (!r->is_set)
        return true;
    for (size_t i = 0; i < r->n; i++)
        if (v >= r->ptr[i].begin && v <= r->ptr[i].end)
            return true;
    return false;
}

static bool holds_time(const struct timeint_ranges *r, int minute)
{
    if (!r->is_set)
        return true;
    for (size_t i = 0; i < r->n; i++)
        if (minute >= r->ptr[i].begin && minute < r->ptr[i].end)
            return true;
    return false;
}

static bool holds_day(const struct timeint_ranges *r, int day, int days)
{
    if (!r->is_set)
        return true;
    for (size_t i = 0; i < r->n; i++) {
        int begin = r->ptr[i].begin < 0 ? days + r->ptr[i].begin + 1 : r->ptr[i].begin;
        int end = r->ptr[i].end < 0 ? days + r->ptr[i].end + 1 : r->ptr[i].end;

        if (begin <= days && day >= begin && day <= end)
            return true;
    }
    return false;
}

bool timeint_contains(const struct timeint_list *l, int64_t unix_s)
{
    for (size_t i = 0; i < l->n; i++) {
        const struct timeint *ti = &l->ptr[i];
        struct gotime t = {.unix_s = unix_s, .zone = ti->zone};
        struct gotime_civil c = gotime_civil(&t);

        if (holds_time(&ti->times, c.hour * 60 + c.minute) &&
            holds_day(&ti->days, c.day, gotime_days_in(c.month, c.year)) &&
            holds(&ti->months, c.month) && holds(&ti->weekdays, c.weekday) &&
            holds(&ti->years, c.year))
            return true;
    }
    return false;
}
