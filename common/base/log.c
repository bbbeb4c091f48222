#include "common/base/log.h"

#include <errno.h>
#include <math.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/lock.h"
#include "common/base/mem.h"
#include "common/base/vec.h"

struct common_field {
    char *key, *value;
};

_Atomic signed char log_module_levels[LOG_MODULE_COUNT] = {
#define X(name) [LOG_MODULE_##name] = LOG_INFO_LEVEL,
    LOG_MODULES(X)
#undef X
};

static const char *const level_names[] = {
#define X(sym, name) [sym] = name,
    LOG_LEVELS(X)
#undef X
};
static_assert(ORR_COUNT(level_names) == LOG_LEVEL_COUNT, "LOG_LEVELS and LOG_LEVEL_COUNT differ");

static const char *const module_names[] = {
#define X(name) #name,
    LOG_MODULES(X)
#undef X
};

static _Atomic int default_level = LOG_INFO_LEVEL;
static _Atomic int format = LOG_LOGFMT;
static VEC(struct common_field) common;
static _Atomic uint64_t lines[LOG_LEVEL_COUNT], lines_dropped, lines_failed;

static struct lock sink_lock = {PTHREAD_MUTEX_INITIALIZER, LOCK_LOG}; /* guards the sink */
static _Atomic bool has_sink;
static void (*sink_fn)(void *arg, struct slice line);
static void *sink_arg;

/* ---- fields ---- */

static bool needs_quotes(struct slice v)
{
    if (v.len == 0)
        return true;
    for (size_t i = 0; i < v.len; i++) {
        uint8_t c = v.ptr[i];

        if (c <= ' ' || c == '=' || c == '"' || c == 0x7f)
            return true;
    }
    return !slice_is_utf8(v);
}

static void put_key(struct buf *out, bool is_json, const char *key)
{
    if (is_json) {
        buf_byte(out, ',');
        buf_json_str(out, slice_cstr(key));
        buf_byte(out, ':');
    } else {
        buf_byte(out, ' ');
        buf_str(out, key);
        buf_byte(out, '=');
    }
}

static void put_text(struct buf *out, bool is_json, struct slice v)
{
    if (is_json || needs_quotes(v))
        buf_json_str(out, v);
    else
        buf_slice_append(out, v);
}

static void put_value(struct buf *out, bool is_json, struct slice v)
{
    struct buf cut = {0};
    size_t keep = LOG_VALUE_MAX_BYTES;

    if (v.len <= keep) {
        put_text(out, is_json, v);
        return;
    }
    while (keep > LOG_VALUE_MAX_BYTES - 4 && (v.ptr[keep] & 0xc0) == 0x80)
        keep--; /* not through a UTF-8 sequence */
    buf_append(&cut, v.ptr, keep);
    buf_printf(&cut, "... (%zu more bytes)", v.len - keep);
    put_text(out, is_json, buf_slice(&cut));
    buf_done(&cut);
}

static void put_f64(struct buf *out, bool is_json, double v)
{
    bool is_quoted = is_json && !isfinite(v); /* JSON has no name for them */

    if (is_quoted)
        buf_byte(out, '"');
    buf_f64_text(out, v);
    if (is_quoted)
        buf_byte(out, '"');
}

static void put_field(struct buf *out, bool is_json, const struct log_kv *kv)
{
    if (kv->type == LOG_KV_ERR && !kv->err)
        return;
    put_key(out, is_json, kv->key);
    switch (kv->type) {
    case LOG_KV_STR:
        put_value(out, is_json, kv->str);
        break;
    case LOG_KV_I64:
        buf_printf(out, "%lld", (long long)kv->i64);
        break;
    case LOG_KV_U64:
        buf_printf(out, "%llu", (unsigned long long)kv->u64);
        break;
    case LOG_KV_F64:
        put_f64(out, is_json, kv->f64);
        break;
    case LOG_KV_BOOL:
        buf_str(out, kv->boolean ? "true" : "false");
        break;
    case LOG_KV_ERR:
        put_value(out, is_json, slice_cstr(err_msg(kv->err)));
        break;
    }
}

/* ---- a line ---- */

