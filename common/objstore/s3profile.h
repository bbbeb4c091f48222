/*
 * The shared credentials file of AWS' tools:
 *
 *   [default]
 *   aws_access_key_id = AKIA…        ; or # at the start of a line: a comment
 *   aws_secret_access_key = …
 *   aws_session_token = …            optional
 *
 * Any thread.
 */
#pragma once
#include "common/base/err.h"
#include "common/base/slice.h"

#define S3PROFILE_MAX_BYTES (1u << 20)

struct s3profile {
    struct slice access, secret, token; /* lent from the text; token may be empty */
};
/* ERR_NOT_FOUND when there is no such profile, ERR_INVALID when it has no keys. Of a key that comes
 * twice the last counts. Lines that are no such thing are passed over. */
ORR_CHECKED struct err *s3profile_parse(struct slice text, struct slice profile,
                                        struct s3profile *ret);
