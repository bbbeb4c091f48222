/*
 * Fetches one segment from the ingester that has it into a directory, with ingester.segment_read (or what its signal calls it):
 * first the list of files, then each file in ranges of SEGFETCH_RANGE_BYTES.
 *
 * Nothing is believed: only names that a segment of the signal has are taken, their number and the sum of their sizes are bounded and each file must have the size that was
 * listed. Whether the bytes make sense is the reader's to say (block_reader.h).
 *
 * ERR_NOT_FOUND: the ingester does not have it (any more). Blocking; owner: the calling thread.
 */
#pragma once
#include "common/base/arena.h"
#include "common/block/ulid.h"
#include "common/rpc/peercall.h"
#include "compactor/signal.h"

#define SEGFETCH_RANGE_BYTES (8u << 20)

struct segfetch_opts {
    const struct signal *signal;
    struct rpc_pool *pool;
    struct loop *loop; /* the pool's */
    const char *address;
    int64_t timeout_ms; /* of each call */
    uint64_t max_bytes; /* of all files; more is ERR_LIMIT */
    const atomic_bool *stop;
};

/* dir is made; it must not hold anything. */
ORR_CHECKED struct err *segfetch(const struct segfetch_opts *opts, struct slice tenant,
                                 struct ulid segment, const char *dir, uint64_t *ret_bytes);

/* The list of files in an answer, checked. Slices borrow from bytes. For tests and the fuzzer. */
struct segfetch_file {
    struct slice name;
    uint64_t bytes;
};
ORR_CHECKED struct err *segfetch_parse_list(const struct signal *sig, struct slice bytes,
                                            struct arena *a, uint64_t max_bytes,
                                            struct segfetch_file **ret, size_t *ret_n);
