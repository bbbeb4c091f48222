/* time.Time and its methods. */
#include "common/template/value.h"

#define TIME_STRING "2006-01-02 15:04:05.999999999 -0700 MST"

static void print_time(struct buf *out, const struct value *v)
{
    gotime_format(out, v->time, SLICE(TIME_STRING));
}

static struct err *time_format(struct value_call *call, const struct value *args, size_t n,
                               struct value *ret)
{
    struct buf b = {.max_bytes = call->max_bytes};

    (void)n;
    gotime_format(&b, args[0].time, args[1].s);
    *ret = value_take_text(call->arena, &b);
    return NULL;
}

static struct err *time_string(struct value_call *call, const struct value *args, size_t n,
                               struct value *ret)
{
    struct buf b = {.max_bytes = call->max_bytes};

    (void)n;
    print_time(&b, &args[0]);
    *ret = value_take_text(call->arena, &b);
    return NULL;
}

static struct err *time_utc(struct value_call *call, const struct value *args, size_t n,
                            struct value *ret)
{
    struct gotime t = {.unix_s = args[0].time->unix_s, .ns = args[0].time->ns};

    (void)n;
    *ret = value_time(call->arena, t);
    return NULL;
}

/* The integers of a time: what is asked for stands in the name of the method. */
#define TIME_NUMBER(name, expr)                                                                    \
    static struct err *time_##name(struct value_call *call, const struct value *args, size_t n,    \
                                   struct value *ret)                                              \
    {                                                                                              \
        const struct gotime *t = args[0].time;                                                     \
        struct gotime_civil civil = gotime_civil(t);                                               \
                                                                                                   \
        (void)call, (void)n, (void)civil;                                                          \
        *ret = value_int(expr);                                                                    \
        return NULL;                                                                               \
    }
TIME_NUMBER(unix, t->unix_s)
TIME_NUMBER(unix_milli, gotime_ms(*t))
TIME_NUMBER(unix_nano, (int64_t)((uint64_t)t->unix_s * 1000000000u + t->ns))
TIME_NUMBER(year, civil.year)
TIME_NUMBER(day, civil.day)
TIME_NUMBER(hour, civil.hour)
TIME_NUMBER(minute, civil.minute)
TIME_NUMBER(second, civil.second)
TIME_NUMBER(nanosecond, (int64_t)t->ns)
TIME_NUMBER(year_day, civil.year_day)

static void print_month(struct buf *out, const struct value *v)
{
    static const char *const names[] = {"January",   "February", "March",    "April",
                                        "May",       "June",     "July",     "August",
                                        "September", "October",  "November", "December"};

    buf_str(out, v->i >= 1 && v->i <= 12 ? names[v->i - 1] : "%!Month");
}

static void print_weekday(struct buf *out, const struct value *v)
{
    static const char *const names[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                        "Thursday", "Friday", "Saturday"};

    buf_str(out, v->i >= 0 && v->i <= 6 ? names[v->i] : "%!Weekday");
}

static const struct value_type type_month = {.name = "time.Month", .print = print_month};
static const struct value_type type_weekday = {.name = "time.Weekday", .print = print_weekday};

static struct err *time_month(struct value_call *call, const struct value *args, size_t n,
                              struct value *ret)
{
    (void)call, (void)n;
    *ret = value_int(gotime_civil(args[0].time).month);
    ret->type = &type_month;
    return NULL;
}

static struct err *time_weekday(struct value_call *call, const struct value *args, size_t n,
                                struct value *ret)
{
    (void)call, (void)n;
    *ret = value_int(gotime_civil(args[0].time).weekday);
    ret->type = &type_weekday;
    return NULL;
}

/* The zero time of Go is the start of the year 1. */
static struct err *time_is_zero(struct value_call *call, const struct value *args, size_t n,
                                struct value *ret)
{
    (void)call, (void)n;
    *ret = value_bool(args[0].time->unix_s == -62135596800 && args[0].time->ns == 0);
    return NULL;
}

/* t.Sub(u), t.Before(u), …: another time is the argument. */
static struct err *other_time(const struct value *args, const char *method)
{
    return args[1].kind == VALUE_TIME
               ? NULL
               : err_new(ERR_EXEC, "wrong type for value; %s expected time.Time", method);
}

