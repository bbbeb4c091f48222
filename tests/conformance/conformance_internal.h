/* What the files of the runner share. */
#pragma once
#include "tests/conformance/conformance.h"

#define CONFORMANCE_TIME_LIMIT_S 20

enum conformance_result { CONFORMANCE_PASS, CONFORMANCE_FAIL, CONFORMANCE_SKIP };

/* Runs the lines of one corpus in children and calls done for each, in order. */
typedef void conformance_done_fn(void *arg, const char *id, enum conformance_result result,
                                 const char *detail);
void conformance_run_lines(const struct conformance_row *row, const char *dir,
                           const struct slice *lines, size_t n, conformance_done_fn *done,
                           void *arg);
/* The id of a line without a whole JSON parse; "?" if there is none. */
char *conformance_id_of(struct slice line);
ORR_CHECKED struct err *conformance_read_file(const char *path, struct buf *ret);
