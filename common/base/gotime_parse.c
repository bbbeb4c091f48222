#include <stdio.h>

#include "common/base/gotime_internal.h"

/* What a text has said so far; -1 where it said nothing. */
struct parsed {
    int64_t year;
    int month, day, year_day, hour, minute, second;
    uint32_t ns;
    bool is_pm, is_am, is_utc;
    bool has_offset;
    int32_t offset_s;
    struct slice abbrev;
};

struct parse {
    struct slice text, layout; /* whole, for messages */
    struct slice value;        /* what is left */
    struct parsed p;
};

static bool is_digit(struct slice s, size_t i)
{
    return i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9';
}

static struct err *bad(const struct parse *s)
{
    return err_new(ERR_INVALID, "parsing time \"%.*s\" as \"%.*s\": cannot parse \"%.*s\"",
                   (int)ORR_MIN(s->text.len, 128), (const char *)s->text.ptr,
                   (int)ORR_MIN(s->layout.len, 128), (const char *)s->layout.ptr,
                   (int)ORR_MIN(s->value.len, 128), (const char *)s->value.ptr);
}

static struct err *out_of_range(const struct parse *s, const char *what)
{
    return err_new(ERR_INVALID, "parsing time \"%.*s\": %s out of range",
                   (int)ORR_MIN(s->text.len, 128), (const char *)s->text.ptr, what);
}

/* Literal text: runs of spaces match runs of spaces, also none at the end. */
static bool skip_literal(struct slice *value, struct slice prefix)
{
    while (prefix.len) {
        if (prefix.ptr[0] == ' ') {
            if (value->len && value->ptr[0] != ' ')
                return false;
            while (prefix.len && prefix.ptr[0] == ' ')
                prefix = slice_from(prefix, 1);
            while (value->len && value->ptr[0] == ' ')
                *value = slice_from(*value, 1);
            continue;
        }
        if (value->len == 0 || value->ptr[0] != prefix.ptr[0])
            return false;
        prefix = slice_from(prefix, 1);
        *value = slice_from(*value, 1);
    }
    return true;
}

/* Up to max digits, at least min. */
static bool take_digits(struct slice *value, size_t min, size_t max, int *ret)
{
    size_t n = 0;
    int v = 0;

    while (n < max && is_digit(*value, n))
        v = v * 10 + (value->ptr[n++] - '0');
    if (n < min)
        return false;
    *value = slice_from(*value, n);
    *ret = v;
    return true;
}

/* Index of the name (or its first short bytes) at the front, case ignored; -1 if none. */
static int take_name(struct slice *value, const char *const *names, int n, size_t short_len)
{
    for (int i = 0; i < n; i++) {
        size_t len = short_len ? short_len : strlen(names[i]);

        if (value->len >= len &&
            slice_eq_nocase(slice_sub(*value, 0, len), slice_of(names[i], len))) {
            *value = slice_from(*value, len);
            return i;
        }
    }
    return -1;
}

/* The digits behind the point that value starts with; n includes the point. */
static void take_fraction(struct parse *s, size_t n)
{
    uint32_t ns = 0;

    for (size_t i = 1; i < 10; i++)
        ns = ns * 10 + (i < n ? (uint32_t)(s->value.ptr[i] - '0') : 0);
    s->p.ns = ns;
    s->value = slice_from(s->value, n);
}

static bool starts_fraction(struct slice v)
{
    return v.len >= 2 && (v.ptr[0] == '.' || v.ptr[0] == ',') && is_digit(v, 1);
}

static size_t fraction_len(struct slice v)
{
    size_t n = 1;

    while (is_digit(v, n))
        n++;
    return n;
}

static struct err *parse_fraction(struct parse *s, const struct gotime_chunk *k)
{
    if (k->std == GOTIME_FRACTION_NINE) {
        if (starts_fraction(s->value))
            take_fraction(s, fraction_len(s->value));
        return NULL; /* it may be left out */
    }
    if (s->value.len < k->digits + 1 || (s->value.ptr[0] != '.' && s->value.ptr[0] != ','))
        return bad(s);
    for (size_t i = 1; i <= k->digits; i++)
        if (!is_digit(s->value, i))
            return bad(s);
    take_fraction(s, k->digits + 1);
    return NULL;
}

