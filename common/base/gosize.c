#include "common/base/gosize.h"

#include <math.h>

#include "common/base/num.h"

static const char letters[] = "kmgtpe";

static bool unit_of(struct slice unit, double *ret)
{
    const char *at;
    double base = 1000;

    *ret = 1;
    if (unit.len == 0 || slice_eq_nocase(unit, SLICE("b")))
        return true;
    at = strchr(letters, unit.ptr[0] | 0x20);
    if (!at || !*at)
        return false;
    unit = slice_from(unit, 1);
    if (unit.len && (unit.ptr[0] | 0x20) == 'i') {
        base = 1024;
        unit = slice_from(unit, 1);
    }
    for (const char *p = letters; p <= at; p++)
        *ret *= base;
    return unit.len == 0 || slice_eq_nocase(unit, SLICE("b"));
}

bool gosize_parse(struct slice text, uint64_t *ret)
{
    struct buf digits = {0};
    size_t n = 0;
    double v, unit;
    bool is_ok;

    for (; n < text.len; n++) {
        uint8_t c = text.ptr[n];

        if (c == ',') /* 1,000: a mark for the eye */
            continue;
        if (c != '.' && (c < '0' || c > '9'))
            break;
        buf_byte(&digits, c);
    }
    is_ok = num_parse(buf_slice(&digits), &v) && unit_of(slice_trim(slice_from(text, n)), &unit) &&
            v * unit < 0x1p64;
    buf_done(&digits);
    if (is_ok)
        *ret = (uint64_t)(v * unit);
    return is_ok;
}

void gosize_print(struct buf *out, uint64_t bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double v = (double)bytes;
    size_t unit;

    if (bytes < 10) {
        buf_printf(out, "%u B", (unsigned)bytes);
        return;
    }
    /* By the logarithm, as there: it decides what becomes of 999999. */
    unit = (size_t)floor(log(v) / log(1000));
    v = floor(v / pow(1000, (double)unit) * 10 + 0.5) / 10;
    buf_printf(out, "%.*f %s", v < 10 ? 1 : 0, v, units[unit]);
}
