/*
 * What orreryctl shows: tables (or JSON), findings, progress.
 *
 * One thread.
 */
#pragma once
#include "deploy/orreryctl/ctl.h"

/* A table: rows of texts below names. A name that begins with '#' is that of a column of numbers. */
#define CTL_COLUMNS 16
struct ctl_table {
    struct arena *arena;
    const char *names[CTL_COLUMNS];
    size_t n;
    const char *const **rows; /* n texts each */
    size_t n_rows, cap;
};
/* names: "tenant #blocks #bytes". */
void ctl_table_init(struct ctl_table *t, struct arena *a, const char *names);
/* As many texts as there are columns. The array is copied, the texts are borrowed; NULL: nothing. */
void ctl_table_row(struct ctl_table *t, const char *const *texts);
/* JSON: a list of objects, numbers as such. */
void ctl_table_print(const struct ctl_table *t, bool is_json);
void ctl_table_json(const struct ctl_table *t, struct buf *out);
void ctl_table_text(const struct ctl_table *t, struct buf *out);

/* "2024-05-01 12:00:00" (UTC; with ".123" when it is not a whole second), "1.5 MiB", a number, in the arena. */
const char *ctl_time(struct arena *a, int64_t ms);
const char *ctl_bytes(struct arena *a, uint64_t n);
const char *ctl_u64(struct arena *a, uint64_t n);

/* text in one line of a terminal: of what systems say of themselves, nothing may steer it. Control characters, those of C1 and ends of
 * lines too, are shown as "\x1b", "\u009b". A copy in the arena. */
const char *ctl_plain(struct arena *a, struct slice text);

/* A line on standard output, the bar out of its way. Control characters as of ctl_plain(), but for tabs and ends of lines. */
void ctl_say(const char *fmt, ...) ORR_PRINTF(1, 2);
/* As well, and it counts: the call ends with CTL_WRONG. */
void ctl_wrong(struct ctl *c, const char *fmt, ...) ORR_PRINTF(2, 3);

/* On standard error: a bar on a terminal, else a line every few seconds. what is borrowed. */
struct ctl_progress {
    const char *what;
    uint64_t total, done; /* total 0: not known */
    bool is_bytes, is_terminal;
    int64_t said_ns;
};
void ctl_progress_begin(struct ctl_progress *p, const char *what, uint64_t total, bool is_bytes);
void ctl_progress_add(struct ctl_progress *p, uint64_t n);
void ctl_progress_end(struct ctl_progress *p);
