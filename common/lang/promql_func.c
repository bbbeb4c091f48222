#include "common/lang/promql_func.h"

#include <stdlib.h>

#include "common/lang/promql.h"

static const struct promql_func funcs[] = {
#define X(sym, name, args, variadic, result, is_experimental)                                      \
    {sym, name, args, variadic, (result) == 'S' ? PROMQL_SCALAR : PROMQL_VECTOR, is_experimental},
    PROMQL_FUNCS(X)
#undef X
};

static const struct {
    const char *name;
    bool has_param, is_experimental;
} aggs[] = {
#define X(sym, name, has_param, is_experimental) {name, has_param, is_experimental},
    PROMQL_AGGS(X)
#undef X
};

const struct promql_func *promql_func_find(struct slice name)
{
    for (size_t i = 0; i < ORR_COUNT(funcs); i++)
        if (slice_eq_cstr(name, funcs[i].name))
            return &funcs[i];
    return NULL;
}

const struct promql_func *promql_func_of(enum promql_fn id)
{
    return &funcs[id];
}

enum promql_type promql_func_type(char letter)
{
    switch (letter) {
    case 'S':
        return PROMQL_SCALAR;
    case 'V':
        return PROMQL_VECTOR;
    case 'M':
        return PROMQL_MATRIX;
    case 'T':
        return PROMQL_STRING;
    default:
        return PROMQL_NONE;
    }
}

const char *promql_agg_name(enum promql_agg op)
{
    return aggs[op].name;
}

bool promql_agg_has_param(enum promql_agg op)
{
    return aggs[op].has_param;
}

bool promql_agg_is_experimental(enum promql_agg op)
{
    return aggs[op].is_experimental;
}

const char *promql_op_text(enum promql_op op)
{
    static const char *const text[] = {
#define X(sym, text) text,
        PROMQL_OPS(X)
#undef X
    };

    return text[op];
}

const char *promql_type_name(enum promql_type t)
{
    static const char *const name[] = {"none", "scalar", "string", "vector", "matrix"};

    return name[t];
}