static bool two_digits(struct slice v, size_t at, int *ret)
{
    struct slice rest = slice_from(v, at);

    return take_digits(&rest, 2, 2, ret);
}

static struct err *parse_offset(struct parse *s, const struct gotime_chunk *k)
{
    size_t step = k->has_colon ? 3 : 2, need = 3 + (k->parts - 1) * step;
    struct slice v = s->value;
    int h, m = 0, sec = 0;

    if (k->is_z && v.len && v.ptr[0] == 'Z') {
        s->value = slice_from(v, 1);
        s->p.is_utc = true;
        return NULL;
    }
    if (v.len < need || (v.ptr[0] != '+' && v.ptr[0] != '-') || !two_digits(v, 1, &h))
        return bad(s);
    for (unsigned part = 1; k->has_colon && part < k->parts; part++)
        if (v.ptr[part * 3] != ':')
            return bad(s);
    if ((k->parts > 1 && !two_digits(v, 1 + step, &m)) ||
        (k->parts > 2 && !two_digits(v, 1 + 2 * step, &sec)))
        return bad(s);
    /* 24 hours and 60 minutes are written by some. */
    if (h > 24 || m > 60 || sec > 60)
        return out_of_range(s, "time zone offset");
    s->p.offset_s = (h * 60 + m) * 60 + sec;
    if (v.ptr[0] == '-')
        s->p.offset_s = -s->p.offset_s;
    s->p.has_offset = true;
    s->value = slice_from(v, need);
    return NULL;
}

/* +5 or -11 behind GMT or alone; 0 if it is none. */
static size_t signed_offset_len(struct slice v, int *ret)
{
    size_t n = 1;
    int x = 0;

    if (v.len == 0 || (v.ptr[0] != '+' && v.ptr[0] != '-'))
        return 0;
    for (; is_digit(v, n); n++)
        if ((x = x * 10 + (v.ptr[n] - '0')) > 23)
            return 0;
    *ret = v.ptr[0] == '-' ? -x : x;
    return n > 1 ? n : 0;
}

/* Length of a zone's abbreviation at the front; 0 if there is none. */
static size_t abbrev_len(struct slice v)
{
    size_t n = 0;
    int ignored;

    if (v.len < 3)
        return 0;
    if (slice_has_prefix(v, SLICE("ChST")) || slice_has_prefix(v, SLICE("MeST")))
        return 4;
    if (slice_has_prefix(v, SLICE("GMT")))
        return 3 + signed_offset_len(slice_from(v, 3), &ignored);
    if (v.ptr[0] == '+' || v.ptr[0] == '-')
        return signed_offset_len(v, &ignored);
    while (n < 6 && n < v.len && v.ptr[n] >= 'A' && v.ptr[n] <= 'Z')
        n++;
    switch (n) {
    case 5:
        return v.ptr[4] == 'T' ? 5 : 0;
    case 4:
        return v.ptr[3] == 'T' || slice_has_prefix(v, SLICE("WITA")) ? 4 : 0;
    case 3:
        return 3;
    default:
        return 0;
    }
}

static struct err *parse_abbrev(struct parse *s)
{
    size_t n;

    if (slice_has_prefix(s->value, SLICE("UTC"))) {
        s->p.is_utc = true;
        s->value = slice_from(s->value, 3);
        return NULL;
    }
    if (!(n = abbrev_len(s->value)))
        return bad(s);
    s->p.abbrev = slice_sub(s->value, 0, n);
    s->value = slice_from(s->value, n);
    return NULL;
}

static struct err *parse_seconds(struct parse *s, bool is_zero, struct slice layout)
{
    struct gotime_chunk next;

    if (!take_digits(&s->value, is_zero ? 2 : 1, 2, &s->p.second))
        return bad(s);
    if (s->p.second >= 60)
        return out_of_range(s, "second");
    /* A fraction is taken even where the layout has none. */
    if (starts_fraction(s->value)) {
        next = gotime_next_chunk(&layout);
        if (next.std != GOTIME_FRACTION_ZERO && next.std != GOTIME_FRACTION_NINE)
            take_fraction(s, fraction_len(s->value));
    }
    return NULL;
}

