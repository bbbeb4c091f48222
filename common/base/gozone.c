#include "common/base/gozone.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/gotime.h"
#include "common/base/mem.h"
#include "common/base/reader.h"

#define DAY_S 86400
#define MAX_FILE_BYTES (1 << 20)
#define MAX_TRANSITIONS 100000
#define MAX_RULE_YEAR 1000000 /* beyond it the last transition holds for ever */

struct zone_type {
    int32_t offset_s;
    bool is_dst;
    struct slice abbrev; /* into text */
};

struct gozone {
    char *name;
    uint8_t *text; /* the file, or the name of a fixed zone */
    struct zone_type *types;
    size_t n_types;
    int64_t *when;  /* transition times, ascending */
    uint8_t *which; /* type from then on */
    size_t n_when;
    struct slice rule; /* POSIX TZ string for times after the last transition; may be empty */
};

static struct zone_type utc_type = {0, false, SLICE_INIT("UTC")};
static char utc_name[] = "UTC";
static const struct gozone utc = {.name = utc_name, .types = &utc_type, .n_types = 1};

const struct gozone *gozone_utc(void)
{
    return &utc;
}

bool gozone_is_utc(const struct gozone *z)
{
    return !z || z == &utc;
}

struct slice gozone_name(const struct gozone *z)
{
    return slice_cstr(z ? z->name : "UTC");
}

void gozone_free(struct gozone *z)
{
    if (!z || z == &utc)
        return;
    mem_free(z->name);
    mem_free(z->text);
    mem_free(z->types);
    mem_free(z->when);
    mem_free(z->which);
    mem_free(z);
}

struct gozone *gozone_fixed(struct slice abbrev, int32_t offset_s)
{
    struct gozone *z = mem_new(struct gozone);

    z->name = slice_dup(abbrev);
    z->types = mem_new_array(struct zone_type, 1);
    z->types[0] = (struct zone_type){offset_s, false, slice_of(z->name, abbrev.len)};
    z->n_types = 1;
    return z;
}

/* ---- TZif files (RFC 8536) ---- */

struct tzif_counts {
    uint32_t ut, std, leap, times, types, chars;
};

static bool read_header(struct reader *r, uint8_t *ret_version, struct tzif_counts *ret)
{
    struct slice magic = reader_bytes(r, 4);

    *ret_version = reader_u8(r);
    reader_skip(r, 15);
    ret->ut = reader_u32be(r);
    ret->std = reader_u32be(r);
    ret->leap = reader_u32be(r);
    ret->times = reader_u32be(r);
    ret->types = reader_u32be(r);
    ret->chars = reader_u32be(r);
    return reader_ok(r) && slice_eq_cstr(magic, "TZif") && ret->times <= MAX_TRANSITIONS &&
           ret->types > 0 && ret->types <= 256 && ret->chars <= 4096 && ret->leap <= 4096 &&
           ret->std <= 256 && ret->ut <= 256;
}

static size_t body_bytes(const struct tzif_counts *c, size_t time_bytes)
{
    return c->times * (time_bytes + 1) + c->types * 6 + c->chars + c->leap * (time_bytes + 4) +
           c->std + c->ut;
}

static bool read_body(struct reader *r, const struct tzif_counts *c, bool is_wide, struct gozone *z)
{
    struct slice chars;

    z->when = mem_new_array(int64_t, c->times + 1);
    z->which = mem_new_array(uint8_t, c->times + 1);
    z->types = mem_new_array(struct zone_type, c->types);
    z->n_when = c->times;
    z->n_types = c->types;
    for (size_t i = 0; i < c->times; i++)
        z->when[i] = is_wide ? (int64_t)reader_u64be(r) : (int32_t)reader_u32be(r);
    for (size_t i = 0; i < c->times; i++) {
        z->which[i] = reader_u8(r);
        if (z->which[i] >= c->types || (i && z->when[i] <= z->when[i - 1]))
            return false;
    }
    for (size_t i = 0; i < c->types; i++) {
        z->types[i].offset_s = (int32_t)reader_u32be(r);
        z->types[i].is_dst = reader_u8(r) != 0;
        z->types[i].abbrev.len = reader_u8(r); /* where it starts, until chars is read */
    }
    chars = reader_bytes(r, c->chars);
    if (!reader_ok(r))
        return false;
    for (size_t i = 0; i < c->types; i++) {
        struct slice rest = slice_from(chars, z->types[i].abbrev.len);
        ptrdiff_t end = slice_find_byte(rest, 0, 0);

        if (end < 0)
            return false;
        z->types[i].abbrev = slice_sub(rest, 0, (size_t)end);
    }
    reader_skip(r, c->leap * (is_wide ? 12 : 8) + c->std + c->ut);
    return reader_ok(r);
}

