/*
 * An object store: named immutable objects, as in S3. `filesystem` (objstore_fs.h) is a directory;
 * others implement struct objstore_ops. One test suite runs against each
 * (tests/unit/common/objstore/objstore_suite.h).
 *
 * Keys: 1..1024 bytes, segments joined by "/"; no empty, "." or ".." segment, no control byte, no
 * backslash; the first segment is not ".orrery". All else is ERR_INVALID.
 *
 * A write replaces an object whole and atomically: readers see the old or the new one. When a write
 * has returned, it is durable and every later read on any process sees it.
 *
 * A version of an object has an etag (opaque text). Conditional puts compare it atomically, also
 * between processes: of two that race, one gets ERR_CONFLICT. Where objstore_is_atomic() says no (an
 * S3 server without conditional writes), that holds only within a process: then an object that is
 * changed so must have one owner.
 *
 * Errors: ERR_NOT_FOUND absent object, ERR_CONFLICT condition does not hold, ERR_TOO_LARGE over
 * max_bytes, ERR_IO / ERR_NET / ERR_TIMEOUT / ERR_UNAVAILABLE the store (worth another try),
 * ERR_FORBIDDEN / ERR_UNAUTHORIZED it does not let us, ERR_UNSUPPORTED / ERR_CORRUPT it does not speak
 * as it should. After an error of a put but ERR_CONFLICT and ERR_INVALID it may have been done.
 *
 * All calls block: workers only. Any thread, many at once.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"

#define OBJSTORE_MAX_KEY 1024
#define OBJSTORE_ETAG_BYTES 80

struct objstore_info {
    uint64_t bytes;
    int64_t modified_ms;
    char etag[OBJSTORE_ETAG_BYTES]; /* NUL-terminated; "" in listings of stores that have none there
                                     */
};

struct objstore_entry {
    struct slice key; /* whole key; for a common prefix it ends in "/" */
    bool is_prefix;
    uint64_t bytes;
    int64_t modified_ms;
};

struct objstore_listing {
    struct objstore_entry *ptr; /* in the byte order of the keys */
    size_t n;
    bool is_truncated; /* stopped at limit: go on with start_after = the last key */
};

enum objstore_cond { OBJSTORE_ALWAYS, OBJSTORE_IF_ABSENT, OBJSTORE_IF_MATCH };

struct objstore_put {
    enum objstore_cond cond;
    const char *etag;         /* of OBJSTORE_IF_MATCH */
    const char *content_type; /* NULL: application/octet-stream */
    /* 0: as long, and in as many attempts, as the store is told to. Else one attempt, over a connection of its own (what
     * dies with a kept one is sent again by libcurl), and nothing more is sent from this time on (clock_mono_ms()):
     * ERR_TIMEOUT. For who must know until when a put of his can still take place. A directory has no use for it. */
    int64_t until_ms;
};

struct objstore_get {
    uint64_t off, len; /* len 0: to the end */
    size_t max_bytes;  /* 0: 1 GiB; more to read is ERR_TOO_LARGE */
    /* With len: one request, however long. Else a store may fetch it in parts, side by side: for who reads one object at a
     * time that is faster, for who reads many it only costs more requests. */
    bool is_single;
    /* 0: none. Else each request is made once, not hedged, and given up then (clock_mono_ms()). */
    int64_t until_ms;
};

struct objstore_list {
    struct slice prefix; /* any byte prefix, "" for all */
    bool by_directory;   /* names with a "/" behind the prefix are folded into one common prefix */
    struct slice start_after;
    size_t limit; /* 0: no limit */
};

struct objstore;
struct objstore_ops {
    struct err *(*get)(struct objstore *s, struct slice key, const struct objstore_get *opts,
                       struct buf *ret, struct objstore_info *ret_info);
    struct err *(*put)(struct objstore *s, struct slice key, struct slice content,
                       const struct objstore_put *opts, struct objstore_info *ret_info);
    struct err *(*put_file)(struct objstore *s, struct slice key, const char *path,
                            const struct objstore_put *opts, struct objstore_info *ret_info);
    struct err *(*list)(struct objstore *s, struct arena *a, const struct objstore_list *opts,
                        struct objstore_listing *ret);
    struct err *(*del)(struct objstore *s, struct slice key);
    struct err *(*stat)(struct objstore *s, struct slice key, struct objstore_info *ret);
    struct err *(*del_many)(struct objstore *s, const struct slice *keys, size_t n); /* or NULL */
    struct err *(*is_atomic)(struct objstore *s, bool *ret);                         /* or NULL */
    struct err *(*needs_one_writer)(struct objstore *s, bool *ret);                  /* or NULL */
    void (*stop)(struct objstore *s);                                                /* or NULL */
    void (*close)(struct objstore *s);
};
struct objstore {
    const struct objstore_ops *ops;
    char *name; /* for messages: "filesystem:/data/bucket"; owned by the implementation */
};

