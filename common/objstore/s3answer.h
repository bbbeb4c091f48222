/*
 * What S3 and STS servers say in the bodies of their answers, read with s3xml.h into our structs.
 * Unknown elements are passed over; what is missing is "" or 0 unless it says otherwise.
 *
 * Texts live as long as the arena. Any thread.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/err.h"

struct s3answer_error {
    struct slice code, message;
    struct slice region; /* that the server would have taken, with AuthorizationHeaderMalformed */
    int64_t server_time_ms; /* with RequestTimeTooSkewed; 0: not said */
};
/* An <Error>, also one inside of STS' <ErrorResponse>; all "" when the body is something else. */
void s3answer_error(struct arena *a, struct slice doc, struct s3answer_error *ret);

struct s3answer_object {
    struct slice key;
    bool is_prefix;
    uint64_t bytes;
    int64_t modified_ms;
};
struct s3answer_list {
    struct s3answer_object *ptr; /* in the byte order of the keys */
    size_t n;
    bool is_truncated;
    struct slice next; /* continuation token */
};
/* ListBucketResult. Keys are decoded when the answer says that it encoded them. ERR_CORRUPT when it
 * is no such document, or says that it is truncated and not where it goes on. */
ORR_CHECKED struct err *s3answer_list(struct arena *a, struct slice doc, struct s3answer_list *ret);

/* InitiateMultipartUploadResult; ERR_CORRUPT without an id. */
ORR_CHECKED struct err *s3answer_upload_id(struct arena *a, struct slice doc, struct slice *ret);
/* CompleteMultipartUploadResult: the etag, without its quotes. A server may have sent 200 before it
 * knew how it ends: an <Error> is filled into *ret_error, and *ret_etag is "". */
ORR_CHECKED struct err *s3answer_complete(struct arena *a, struct slice doc, struct slice *ret_etag,
                                          struct s3answer_error *ret_error);

struct s3answer_upload {
    struct slice key, id;
    int64_t started_ms;
};
struct s3answer_uploads {
    struct s3answer_upload *ptr;
    size_t n;
    bool is_truncated;
    struct slice next_key, next_id;
};
/* ListMultipartUploadsResult. */
ORR_CHECKED struct err *s3answer_uploads(struct arena *a, struct slice doc,
                                         struct s3answer_uploads *ret);

/* DeleteResult: how many objects could not be deleted, and the first of them. */
struct s3answer_deleted {
    size_t n_failed;
    struct slice key, code, message;
};
ORR_CHECKED struct err *s3answer_deleted(struct arena *a, struct slice doc,
                                         struct s3answer_deleted *ret);

/* AssumeRoleWithWebIdentityResponse. ERR_CORRUPT unless all is there. */
struct s3answer_role {
    struct slice access, secret, token;
    int64_t expires_ms;
};
ORR_CHECKED struct err *s3answer_role(struct arena *a, struct slice doc, struct s3answer_role *ret);
/* The JSON of the metadata service and of containers: {"AccessKeyId":…, "SecretAccessKey":…,
 * "Token":…, "Expiration":…}. ERR_CORRUPT unless all is there, save the token. */
ORR_CHECKED struct err *s3answer_metadata(struct arena *a, struct slice doc,
                                          struct s3answer_role *ret);

/* An ETag as it stands in a header or an element, without quotes. */
struct slice s3answer_etag(struct slice text);
/* The time of a header such as Last-Modified; 0 when it is none. */
int64_t s3answer_date_ms(struct slice text);
