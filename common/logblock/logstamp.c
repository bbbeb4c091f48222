#include "common/logblock/logstamp_internal.h"

static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const uint8_t days_in[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

/* Bytes of each layout before its fraction. */
static const uint8_t length_of[LOGSTAMP_LAYOUTS] = {19, 20, 8};
static const int64_t power_of[] = {1,      10,      100,      1000,      10000,
                                   100000, 1000000, 10000000, 100000000, 1000000000};

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* n digits; sets *bad if one is none. */
static unsigned digits_at(const uint8_t *p, unsigned n, bool *bad)
{
    unsigned v = 0;

    for (unsigned i = 0; i < n; i++) {
        *bad |= !is_digit(p[i]);
        v = v * 10 + (unsigned)(p[i] - '0');
    }
    return v;
}

static bool is_leap(unsigned y)
{
    return y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
}

/* Days since 1970 in the proleptic Gregorian calendar. */
static int64_t days_of(unsigned y, unsigned m, unsigned d)
{
    int64_t yy = (int64_t)y - (m <= 2), era = (yy >= 0 ? yy : yy - 399) / 400,
            of_era = yy - era * 400;
    int64_t of_year = (153 * (int64_t)(m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_of(int64_t days, unsigned *y, unsigned *m, unsigned *d)
{
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, of_era = z - era * 146097;
    int64_t yy = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * yy + yy / 4 - yy / 100), mm = (5 * of_year + 2) / 153;

    *d = (unsigned)(of_year - (153 * mm + 2) / 5 + 1);
    *m = (unsigned)(mm < 10 ? mm + 3 : mm - 9);
    *y = (unsigned)(yy + era * 400 + (*m <= 2));
}

static bool clock_of(const uint8_t *p, int64_t *ret)
{
    bool bad = p[2] != ':' || p[5] != ':';
    unsigned h = digits_at(p, 2, &bad), m = digits_at(p + 3, 2, &bad),
             s = digits_at(p + 6, 2, &bad);

    *ret = (int64_t)(h * 3600 + m * 60 + s);
    return !bad && h < 24 && m < 60 && s < 60;
}

static bool is_date(unsigned y, unsigned m, unsigned d)
{
    return m >= 1 && m <= 12 && d >= 1 && d <= days_in[m - 1] + (m == 2 && is_leap(y) ? 1u : 0);
}

static bool iso_of(const uint8_t *p, uint8_t between, int64_t *ret)
{
    bool bad = p[4] != '-' || p[7] != '-' || p[10] != between;
    unsigned y = digits_at(p, 4, &bad), m = digits_at(p + 5, 2, &bad),
             d = digits_at(p + 8, 2, &bad);

    if (bad || !is_date(y, m, d) || !clock_of(p + 11, ret))
        return false;
    *ret += days_of(y, m, d) * 86400;
    return true;
}

static bool clf_of(const uint8_t *p, int64_t *ret)
{
    bool bad = p[2] != '/' || p[6] != '/' || p[11] != ':';
    unsigned d = digits_at(p, 2, &bad), y = digits_at(p + 7, 4, &bad), m = 0;

    while (m < 12 && memcmp(months + (size_t)m * 3, p + 3, 3) != 0)
        m++;
    if (bad || !is_date(y, m + 1, d) || !clock_of(p + 12, ret))
        return false;
    *ret += days_of(y, m + 1, d) * 86400;
    return true;
}

bool logstamp_parse(const struct logstamp *f, struct slice text, int64_t *ret)
{
    size_t front = length_of[f->layout], want = front + f->digits + (f->digits > 0) + f->tail.len;
    const uint8_t *p = text.ptr;
    int64_t v = 0;
    bool bad = false;

    if (text.len != want)
        return false;
    if (f->layout == LOGSTAMP_ISO   ? !iso_of(p, f->between, &v)
        : f->layout == LOGSTAMP_CLF ? !clf_of(p, &v)
                                    : !clock_of(p, &v))
        return false;
    p += front;
    if (f->digits) {
        if (*p != f->point)
            return false;
        if (__builtin_mul_overflow(v, power_of[f->digits], &v) ||
            __builtin_add_overflow(v, (int64_t)digits_at(p + 1, f->digits, &bad), &v))
            return false;
        p += 1 + f->digits;
    }
    *ret = v;
    return !bad && slice_eq(slice_of(p, f->tail.len), f->tail);
}

bool logstamp_guess(struct slice text, struct logstamp *ret)
{
    struct logstamp f = {0};
    size_t front, n = 0;
    int64_t v;

    if (text.len < length_of[LOGSTAMP_CLOCK] || text.len > LOGSTAMP_MAX_BYTES - LOGSTAMP_MAX_TAIL ||
        !is_digit(text.ptr[0]))
        return false;
    f.layout = text.ptr[2] == ':'   ? LOGSTAMP_CLOCK
               : text.ptr[2] == '/' ? LOGSTAMP_CLF
                                    : LOGSTAMP_ISO;
    front = length_of[f.layout];
    if (text.len < front)
        return false;
    f.between = f.layout == LOGSTAMP_ISO ? text.ptr[10] : 0;
    if (text.len > front + 1 && (text.ptr[front] == '.' || text.ptr[front] == ',')) {
        while (n < 9 && front + 1 + n < text.len && is_digit(text.ptr[front + 1 + n]))
            n++;
        f.point = text.ptr[front];
        f.digits = (uint8_t)n;
    }
    f.tail = slice_from(text, front + n + (n > 0));
    *ret = f;
    return f.tail.len <= LOGSTAMP_MAX_TAIL && logstamp_parse(&f, text, &v);
}

bool logstamp_is_valid(const struct logstamp *f)
{
    return f->layout < LOGSTAMP_LAYOUTS && f->digits <= 9 && f->tail.len <= LOGSTAMP_MAX_TAIL;
}

static uint8_t *put_digits(uint8_t *to, uint64_t v, unsigned n)
{
    for (unsigned i = n; i-- > 0; v /= 10)
        to[i] = (uint8_t)('0' + v % 10);
    return to + n;
}

static uint8_t *put_two(uint8_t *to, unsigned v)
{
    to[0] = (uint8_t)('0' + v / 10 % 10);
    to[1] = (uint8_t)('0' + v % 10);
    return to + 2;
}

size_t logstamp_write(const struct logstamp *f, int64_t v, uint8_t *to)
{
    int64_t power = power_of[f->digits], part = v % power, seconds = v / power, days, of_day;
    uint8_t *p = to;
    unsigned y, m, d;

    if (part < 0) {
        part += power;
        seconds--;
    }
    of_day = seconds % 86400;
    of_day += of_day < 0 ? 86400 : 0;
    days = seconds / 86400 - (seconds % 86400 < 0);
    if (f->layout != LOGSTAMP_CLOCK) {
        date_of(days, &y, &m, &d);
        if (f->layout == LOGSTAMP_ISO) {
            p = put_digits(p, y % 10000, 4);
            *p++ = '-';
            p = put_two(p, m);
            *p++ = '-';
            p = put_two(p, d);
            *p++ = f->between;
        } else {
            p = put_two(p, d);
            *p++ = '/';
            memcpy(p, months + (size_t)(m - 1) * 3, 3);
            p += 3;
            *p++ = '/';
            p = put_digits(p, y % 10000, 4);
            *p++ = ':';
        }
    }
    p = put_two(p, (unsigned)(of_day / 3600));
    *p++ = ':';
    p = put_two(p, (unsigned)(of_day / 60 % 60));
    *p++ = ':';
    p = put_two(p, (unsigned)(of_day % 60));
    if (f->digits) {
        *p++ = f->point;
        p = put_digits(p, (uint64_t)part, f->digits);
    }
    if (f->tail.len)
        memcpy(p, f->tail.ptr, f->tail.len);
    return (size_t)(p - to) + f->tail.len;
}
