#include "ingester/door/syslog_line.h"

#include "common/base/clock.h"
#include "common/base/gotime.h"
#include "ingester/door/log_labels.h"

#define USER_NOTICE 13
#define STAMP_LEN 15 /* Oct 11 22:14:15 */

static const char *const severities[] = {"emerg",   "alert",  "crit", "err",
                                         "warning", "notice", "info", "debug"};
static const char *const facilities[] = {
    "kern",   "user",   "mail",     "daemon", "auth",   "syslog", "lpr",    "news",
    "uucp",   "cron",   "authpriv", "ftp",    "ntp",    "audit",  "alert",  "clock",
    "local0", "local1", "local2",   "local3", "local4", "local5", "local6", "local7"};

const char *syslog_line_severity(unsigned severity)
{
    return severities[severity % ORR_COUNT(severities)];
}

const char *syslog_line_facility(unsigned facility)
{
    return facilities[facility % ORR_COUNT(facilities)];
}

/* ---- a message ---- */

struct cursor {
    struct arena *a;
    struct slice rest;
};

static bool take(struct cursor *c, uint8_t byte)
{
    if (c->rest.len == 0 || c->rest.ptr[0] != byte)
        return false;
    c->rest = slice_from(c->rest, 1);
    return true;
}

/* Up to the next space, which is taken. */
static struct slice word(struct cursor *c)
{
    ptrdiff_t at = slice_find_byte(c->rest, ' ', 0);
    struct slice w = at < 0 ? c->rest : slice_sub(c->rest, 0, (size_t)at);

    c->rest = slice_from(c->rest, w.len + (at >= 0));
    return w;
}

/* "-" is nothing. */
static struct slice field(struct cursor *c)
{
    struct slice w = word(c);

    return slice_eq_cstr(w, "-") ? SLICE_EMPTY : w;
}

static bool priority(struct cursor *c, struct syslog_message *m)
{
    ptrdiff_t end = slice_find_byte(c->rest, '>', 0);
    uint64_t pri;

    if (c->rest.len == 0 || c->rest.ptr[0] != '<' || end < 2 || end > 4 ||
        !slice_to_u64(slice_sub(c->rest, 1, (size_t)end - 1), &pri) || pri > 191)
        return false;
    c->rest = slice_from(c->rest, (size_t)end + 1);
    m->facility = (unsigned)pri / 8;
    m->severity = (unsigned)pri % 8;
    return true;
}

static bool rfc3339(struct slice text, int64_t *ret_ns)
{
    struct gotime t;
    struct err *e;

    if (text.len < 20 || text.ptr[0] < '0' || text.ptr[0] > '9')
        return false;
    e = gotime_parse(SLICE(GOTIME_RFC3339), text, NULL, &t);
    if (e) {
        err_free(e);
        return false;
    }
    return !__builtin_mul_overflow(t.unix_s, (int64_t)NS_PER_S, ret_ns) &&
           !__builtin_add_overflow(*ret_ns, (int64_t)t.ns, ret_ns);
}

/* ---- RFC 5424 ---- */

/* The value behind ="; its escapes undone. False: it has no end. */
static bool param_value(struct cursor *c, struct slice *ret)
{
    size_t n = 0, out = 0;
    uint8_t *copy;

    while (n < c->rest.len && c->rest.ptr[n] != '"')
        n += c->rest.ptr[n] == '\\' ? 2 : 1;
    if (n >= c->rest.len)
        return false;
    copy = arena_alloc(c->a, n + 1);
    for (size_t i = 0; i < n; i++) {
        uint8_t b = c->rest.ptr[i];

        if (b == '\\' && i + 1 < n && strchr("\"\\]", c->rest.ptr[i + 1]) && c->rest.ptr[i + 1])
            b = c->rest.ptr[++i];
        copy[out++] = b;
    }
    *ret = slice_of(copy, out);
    c->rest = slice_from(c->rest, n + 1);
    return true;
}

static struct slice param_name(struct arena *a, struct slice id, struct slice name)
{
    char *out = arena_printf(a, "%.*s_%.*s", SLICE_ARG(id), SLICE_ARG(name));

    for (char *p = out; *p; p++)
        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9')))
            *p = '_';
    return slice_cstr(out);
}

/* [id name="value" …]; false: it is none. */
static bool element(struct cursor *c, struct syslog_message *m)
{
    struct slice id;
    size_t n = 0;

    if (!take(c, '['))
        return false;
    while (n < c->rest.len && c->rest.ptr[n] != ' ' && c->rest.ptr[n] != ']')
        n++;
    id = slice_sub(c->rest, 0, n);
    c->rest = slice_from(c->rest, n);
    while (take(c, ' ')) {
        ptrdiff_t eq = slice_find(c->rest, SLICE("=\""), 0);
        struct slice name, value;

        if (eq < 0)
            return false;
        name = slice_sub(c->rest, 0, (size_t)eq);
        c->rest = slice_from(c->rest, (size_t)eq + 2);
        if (!param_value(c, &value))
            return false;
        if (m->n_params < SYSLOG_MAX_PARAMS)
            m->params[m->n_params++] = (struct label){param_name(c->a, id, name), value};
    }
    return take(c, ']');
}

static void rfc5424(struct cursor *c, struct syslog_message *m)
{
    struct slice before;

    m->has_time = rfc3339(field(c), &m->t_ns);
    m->host = field(c);
    m->app = field(c);
    m->procid = field(c);
    m->msgid = field(c);
    before = c->rest;
    if (!take(c, '-')) {
        while (c->rest.len && c->rest.ptr[0] == '[')
            if (!element(c, m)) {
                c->rest = before; /* it is not what it looks like: all of it is text */
                m->n_params = 0;
                break;
            }
    }
    (void)take(c, ' ');
    if (slice_has_prefix(c->rest, SLICE("\xef\xbb\xbf")))
        c->rest = slice_from(c->rest, 3);
    m->text = c->rest;
}

