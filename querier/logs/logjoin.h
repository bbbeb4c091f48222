/*
 * Log lines of several origins as one: streams by fingerprint, their entries by time, each line once.
 *
 *     origin (an ingester's answer: logpeer.h) ─┐
 *     origin                                    ├─▶ logjoin_stream(), logjoin_entry()
 *     origin (a block: logstored.h)            ─┘
 *
 * Lines equal in time, text and structured metadata come once. Other lines of one time come in the order of the first
 * origin that has them: those of the first origin, then what the second has besides, and so on.
 *
 * Held are one stream and entry of each origin, and the lines of one moment where several have some; entries of which
 * one origin alone has the moment are not copied.
 *
 * Owner: the query's worker.
 */
#pragma once
#include "querier/logs/logsource.h"

struct logjoin_stream {
    struct hash128 fp;
    struct labels labels;
    uint64_t entries, bytes; /* volume, where it was asked for */
    const uint64_t
        *steps; /* bytes in each step, likewise; NULL: none. Lent until the next stream */
};

struct logjoin_origin;
struct logjoin_origin_ops {
    /* The next stream, by fingerprint; passes over what is left of the one before. Lent until the next stream. False:
     * there is none, or err says why not. */
    bool (*stream)(struct logjoin_origin *o, struct logjoin_stream *ret);
    /* The next entry of it, by time in the direction asked for, none twice. Lent until the next call. False: as above. */
    bool (*entry)(struct logjoin_origin *o, struct logsource_entry *ret);
    /* NULL, or why it ended early, if err did not say so. Frees it, but for err. */
    struct err *(*close)(struct logjoin_origin *o);
};
/* First member of an implementation. */
struct logjoin_origin {
    const struct logjoin_origin_ops *ops;
    struct err *err; /* the origin's to set, the join's to take */
    /* Holds what others of its kind hold, whole or in part: of their volumes the greatest counts, or all of them by the
     * copies that there are, if that is more. Those of the rest are added to it. */
    bool is_replica;
};

struct logjoin;

/* Takes the origins over; copies the list. a: the query's arena. copies: how often a line is in the replicas. */
struct logjoin *logjoin_new(struct arena *a, struct logjoin_origin *const *origins, size_t n,
                            bool is_forward, double copies);
/* Streams have volumes of so many steps. Before the first stream. */
void logjoin_take_steps(struct logjoin *j, size_t n_steps);
/* The next stream, lent until the one after; passes over what is left of the one before. */
bool logjoin_stream(struct logjoin *j, struct logjoin_stream *ret);
/* The next entry of it, lent until the next call. */
bool logjoin_entry(struct logjoin *j, struct logsource_entry *ret);
uint64_t logjoin_duplicates(const struct logjoin *j); /* lines left out */
/* NULL, or the first error of an origin, with which all ended; ERR_LIMIT: the lines of one moment are more than the
 * arena may hold. Frees j and the origins. NULL is allowed. */
ORR_CHECKED struct err *logjoin_close(struct logjoin *j);