static void put_time(struct buf *out)
{
    int64_t ms = clock_wall_ms(&clock_system);
    time_t s = (time_t)(ms / MS_PER_S);
    struct tm tm;
    char text[32];

    gmtime_r(&s, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    buf_printf(out, "%s.%03dZ", text, (int)(ms % MS_PER_S));
}

static void put_head(struct buf *out, bool is_json, enum log_level level, enum log_module module,
                     const char *msg)
{
    buf_str(out, is_json ? "{\"ts\":\"" : "ts=");
    put_time(out);
    if (is_json)
        buf_byte(out, '"');
    put_key(out, is_json, "level");
    put_text(out, is_json, slice_cstr(level_names[level]));
    put_key(out, is_json, "module");
    put_text(out, is_json, slice_cstr(module_names[module]));
    put_key(out, is_json, "msg");
    put_value(out, is_json, slice_cstr(msg));
    VEC_FOREACH (f, &common) {
        put_key(out, is_json, f->key);
        put_value(out, is_json, slice_cstr(f->value));
    }
}

static bool write_whole(struct slice s)
{
    while (s.len) {
        ssize_t n = write(STDERR_FILENO, s.ptr, s.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        s = slice_from(s, (size_t)n);
    }
    return true;
}

static void emit(struct buf *line)
{
    int errnum = errno; /* a caller may log between a failed call and reading why */

    if (atomic_load(&has_sink)) {
        lock_take(&sink_lock);
        if (sink_fn) {
            sink_fn(sink_arg, buf_slice(line));
            lock_release(&sink_lock);
            errno = errnum;
            return;
        }
        lock_release(&sink_lock);
    }
    buf_byte(line, '\n');
    if (!write_whole(buf_slice(line)))
        atomic_fetch_add(&lines_failed, 1);
    errno = errnum;
}

/* Counts this line against its site; false when it is one too many in this second. */
static bool site_admits(struct log_site *site)
{
    int64_t now_s = clock_mono_ns(&clock_system) / NS_PER_S;
    int64_t second = atomic_load_explicit(&site->second, memory_order_relaxed);

    if (second != now_s && atomic_compare_exchange_strong(&site->second, &second, now_s))
        atomic_store_explicit(&site->count, 0, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&site->count, 1, memory_order_relaxed) < LOG_REPEATS_PER_S)
        return true;
    atomic_fetch_add_explicit(&site->dropped, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&lines_dropped, 1, memory_order_relaxed);
    return false;
}

void log_write(struct log_site *site, enum log_level level, enum log_module module, const char *msg,
               const struct log_kv *kvs, size_t n)
{
    bool is_json = atomic_load_explicit(&format, memory_order_relaxed) == LOG_JSON;
    struct buf line = {0};
    uint32_t dropped;

    if (!site_admits(site))
        return;
    put_head(&line, is_json, level, module, msg);
    for (size_t i = 0; i < n; i++)
        put_field(&line, is_json, &kvs[i]);
    if ((dropped = atomic_exchange(&site->dropped, 0)))
        put_field(&line, is_json, &KV_U64("dropped_repeats", dropped));
    if (is_json)
        buf_byte(&line, '}');
    emit(&line);
    atomic_fetch_add_explicit(&lines[level], 1, memory_order_relaxed);
    buf_done(&line);
}

/* ---- settings ---- */

void log_set_sink(void (*fn)(void *arg, struct slice line), void *arg)
{
    lock_take(&sink_lock);
    sink_fn = fn;
    sink_arg = arg;
    atomic_store(&has_sink, fn != NULL);
    lock_release(&sink_lock);
}

void log_set_format(enum log_format f)
{
    atomic_store(&format, f);
}

void log_set_common(const char *key, const char *value)
{
    VEC_FOREACH (f, &common) {
        if (strcmp(f->key, key) == 0) {
            mem_free(f->value);
            f->value = mem_strdup(value);
            return;
        }
    }
    vec_push(&common, ((struct common_field){mem_strdup(key), mem_strdup(value)}));
}

__attribute__((destructor)) static void free_common(void)
{
    VEC_FOREACH (f, &common) {
        mem_free(f->key);
        mem_free(f->value);
    }
    vec_done(&common);
}

static int index_of(const char *const *names, size_t n, struct slice name)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq_nocase(name, slice_cstr(names[i])))
            return (int)i;
    return -1;
}

struct levels {
    int base;
    int of[LOG_MODULE_COUNT]; /* -1: as base */
};

static struct err *parse_level(struct slice text, int *ret)
{
    int level = index_of(level_names, LOG_LEVEL_COUNT, slice_trim(text));

    if (level < 0)
        return err_new(ERR_INVALID, "unknown log level \"%.*s\" (error, warn, info or debug)",
                       SLICE_ARG(text));
    *ret = level;
    return NULL;
}

static struct err *parse_part(struct slice part, struct levels *l)
{
    ptrdiff_t eq = slice_find_byte(part, '=', 0);
    struct slice name;
    int module;

    if (eq < 0)
        return parse_level(part, &l->base);
    name = slice_trim(slice_sub(part, 0, (size_t)eq));
    module = index_of(module_names, LOG_MODULE_COUNT, name);
    if (module < 0)
        return err_new(ERR_INVALID, "unknown log module \"%.*s\"", SLICE_ARG(name));
    return parse_level(slice_from(part, (size_t)eq + 1), &l->of[module]);
}

struct err *log_set_level(const char *spec)
{
    struct slice rest = slice_cstr(spec), part;
    struct levels l = {.base = atomic_load(&default_level)};
    struct err *e;

    for (size_t i = 0; i < LOG_MODULE_COUNT; i++)
        l.of[i] = -1;
    while (slice_split(&rest, ',', &part))
        if ((e = parse_part(part, &l)))
            return e;
    atomic_store(&default_level, l.base);
    for (size_t i = 0; i < LOG_MODULE_COUNT; i++)
        atomic_store(&log_module_levels[i], (signed char)(l.of[i] < 0 ? l.base : l.of[i]));
    return NULL;
}

void log_get_level(struct buf *ret)
{
    int base = atomic_load(&default_level);

    buf_str(ret, level_names[base]);
    for (size_t i = 0; i < LOG_MODULE_COUNT; i++) {
        int level = atomic_load(&log_module_levels[i]);

        if (level != base)
            buf_printf(ret, ",%s=%s", module_names[i], level_names[level]);
    }
}

uint64_t log_lines(enum log_level level)
{
    return atomic_load(&lines[level]);
}

uint64_t log_lines_dropped(void)
{
    return atomic_load(&lines_dropped);
}

uint64_t log_lines_failed(void)
{
    return atomic_load(&lines_failed);
}

const char *log_level_name(enum log_level level)
{
    return level_names[level];
}
