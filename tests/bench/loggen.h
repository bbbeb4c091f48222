/*
 * Log lines of the five kinds that figures about logs are of, from a seed: realistic vocabulary, random
 * ids, skewed values.
 *
 *   json    about 500 bytes: request logs of services, with trace, span, request and user ids
 *   logfmt  about 200 bytes: a Go service
 *   nginx   combined access log with the time a request took
 *   java    one line, or (one of twelve) an exception with its stack, as one entry
 *   syslog  RFC 3164 lines of sshd, cron, kernel, dhclient, systemd
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/rng.h"
#include "common/base/vec.h"

#define LOGGEN_KINDS(X)                                                                            \
    X(JSON, "json") X(LOGFMT, "logfmt") X(NGINX, "nginx") X(JAVA, "java") X(SYSLOG, "syslog")
enum loggen_kind {
#define X(sym, name) LOGGEN_##sym,
    LOGGEN_KINDS(X)
#undef X
        LOGGEN_ALL
};

struct loggen {
    struct rng rng;
    enum loggen_kind kind;
    int64_t ts_ns;   /* of the last entry, as who ships it took it */
    uint32_t stream; /* of the last entry */
    uint32_t n_streams;
    uint64_t pool[4096]; /* what comes again: users, hosts, paths */
};

void loggen_init(struct loggen *g, enum loggen_kind kind, uint64_t seed);
/* Appends one line without a line feed at its end, and sets ts_ns and stream. */
void loggen_line(struct loggen *g, struct buf *out);
const char *loggen_name(enum loggen_kind kind);

/* Many lines of a kind. {0} is empty. */
struct loggen_text {
    struct buf bytes;
    VEC(size_t) ends; /* of lines, each with a line feed */
    VEC(int64_t) times;
    VEC(uint32_t) streams;
};
/* Of so many bytes, always the same ones. */
void loggen_text_make(struct loggen_text *t, enum loggen_kind kind, size_t bytes);
void loggen_text_done(struct loggen_text *t);
/* Without its line feed. */
struct slice loggen_text_line(const struct loggen_text *t, size_t i);