static struct err *parse_year(struct parse *s, bool is_long)
{
    int y;

    if (!take_digits(&s->value, is_long ? 4 : 2, is_long ? 4 : 2, &y))
        return bad(s);
    s->p.year = is_long ? y : y + (y >= 69 ? 1900 : 2000);
    return NULL;
}

static struct err *parse_pm(struct parse *s, bool is_lower)
{
    struct slice v = slice_sub(s->value, 0, 2);

    if (slice_eq_cstr(v, is_lower ? "pm" : "PM"))
        s->p.is_pm = true;
    else if (slice_eq_cstr(v, is_lower ? "am" : "AM"))
        s->p.is_am = true;
    else
        return bad(s);
    s->value = slice_from(s->value, 2);
    return NULL;
}

static void skip_padding(struct parse *s, int most)
{
    for (int i = 0; i < most && s->value.len && s->value.ptr[0] == ' '; i++)
        s->value = slice_from(s->value, 1);
}

/* A number of one or two digits (is_zero: of two), from low to high. */
static struct err *parse_number(struct parse *s, bool is_zero, int low, int high, const char *what,
                                int *ret)
{
    if (!take_digits(&s->value, is_zero ? 2 : 1, 2, ret))
        return bad(s);
    return *ret < low || *ret > high ? out_of_range(s, what) : NULL;
}

static struct err *parse_chunk(struct parse *s, const struct gotime_chunk *k, struct slice layout)
{
    struct parsed *p = &s->p;
    enum gotime_std std = k->std;
    int i;

    switch (std) {
    case GOTIME_NONE:
        return NULL;
    case GOTIME_LONG_MONTH:
    case GOTIME_MONTH:
        i = take_name(&s->value, gotime_months, 12, std == GOTIME_MONTH ? 3 : 0);
        p->month = i + 1;
        return i < 0 ? bad(s) : NULL;
    case GOTIME_NUM_MONTH:
    case GOTIME_ZERO_MONTH:
        return parse_number(s, std == GOTIME_ZERO_MONTH, 1, 12, "month", &p->month);
    case GOTIME_LONG_WEEKDAY:
    case GOTIME_WEEKDAY:
        i = take_name(&s->value, gotime_weekdays, 7, std == GOTIME_WEEKDAY ? 3 : 0);
        return i < 0 ? bad(s) : NULL;
    case GOTIME_UNDER_DAY:
        skip_padding(s, 1);
        /* fall through */
    case GOTIME_DAY:
    case GOTIME_ZERO_DAY:
        return parse_number(s, std == GOTIME_ZERO_DAY, 0, 99, "day", &p->day);
    case GOTIME_UNDER_YEAR_DAY:
        skip_padding(s, 2);
        /* fall through */
    case GOTIME_ZERO_YEAR_DAY:
        return take_digits(&s->value, std == GOTIME_ZERO_YEAR_DAY ? 3 : 1, 3, &p->year_day)
                   ? NULL
                   : bad(s);
    case GOTIME_HOUR:
        return parse_number(s, false, 0, 23, "hour", &p->hour);
    case GOTIME_HOUR12:
    case GOTIME_ZERO_HOUR12:
        return parse_number(s, std == GOTIME_ZERO_HOUR12, 0, 12, "hour", &p->hour);
    case GOTIME_MINUTE:
    case GOTIME_ZERO_MINUTE:
        return parse_number(s, std == GOTIME_ZERO_MINUTE, 0, 59, "minute", &p->minute);
    case GOTIME_SECOND:
    case GOTIME_ZERO_SECOND:
        return parse_seconds(s, std == GOTIME_ZERO_SECOND, layout);
    case GOTIME_LONG_YEAR:
    case GOTIME_YEAR:
        return parse_year(s, std == GOTIME_LONG_YEAR);
    case GOTIME_PM:
    case GOTIME_LOWER_PM:
        return parse_pm(s, std == GOTIME_LOWER_PM);
    case GOTIME_ABBREV:
        return parse_abbrev(s);
    case GOTIME_OFFSET:
        return parse_offset(s, k);
    case GOTIME_FRACTION_ZERO:
    case GOTIME_FRACTION_NINE:
        return parse_fraction(s, k);
    }
    return NULL;
}

