/*
 * Which live blocks of a tenant hold samples that its tombstones delete, or series whose retention is over: what makes a block due to be rewritten by
 * itself (levels.h), and what keeps a tombstone on the list (upkeep.h).
 *
 * A tombstone is due some time after it was made (rewrite_after_ms): what is merged in the meantime loses its samples on the
 * way. One of a signal whose deletions have states is due when it is begun (tombstone_list.h), which upkeep puts down after that time. A block is looked into once for the tombstones that are due and reach into it: its index is fetched, the series
 * are selected, and where the bounds of a chunk leave it open the chunk is decoded. So a block whose samples lie
 * around a deleted range is not rewritten for ever. A downsampled block holds a deletion in every window of a point that it reaches
 * into; rewritten it has no point there, and no tombstone that is listed may be in the way of what is made there anew
 * (deletions_cut()).
 *
 * Of log lines the pages are read that the filter of the block leaves open, until a line is found (logcheck_holds()).
 *
 * For retention (retention.h) a block is looked into when another rule comes to be over for it.
 *
 * All of it is memory that may be lost: whoever starts anew looks again. Memory: an entry for each live block that a
 * tombstone reaches into or some retention is over for; during a look one index.
 *
 * Owner: one thread. deletions_look() blocks.
 */
#pragma once
#include <stdatomic.h>

#include "common/block/catalogue.h"
#include "common/block/tombstone_list.h"
#include "compactor/signal.h"

#define DELETIONS_RECORDS 100 /* tombstones whose rewritten blocks are remembered, for the page */
#define DELETIONS_RECORD_BLOCKS 10
#define DELETIONS_HOLDS 16 /* tombstones that are named of a block */

struct deletions;
struct deletions *deletions_new(void);
void deletions_free(struct deletions *d); /* NULL is allowed */

struct deletions_opts {
    const struct signal *signal;
    struct objstore *store;
    int64_t rewrite_after_ms, now_ms;  /* the second: Unix */
    const struct retention *retention; /* may be NULL */
    size_t max_looks;                  /* blocks looked into by one call */
    const atomic_bool *stop;           /* may be NULL; ERR_CANCELED */
    /* Whether to look into a block now. NULL: into all. */
    bool (*wants)(void *arg, const struct catalogue_block *b);
    /* Its bytes are wrong: it stays as one that was not looked into. */
    void (*bad)(void *arg, struct ulid block, const char *reason);
    void *arg;
};
/* *ret_more: some that are wanted are left. *ret_due_ms: when there is more to look for though nothing changes: a
 * tombstone comes due, or at once, for a block that was not wanted may be later; INT64_MAX: nothing. Forgets blocks that are not live
 * and tombstones that left the list. */
ORR_CHECKED struct err *deletions_look(struct deletions *d, const struct deletions_opts *opts,
                                       const struct catalogue *c, const struct tombstone_list *l,
                                       bool *ret_more, int64_t *ret_due_ms);

/* Since when a block is to be rewritten: INT64_MAX if it holds nothing that is to go, as far as is known. */
int64_t deletions_due_ms(const struct deletions *d, struct ulid block);
/* Whether t is due, and every live block that it reaches into was looked into and holds nothing of it. */
bool deletions_is_clean(const struct deletions *d, const struct catalogue *c,
                        const struct tombstone *t);
/* Notes whether nothing, ingesters included, holds anything of a tombstone that is due. Since when, by the caller's
 * clock; INT64_MAX: it is held. */
int64_t deletions_note_clean(struct deletions *d, struct ulid tombstone, bool is_clean,
                             int64_t mono_ms);
/* Whether a tombstone on the list, due or not, begins or ends in a window of time of an hour within this block. What would be
 * downsampled of it now would have a point there, which is held to be of before the deletion. By the last look. */
bool deletions_cut(const struct deletions *d, const struct catalogue_block *b);
size_t deletions_blocks(const struct deletions *d); /* that wait to be rewritten */

/* A rewrite found that there is nothing to be done about a block: it is left alone till something new is to go. */
void deletions_settled(struct deletions *d, struct ulid block);
/* For the page: block from became block to. */
void deletions_rewritten(struct deletions *d, struct ulid from, struct ulid to);
/* A tombstone was taken off the list. */
void deletions_forgotten(struct deletions *d, struct ulid tombstone, int64_t now_ms);
/* JSON list: {"tombstone","rewritten","blocks":[{"from","to"}],"forgotten"}, the newest first. */
void deletions_put(struct buf *out, const struct deletions *d, size_t max);
