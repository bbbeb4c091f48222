/* Random TraceQL over small vocabularies, for tests that compare answers. */
#pragma once
#include "common/base/buf.h"
#include "common/base/rng.h"

static const char *const names[] = {"GET /", "SELECT", "publish"};
static const char *const texts[] = {"a", "b", "ab", ""};

static void put_operand(struct buf *q, struct rng *r)
{
    static const char *const operands[] = {".x",
                                           "span.y",
                                           "resource.x",
                                           "event.x",
                                           "event.y",
                                           "link.z",
                                           "instrumentation.x",
                                           "name",
                                           "status",
                                           "kind",
                                           "duration",
                                           "statusMessage",
                                           ".z",
                                           "span.x",
                                           "rootName",
                                           "event:name",
                                           "link:spanID",
                                           "span:id",
                                           "traceDuration",
                                           "resource.service.name",
                                           "resource.service.name"};

    buf_str(q, operands[rng_below(r, ORR_COUNT(operands))]);
}

static void put_constant(struct buf *q, struct rng *r)
{
    static const char *const constants[] = {"1",     "2",         "-1",     "1.5",   "2.0",
                                            "\"a\"", "\"GET /\"", "ok",     "error", "30",
                                            "true",  "server",    "\"ab\"", "50ns"};

    buf_str(q, constants[rng_below(r, ORR_COUNT(constants))]);
}

static void put_field(struct buf *q, struct rng *r, int depth)
{
    static const char *const ops[] = {"=", "!=", "<", ">=", "=", "!="};

    switch (rng_below(r, depth > 0 ? 9 : 5)) {
    case 0:
        put_operand(q, r);
        buf_str(q, rng_chance(r, 0.5) ? " != nil" : " =~ \"a.*\"");
        break;
    case 1:
        put_operand(q, r);
        buf_str(q, " !~ \".*b\"");
        break;
    case 2:
        put_operand(q, r);
        buf_printf(q, " %s ", ops[rng_below(r, ORR_COUNT(ops))]);
        put_operand(q, r);
        break;
    case 3:
    case 4:
        put_operand(q, r);
        buf_printf(q, " %s ", ops[rng_below(r, ORR_COUNT(ops))]);
        put_constant(q, r);
        break;
    case 5:
        buf_str(q, "!(");
        put_field(q, r, depth - 1);
        buf_str(q, ")");
        break;
    case 6:
        put_operand(q, r);
        buf_str(q, " + 1 > 2");
        break;
    default:
        buf_str(q, "(");
        put_field(q, r, depth - 1);
        buf_str(q, rng_chance(r, 0.5) ? ") && (" : ") || (");
        put_field(q, r, depth - 1);
        buf_str(q, ")");
    }
}

static const char *const spanset_ops[] = {
#define X(sym, text) text,
    TRACEQL_SPANSET_OPS(X)
#undef X
};

static inline void put_spanset(struct buf *q, struct rng *r, int depth)
{
    if (depth == 0 || rng_chance(r, 0.4)) {
        buf_str(q, "{ ");
        if (rng_chance(r, 0.8))
            put_field(q, r, 2);
        buf_str(q, " }");
        return;
    }
    buf_str(q, "(");
    put_spanset(q, r, depth - 1);
    buf_printf(q, " %s ", spanset_ops[rng_below(r, ORR_COUNT(spanset_ops))]);
    put_spanset(q, r, depth - 1);
    buf_str(q, ")");
}
