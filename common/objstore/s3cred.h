/*
 * Credentials for S3, from the sources that s3conf.h lists, kept until shortly before they expire
 * and then fetched again by one of those who ask, while the others go on with the old ones.
 *
 * Files are read again every 5 minutes. A source that fails is asked again after 5 seconds; what it
 * gave before serves until it expires.
 *
 * Blocking, with timeouts of seconds: workers only. Any thread, many at once. No secret is ever in
 * an error or a log line.
 */
#pragma once
#include "common/base/arena.h"
#include "common/objstore/s3conf.h"

struct s3cred;

struct s3cred_keys {
    struct slice access, secret, token; /* token "" when there is none */
    uint64_t generation;                /* another one for other keys */
};

/* conf and env (environ, or a test's) live as long as it does. region: the token service's. */
struct s3cred *s3cred_new(const struct s3conf *conf, char **env, const char *region);
void s3cred_free(struct s3cred *c); /* NULL is allowed */
/* Copies into a. ERR_UNAUTHORIZED when no source has any; ERR_NET, ERR_TIMEOUT or ERR_UNAVAILABLE when
 * it could not be asked. */
ORR_CHECKED struct err *s3cred_get(struct s3cred *c, struct arena *a, struct s3cred_keys *ret);
/* The server refused keys of this generation as expired or unknown: they are fetched again, at most
 * every 5 seconds. */
void s3cred_reject(struct s3cred *c, uint64_t generation);
/* Name of the source in use, "none" before the first. */
const char *s3cred_source(struct s3cred *c);
/* Value of a variable in env, "" if unset. */
const char *s3cred_env(char **env, const char *name);
