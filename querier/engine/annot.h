/*
 * Warnings and infos of one query: distinct texts with the position of the expression they are
 * about, as Prometheus prints them: "PromQL warning: quantile value should be ... (1:5)".
 * Owner: the thread that runs the query.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/map.h"
#include "common/base/vec.h"

enum annot_kind { ANNOT_WARNING, ANNOT_INFO };

#define ANNOT_MAX 1000 /* distinct texts kept of one kind; what comes after is counted */
#define ANNOT_SHOWN 10

struct annots {
    struct arena *arena;
    struct slice expr; /* for line and column */
    struct map seen;
    VEC(struct slice) list[2];
    uint64_t dropped[2];
};

void annot_init(struct annots *as, struct arena *a, struct slice expr);
void annot_done(struct annots *as);
/* pos: byte offset in the expression. */
void annot_add(struct annots *as, enum annot_kind kind, uint32_t pos, const char *fmt, ...)
    ORR_PRINTF(4, 5);
/* A text from elsewhere (the storage), as it is. */
void annot_add_text(struct annots *as, enum annot_kind kind, struct slice text);
/* At most ANNOT_SHOWN and one line that counts the rest; in the arena. */
size_t annot_list(struct annots *as, enum annot_kind kind, const struct slice **ret);