static bool parse_tzif(struct slice file, struct gozone *z)
{
    struct reader r = reader_new(file);
    struct tzif_counts c;
    uint8_t version;
    struct slice rest;
    ptrdiff_t end;

    if (!read_header(&r, &version, &c))
        return false;
    if (version < '2')
        return read_body(&r, &c, false, z);
    /* The same again with 64-bit times, then the rule for the future between newlines. */
    reader_skip(&r, body_bytes(&c, 4));
    if (!read_header(&r, &version, &c) || !read_body(&r, &c, true, z))
        return false;
    rest = reader_rest(&r);
    if (rest.len > 1 && rest.ptr[0] == '\n' && (end = slice_find_byte(rest, '\n', 1)) > 0)
        z->rule = slice_sub(rest, 1, (size_t)end - 1);
    return true;
}

/* Names are paths below the database: no way out of it. */
static bool is_safe_name(struct slice name)
{
    if (name.len == 0 || name.len > 128 || name.ptr[0] == '/' || name.ptr[0] == '.' ||
        slice_find(name, SLICE(".."), 0) >= 0)
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] <= ' ' || name.ptr[i] == '\\' || name.ptr[i] >= 0x7f)
            return false;
    return true;
}

static struct err *read_zone_file(const char *path, struct buf *ret)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct err *e = NULL;
    ssize_t n = 1;
    struct stat st;

    if (fd < 0)
        return err_errno(ERR_NOT_FOUND, "open %s", path);
    if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > MAX_FILE_BYTES)
        e = err_new(ERR_NOT_FOUND, "%s is not a time zone", path);
    while (!e && n > 0) {
        uint8_t *room = buf_reserve(ret, 8192);

        n = read(fd, room, 8192);
        if (n < 0 && errno != EINTR)
            e = err_errno(ERR_IO, "read %s", path);
        ret->len += n > 0 ? (size_t)n : 0;
        n = n < 0 && !e ? 1 : n;
    }
    (void)close(fd);
    return e;
}

struct err *gozone_load(struct slice name, struct gozone **ret)
{
    struct gozone *z;
    struct buf file = {0};
    struct err *e;
    char *path;
    size_t len;

    if (name.len == 0 || slice_eq_cstr(name, "UTC")) {
        *ret = gozone_fixed(SLICE("UTC"), 0);
        return NULL;
    }
    if (!is_safe_name(name))
        return err_new(ERR_NOT_FOUND, "unknown time zone %.*s", SLICE_ARG(name));
    path = mem_printf("/usr/share/zoneinfo/%.*s", SLICE_ARG(name));
    e = read_zone_file(path, &file);
    mem_free(path);
    if (e) {
        buf_done(&file);
        return err_wrap(e, "unknown time zone %.*s", SLICE_ARG(name));
    }
    z = mem_new(struct gozone);
    z->name = slice_dup(name);
    z->text = buf_take(&file, &len);
    if (!parse_tzif(slice_of(z->text, len), z)) {
        gozone_free(z);
        return err_new(ERR_CORRUPT, "time zone %.*s: malformed file", SLICE_ARG(name));
    }
    *ret = z;
    return NULL;
}

/* ---- the rule for times after the last transition: CET-1CEST,M3.5.0,M10.5.0/3 ---- */

struct rule_day {
    char kind; /* J: 1..365 without 29 February, D: 0..365, M: month.week.weekday */
    int day, week, month;
    int32_t time_s;
};

