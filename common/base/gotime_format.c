#include <inttypes.h>
#include <stdio.h>

#include "common/base/gotime_internal.h"

const char *const gotime_months[12] = {"January",   "February", "March",    "April",
                                       "May",       "June",     "July",     "August",
                                       "September", "October",  "November", "December"};
const char *const gotime_weekdays[7] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                        "Thursday", "Friday", "Saturday"};

/* Fields by their text; of those that start alike the longest comes first. */
static const struct {
    const char *text;
    enum gotime_std std;
} fields[] = {
    {"January", GOTIME_LONG_MONTH},
    {"Jan", GOTIME_MONTH},
    {"Monday", GOTIME_LONG_WEEKDAY},
    {"Mon", GOTIME_WEEKDAY},
    {"MST", GOTIME_ABBREV},
    {"002", GOTIME_ZERO_YEAR_DAY},
    {"01", GOTIME_ZERO_MONTH},
    {"02", GOTIME_ZERO_DAY},
    {"03", GOTIME_ZERO_HOUR12},
    {"04", GOTIME_ZERO_MINUTE},
    {"05", GOTIME_ZERO_SECOND},
    {"06", GOTIME_YEAR},
    {"15", GOTIME_HOUR},
    {"1", GOTIME_NUM_MONTH},
    {"2006", GOTIME_LONG_YEAR},
    {"2", GOTIME_DAY},
    {"__2", GOTIME_UNDER_YEAR_DAY},
    {"_2", GOTIME_UNDER_DAY},
    {"3", GOTIME_HOUR12},
    {"4", GOTIME_MINUTE},
    {"5", GOTIME_SECOND},
    {"PM", GOTIME_PM},
    {"pm", GOTIME_LOWER_PM},
};

static const struct {
    const char *text; /* behind the sign or Z */
    unsigned parts;
    bool has_colon;
} offsets[] = {{"070000", 3, false},
               {"07:00:00", 3, true},
               {"0700", 2, false},
               {"07:00", 2, true},
               {"07", 1, false}};

static bool is_digit(struct slice s, size_t i)
{
    return i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9';
}

/* Jan and Mon are not fields where a word goes on: "Janet". */
static bool goes_on(struct slice rest)
{
    return rest.len && rest.ptr[0] >= 'a' && rest.ptr[0] <= 'z';
}

static size_t fraction_at(struct slice s, struct gotime_chunk *c)
{
    size_t n = 1;

    if (s.len < 2 || (s.ptr[0] != '.' && s.ptr[0] != ',') || (s.ptr[1] != '0' && s.ptr[1] != '9'))
        return 0;
    while (n < s.len && s.ptr[n] == s.ptr[1])
        n++;
    if (is_digit(s, n))
        return 0;
    c->std = s.ptr[1] == '0' ? GOTIME_FRACTION_ZERO : GOTIME_FRACTION_NINE;
    c->digits = (unsigned)n - 1;
    c->separator = (char)s.ptr[0];
    return n;
}

/* Length of the field at s; 0 if it is literal. */
static size_t field_at(struct slice s, struct gotime_chunk *c)
{
    if (s.ptr[0] == '-' || s.ptr[0] == 'Z') {
        for (size_t i = 0; i < ORR_COUNT(offsets); i++) {
            if (slice_has_prefix(slice_from(s, 1), slice_cstr(offsets[i].text))) {
                c->std = GOTIME_OFFSET;
                c->is_z = s.ptr[0] == 'Z';
                c->parts = offsets[i].parts;
                c->has_colon = offsets[i].has_colon;
                return 1 + strlen(offsets[i].text);
            }
        }
        return 0;
    }
    for (size_t i = 0; i < ORR_COUNT(fields); i++) {
        size_t n = strlen(fields[i].text);

        if (!slice_has_prefix(s, slice_cstr(fields[i].text)))
            continue;
        if ((fields[i].std == GOTIME_MONTH || fields[i].std == GOTIME_WEEKDAY) &&
            goes_on(slice_from(s, n)))
            continue;
        /* "_2006" is an underscore and a year. */
        if (fields[i].std == GOTIME_UNDER_DAY && slice_has_prefix(s, SLICE("_2006")))
            return 0;
        c->std = fields[i].std;
        return n;
    }
    return fraction_at(s, c);
}

struct gotime_chunk gotime_next_chunk(struct slice *layout)
{
    struct gotime_chunk c = {0};
    struct slice s = *layout;

    for (size_t i = 0; i < s.len; i++) {
        size_t n = field_at(slice_from(s, i), &c);

        if (n) {
            c.prefix = slice_sub(s, 0, i);
            *layout = slice_from(s, i + n);
            return c;
        }
    }
    c.prefix = s;
    *layout = slice_from(s, s.len);
    return c;
}

