/*
 * The sidecar "starts" of a segment or block: start timestamps of its series (start_runs.h), which
 * Prometheus' chunks have no place for. It is there only when a series has some, and then meta.json
 * names it among the sidecars. Within common/block only.
 *
 *   magic "ORRSTR" 0 1, { uvarint (ref - ref of the entry before; the first: ref), lstr runs }...,
 *   u32 CRC-32C of all before it, big endian
 *
 * ref as in the index: offset of the series divided by 16, ascending; runs: one or more, disjoint. Unlike
 * the sidecars of sidecar.h it names series by ref, so it is merged with the series (block_merge.h).
 *
 * Writing goes over a spool, since refs are known only when all symbols are:
 *   starts.spool  { uvarint (ordinal of the series - that of the entry before), lstr runs }...
 */
#pragma once
#include "common/block/block_meta.h"
#include "common/block/block_out.h"
#include "common/block/start_runs.h"

/* Makes the file at path of a spool; refs: of all n_refs series. */
ORR_CHECKED struct err *block_starts_write(struct slice spool, const uint32_t *refs, size_t n_refs,
                                           const char *path, bool sync, uint64_t *ret_bytes);

struct block_starts_entry {
    uint32_t ref;
    struct slice runs; /* borrowed of the file */
};
struct block_starts {
    VEC(struct block_starts_entry) entries; /* ascending by ref */
};
/* Checks all of the bytes, the runs included; borrows them. ERR_CORRUPT leaves ret empty. */
ORR_CHECKED struct err *block_starts_parse(struct slice bytes, struct block_starts *ret);
void block_starts_done(struct block_starts *s);
/* The runs of a series; false: none are known. */
bool block_starts_find(const struct block_starts *s, uint32_t ref, struct slice *ret);
