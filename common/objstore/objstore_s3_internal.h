/*
 * What the parts of the S3 store share: objstore_s3.c (opening, small operations), …_read.c,
 * …_list.c, …_upload.c (puts), …_cond.c (conditional puts), …_probe.c (whether they can be trusted), …_sweep.c.
 */
#pragma once
#include "common/base/lock.h"
#include "common/objstore/objstore_s3.h"
#include "common/objstore/s3wire.h"

#define OBJSTORE_S3_OWN ".orrery/"
#define OBJSTORE_S3_MARK "x-amz-meta-orrery-put"
#define OBJSTORE_S3_MARK_BYTES 33
#define OBJSTORE_S3_STRIPES 64

enum objstore_s3_trust { S3_TRUST_UNKNOWN, S3_TRUST_YES, S3_TRUST_NO };
/* How an etag is written in If-Match: S3 wants quotes, old Ceph wants none. */
enum objstore_s3_form { S3_FORM_UNKNOWN, S3_FORM_QUOTED, S3_FORM_BARE };

struct objstore_s3 {
    struct objstore base; /* first: the interface's pointer is ours */
    struct conf *conf;
    const struct s3conf *opts;
    struct s3wire *w;
    objstore_s3_sse_fn *sse;
    void *sse_arg;
    size_t list_page;

    struct lock lock;
    pthread_cond_t changed; /* monotonic: of what is guarded */
    /* guarded: */
    enum objstore_s3_trust trust_absent, trust_match;
    enum objstore_s3_form form;
    bool is_probing;
    bool is_busy[OBJSTORE_S3_STRIPES]; /* keys being written on a condition we look up ourselves */
};

static inline struct objstore_s3 *objstore_s3_from(struct objstore *s)
{
    return (struct objstore_s3 *)s;
}

/* ---- objstore_s3.c ---- */

/* etag, size and time from the headers of an answer to a GET or HEAD. ERR_UNSUPPORTED when the etag
 * is absent or too long. */
ORR_CHECKED struct err *objstore_s3_info(const struct s3wire_call *call, struct objstore_info *ret);
/* until_ms: as in objstore_get. ret_mark (may be NULL): OBJSTORE_S3_MARK of the object, "" without. */
ORR_CHECKED struct err *objstore_s3_head(struct objstore_s3 *s, struct slice key, int64_t until_ms,
                                         struct objstore_info *ret,
                                         char ret_mark[OBJSTORE_S3_MARK_BYTES]);
/* Absent is success. The key may be one that the interface does not know. */
ORR_CHECKED struct err *objstore_s3_del(struct objstore_s3 *s, struct slice key);
/* Until when a call waits for another one (monotonic). */
struct timespec objstore_s3_deadline(const struct objstore_s3 *s);

/* ---- objstore_s3_read.c, objstore_s3_list.c ---- */

struct err *objstore_s3_get(struct objstore *s, struct slice key, const struct objstore_get *opts,
                            struct buf *ret, struct objstore_info *ret_info);
struct err *objstore_s3_list(struct objstore *s, struct arena *a, const struct objstore_list *opts,
                             struct objstore_listing *ret);

/* ---- objstore_s3_upload.c ---- */

/* Headers of a new object: encryption and storage class. Texts are the arena's or the conf's. */
void objstore_s3_put_headers(struct objstore_s3 *s, struct arena *a, struct slice key,
                             struct s3wire_call *call);
/* One unconditional PUT. */
ORR_CHECKED struct err *objstore_s3_put_one(struct objstore_s3 *s, struct slice key,
                                            struct slice content, const struct objstore_put *opts,
                                            struct objstore_info *ret);
struct err *objstore_s3_put(struct objstore *s, struct slice key, struct slice content,
                            const struct objstore_put *opts, struct objstore_info *ret_info);
struct err *objstore_s3_put_file(struct objstore *s, struct slice key, const char *path,
                                 const struct objstore_put *opts, struct objstore_info *ret_info);

/* ---- objstore_s3_cond.c, objstore_s3_probe.c ---- */

struct err *objstore_s3_put_if(struct objstore_s3 *s, struct slice key, struct slice content,
                               const struct objstore_put *opts, struct objstore_info *ret);
/* Adds If-None-Match or If-Match to call. */
void objstore_s3_condition(struct s3wire_call *call, struct arena *a,
                           const struct objstore_put *opts, enum objstore_s3_form form);
/* Finds out what is not known yet. An error: the server could not be asked. */
ORR_CHECKED struct err *objstore_s3_trusts(struct objstore_s3 *s, enum objstore_cond cond,
                                           bool *ret);
ORR_CHECKED struct err *objstore_s3_probe(struct objstore_s3 *s, enum objstore_s3_trust *ret_absent,
                                          enum objstore_s3_trust *ret_match,
                                          enum objstore_s3_form *ret_form, const char **ret_why);
