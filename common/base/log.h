/*
 * Structured, levelled log on stderr: one line an event, one write(2) a line, JSON or logfmt.
 *
 *     ts=2026-11-23T05:41:07.123Z level=warn module=wal msg="segment truncated" path=/d/1 offset=96
 *     {"ts":"2026-11-23T05:41:07.123Z","level":"warn","module":"wal","msg":"segment truncated",...}
 *
 *     LOG_WARN(wal, "segment truncated", KV_STR("path", seg->path), KV_U64("offset", end),
 * KV_ERR(e));
 *
 * The message is a constant; facts are fields, whose names stand in log_fields.def (checked by a
 * test). The first argument is the module: its level can be changed at run time (log_set_level,
 * /log_level). Repeats of one call site beyond 10 a second are counted and left out; the next line
 * of that site says how many in dropped_repeats. A value over LOG_VALUE_MAX_BYTES is cut and says
 * by how much. No secret and no tenant payload is ever logged.
 *
 * Error: a person must act. Warn: degraded and handled. Info: lifecycle. Debug: per request.
 *
 * Any thread.
 */
#pragma once
#include <stdatomic.h>

#include "common/base/buf.h"
#include "common/base/err.h"

/* clang-format off */
#define LOG_LEVELS(X)                                                                              \
    X(LOG_ERROR_LEVEL, "error")                                                                    \
    X(LOG_WARN_LEVEL, "warn")                                                                      \
    X(LOG_INFO_LEVEL, "info")                                                                      \
    X(LOG_DEBUG_LEVEL, "debug")
/* clang-format on */
enum log_level {
#define X(sym, name) sym,
    LOG_LEVELS(X)
#undef X
};
#define LOG_LEVEL_COUNT 4
#define LOG_VALUE_MAX_BYTES 4096
#define LOG_REPEATS_PER_S 10

enum log_format { LOG_LOGFMT, LOG_JSON };

/* Modules: one per directory or large module; X(name). Add yours here. */
/* clang-format off */
#define LOG_MODULES(X)                                                                             \
    X(main) X(base) X(conf) X(net) X(rpc) X(ring) X(wal) X(objstore) X(block) X(model)             \
    X(promql) X(template) X(kv) X(auth) X(admin) X(door) X(distribute) X(head) X(flush)            \
    X(querier) X(engine) X(store) X(compactor) X(catalogue) X(ruler) X(alertmanager)               \
    X(dispatch) X(nflog) X(notify)
/* clang-format on */
enum log_module {
#define X(name) LOG_MODULE_##name,
    LOG_MODULES(X)
#undef X
        LOG_MODULE_COUNT
};

enum log_kv_type { LOG_KV_STR, LOG_KV_I64, LOG_KV_U64, LOG_KV_F64, LOG_KV_BOOL, LOG_KV_ERR };
struct log_kv {
    const char *key;
    enum log_kv_type type;
    union {
        struct slice str;
        int64_t i64;
        uint64_t u64;
        double f64;
        bool boolean;
        const struct err *err;
    };
};
#define KV_STR(k, v) ((struct log_kv){.key = (k), .type = LOG_KV_STR, .str = slice_cstr(v)})
#define KV_SLICE(k, v) ((struct log_kv){.key = (k), .type = LOG_KV_STR, .str = (v)})
#define KV_I64(k, v) ((struct log_kv){.key = (k), .type = LOG_KV_I64, .i64 = (v)})
#define KV_U64(k, v) ((struct log_kv){.key = (k), .type = LOG_KV_U64, .u64 = (v)})
#define KV_F64(k, v) ((struct log_kv){.key = (k), .type = LOG_KV_F64, .f64 = (v)})
#define KV_BOOL(k, v) ((struct log_kv){.key = (k), .type = LOG_KV_BOOL, .boolean = (v)})
#define KV_ERR(e) ((struct log_kv){.key = "err", .type = LOG_KV_ERR, .err = (e)})

struct log_site {
    _Atomic int64_t second;
    _Atomic uint32_t count;
    _Atomic uint32_t dropped;
};

extern _Atomic signed char log_module_levels[LOG_MODULE_COUNT];

#define LOG_AT(level, module, msg, ...)                                                            \
    do {                                                                                           \
        static struct log_site log_site_;                                                          \
        if ((signed char)(level) <=                                                                \
            atomic_load_explicit(&log_module_levels[LOG_MODULE_##module], memory_order_relaxed)) { \
            const struct log_kv log_kvs_[] = {KV_STR("", ""), ##__VA_ARGS__};                      \
            log_write(&log_site_, (level), LOG_MODULE_##module, "" msg, log_kvs_ + 1,              \
                      sizeof(log_kvs_) / sizeof(log_kvs_[0]) - 1);                                 \
        }                                                                                          \
    } while (0)
#define LOG_ERROR(module, msg, ...) LOG_AT(LOG_ERROR_LEVEL, module, msg, ##__VA_ARGS__)
#define LOG_WARN(module, msg, ...) LOG_AT(LOG_WARN_LEVEL, module, msg, ##__VA_ARGS__)
#define LOG_INFO(module, msg, ...) LOG_AT(LOG_INFO_LEVEL, module, msg, ##__VA_ARGS__)
#define LOG_DEBUG(module, msg, ...) LOG_AT(LOG_DEBUG_LEVEL, module, msg, ##__VA_ARGS__)

/* n fields; site counts repeats. Through the macros only, and by tests. */
void log_write(struct log_site *site, enum log_level level, enum log_module module, const char *msg,
               const struct log_kv *kvs, size_t n);
/* Lines (without their newline) a test wants to see instead of stderr; NULL puts stderr back. One
 * call at a time; fn must not log. */
void log_set_sink(void (*fn)(void *arg, struct slice line), void *arg);
void log_set_format(enum log_format f);
/* A field on every line ("instance"). Copied. Before threads start. */
void log_set_common(const char *key, const char *value);
/* "info", or "info,wal=debug,rpc=warn": first the default, then modules. */
ORR_CHECKED struct err *log_set_level(const char *spec);
void log_get_level(struct buf *ret); /* the same notation */

/* Since the process started, for /metrics. */
uint64_t log_lines(enum log_level level); /* written, those a sink took included */
uint64_t log_lines_dropped(void);         /* left out as repeats */
uint64_t log_lines_failed(void);          /* that stderr did not take */
const char *log_level_name(enum log_level level);
