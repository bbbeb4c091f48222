/* Header and sections of a page, for those who write and read it. Within common/logblock only. */
#pragma once
#include "common/logblock/logcol_internal.h"
#include "common/logblock/logpage.h"

#define LOGPAGE_MAGIC "ORRLPG\0\1"
#define LOGPAGE_MAGIC_BYTES 8

enum logpage_section {
    LOGPAGE_RUNS,
    LOGPAGE_TIMES,
    LOGPAGE_TREE,
    LOGPAGE_META_TREE,
    LOGPAGE_COLUMNS,
    LOGPAGE_META_COLUMNS,
    LOGPAGE_SECTIONS
};

struct logpage_place {
    uint32_t off, stored, bytes, crc;
};

/* One of the two trees, read, and where its payloads are. */
struct logpage_tree {
    struct logcol *root;
    struct logcol_source src;
};

struct logpage {
    struct arena *arena;
    uint64_t size, touched;
    struct slice front; /* what has been read of its beginning */
    logpage_fetch_fn *fetch;
    void *arg;
    uint32_t n, n_runs;
    uint64_t raw_bytes;
    int64_t min_ns, max_ns;
    struct logpage_place places[LOGPAGE_SECTIONS];
    struct logpage_tree lines, meta;
    const struct logpage_run *runs;
    const int64_t *times;
};

/* The header of a page of which n, n_runs, raw_bytes, times and places are set. */
void logpage_put_header(const struct logpage *p, struct buf *out);

/* Line i, of a tree that is loaded, and so on: appended to memory of the arena. */
struct logpage_out {
    struct arena *arena;
    struct buf buf; /* on the arena: never grows */
    uint64_t left;  /* bytes that may still come out */
};
void logpage_out_init(struct logpage_out *o, struct logpage *p, size_t likely_bytes);
ORR_CHECKED struct err *logpage_out_put(struct logpage_out *o, const struct logcol *c, uint32_t i,
                                        struct slice *ret);
