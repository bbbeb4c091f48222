/* Lines as they come, and as they should not: for property tests of what reads and stores them. */
#pragma once
#include "common/base/buf.h"
#include "common/base/rng.h"

enum logtext_kind {
    LOGTEXT_NOISE,
    LOGTEXT_JSON,
    LOGTEXT_LOGFMT,
    LOGTEXT_WORDS,
    LOGTEXT_TRACE,
    LOGTEXT_BROKEN,
    LOGTEXT_KINDS
};

static inline void logtext_value(struct rng *r, struct buf *out)
{
    static const char *const words[] = {"error", "info", "null",    "true", "a\\\"b",  "-",
                                        "",      "x\\n", "\\u00e9", "\xff", "1e9",     "-0",
                                        "0x1f",  "007",  "\xff\\n", "x\\q", "\\ud800", "it\\'s"};

    switch (rng_below(r, 9)) {
    case 0:
        buf_printf(out, "%u", rng_u32(r));
        break;
    case 1:
        buf_printf(out, "%u.%02u", rng_u32(r) % 1000, rng_u32(r) % 100);
        break;
    case 2:
        buf_printf(out, "%08x-%04x", rng_u32(r), rng_u32(r) & 0xffff);
        break;
    case 3:
        buf_printf(out, "10.%u.3.%u", rng_u32(r) % 256, rng_u32(r) % 256);
        break;
    case 4:
        buf_printf(out, "2026-%02u-29T10:%02u:%02u.%03uZ", 1 + rng_u32(r) % 12, rng_u32(r) % 61,
                   rng_u32(r) % 60, rng_u32(r) % 1000);
        break;
    case 5:
        buf_printf(out, "/api/v%u/users/%u", 1 + rng_u32(r) % 3, rng_u32(r) % 1000);
        break;
    case 6:
        buf_printf(out, "%ums", rng_u32(r) % 1000);
        break;
    default:
        buf_str(out, words[rng_below(r, ORR_COUNT(words))]);
    }
}

static inline void logtext_json(struct rng *r, struct buf *out)
{
    static const char *const keys[] = {"a", "b", "latency_ms", "user id", "1x", "a.b", "a_b"};
    size_t n = rng_below(r, 6);

    buf_str(out, "{");
    for (size_t i = 0; i < n; i++) {
        buf_printf(out, "%s\"%s\":%s", i ? "," : "", keys[rng_below(r, ORR_COUNT(keys))],
                   rng_chance(r, 0.2) ? " " : "");
        switch (rng_below(r, 5)) {
        case 0:
            buf_printf(out, "%u", rng_u32(r) % 5000);
            break;
        case 1:
            buf_str(out, "{\"in\":");
            buf_printf(out, "%u}", rng_u32(r) % 7);
            break;
        case 2:
            buf_str(out, rng_chance(r, 0.5) ? "[1,\"]\"]" : "null");
            break;
        default:
            buf_byte(out, '"');
            logtext_value(r, out);
            buf_byte(out, '"');
        }
    }
    buf_str(out, "}");
}

static inline void logtext_words(struct rng *r, struct buf *out)
{
    static const char *const texts[] = {"connection from ", "user \"", "\" failed ", " [",
                                        "] took ",          "error: ", "=",          " "};

    for (size_t i = 0, n = 1 + rng_below(r, 4); i < n; i++) {
        buf_str(out, texts[rng_below(r, ORR_COUNT(texts))]);
        logtext_value(r, out);
    }
}

static inline void logtext_line(struct rng *r, int kind, struct buf *out)
{
    static const char *const logfmt_keys[] = {"level", "msg", "took", "id", "a.b"};

    switch (kind) {
    case LOGTEXT_NOISE:
        for (size_t i = 0, n = rng_below(r, 60); i < n; i++)
            buf_byte(out, (uint8_t)rng_u32(r));
        break;
    case LOGTEXT_JSON:
        logtext_json(r, out);
        break;
    case LOGTEXT_LOGFMT:
        for (size_t i = 0, n = 1 + rng_below(r, 5); i < n; i++) {
            buf_printf(out, "%s%s=", i ? " " : "",
                       logfmt_keys[rng_chance(r, 0.9) ? i : rng_below(r, ORR_COUNT(logfmt_keys))]);
            if (rng_chance(r, 0.3))
                buf_byte(out, '"'), logtext_value(r, out), buf_byte(out, '"');
            else
                logtext_value(r, out);
        }
        break;
    case LOGTEXT_WORDS:
        logtext_words(r, out);
        break;
    case LOGTEXT_TRACE:
        buf_str(out, "java.lang.IllegalStateException: ");
        logtext_value(r, out);
        for (size_t i = 0, n = rng_below(r, 12); i < n; i++)
            buf_printf(out, "\n\tat com.example.C%u.m(C.java:%u)", rng_u32(r) % 5, rng_u32(r) % 20);
        break;
    case LOGTEXT_BROKEN:
        logtext_json(r, out);
        for (int k = 0; k < 3 && out->len; k++)
            out->ptr[rng_below(r, out->len)] = (uint8_t)rng_u32(r);
        if (out->len && rng_chance(r, 0.5))
            out->len = rng_below(r, out->len);
        break;
    default: /* of all */
        logtext_line(r, (int)rng_below(r, LOGTEXT_KINDS), out);
    }
}