static bool rule_number(struct slice *s, int min, int max, int *ret)
{
    int v = 0;
    size_t n = 0;

    while (n < s->len && n < 4 && s->ptr[n] >= '0' && s->ptr[n] <= '9')
        v = v * 10 + (s->ptr[n++] - '0');
    *s = slice_from(*s, n);
    *ret = v;
    return n > 0 && v >= min && v <= max;
}

static bool rule_take(struct slice *s, char c)
{
    if (s->len == 0 || s->ptr[0] != (uint8_t)c)
        return false;
    *s = slice_from(*s, 1);
    return true;
}

static bool rule_name(struct slice *s, struct slice *ret)
{
    bool is_quoted = rule_take(s, '<');
    size_t n = 0;

    while (n < s->len && (is_quoted ? s->ptr[n] != '>' : !strchr("0123456789,-+", s->ptr[n])))
        n++;
    *ret = slice_sub(*s, 0, n);
    *s = slice_from(*s, n);
    return is_quoted ? rule_take(s, '>') : n >= 3;
}

/* [+-]h[h[h]][:mm[:ss]] */
static bool rule_time(struct slice *s, int32_t *ret)
{
    bool is_minus = rule_take(s, '-');
    int h, m = 0, sec = 0;

    if (!is_minus)
        (void)rule_take(s, '+');
    if (!rule_number(s, 0, 24 * 7, &h))
        return false;
    if (rule_take(s, ':')) {
        if (!rule_number(s, 0, 59, &m) || (rule_take(s, ':') && !rule_number(s, 0, 59, &sec)))
            return false;
    }
    *ret = (h * 3600 + m * 60 + sec) * (is_minus ? -1 : 1);
    return true;
}

static bool rule_date(struct slice *s, struct rule_day *ret)
{
    *ret = (struct rule_day){.kind = 'D', .time_s = 2 * 3600};
    if (rule_take(s, 'J')) {
        ret->kind = 'J';
        if (!rule_number(s, 1, 365, &ret->day))
            return false;
    } else if (rule_take(s, 'M')) {
        ret->kind = 'M';
        if (!rule_number(s, 1, 12, &ret->month) || !rule_take(s, '.') ||
            !rule_number(s, 1, 5, &ret->week) || !rule_take(s, '.') ||
            !rule_number(s, 0, 6, &ret->day))
            return false;
    } else if (!rule_number(s, 0, 365, &ret->day)) {
        return false;
    }
    return !rule_take(s, '/') || rule_time(s, &ret->time_s);
}

/* The Unix time of r in a year, were the offset before it zero. */
static int64_t rule_at(const struct rule_day *r, int64_t year)
{
    int64_t start = gotime_date(NULL, year, 1, 1, 0, 0, 0), first;
    bool is_leap = gotime_days_in(2, year) == 29;
    int weekday, day;

    if (r->kind == 'J')
        return start + (r->day - 1 + (is_leap && r->day >= 60)) * (int64_t)DAY_S + r->time_s;
    if (r->kind == 'D')
        return start + r->day * (int64_t)DAY_S + r->time_s;
    first = gotime_date(NULL, year, r->month, 1, 0, 0, 0);
    weekday = (int)(((first / DAY_S + 4) % 7 + 7) % 7);
    day = (r->day - weekday + 7) % 7 + (r->week - 1) * 7;
    while (day >= gotime_days_in(r->month, year))
        day -= 7; /* week 5 is the last one */
    return first + day * (int64_t)DAY_S + r->time_s;
}

