/*
 * The object store that is a bucket of an S3 server: Amazon's or any compatible one. Servers differ
 * in what they get right; what is relied on here is only what all of them do, or what was tested:
 *
 *   get      ranges, large ones in parallel parts of one version (the etags must agree); a read that
 *            shows no byte in time is asked twice
 *   put      up to s3.part-size in one request with its hash signed; beyond as a multipart upload,
 *            aborted when it fails. Conditional puts are one request whatever their size (5 GiB)
 *   put if   If-None-Match and If-Match once racing writers on a scratch key (.orrery/probe-…) have
 *            shown that exactly one wins (s3.conditional-writes). Else: looked up, then written,
 *            one put at a time for a key within this process. Each carries a random mark
 *            (x-amz-meta-orrery-put): after an answer that leaves it open, the object is read back
 *            and the mark says whether this put was done
 *   list     ListObjectsV2, keys that this interface does not know (a//b, dir/, .orrery/…) left out
 *   delete   DeleteObjects for many
 *
 * Keys are those of the interface behind s3.prefix. The server's names for a version (ETags) are the
 * etags, without their quotes.
 *
 * Nothing is asked when it is opened: a process starts while its bucket is out of reach.
 */
#pragma once
#include "common/base/conf.h"
#include "common/objstore/objstore.h"
#include "common/objstore/s3conf.h"

/* How objects of a tenant are encrypted; texts are lent until the next call on the same thread. */
struct objstore_s3_sse {
    enum s3conf_sse sse;
    struct slice kms_key, kms_context; /* "" for none; context: a JSON object */
};
/* Changes *sse, which holds what the configuration says, for a tenant. Any thread. */
typedef void objstore_s3_sse_fn(void *arg, struct slice tenant, struct arena *a,
                                struct objstore_s3_sse *sse);

struct objstore_s3_opts {
    char **env; /* NULL: the process's */
    objstore_s3_sse_fn *sse;
    void *sse_arg;
    size_t list_page; /* keys of a listing asked for at a time; 0: 1000, which is S3's bound */
};
/* conf has section "s3" and is referenced until it is closed. opts may be NULL. */
ORR_CHECKED struct err *objstore_s3_open(struct conf *conf, const struct objstore_s3_opts *opts,
                                         struct objstore **ret);
/* Ends multipart uploads of the signals' keys (metrics/…, logs/…) begun longer than older_ms ago below
 * s3.prefix, and deletes scratch keys as old: what crashed processes left. *ret_n (may be NULL): how
 * many. */
ORR_CHECKED struct err *objstore_s3_sweep(struct objstore *s, int64_t older_ms, size_t *ret_n);