/* ---- RFC 3164 ---- */

/* Oct 11 22:14:15 in the year that brings it nearest to now. */
static bool stamp(struct slice text, int64_t now_ns, int64_t *ret_ns)
{
    struct gotime t, now = gotime_of_ns(now_ns, NULL);
    struct gotime_civil c, n = gotime_civil(&now);
    int64_t best = 0, now_s = now_ns / NS_PER_S;
    struct err *e = gotime_parse(SLICE("Jan _2 15:04:05"), text, NULL, &t);
    bool has = false;

    if (e) {
        err_free(e);
        return false;
    }
    c = gotime_civil(&t);
    for (int64_t year = n.year - 1; year <= n.year + 1; year++) {
        int64_t s = gotime_date(NULL, year, c.month, c.day, c.hour, c.minute, c.second);
        int64_t far = s > now_s ? s - now_s : now_s - s;

        if (!has || far < (best > now_s ? best - now_s : now_s - best))
            best = s;
        has = true;
    }
    return !__builtin_mul_overflow(best, (int64_t)NS_PER_S, ret_ns);
}

/* app[pid]: or app: at the front; false: neither. */
static bool tag(struct cursor *c, struct syslog_message *m)
{
    size_t n = 0, end;

    while (n < c->rest.len && n < 64 && c->rest.ptr[n] > ' ' && c->rest.ptr[n] != ':' &&
           c->rest.ptr[n] != '[')
        n++;
    if (n == 0 || n == c->rest.len || (c->rest.ptr[n] != ':' && c->rest.ptr[n] != '['))
        return false;
    m->app = slice_sub(c->rest, 0, n);
    end = n;
    if (c->rest.ptr[n] == '[') {
        ptrdiff_t close = slice_find_byte(c->rest, ']', n);

        if (close < 0) {
            m->app = SLICE_EMPTY;
            return false;
        }
        m->procid = slice_sub(c->rest, n + 1, (size_t)close - n - 1);
        end = (size_t)close + 1;
    }
    c->rest = slice_from(c->rest, end);
    (void)take(c, ':');
    (void)take(c, ' ');
    return true;
}

static void rfc3164(struct cursor *c, int64_t now_ns, struct syslog_message *m)
{
    struct cursor ahead = *c;
    ptrdiff_t space;

    if (c->rest.len > STAMP_LEN && stamp(slice_sub(c->rest, 0, STAMP_LEN), now_ns, &m->t_ns)) {
        m->has_time = true;
        c->rest = slice_from(c->rest, STAMP_LEN);
        (void)take(c, ' ');
    } else if (rfc3339(word(&ahead), &m->t_ns)) {
        m->has_time = true;
        *c = ahead;
    }
    /* A host only behind a time, and not where the tag is next. */
    space = slice_find_byte(c->rest, ' ', 0);
    if (m->has_time && space > 0 && c->rest.ptr[space - 1] != ':')
        m->host = word(c);
    (void)tag(c, m);
    m->text = c->rest;
}

void syslog_line_parse(struct arena *a, struct slice message, int64_t now_ns,
                       struct syslog_message *ret)
{
    struct cursor c = {a, message};

    *ret = (struct syslog_message){.facility = USER_NOTICE / 8, .severity = USER_NOTICE % 8};
    ret->host = ret->app = ret->procid = ret->msgid = SLICE_EMPTY;
    while (c.rest.len && (c.rest.ptr[c.rest.len - 1] == '\n' ||
                          c.rest.ptr[c.rest.len - 1] == '\r' || c.rest.ptr[c.rest.len - 1] == 0))
        c.rest.len--;
    ret->text = c.rest;
    if (!priority(&c, ret))
        return;
    if (slice_has_prefix(c.rest, SLICE("1 "))) {
        c.rest = slice_from(c.rest, 2);
        rfc5424(&c, ret);
    } else {
        rfc3164(&c, now_ns, ret);
    }
}

static void add(struct label *ls, size_t *n, struct slice name, struct slice value)
{
    if (value.len)
        ls[(*n)++] = (struct label){name, value};
}

struct err *syslog_line_add(struct log_builder *b, struct slice message)
{
    struct arena *a = log_builder_arena(b);
    struct label ls[5], md[SYSLOG_MAX_PARAMS + 2];
    struct log_builder_at at;
    struct syslog_message m;
    struct log_in in;
    size_t n = 0, k = 0;

    syslog_line_parse(a, message, b->now_ns, &m);
    add(ls, &n, SLICE("job"), SLICE("syslog"));
    add(ls, &n, SLICE("host"), log_labels_utf8(a, m.host));
    add(ls, &n, SLICE("app"), log_labels_utf8(a, m.app));
    add(ls, &n, SLICE("facility"), slice_cstr(syslog_line_facility(m.facility)));
    add(ls, &n, SLICE("severity"), slice_cstr(syslog_line_severity(m.severity)));
    add(md, &k, SLICE("procid"), m.procid);
    add(md, &k, SLICE("msgid"), m.msgid);
    for (size_t i = 0; i < m.n_params; i++)
        md[k++] = m.params[i];
    at = log_builder_stream(b, (struct labels){ls, n});
    in = (struct log_in){
        .t_ns = m.has_time ? m.t_ns : b->now_ns, .line = m.text, .metadata = md, .n_metadata = k};
    return log_builder_entry(b, &at, &in);
}
