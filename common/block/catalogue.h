/*
 * The catalogue: per tenant and signal one object, <signal>/<tenant>/catalogue, that lists the live
 * blocks. Readers plan by it instead of listing the bucket; a block that is not in it is not read.
 *
 * JSON, one line per block:
 *   {"format":1,"version":17,"signal":"metrics","tenant":"a","blocks":[
 *    {"ulid":…,"minTime":…,"maxTime":…,"level":…,"segments":[…],"series":…,"samples":…,"bytes":…,
 *     "shard":…,"shards":…,"resolution":…,"dir":"…","labels":{…},"summary":…,"zone":"…","instance":"…","pinned":1},
 *    …],"retired":[{"ulid":…,"at":…,"dir":"…"}],"expired":[{"at":…,"segments":[…]}],
 *   "crc":"<8 hex digits of CRC-32C of all before this member>"}
 *
 * From shard on they are left out when they are 0 or empty. dir: where the files of a block that was adopted in place
 * are. labels: what another system (Thanos) says of all series of the block and does not store with them.
 * summary: bytes of the file by which a reader tells what is not in the block (block_summary.h), if it has one.
 * instance, zone: all segments that it holds are of this ingester; of ingesters of this zone. And all of them that was acknowledged
 * others have, too: it was written with replicas enough, and in zones enough, as far as the rings of the last CATALOGUE_ORIGIN_MS (of a
 * zone's blocks, which compactors make: of less) tell. A
 * block that reaches back further has neither: who had its data, and how many, is not known. So a reader may do without it as
 * without that ingester or zone, with a warning: what became of the others' since then is not told here (querier/store/blockloss.h).
 * pinned: it is not merged with others (it came with a no-compact mark of Mimir or Thanos).
 * resolution: ms between the points of a downsampled block, 0: as they were measured.
 *
 * version goes up by one with each change; it is gossiped. retired: blocks that were replaced or have expired, and
 * directories that belong to no live block, with the time in ms. They are kept until nobody can be reading them, then
 * their files are deleted, and only then are they taken off. A block that stands there must not be added (its files may be
 * half gone); a block may be added only after a look, on the same version, that its files are all there.
 * expired (left out when there is none): the segments that blocks named whose time was over, or whose tenant was deleted, with the time in ms when they went. An
 * ingester may hold such a segment yet; it is named, as if the block were live, or it would be flushed again, into a
 * block that goes at once, for as long as the ingester holds it. They are forgotten after a time.
 * Bounded: 64 MiB, 2^20 blocks; of what expired so many of the newest blocks as name CATALOGUE_MAX_EXPIRED segments together, or
 * the newest one, which may name more: it did so before.
 *
 * A change is load, edit, conditional put on the etag, again from the start on ERR_CONFLICT.
 *
 * Owner of a struct catalogue: one thread; immutable once loaded it may be shared. load and update
 * block.
 */
#pragma once
#include "common/block/block_meta.h"
#include "common/model/labels.h"
#include "common/objstore/objstore.h"

#define CATALOGUE_MAX_BYTES (64u << 20)
#define CATALOGUE_MAX_BLOCKS (1u << 20)
#define CATALOGUE_MAX_EXPIRED (1u << 16)

#define CATALOGUE_ORIGIN_MS (13 * 3600000ll)

struct catalogue_origin {
    struct slice zone, instance; /* above; empty: none */
};

struct catalogue_block {
    struct ulid ulid;
    int64_t min_t, max_t; /* ms; max_t is exclusive */
    int level;
    const struct slice *segments; /* ids of the segments whose data it holds, sorted */
    size_t n_segments;
    uint64_t series, samples, bytes;
    uint32_t shard, shards; /* shards 0: not sharded */
    int64_t resolution_ms;
    struct slice dir;       /* key of its directory in the bucket; empty: block_store_prefix() */
    struct labels labels;   /* that its series have besides their own */
    uint64_t summary_bytes; /* of its summary; 0: it has none */
    struct catalogue_origin origin;
    bool is_pinned; /* is not merged */
};

struct catalogue_retired {
    struct ulid ulid;
    int64_t at_ms;
    struct slice dir; /* as above */
};

struct catalogue; /* owns all it holds */

struct catalogue *catalogue_new(struct slice signal, struct slice tenant); /* empty, version 0 */
void catalogue_free(struct catalogue *c);
ORR_CHECKED struct err *catalogue_parse(struct slice json, struct catalogue **ret);
void catalogue_write(struct buf *out, const struct catalogue *c);

