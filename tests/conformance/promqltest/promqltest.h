/*
 * Prometheus' promqltest scripts on the engine: load, clear and eval commands with their
 * expectations (../shared/conformance/promql/TEST_LANGUAGE.md).
 *
 * A script is parsed whole into an arena, then run command by command against a memstore. Settings are
 * the suite's: lookback 5m, delayed name removal and everything experimental on.
 */
#pragma once
#include "common/base/vec.h"
#include "common/lang/promql_series.h"
#include "querier/engine/engine.h"
#include "querier/engine/memstore.h"

enum command_kind { COMMAND_CLEAR, COMMAND_LOAD, COMMAND_EVAL };
enum expect_kind { EXPECT_FAIL, EXPECT_WARN, EXPECT_INFO, EXPECT_NO_WARN, EXPECT_NO_INFO };

struct expectation {
    enum expect_kind kind;
    bool is_regex;
    bool has_text;
    struct slice text;
};

struct expected_series {
    struct promql_series series;
    bool is_scalar; /* a bare number: values[0] */
};

struct command {
    enum command_kind kind;
    unsigned line;
    /* load */
    int64_t interval_ms;
    bool with_nhcb;
    VEC(struct slice) loads;
    /* eval */
    bool is_range, is_ordered, has_string, has_matrix;
    int64_t start_ms, end_ms, step_ms; /* of a range, or of an expected matrix */
    int64_t matrix_start_ms, matrix_end_ms, matrix_step_ms;
    struct slice expr, string;
    VEC(struct expectation) expects;
    VEC(struct expected_series) series;
};

struct script {
    struct arena *arena;
    VEC(struct command) commands;
};

/* ERR_INVALID "line N: ..." for text that is no script. */
ORR_CHECKED struct err *script_parse(struct slice text, struct script *ret);
void script_done(struct script *s);

/* Adds the series of a load command to the store. */
ORR_CHECKED struct err *load_run(struct arena *a, const struct command *c, struct memstore *store);

/* Evals run split into so many shards where they can be; 0: as one. */
extern unsigned eval_shards;
/* NULL: as expected; else why not, "got / want", in detail. Returns whether it passed. */
bool eval_run(const struct engine *eng, const struct command *c, struct storage *store,
              struct buf *detail);