static bool rule_apply(struct slice s, int64_t from_s, int64_t unix_s, struct gozone_period *ret)
{
    struct slice std, dst;
    int32_t std_offset, dst_offset;
    struct rule_day dst_day, std_day;
    struct gotime t = {.unix_s = unix_s};
    int64_t year = gotime_civil(&t).year, bounds[6];

    if (year > MAX_RULE_YEAR || year < -MAX_RULE_YEAR)
        return false;
    if (!rule_name(&s, &std) || !rule_time(&s, &std_offset))
        return false;
    std_offset = -std_offset;
    *ret = (struct gozone_period){std_offset, false, std, from_s, INT64_MAX};
    if (s.len == 0 || s.ptr[0] == ',')
        return true;
    dst_offset = std_offset + 3600;
    if (!rule_name(&s, &dst))
        return false;
    if (s.len && s.ptr[0] != ',') {
        if (!rule_time(&s, &dst_offset))
            return false;
        dst_offset = -dst_offset;
    }
    if (s.len == 0)
        s = SLICE(",M3.2.0,M11.1.0");
    if (!rule_take(&s, ',') || !rule_date(&s, &dst_day) || !rule_take(&s, ',') ||
        !rule_date(&s, &std_day))
        return false;
    /* The changes of three years, in order; even ones begin summer time if it starts first. */
    for (int i = 0; i < 3; i++) {
        int64_t a = rule_at(&dst_day, year - 1 + i) - std_offset;
        int64_t b = rule_at(&std_day, year - 1 + i) - dst_offset;

        bounds[2 * i] = ORR_MIN(a, b);
        bounds[2 * i + 1] = ORR_MAX(a, b);
    }
    for (int i = 0; i < 5; i++) {
        bool starts_dst = bounds[i] == rule_at(&dst_day, year - 1 + i / 2) - std_offset;

        if (unix_s < bounds[i] || unix_s >= bounds[i + 1])
            continue;
        *ret = (struct gozone_period){starts_dst ? dst_offset : std_offset, starts_dst,
                                      starts_dst ? dst : std, ORR_MAX(bounds[i], from_s),
                                      bounds[i + 1]};
        return true;
    }
    return false;
}

/* ---- lookup ---- */

/* What holds before the first transition: the first type if nothing else uses it, else the
 * first that is not summer time. */
static size_t first_type(const struct gozone *z)
{
    bool is_used = false;

    for (size_t i = 0; i < z->n_when; i++)
        is_used |= z->which[i] == 0;
    if (!is_used)
        return 0;
    if (z->types[z->which[0]].is_dst)
        for (size_t i = z->which[0]; i-- > 0;)
            if (!z->types[i].is_dst)
                return i;
    for (size_t i = 0; i < z->n_types; i++)
        if (!z->types[i].is_dst)
            return i;
    return 0;
}

static struct gozone_period period_of(const struct zone_type *t, int64_t start, int64_t end)
{
    return (struct gozone_period){t->offset_s, t->is_dst, t->abbrev, start, end};
}

struct gozone_period gozone_at(const struct gozone *z, int64_t unix_s)
{
    size_t lo = 0, hi;
    struct gozone_period p;

    if (!z)
        z = &utc;
    if (z->n_when == 0 || unix_s < z->when[0]) {
        /* A zone may have a rule and no transitions at all. */
        if (z->n_when == 0 && z->rule.len && rule_apply(z->rule, INT64_MIN, unix_s, &p))
            return p;
        return period_of(&z->types[first_type(z)], INT64_MIN, z->n_when ? z->when[0] : INT64_MAX);
    }
    hi = z->n_when;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;

        if (unix_s < z->when[mid])
            hi = mid;
        else
            lo = mid;
    }
    if (lo + 1 == z->n_when && z->rule.len && rule_apply(z->rule, z->when[lo], unix_s, &p))
        return p;
    return period_of(&z->types[z->which[lo]], z->when[lo],
                     lo + 1 < z->n_when ? z->when[lo + 1] : INT64_MAX);
}

bool gozone_lookup(const struct gozone *z, struct slice abbrev, int64_t local_s,
                   int32_t *ret_offset_s)
{
    if (!z)
        z = &utc;
    /* First one that is in effect then, and failing that any of this name. */
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < z->n_types; i++) {
            const struct zone_type *t = &z->types[i];
            struct gozone_period p;

            if (!slice_eq(t->abbrev, abbrev))
                continue;
            p = gozone_at(z, local_s - t->offset_s);
            if (pass == 0 && !slice_eq(p.abbrev, abbrev))
                continue;
            *ret_offset_s = pass == 0 ? p.offset_s : t->offset_s;
            return true;
        }
    }
    return false;
}