/* Month and day from the day of the year, or a check that they agree. */
static struct err *settle_date(struct parse *s)
{
    struct parsed *p = &s->p;
    int month = 1, day = p->year_day;

    if (p->year_day >= 0) {
        if (day < 1 || day > 337 + gotime_days_in(2, p->year))
            return out_of_range(s, "day-of-year");
        for (; day > gotime_days_in(month, p->year); month++)
            day -= gotime_days_in(month, p->year);
        if ((p->month >= 0 && p->month != month) || (p->day >= 0 && p->day != day))
            return err_new(ERR_INVALID, "parsing time \"%.*s\": day-of-year does not match",
                           (int)ORR_MIN(s->text.len, 128), (const char *)s->text.ptr);
        p->month = month;
        p->day = day;
    }
    if (p->month < 0)
        p->month = 1;
    if (p->day < 0)
        p->day = 1;
    if (p->day < 1 || p->day > gotime_days_in(p->month, p->year))
        return out_of_range(s, "day");
    if (p->is_pm && p->hour < 12)
        p->hour += 12;
    else if (p->is_am && p->hour == 12)
        p->hour = 0;
    return NULL;
}

static void set_fixed(struct gotime *t, struct slice abbrev, int32_t offset_s)
{
    t->zone = NULL;
    t->has_fixed = true;
    t->fixed_offset_s = offset_s;
    (void)snprintf(t->fixed_abbrev, sizeof(t->fixed_abbrev), "%.*s", SLICE_ARG(abbrev));
}

static int64_t date_in(const struct parsed *p, const struct gozone *zone)
{
    return gotime_date(zone, p->year, p->month, p->day, p->hour, p->minute, p->second);
}

static struct gotime settle_zone(const struct parsed *p, const struct gozone *zone)
{
    struct gotime t = {.ns = p->ns};
    struct gozone_period period;
    int32_t offset_s = 0;
    int hours = 0;

    if (p->is_utc) {
        t.unix_s = date_in(p, NULL);
    } else if (p->has_offset) {
        t.unix_s = date_in(p, NULL) - p->offset_s;
        period = gozone_at(zone, t.unix_s);
        if (period.offset_s == p->offset_s &&
            (p->abbrev.len == 0 || slice_eq(period.abbrev, p->abbrev)))
            t.zone = zone;
        else
            set_fixed(&t, p->abbrev, p->offset_s);
    } else if (p->abbrev.len) {
        t.unix_s = date_in(p, NULL);
        if (gozone_lookup(zone, p->abbrev, t.unix_s, &offset_s)) {
            t.unix_s -= offset_s;
            t.zone = zone;
        } else {
            /* An abbreviation says little: Go invents a zone with it and offset 0. */
            if (slice_has_prefix(p->abbrev, SLICE("GMT")))
                (void)signed_offset_len(slice_from(p->abbrev, 3), &hours);
            set_fixed(&t, p->abbrev, hours * 3600);
        }
    } else {
        t.unix_s = date_in(p, zone);
        t.zone = zone;
    }
    return t;
}

struct err *gotime_parse(struct slice layout, struct slice text, const struct gozone *zone,
                         struct gotime *ret)
{
    struct parse s = {.text = text, .layout = layout, .value = text};
    struct gotime_chunk k;
    struct err *e;

    s.p = (struct parsed){.month = -1, .day = -1, .year_day = -1};
    do {
        k = gotime_next_chunk(&layout);
        if (!skip_literal(&s.value, k.prefix))
            return bad(&s);
        if ((e = parse_chunk(&s, &k, layout)))
            return e;
    } while (k.std != GOTIME_NONE);
    if (s.value.len)
        return err_new(ERR_INVALID, "parsing time \"%.*s\": extra text: \"%.*s\"",
                       (int)ORR_MIN(text.len, 128), (const char *)text.ptr,
                       (int)ORR_MIN(s.value.len, 128), (const char *)s.value.ptr);
    if ((e = settle_date(&s)))
        return e;
    *ret = settle_zone(&s.p, zone);
    return NULL;
}
