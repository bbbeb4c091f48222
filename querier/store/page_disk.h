/*
 * Pages of blocks on the local disk, below those in memory (objpages.h): what is evicted there, or was read
 * before a restart, need not be fetched again. In RocksDB (kv.h), which knows its own way around a disk.
 *
 *   "p" hash          u32 CRC-32C of the rest | u64 bytes of the object | lstr key | bytes of the page
 *   "s" hash          u64 number of its turn
 *   "t" u64 turn      hash | u32 bytes of the value under "p"
 *
 * All little endian but the turn in a key, which is big endian. hash: 128 bits of the page's key, which stands
 * in the value too: what is not the page asked for, or fails its checksum, is a miss and is taken out.
 *
 * The budget is that of the values. When they are over it those with the oldest turns go; a page that is read
 * while its turn is in the older half gets a new one, so that what is in use stays. Nothing of this is kept in
 * memory but first and last turn, a sum, and the turns of some pages that were read lately (192 KiB). RocksDB needs some
 * room of its own besides, up to about as much again while it compacts.
 *
 * It is a cache: a directory that cannot be opened because it is broken is emptied and made anew; when it
 * cannot be opened otherwise, or a write fails (a full disk), that is logged and things go on without.
 *
 * Any thread; blocks on the disk. Writes are one after the other.
 */
#pragma once
#include "common/objstore/objpages.h"

struct page_disk;

/* dir is made if absent. NULL when it cannot be had, which is logged. */
struct page_disk *page_disk_open(const char *dir, uint64_t max_bytes);
void page_disk_close(struct page_disk *d); /* NULL is allowed */
/* What objpages_new() wants; lent. */
struct objpages_below *page_disk_below(struct page_disk *d);

struct page_disk_stats {
    uint64_t bytes, max_bytes, pages; /* now */
    uint64_t puts, evictions, corrupt, failures;
};
void page_disk_stats_get(struct page_disk *d, struct page_disk_stats *ret);
