#include "querier/search/esdate.h"

#include "common/base/clock.h"

#define MAX_STEPS 1000000000 /* of a unit, in maths */
#define MAX_NS ((int64_t)1 << 62)

int64_t esdate_floor_ms(int64_t ns)
{
    return ns / ESDATE_MS - (ns % ESDATE_MS < 0);
}

/* ---- the calendar ---- */

static int64_t civil_ns(const struct gozone *zone, const struct gotime_civil *c)
{
    return gotime_date(zone, c->year, c->month, c->day, c->hour, c->minute, c->second) * NS_PER_S;
}

/* The first moment of c's day. Where clocks are put forward at midnight, that is when it is 1 o'clock. */
static int64_t day_ns(const struct gozone *zone, const struct gotime_civil *c)
{
    int64_t ns = civil_ns(zone, c);
    struct gotime t = gotime_of_ns(ns, zone);
    int64_t before_ns = civil_ns(NULL, c) - (ns + gotime_civil(&t).offset_s * NS_PER_S);

    return ns + ORR_MAX(before_ns, (int64_t)0);
}

static int64_t floor_to(int64_t ns, int64_t unit_ns)
{
    return ns - ((ns % unit_ns) + unit_ns) % unit_ns;
}

int64_t esdate_floor(int64_t ns, char unit, const struct gozone *zone)
{
    struct gotime t = gotime_of_ns(ns, zone);
    struct gotime_civil c = gotime_civil(&t);
    int64_t offset_ns = c.offset_s * NS_PER_S;

    switch (unit) {
    case 's':
        return floor_to(ns, NS_PER_S);
    case 'm':
        return floor_to(ns + offset_ns, 60 * NS_PER_S) - offset_ns;
    case 'h':
    case 'H':
        return floor_to(ns + offset_ns, 3600 * NS_PER_S) - offset_ns;
    default:
        break;
    }
    c.hour = c.minute = c.second = 0;
    if (unit == 'w')
        c.day -= (c.weekday + 6) % 7; /* weeks begin on Monday */
    if (unit == 'M' || unit == 'q' || unit == 'y')
        c.day = 1;
    if (unit == 'q')
        c.month -= (c.month - 1) % 3;
    if (unit == 'y')
        c.month = 1;
    return day_ns(zone, &c);
}

int64_t esdate_next(int64_t ns, char unit, const struct gozone *zone)
{
    int64_t next = esdate_add(ns, unit, 1, zone);

    if (strchr("smhH", unit))
        return next;
    /* A day may begin late, or the day after it: by so much that is surely in the next. */
    return esdate_floor(next + 3 * 3600 * NS_PER_S, unit, zone);
}

int64_t esdate_add(int64_t ns, char unit, int64_t n, const struct gozone *zone)
{
    struct gotime t = gotime_of_ns(ns, zone);
    struct gotime_civil c = gotime_civil(&t);
    int64_t rest_ns = ns - civil_ns(zone, &c);
    int64_t months = 0;
    int days;

    switch (unit) {
    case 's':
        return ns + n * NS_PER_S;
    case 'm':
        return ns + n * 60 * NS_PER_S;
    case 'h':
    case 'H':
        return ns + n * 3600 * NS_PER_S;
    case 'd':
    case 'w':
        c.day += (int)(unit == 'w' ? 7 * n : n);
        return civil_ns(zone, &c) + rest_ns;
    case 'q':
        months = 3 * n;
        break;
    case 'y':
        months = 12 * n;
        break;
    default:
        months = n;
        break;
    }
    months += c.month - 1;
    c.year += months / 12 - (months % 12 < 0);
    c.month = (int)(((months % 12) + 12) % 12) + 1;
    days = gotime_days_in(c.month, c.year);
    c.day = ORR_MIN(c.day, days); /* the 31st of a shorter month is its last day */
    return civil_ns(zone, &c) + rest_ns;
}

struct err *esdate_zone(struct slice text, struct gozone **ret)
{
    int sign, hours, minutes = 0;

