/*
 * What s3cred.c (keeping) and s3cred_source.c (fetching) share.
 */
#pragma once
#include "common/objstore/s3answer.h"
#include "common/objstore/s3cred.h"

struct s3cred_source {
    enum s3conf_credentials kind;
    const char *name;
    /* Whether it is set up at all; what is not is passed over by auto. */
    bool (*is_there)(const struct s3conf *conf, char **env);
    /* Into a; expires_ms 0: never. */
    struct err *(*fetch)(const struct s3conf *conf, char **env, const char *region, struct arena *a,
                         struct s3answer_role *ret);
};
extern const struct s3cred_source s3cred_sources[];
extern const size_t s3cred_source_count;
