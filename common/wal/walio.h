/*
 * How a group reaches the disk: one write linked to one fdatasync through io_uring, or pwrite and
 * fdatasync where the kernel or the container's seccomp profile forbids io_uring.
 *
 * Buffers are not registered with the ring: a group's buffer grows with the load, and pinning the
 * largest it may become would cost every idle process that memory. One kernel copy into the page
 * cache dominates either way.
 *
 * Owner: the wal thread.
 */
#pragma once
#include "common/base/slice.h"

struct walio;

/* Never fails: falls back. */
struct walio *walio_new(bool without_io_uring);
void walio_free(struct walio *io);
bool walio_is_uring(const struct walio *io);
/* Writes all of s at offset and, if sync, makes it durable. 0 or an errno. */
int walio_write(struct walio *io, int fd, uint64_t offset, struct slice s, bool sync);