    if (slice_eq_cstr(text, "Z"))
        text = SLICE("UTC");
    if (text.len < 3 || (text.ptr[0] != '+' && text.ptr[0] != '-')) {
        if (text.len > 64 || slice_find(text, SLICE(".."), 0) >= 0)
            return err_new(ERR_INVALID, "unknown time zone");
        return gozone_load(text, ret);
    }
    sign = text.ptr[0] == '-' ? -1 : 1;
    for (size_t i = 1; i < text.len; i++)
        if ((text.ptr[i] < '0' || text.ptr[i] > '9') && !(i == 3 && text.ptr[i] == ':'))
            return err_new(ERR_INVALID, "unknown time zone [%.*s]", SLICE_ARG(text));
    hours = (text.ptr[1] - '0') * 10 + text.ptr[2] - '0';
    if (text.len >= 5)
        minutes = (text.ptr[text.len - 2] - '0') * 10 + text.ptr[text.len - 1] - '0';
    if ((text.len != 3 && text.len != 5 && text.len != 6) || hours > 18 || minutes > 59)
        return err_new(ERR_INVALID, "unknown time zone [%.*s]", SLICE_ARG(text));
    *ret = gozone_fixed(text, sign * (hours * 3600 + minutes * 60));
    return NULL;
}

/* ---- reading ---- */

struct parts {
    int64_t year;
    int month, day, hour, minute, second; /* -1: not given */
    int64_t fraction_ns;
    int digits; /* of the fraction */
    bool has_zone;
    int32_t offset_s;
};

static struct parts no_parts(void)
{
    return (struct parts){
        .year = -1, .month = -1, .day = -1, .hour = -1, .minute = -1, .second = -1};
}

static bool take_digits(struct slice *s, size_t min, size_t max, int *ret)
{
    size_t n = 0;
    int v = 0;

    while (n < s->len && n < max && s->ptr[n] >= '0' && s->ptr[n] <= '9')
        v = v * 10 + s->ptr[n++] - '0';
    *s = slice_from(*s, n);
    *ret = v;
    return n >= min;
}

static bool take_byte(struct slice *s, uint8_t c)
{
    if (!s->len || s->ptr[0] != c)
        return false;
    *s = slice_from(*s, 1);
    return true;
}

static bool take_fraction(struct slice *s, size_t max, struct parts *p)
{
    size_t before = s->len;
    int v;

    if (!take_digits(s, 1, ORR_MIN(max, (size_t)9), &v))
        return false;
    p->digits = (int)(before - s->len);
    p->fraction_ns = v;
    for (int i = p->digits; i < 9; i++)
        p->fraction_ns *= 10;
    return true;
}

static bool take_zone(struct slice *s, struct parts *p)
{
    bool is_west;
    int h, m = 0;

    if (take_byte(s, 'Z')) {
        p->has_zone = true;
        return true;
    }
    if (!s->len || (s->ptr[0] != '+' && s->ptr[0] != '-'))
        return false;
    is_west = s->ptr[0] == '-';
    *s = slice_from(*s, 1);
    if (!take_digits(s, 2, 2, &h))
        return false;
    if ((take_byte(s, ':') || s->len) && !take_digits(s, 2, 2, &m))
        return false;
    p->has_zone = true;
    p->offset_s = (is_west ? -1 : 1) * (h * 3600 + m * 60);
    return h <= 18 && m <= 59;
}

/* yyyy[-MM[-dd[THH[:mm[:ss[.S…]]][zone]]]] */
static bool parse_iso(struct slice s, struct parts *p)
{
    int year;

    *p = no_parts();
    if (!take_digits(&s, 4, 4, &year))
        return false;
    p->year = year;
    if (take_byte(&s, '-') && !take_digits(&s, 2, 2, &p->month))
        return false;
    if (p->month >= 0 && take_byte(&s, '-') && !take_digits(&s, 2, 2, &p->day))
        return false;
    if (!s.len || p->day < 0 || (!take_byte(&s, 'T') && !take_byte(&s, ' ')) || !s.len)
        return !s.len;
    if (!take_digits(&s, 2, 2, &p->hour))
        return false;
    if (take_byte(&s, ':') && !take_digits(&s, 2, 2, &p->minute))
        return false;
    if (p->minute >= 0 && take_byte(&s, ':') && !take_digits(&s, 2, 2, &p->second))
        return false;
    if (p->second >= 0 && (take_byte(&s, '.') || take_byte(&s, ',')) && !take_fraction(&s, 9, p))
        return false;
    return !s.len || (take_zone(&s, p) && !s.len);
}

static size_t run_of(struct slice s)
{
    size_t n = 1;

    while (n < s.len && s.ptr[n] == s.ptr[0])
        n++;
    return n;
}