/* Whole object or a range; replaces what ret held. off past the end is ERR_INVALID (S3's 416); a
 * range that reaches past it gives what there is. opts and ret_info may be NULL everywhere. */
ORR_CHECKED struct err *objstore_get(struct objstore *s, struct slice key,
                                     const struct objstore_get *opts, struct buf *ret,
                                     struct objstore_info *ret_info);
ORR_CHECKED struct err *objstore_put(struct objstore *s, struct slice key, struct slice content,
                                     const struct objstore_put *opts,
                                     struct objstore_info *ret_info);
ORR_CHECKED struct err *objstore_put_file(struct objstore *s, struct slice key, const char *path,
                                          const struct objstore_put *opts,
                                          struct objstore_info *ret_info);
ORR_CHECKED struct err *objstore_list(struct objstore *s, struct arena *a,
                                      const struct objstore_list *opts,
                                      struct objstore_listing *ret);
/* Absent is success. */
ORR_CHECKED struct err *objstore_delete(struct objstore *s, struct slice key);
/* In as few requests as the store allows; on an error some may be deleted and others not. */
ORR_CHECKED struct err *objstore_delete_many(struct objstore *s, const struct slice *keys,
                                             size_t n);
ORR_CHECKED struct err *objstore_stat(struct objstore *s, struct slice key,
                                      struct objstore_info *ret);
/* The object's etag; "" when there is none. ret_etag: OBJSTORE_ETAG_BYTES. */
ORR_CHECKED struct err *objstore_etag(struct objstore *s, struct slice key, char *ret_etag);
/* Whether an object that was said to be absent is so still, 0.1 and 0.2 s later: Swift says so for a moment while an object is
 * replaced (a file that a read has found is gone when it is opened). For who would lose by believing it. */
ORR_CHECKED struct err *objstore_stays_absent(struct objstore *s, struct slice key, bool *ret);
/* The same for who is about to write it, which is no news where a conditional put finds out by itself: ERR_CONFLICT if it is
 * there after all. */
ORR_CHECKED struct err *objstore_check_absent(struct objstore *s, struct slice key);
/* Whether conditional puts hold between processes. An S3 server is put to the test the first time. */
ORR_CHECKED struct err *objstore_is_atomic(struct objstore *s, bool *ret);
/* Whether they do not, so that leases (common/block/writelease.h) decide who writes; s3.one-writer may say no to that. */
ORR_CHECKED struct err *objstore_needs_one_writer(struct objstore *s, bool *ret);
/* The process ends: what waits for a server now or later ends with ERR_UNAVAILABLE. NULL is allowed. */
void objstore_stop(struct objstore *s);
void objstore_close(struct objstore *s); /* no call is under way; NULL is allowed */

/* What a piece of work reads of object stores: gets that succeeded or not, each part that a store fetches by itself as one (what is
 * tried again is not counted twice), and the bytes they gave. */
struct objstore_tally {
    uint64_t gets, bytes;
};
/* From now on the gets of this thread are counted in t as well, by METRIC_ADD(); NULL: nowhere. Returns where
 * they were counted, for who puts that back. */
struct objstore_tally *objstore_tally_set(struct objstore_tally *t);
struct objstore_tally *objstore_tally_get(void); /* to hand to a thread that helps */
void objstore_tally_parts(uint64_t n); /* for stores: a get took n requests more than one */

ORR_CHECKED struct err *objstore_check_key(struct slice key);
/* Deletes all keys with this prefix, meta.json of a block first so that it is never half there. It looks again, for what came
 * meanwhile, but ends after OBJSTORE_DELETE_LOOKS: a listing may go on to name what is gone. */
#define OBJSTORE_DELETE_LOOKS 3
ORR_CHECKED struct err *objstore_delete_prefix(struct objstore *s, struct slice prefix);