static int time_cmp(const struct gotime *a, const struct gotime *b)
{
    if (a->unix_s != b->unix_s)
        return a->unix_s < b->unix_s ? -1 : 1;
    return (a->ns > b->ns) - (a->ns < b->ns);
}

static struct err *time_before(struct value_call *call, const struct value *args, size_t n,
                               struct value *ret)
{
    struct err *e = other_time(args, "Before");

    (void)call, (void)n;
    if (!e)
        *ret = value_bool(time_cmp(args[0].time, args[1].time) < 0);
    return e;
}

static struct err *time_after(struct value_call *call, const struct value *args, size_t n,
                              struct value *ret)
{
    struct err *e = other_time(args, "After");

    (void)call, (void)n;
    if (!e)
        *ret = value_bool(time_cmp(args[0].time, args[1].time) > 0);
    return e;
}

static struct err *time_equal(struct value_call *call, const struct value *args, size_t n,
                              struct value *ret)
{
    struct err *e = other_time(args, "Equal");

    (void)call, (void)n;
    if (!e)
        *ret = value_bool(time_cmp(args[0].time, args[1].time) == 0);
    return e;
}

static int64_t saturate(__int128 ns)
{
    return ns > INT64_MAX ? INT64_MAX : ns < INT64_MIN ? INT64_MIN : (int64_t)ns;
}

static __int128 time_ns(const struct gotime *t)
{
    return (__int128)t->unix_s * 1000000000 + t->ns;
}

static struct err *time_sub(struct value_call *call, const struct value *args, size_t n,
                            struct value *ret)
{
    struct err *e = other_time(args, "Sub");

    (void)call, (void)n;
    if (!e)
        *ret = value_duration(saturate(time_ns(args[0].time) - time_ns(args[1].time)));
    return e;
}

static struct err *time_add(struct value_call *call, const struct value *args, size_t n,
                            struct value *ret)
{
    struct gotime t = *args[0].time;
    __int128 ns;

    (void)n;
    if (args[1].type != &value_type_duration)
        return err_new(ERR_EXEC, "wrong type for value; Add expected time.Duration");
    ns = (__int128)t.ns + args[1].i;
    t.unix_s = (int64_t)((uint64_t)t.unix_s +
                         (uint64_t)(int64_t)(ns / 1000000000 - (ns % 1000000000 < 0)));
    t.ns = (uint32_t)((ns % 1000000000 + 1000000000) % 1000000000);
    *ret = value_time(call->arena, t);
    return NULL;
}

static const struct value_func time_methods[] = {
    {"Format", "s", time_format},
    {"String", "", time_string},
    {"UTC", "", time_utc},
    {"Unix", "", time_unix},
    {"UnixMilli", "", time_unix_milli},
    {"UnixNano", "", time_unix_nano},
    {"Year", "", time_year},
    {"Month", "", time_month},
    {"Day", "", time_day},
    {"Hour", "", time_hour},
    {"Minute", "", time_minute},
    {"Second", "", time_second},
    {"Nanosecond", "", time_nanosecond},
    {"YearDay", "", time_year_day},
    {"Weekday", "", time_weekday},
    {"IsZero", "", time_is_zero},
    {"Before", "v", time_before},
    {"After", "v", time_after},
    {"Equal", "v", time_equal},
    {"Sub", "v", time_sub},
    {"Add", "v", time_add},
};

static const struct value_type type_time = {.name = "time.Time",
                                            .methods = time_methods,
                                            .n_methods = ORR_COUNT(time_methods),
                                            .print = print_time};

struct value value_time(struct arena *a, struct gotime t)
{
    struct gotime *copy = arena_new_of(a, struct gotime);

    *copy = t;
    return (struct value){.kind = VALUE_TIME, .type = &type_time, .time = copy};
}

const struct value_func *value_method(const struct value *v, struct slice name)
{
    for (size_t i = 0; v->type && i < v->type->n_methods; i++)
        if (slice_eq_cstr(name, v->type->methods[i].name))
            return &v->type->methods[i];
    return NULL;
}
