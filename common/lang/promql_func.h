/*
 * The functions of PromQL: names, argument types, results. What they compute is the engine's.
 */
#pragma once
#include "common/lang/promql_ast.h"

/*
 * X(symbol, name, argument types, variadic, result, is experimental). A type is S scalar,
 * V instant vector, M range vector, T string. variadic 0: exactly those arguments; n > 0: the last
 * may be left out or repeated, n at most beyond the others; -1: the last any number of times.
 */
#define PROMQL_FUNCS(X)                                                                            \
    X(PROMQL_FN_ABS, "abs", "V", 0, 'V', false)                                                    \
    X(PROMQL_FN_ABSENT, "absent", "V", 0, 'V', false)                                              \
    X(PROMQL_FN_ABSENT_OVER_TIME, "absent_over_time", "M", 0, 'V', false)                          \
    X(PROMQL_FN_ACOS, "acos", "V", 0, 'V', false)                                                  \
    X(PROMQL_FN_ACOSH, "acosh", "V", 0, 'V', false)                                                \
    X(PROMQL_FN_ASIN, "asin", "V", 0, 'V', false)                                                  \
    X(PROMQL_FN_ASINH, "asinh", "V", 0, 'V', false)                                                \
    X(PROMQL_FN_ATAN, "atan", "V", 0, 'V', false)                                                  \
    X(PROMQL_FN_ATANH, "atanh", "V", 0, 'V', false)                                                \
    X(PROMQL_FN_AVG_OVER_TIME, "avg_over_time", "M", 0, 'V', false)                                \
    X(PROMQL_FN_CEIL, "ceil", "V", 0, 'V', false)                                                  \
    X(PROMQL_FN_CHANGES, "changes", "M", 0, 'V', false)                                            \
    X(PROMQL_FN_CLAMP, "clamp", "VSS", 0, 'V', false)                                              \
    X(PROMQL_FN_CLAMP_MAX, "clamp_max", "VS", 0, 'V', false)                                       \
    X(PROMQL_FN_CLAMP_MIN, "clamp_min", "VS", 0, 'V', false)                                       \
    X(PROMQL_FN_COS, "cos", "V", 0, 'V', false)                                                    \
    X(PROMQL_FN_COSH, "cosh", "V", 0, 'V', false)                                                  \
    X(PROMQL_FN_COUNT_OVER_TIME, "count_over_time", "M", 0, 'V', false)                            \
    X(PROMQL_FN_DAY_OF_MONTH, "day_of_month", "V", 1, 'V', false)                                  \
    X(PROMQL_FN_DAY_OF_WEEK, "day_of_week", "V", 1, 'V', false)                                    \
    X(PROMQL_FN_DAY_OF_YEAR, "day_of_year", "V", 1, 'V', false)                                    \
    X(PROMQL_FN_DAYS_IN_MONTH, "days_in_month", "V", 1, 'V', false)                                \
    X(PROMQL_FN_DEG, "deg", "V", 0, 'V', false)                                                    \
    X(PROMQL_FN_DELTA, "delta", "M", 0, 'V', false)                                                \
    X(PROMQL_FN_DERIV, "deriv", "M", 0, 'V', false)                                                \
    X(PROMQL_FN_DOUBLE_EXPONENTIAL_SMOOTHING, "double_exponential_smoothing", "MSS", 0, 'V', true) \
    X(PROMQL_FN_END, "end", "", 0, 'S', true)                                                      \
    X(PROMQL_FN_EXP, "exp", "V", 0, 'V', false)                                                    \
    X(PROMQL_FN_FIRST_OVER_TIME, "first_over_time", "M", 0, 'V', false)                            \
    X(PROMQL_FN_FLOOR, "floor", "V", 0, 'V', false)                                                \
    X(PROMQL_FN_HISTOGRAM_AVG, "histogram_avg", "V", 0, 'V', false)                                \
    X(PROMQL_FN_HISTOGRAM_COUNT, "histogram_count", "V", 0, 'V', false)                            \
    X(PROMQL_FN_HISTOGRAM_FRACTION, "histogram_fraction", "SSV", 0, 'V', false)                    \
    X(PROMQL_FN_HISTOGRAM_QUANTILE, "histogram_quantile", "SV", 0, 'V', false)                     \
    X(PROMQL_FN_HISTOGRAM_QUANTILES, "histogram_quantiles", "VTSS", 9, 'V', true)                  \
    X(PROMQL_FN_HISTOGRAM_STDDEV, "histogram_stddev", "V", 0, 'V', false)                          \
    X(PROMQL_FN_HISTOGRAM_STDVAR, "histogram_stdvar", "V", 0, 'V', false)                          \
    X(PROMQL_FN_HISTOGRAM_SUM, "histogram_sum", "V", 0, 'V', false)                                \
    X(PROMQL_FN_HOUR, "hour", "V", 1, 'V', false)                                                  \
    X(PROMQL_FN_IDELTA, "idelta", "M", 0, 'V', false)                                              \
    X(PROMQL_FN_INCREASE, "increase", "M", 0, 'V', false)                                          \
    X(PROMQL_FN_INFO, "info", "VV", 1, 'V', true)                                                  \
    X(PROMQL_FN_IRATE, "irate", "M", 0, 'V', false)                                                \
    X(PROMQL_FN_LABEL_JOIN, "label_join", "VTTT", -1, 'V', false)                                  \
    X(PROMQL_FN_LABEL_REPLACE, "label_replace", "VTTTT", 0, 'V', false)                            \
    X(PROMQL_FN_LAST_OVER_TIME, "last_over_time", "M", 0, 'V', false)                              \
    X(PROMQL_FN_LN, "ln", "V", 0, 'V', false)                                                      \
    X(PROMQL_FN_LOG10, "log10", "V", 0, 'V', false)                                                \
    X(PROMQL_FN_LOG2, "log2", "V", 0, 'V', false)                                                  \
    X(PROMQL_FN_MAD_OVER_TIME, "mad_over_time", "M", 0, 'V', true)                                 \
    X(PROMQL_FN_MAX_OF, "max_of", "SS", 0, 'S', true)                                              \
    X(PROMQL_FN_MAX_OVER_TIME, "max_over_time", "M", 0, 'V', false)                                \
    X(PROMQL_FN_MIN_OF, "min_of", "SS", 0, 'S', true)                                              \
    X(PROMQL_FN_MIN_OVER_TIME, "min_over_time", "M", 0, 'V', false)                                \
    X(PROMQL_FN_MINUTE, "minute", "V", 1, 'V', false)                                              \
    X(PROMQL_FN_MONTH, "month", "V", 1, 'V', false)                                                \
    X(PROMQL_FN_PI, "pi", "", 0, 'S', false)                                                       \
    X(PROMQL_FN_PREDICT_LINEAR, "predict_linear", "MS", 0, 'V', false)                             \
    X(PROMQL_FN_PRESENT_OVER_TIME, "present_over_time", "M", 0, 'V', false)                        \
    X(PROMQL_FN_QUANTILE_OVER_TIME, "quantile_over_time", "SM", 0, 'V', false)                     \
    X(PROMQL_FN_RAD, "rad", "V", 0, 'V', false)                                                    \
    X(PROMQL_FN_RANGE, "range", "", 0, 'S', true)                                                  \
    X(PROMQL_FN_RATE, "rate", "M", 0, 'V', false)                                                  \
    X(PROMQL_FN_RESETS, "resets", "M", 0, 'V', false)                                              \
    X(PROMQL_FN_ROUND, "round", "VS", 1, 'V', false)                                               \
    X(PROMQL_FN_SCALAR, "scalar", "V", 0, 'S', false)                                              \
    X(PROMQL_FN_SGN, "sgn", "V", 0, 'V', false)                                                    \
    X(PROMQL_FN_SIN, "sin", "V", 0, 'V', false)                                                    \
    X(PROMQL_FN_SINH, "sinh", "V", 0, 'V', false)                                                  \
    X(PROMQL_FN_SORT, "sort", "V", 0, 'V', false)                                                  \
    X(PROMQL_FN_SORT_BY_LABEL, "sort_by_label", "VT", -1, 'V', true)                               \
    X(PROMQL_FN_SORT_BY_LABEL_DESC, "sort_by_label_desc", "VT", -1, 'V', true)                     \
    X(PROMQL_FN_SORT_DESC, "sort_desc", "V", 0, 'V', false)                                        \
    X(PROMQL_FN_SQRT, "sqrt", "V", 0, 'V', false)                                                  \
    X(PROMQL_FN_START, "start", "", 0, 'S', true)                                                  \
    X(PROMQL_FN_START_TIMESTAMP, "start_timestamp", "V", 0, 'V', true)                             \
    X(PROMQL_FN_STDDEV_OVER_TIME, "stddev_over_time", "M", 0, 'V', false)                          \
    X(PROMQL_FN_STDVAR_OVER_TIME, "stdvar_over_time", "M", 0, 'V', false)                          \
    X(PROMQL_FN_STEP, "step", "", 0, 'S', true)                                                    \
    X(PROMQL_FN_SUM_OVER_TIME, "sum_over_time", "M", 0, 'V', false)                                \
    X(PROMQL_FN_TAN, "tan", "V", 0, 'V', false)                                                    \
    X(PROMQL_FN_TANH, "tanh", "V", 0, 'V', false)                                                  \
    X(PROMQL_FN_TIME, "time", "", 0, 'S', false)                                                   \
    X(PROMQL_FN_TIMESTAMP, "timestamp", "V", 0, 'V', false)                                        \
    X(PROMQL_FN_TS_OF_FIRST_OVER_TIME, "ts_of_first_over_time", "M", 0, 'V', true)                 \
    X(PROMQL_FN_TS_OF_LAST_OVER_TIME, "ts_of_last_over_time", "M", 0, 'V', true)                   \
    X(PROMQL_FN_TS_OF_MAX_OVER_TIME, "ts_of_max_over_time", "M", 0, 'V', true)                     \
    X(PROMQL_FN_TS_OF_MIN_OVER_TIME, "ts_of_min_over_time", "M", 0, 'V', true)                     \
    X(PROMQL_FN_VECTOR, "vector", "S", 0, 'V', false)                                              \
    X(PROMQL_FN_YEAR, "year", "V", 1, 'V', false)

enum promql_fn {
#define X(sym, name, args, variadic, result, is_experimental) sym,
    PROMQL_FUNCS(X)
#undef X
        PROMQL_FN_COUNT
};

struct promql_func {
    enum promql_fn id;
    const char *name;
    const char *args; /* letters as above */
    int variadic;
    enum promql_type result;
    bool is_experimental;
};

/* NULL if there is no such function; names are case sensitive. */
const struct promql_func *promql_func_find(struct slice name);
const struct promql_func *promql_func_of(enum promql_fn id);
/* Of an argument letter. */
enum promql_type promql_func_type(char letter);