static bool is_letter(uint8_t c)
{
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

/* 'text' at the front of a pattern; what stands between the quotes. */
static bool take_quoted(struct slice *pattern, struct slice *ret)
{
    ptrdiff_t end = slice_find_byte(*pattern, '\'', 1);

    if (end < 0)
        return false;
    *ret = slice_sub(*pattern, 1, (size_t)end - 1);
    *pattern = slice_from(*pattern, (size_t)end + 1);
    return true;
}

/* One letter's run of a pattern, read. */
static bool parse_run(uint8_t c, size_t n, struct slice *s, struct parts *p)
{
    int year;

    switch (c) {
    case 'y':
    case 'u':
        if (!take_digits(s, n, 4, &year))
            return false;
        p->year = year;
        return true;
    case 'M':
        return take_digits(s, n, 2, &p->month);
    case 'd':
        return take_digits(s, n, 2, &p->day);
    case 'H':
        return take_digits(s, n, 2, &p->hour);
    case 'm':
        return take_digits(s, n, 2, &p->minute);
    case 's':
        return take_digits(s, n, 2, &p->second);
    case 'S':
        return take_fraction(s, n, p);
    default:
        return take_zone(s, p);
    }
}

static bool parse_pattern(struct slice pattern, struct slice s, struct parts *p)
{
    *p = no_parts();
    while (pattern.len) {
        uint8_t c = pattern.ptr[0];
        size_t n = run_of(pattern);
        struct slice text;

        if (c == '\'') {
            if (!take_quoted(&pattern, &text) || !slice_has_prefix(s, text))
                return false;
            s = slice_from(s, text.len);
            continue;
        }
        if (is_letter(c) ? !parse_run(c, n, &s, p) : !take_byte(&s, c))
            return false;
        pattern = slice_from(pattern, is_letter(c) ? n : 1);
    }
    return !s.len;
}

static bool is_in(int v, int low, int high)
{
    return v < 0 || (v >= low && v <= high);
}

/* The date is beyond what is told apart. */
static bool set_beyond(bool is_past, const struct esdate_opts *o, struct esdate *ret)
{
    *ret = (struct esdate){is_past ? -MAX_NS + 1 : MAX_NS - 1, 1};
    return o->saturates;
}

static bool date_of(const struct parts *p, const struct esdate_opts *o, struct esdate *ret)
{
    bool up = o->rounds_up;
    int month = p->month < 0 ? 1 : p->month, day = p->day < 0 ? 1 : p->day;
    int64_t unix_s, ns;

    if (p->year < 0 || !is_in(p->month, 1, 12) || !is_in(p->hour, 0, 23) ||
        !is_in(p->minute, 0, 59) || !is_in(p->second, 0, 59) || day < 1 ||
        day > gotime_days_in(month, p->year))
        return false;
    unix_s = gotime_date(p->has_zone ? NULL : o->zone, p->year, month, day,
                         p->hour < 0 ? (up ? 23 : 0) : p->hour,
                         p->minute < 0 ? (up ? 59 : 0) : p->minute,
                         p->second < 0 ? (up ? 59 : 0) : p->second) -
             p->offset_s;
    if (unix_s <= -MAX_NS / NS_PER_S || unix_s >= MAX_NS / NS_PER_S)
        return set_beyond(unix_s < 0, o, ret);
    ns = unix_s * NS_PER_S;
    ns += p->digits ? p->fraction_ns : up ? NS_PER_S - ESDATE_MS : 0;
    *ret = (struct esdate){ns, p->digits > 3 ? 1 : ESDATE_MS};
    return true;
}

static bool epoch_of(struct slice s, int64_t unit_ns, const struct esdate_opts *o,
                     struct esdate *ret)
{
    struct slice whole = s, fraction = SLICE_EMPTY;
    struct parts p = no_parts();
    ptrdiff_t dot = slice_find_byte(s, '.', 0);
    int64_t v;

    if (dot >= 0) {
        whole = slice_sub(s, 0, (size_t)dot);
        fraction = slice_from(s, (size_t)dot + 1);
        if (!take_fraction(&fraction, 9, &p) || fraction.len)
            return false;
    }
    if (!slice_to_i64(whole, &v))
        return false;
    if (v <= -MAX_NS / unit_ns || v >= MAX_NS / unit_ns)
        return set_beyond(v < 0, o, ret);
    ret->ns = v * unit_ns;
    ret->ns += p.fraction_ns / (NS_PER_S / unit_ns);
    ret->unit_ns = p.fraction_ns ? 1 : ESDATE_MS;
    return true;
}

static bool is_iso_name(struct slice f)
{
    static const char *const names[] = {"date_optional_time",
                                        "strict_date_optional_time",
                                        "strict_date_optional_time_nanos",
                                        "iso8601",
                                        "date_time",
                                        "strict_date_time",
                                        "date",
                                        "strict_date"};

    for (size_t i = 0; i < ORR_COUNT(names); i++)
        if (slice_eq_cstr(f, names[i]))
            return true;
    return false;
}

static bool parse_as(struct slice s, struct slice f, const struct esdate_opts *o,
                     struct esdate *ret)
{
    struct parts p;

    if (slice_eq_cstr(f, "epoch_millis"))
        return epoch_of(s, ESDATE_MS, o, ret);
    if (slice_eq_cstr(f, "epoch_second"))
        return epoch_of(s, NS_PER_S, o, ret);
    return (is_iso_name(f) ? parse_iso(s, &p) : parse_pattern(f, s, &p)) && date_of(&p, o, ret);
}

/* The next of formats parted by ||. */
static bool next_format(struct slice *rest, struct slice *ret)
{
    ptrdiff_t at = slice_find(*rest, SLICE("||"), 0);

    if (!rest->len)
        return false;
    *ret = at < 0 ? *rest : slice_sub(*rest, 0, (size_t)at);
    *rest = at < 0 ? SLICE_EMPTY : slice_from(*rest, (size_t)at + 2);
    return true;
}

static struct err *check_pattern(struct slice f)
{
    struct slice rest = f, text;

    while (rest.len) {
        if (rest.ptr[0] == '\'' ? !take_quoted(&rest, &text)
                                : is_letter(rest.ptr[0]) && !memchr("yuMdHmsSXZ", rest.ptr[0], 10))
            return err_new(ERR_UNSUPPORTED, "date format [%.*s] is not supported", SLICE_ARG(f));
        if (rest.len)
            rest = slice_from(rest, is_letter(rest.ptr[0]) ? run_of(rest) : rest.ptr[0] != '\'');
    }
    return NULL;
}

struct err *esdate_check_format(struct slice format)
{
    struct slice f;
    struct err *e = NULL;

    if (format.len > ESDATE_MAX_BYTES)
        return err_new(ERR_INVALID, "a date format is longer than %d bytes", ESDATE_MAX_BYTES);
    while (!e && next_format(&format, &f))
        if (!is_iso_name(f) && !slice_eq_cstr(f, "epoch_millis") &&
            !slice_eq_cstr(f, "epoch_second"))
            e = check_pattern(f);
    return e;
}

/* ---- maths ---- */

static struct err *bad(struct slice text)
{
    return err_new(ERR_INVALID, "failed to parse date field [%.*s]", SLICE_ARG(text));
}

static struct err *maths(struct slice text, struct slice s, const struct esdate_opts *o,
                         struct esdate *d)
{
    while (s.len) {
        char op = (char)s.ptr[0];
        int n = 1;

        s = slice_from(s, 1);
        if (!memchr("+-/", op, 3))
            return bad(text);
        if (op != '/' && s.len && s.ptr[0] <= '9' && !take_digits(&s, 1, 9, &n))
            return bad(text);
        if (!s.len || !memchr("yMwdhHms", s.ptr[0], 8) || n > MAX_STEPS)
            return bad(text);
        if (op == '/') {
            d->ns = esdate_floor(d->ns, (char)s.ptr[0], o->zone);
            if (o->rounds_up)
                d->ns = esdate_add(d->ns, (char)s.ptr[0], 1, o->zone) - ESDATE_MS;
        } else {
            /* A hundred years are all that any of it may be away. */
            int64_t years = (int64_t)n / (s.ptr[0] == 'y'   ? 1
                                          : s.ptr[0] == 'M' ? 12
                                          : s.ptr[0] == 'w' ? 52
                                          : s.ptr[0] == 'd' ? 365
                                          : s.ptr[0] == 'm' ? 525600
                                          : s.ptr[0] == 's' ? 31536000
                                                            : 8760);

            if (years > 100 || d->ns > MAX_NS || d->ns < -MAX_NS)
                return bad(text);
            d->ns = esdate_add(d->ns, (char)s.ptr[0], op == '-' ? -n : n, o->zone);
        }
        s = slice_from(s, 1);
    }
    return d->ns > -MAX_NS && d->ns < MAX_NS ? NULL : bad(text);
}

struct err *esdate_parse(struct slice text, const struct esdate_opts *o, struct esdate *ret)
{
    struct slice formats =
        o->format.len ? o->format : SLICE("strict_date_optional_time||epoch_millis");
    struct slice f, date = text, rest = SLICE_EMPTY;
    ptrdiff_t at = slice_find(text, SLICE("||"), 0);
    struct err *e;

    if (text.len > ESDATE_MAX_BYTES)
        return err_new(ERR_INVALID, "a date is longer than %d bytes", ESDATE_MAX_BYTES);
    if (slice_has_prefix(text, SLICE("now"))) {
        *ret = (struct esdate){esdate_floor_ms(o->now_ns) * ESDATE_MS, ESDATE_MS};
        return maths(text, slice_from(text, 3), o, ret);
    }
    if ((e = esdate_check_format(formats)))
        return e;
    if (at >= 0) {
        date = slice_sub(text, 0, (size_t)at);
        rest = slice_from(text, (size_t)at + 2);
    }
    while (next_format(&formats, &f))
        if (parse_as(date, f, o, ret))
            return maths(text, rest, o, ret);
    return bad(text);
}

bool esdate_of_value(struct slice text, int64_t *ret_ns)
{
    struct esdate_opts o = {0};
    struct esdate d;

    if (!parse_as(text, SLICE("date_optional_time"), &o, &d) &&
        !parse_as(text, SLICE("epoch_millis"), &o, &d))
        return false;
    *ret_ns = d.ns;
    return true;
}

/* ---- writing ---- */

static void put_zone(struct buf *out, int32_t offset_s, bool has_colon)
{
    int32_t minutes = (offset_s < 0 ? -offset_s : offset_s) / 60;

    if (!offset_s)
        buf_byte(out, 'Z');
    else
        buf_printf(out, has_colon ? "%c%02d:%02d" : "%c%02d%02d", offset_s < 0 ? '-' : '+',
                   minutes / 60, minutes % 60);
}

static void put_run(struct buf *out, uint8_t c, size_t n, const struct gotime_civil *t, uint32_t ns)
{
    int width = (int)ORR_MIN(n, (size_t)9);

    switch (c) {
    case 'y':
    case 'u':
        buf_printf(out, "%0*lld", width, (long long)t->year);
        break;
    case 'M':
        buf_printf(out, "%0*d", width, t->month);
        break;
    case 'd':
        buf_printf(out, "%0*d", width, t->day);
        break;
    case 'H':
        buf_printf(out, "%0*d", width, t->hour);
        break;
    case 'm':
        buf_printf(out, "%0*d", width, t->minute);
        break;
    case 's':
        buf_printf(out, "%0*d", width, t->second);
        break;
    case 'S':
        for (int i = width; i < 9; i++)
            ns /= 10;
        buf_printf(out, "%0*u", width, ns);
        break;
    default:
        put_zone(out, t->offset_s, n >= 3);
        break;
    }
}

static void put_pattern(struct buf *out, struct slice pattern, int64_t ns,
                        const struct gozone *zone)
{
    struct gotime t = gotime_of_ns(ns, zone);
    struct gotime_civil c = gotime_civil(&t);

    while (pattern.len) {
        size_t n = run_of(pattern);
        struct slice text;

        if (pattern.ptr[0] == '\'' && take_quoted(&pattern, &text)) {
            buf_slice_append(out, text);
            continue;
        }
        if (is_letter(pattern.ptr[0]))
            put_run(out, pattern.ptr[0], n, &c, t.ns);
        else
            buf_append(out, pattern.ptr, n);
        pattern = slice_from(pattern, n);
    }
}

void esdate_format(struct buf *out, int64_t ns, struct slice format, const struct gozone *zone)
{
    struct slice f = SLICE("strict_date_optional_time");

    (void)next_format(&format, &f);
    if (slice_eq_cstr(f, "epoch_millis"))
        buf_printf(out, "%lld", (long long)esdate_floor_ms(ns));
    else if (slice_eq_cstr(f, "epoch_second"))
        buf_printf(out, "%lld", (long long)(floor_to(ns, NS_PER_S) / NS_PER_S));
    else if (slice_eq_cstr(f, "date") || slice_eq_cstr(f, "strict_date"))
        put_pattern(out, SLICE("yyyy-MM-dd"), ns, zone);
    else if (slice_eq_cstr(f, "strict_date_optional_time_nanos"))
        put_pattern(out, SLICE("yyyy-MM-dd'T'HH:mm:ss.SSSSSSSSSXXX"), ns, zone);
    else
        put_pattern(out, is_iso_name(f) ? SLICE("yyyy-MM-dd'T'HH:mm:ss.SSSXXX") : f, ns, zone);
}
