/*
 * The samples of a memstore in Orrery's real storage: pushed into a head (with its log), cut into
 * blocks in Prometheus' format, read back and merged as a querier does.
 *
 *   STORED_HEAD    all in the head
 *   STORED_BLOCKS  all in blocks
 *   STORED_BOTH    the first half of each series in blocks, the rest in the head
 *
 * Owner: one thread. Files are in a temporary directory that stored_free() removes.
 */
#pragma once
#include "querier/engine/memstore.h"

enum stored_mode { STORED_HEAD, STORED_BLOCKS, STORED_BOTH };

struct stored;
/* Holds what m has now. */
ORR_CHECKED struct err *stored_new(enum stored_mode mode, struct memstore *m, struct stored **ret);
void stored_free(struct stored *s); /* NULL is allowed */
struct storage *stored_storage(struct stored *s);
