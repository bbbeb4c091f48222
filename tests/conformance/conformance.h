/*
 * The runner of the JSON-lines cases in the shared conformance folder:
 *
 *     orrery-conformance KIND FILE…|DIR [--results FILE] [--known FILE] [--only ID]
 *
 * A corpus is one file, KIND the folder it is in. Each corpus is run by a row that a kind_*.c
 * registers:
 *
 *     CONFORMANCE(promql, series_cases)
 *     {
 *         struct slice input = conformance_text(c, "input");
 *         ...
 *         conformance_check_text(c, "labels", got, want);
 *     }
 *
 * A case passes unless its function calls conformance_fail() or conformance_skip(). Cases run in
 * a child process: a crash, or a case that takes longer than its time limit, is a failure of that
 * case alone, and a new child goes on with the next.
 *
 * Output and exit status are as the conformance README asks: a line per failure (ID: what: got /
 * want), a line per corpus, the sum last; status 0 only if all that failed is in
 * known_failures/KIND.txt (an id per line, # for comments), 77 when there is nothing to run.
 */
#pragma once
#include <jansson.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"

struct conformance {
    const char *kind, *corpus; /* "promql", "series_cases" */
    const char *dir;           /* the folder the file is in */
    const char *id;
    const json_t *json;  /* the case */
    struct arena *arena; /* emptied after each case */
    void *state;         /* what setup made; for the whole child */
    bool has_failed, is_skipped;
    struct buf detail;
};

typedef void conformance_fn(struct conformance *c);

struct conformance_row {
    const char *kind, *corpus;
    conformance_fn *run;
    conformance_fn *setup; /* once per child, before its first case; may be NULL */
    unsigned time_limit_s; /* 0: 20 seconds a case */
    struct conformance_row *next;
};
void conformance_register(struct conformance_row *row);

/* More members of the row may follow the corpus: .setup = x, .time_limit_s = 60. */
#define CONFORMANCE(kind_, corpus_, ...)                                                           \
    static void conformance_run_##kind_##_##corpus_(struct conformance *c);                        \
    __attribute__((constructor)) static void conformance_register_##kind_##_##corpus_(void)        \
    {                                                                                              \
        static struct conformance_row row = {.kind = #kind_,                                       \
                                             .corpus = #corpus_,                                   \
                                             .run = conformance_run_##kind_##_##corpus_,           \
                                             __VA_ARGS__};                                         \
        conformance_register(&row);                                                                \
    }                                                                                              \
    static void conformance_run_##kind_##_##corpus_(struct conformance *c)

/* Records a failure; the first is the one reported. */
void conformance_fail(struct conformance *c, const char *what, const char *fmt, ...)
    ORR_PRINTF(3, 4);
/* Only for what Orrery says that it does not do. */
void conformance_skip(struct conformance *c, const char *fmt, ...) ORR_PRINTF(2, 3);
bool conformance_check_text(struct conformance *c, const char *what, struct slice got,
                            struct slice want);
bool conformance_check_int(struct conformance *c, const char *what, int64_t got, int64_t want);
bool conformance_check_bool(struct conformance *c, const char *what, bool got, bool want);
/* e is NULL exactly when want_ok; frees e. */
bool conformance_check_ok(struct conformance *c, const char *what, struct err *e, bool want_ok);
/* Equal up to order of keys; numbers exactly. */
bool conformance_check_json(struct conformance *c, const char *what, const json_t *got,
                            const json_t *want);

/* Members of the case. A string may stand base64-coded in KEY_b64; absent: ptr NULL. */
struct slice conformance_text(struct conformance *c, const char *key);
struct slice conformance_text_of(struct arena *a, const json_t *object, const char *key);
bool conformance_has(const struct conformance *c, const char *key);
bool conformance_bool(const struct conformance *c, const char *key);
int64_t conformance_int(const struct conformance *c, const char *key); /* number or string */
const json_t *conformance_get(const struct conformance *c, const char *key);
/* A whole file of the case's folder, in the arena. */
ORR_CHECKED struct err *conformance_read(struct conformance *c, const char *name,
                                         struct slice *ret);