static void put_offset(struct buf *out, const struct gotime_chunk *c, int32_t offset_s)
{
    uint32_t u = offset_s < 0 ? (uint32_t)-offset_s : (uint32_t)offset_s;
    const char *colon = c->has_colon ? ":" : "";

    if (c->is_z && offset_s == 0) {
        buf_byte(out, 'Z');
        return;
    }
    buf_printf(out, "%c%02u", offset_s < 0 ? '-' : '+', u / 3600);
    if (c->parts > 1)
        buf_printf(out, "%s%02u", colon, u / 60 % 60);
    if (c->parts > 2)
        buf_printf(out, "%s%02u", colon, u % 60);
}

/* A zone without a name is its offset: +05 or +0530. */
static void put_abbrev(struct buf *out, const struct gotime_civil *c)
{
    struct gotime_chunk chunk = {.parts = c->offset_s / 60 % 60 ? 2 : 1};

    if (c->abbrev.len)
        buf_slice_append(out, c->abbrev);
    else
        put_offset(out, &chunk, c->offset_s);
}

static void put_fraction(struct buf *out, const struct gotime_chunk *c, uint32_t ns)
{
    char digits[10];
    size_t n = ORR_MIN(c->digits, 9u);

    (void)snprintf(digits, sizeof(digits), "%09u", ns % 1000000000u);
    if (c->std == GOTIME_FRACTION_NINE) {
        while (n && digits[n - 1] == '0')
            n--;
        if (n == 0)
            return;
    }
    buf_printf(out, "%c%.*s", c->separator, (int)n, digits);
    if (c->std == GOTIME_FRACTION_ZERO && c->digits > 9)
        buf_fill(out, '0', c->digits - 9);
}

static void put_year(struct buf *out, int64_t year)
{
    buf_printf(out, "%s%04" PRIu64, year < 0 ? "-" : "",
               year < 0 ? 0 - (uint64_t)year : (uint64_t)year);
}

static int hour12(int hour)
{
    return hour % 12 == 0 ? 12 : hour % 12;
}

static void put_chunk(struct buf *out, const struct gotime_chunk *k, const struct gotime_civil *c,
                      uint32_t ns)
{
    switch (k->std) {
    case GOTIME_NONE:
        break;
    case GOTIME_LONG_MONTH:
        buf_str(out, gotime_months[c->month - 1]);
        break;
    case GOTIME_MONTH:
        buf_printf(out, "%.3s", gotime_months[c->month - 1]);
        break;
    case GOTIME_NUM_MONTH:
        buf_printf(out, "%d", c->month);
        break;
    case GOTIME_ZERO_MONTH:
        buf_printf(out, "%02d", c->month);
        break;
    case GOTIME_LONG_WEEKDAY:
        buf_str(out, gotime_weekdays[c->weekday]);
        break;
    case GOTIME_WEEKDAY:
        buf_printf(out, "%.3s", gotime_weekdays[c->weekday]);
        break;
    case GOTIME_DAY:
        buf_printf(out, "%d", c->day);
        break;
    case GOTIME_UNDER_DAY:
        buf_printf(out, "%2d", c->day);
        break;
    case GOTIME_ZERO_DAY:
        buf_printf(out, "%02d", c->day);
        break;
    case GOTIME_UNDER_YEAR_DAY:
        buf_printf(out, "%3d", c->year_day);
        break;
    case GOTIME_ZERO_YEAR_DAY:
        buf_printf(out, "%03d", c->year_day);
        break;
    case GOTIME_HOUR:
        buf_printf(out, "%02d", c->hour);
        break;
    case GOTIME_HOUR12:
        buf_printf(out, "%d", hour12(c->hour));
        break;
    case GOTIME_ZERO_HOUR12:
        buf_printf(out, "%02d", hour12(c->hour));
        break;
    case GOTIME_MINUTE:
        buf_printf(out, "%d", c->minute);
        break;
    case GOTIME_ZERO_MINUTE:
        buf_printf(out, "%02d", c->minute);
        break;
    case GOTIME_SECOND:
        buf_printf(out, "%d", c->second);
        break;
    case GOTIME_ZERO_SECOND:
        buf_printf(out, "%02d", c->second);
        break;
    case GOTIME_LONG_YEAR:
        put_year(out, c->year);
        break;
    case GOTIME_YEAR:
        buf_printf(out, "%02d", c->year < 0 ? 0 : (int)(c->year % 100));
        break;
    case GOTIME_PM:
        buf_str(out, c->hour >= 12 ? "PM" : "AM");
        break;
    case GOTIME_LOWER_PM:
        buf_str(out, c->hour >= 12 ? "pm" : "am");
        break;
    case GOTIME_ABBREV:
        put_abbrev(out, c);
        break;
    case GOTIME_OFFSET:
        put_offset(out, k, c->offset_s);
        break;
    case GOTIME_FRACTION_ZERO:
    case GOTIME_FRACTION_NINE:
        put_fraction(out, k, ns);
        break;
    }
}

void gotime_format(struct buf *out, const struct gotime *t, struct slice layout)
{
    struct gotime_civil c = gotime_civil(t);

    while (layout.len) {
        struct gotime_chunk k = gotime_next_chunk(&layout);

        buf_slice_append(out, k.prefix);
        put_chunk(out, &k, &c, t->ns);
    }
}