uint64_t catalogue_version(const struct catalogue *c);
struct slice catalogue_signal(const struct catalogue *c);
struct slice catalogue_tenant(const struct catalogue *c);
/* Sorted by min_t, then ulid. Lent until the next change. */
const struct catalogue_block *catalogue_blocks(const struct catalogue *c, size_t *ret_n);
const struct catalogue_block *catalogue_find(const struct catalogue *c, struct ulid ulid);
const struct catalogue_retired *catalogue_retired(const struct catalogue *c, size_t *ret_n);
/* Whether a live block names this segment as one of its sources, or one did that has expired not long ago. */
bool catalogue_has_segment(const struct catalogue *c, struct slice segment);
/* All of these, ascending, for who asks for many: texts of c in an array that the caller mem_free()s. */
struct slice *catalogue_segments(const struct catalogue *c, size_t *ret_n);
bool catalogue_is_among(const struct slice *segments, size_t n, struct slice segment);

/* Copies b. A block with this ulid is replaced. */
void catalogue_add(struct catalogue *c, const struct catalogue_block *b);
/* Takes a live block off and notes it as retired; false if it is not there. */
bool catalogue_retire(struct catalogue *c, struct ulid ulid, int64_t at_ms);
/* The same of a block that nobody is to read any more; its segments stay named. */
bool catalogue_expire(struct catalogue *c, struct ulid ulid, int64_t at_ms);
/* Takes the names of what expired before that off; false if there are none. */
bool catalogue_forget_expired(struct catalogue *c, int64_t before_ms);
/* When the oldest of them expired; INT64_MAX: there are none. */
int64_t catalogue_oldest_expired_ms(const struct catalogue *c);
/* Names what has expired by another catalogue of the tenant's, too. */
void catalogue_copy_expired(struct catalogue *c, const struct catalogue *from);
/* Notes an id that is not live as retired; false if it is live, or noted already. */
bool catalogue_retire_orphan(struct catalogue *c, struct ulid ulid, int64_t at_ms);
/* As it was noted elsewhere. False as above. */
bool catalogue_retire_again(struct catalogue *c, const struct catalogue_retired *r);
bool catalogue_is_retired(const struct catalogue *c, struct ulid ulid);
bool catalogue_forget(struct catalogue *c, struct ulid ulid); /* takes it off the retired ones */
/* So that the version it is written with is above at_least. */
void catalogue_raise(struct catalogue *c, uint64_t at_least);
struct catalogue_block catalogue_block_of_meta(const struct block_meta *m);

/* Where it is: "<signal>/<tenant>/catalogue". mem_free() it. */
char *catalogue_key(struct slice signal, struct slice tenant);
/* Absent: an empty catalogue of version 0. */
ORR_CHECKED struct err *catalogue_load(struct objstore *store, struct slice signal,
                                       struct slice tenant, struct catalogue **ret);
/* The one at a key, of a bucket within this bucket: absent is ERR_NOT_FOUND. */
ORR_CHECKED struct err *catalogue_load_at(struct objstore *store, struct slice key,
                                          struct catalogue **ret);
/* What catalogue_load() would load now: "" when there is none. etag: OBJSTORE_ETAG_BYTES. */
ORR_CHECKED struct err *catalogue_stat(struct objstore *store, struct slice signal,
                                       struct slice tenant, char *ret_etag);
/* edit changes c and sets *ret_changed; it may run several times, each on a fresh c. ret (may be
 * NULL) is the catalogue as it now stands. Threads of a process take turns; gives up with ERR_CONFLICT after 50 races lost to
 * other processes. edit must not change another catalogue. */
typedef struct err *catalogue_edit_fn(void *arg, struct catalogue *c, bool *ret_changed);
ORR_CHECKED struct err *catalogue_update(struct objstore *store, struct slice signal,
                                         struct slice tenant, catalogue_edit_fn *edit, void *arg,
                                         struct catalogue **ret);
/* Puts c, as its next version, in the place of what catalogue_stat() found; that need not be readable.
 * ERR_CONFLICT: another one was faster. */
ORR_CHECKED struct err *catalogue_replace(struct objstore *store, const char *etag,
                                          struct catalogue *c);
/* Tenants that have anything under the signal. */
ORR_CHECKED struct err *catalogue_tenants(struct objstore *store, struct arena *a,
                                          struct slice signal, struct slice **ret, size_t *ret_n);
