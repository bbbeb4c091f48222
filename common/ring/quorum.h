/*
 * Counting answers: when is a replicated write acknowledged, when is a read complete.
 *
 * Pure: the caller sends, feeds each answer in once, and acts on the verdict. A verdict never
 * changes once it is not PENDING. Owner: one thread.
 *
 * Writes. A batch falls into groups (one for each replica set); each instance answers for all
 * groups it is in. A group succeeds when a majority of RF (not of the set) has acknowledged; so RF
 * 1 needs 1, RF 2 needs 2, RF 3 needs 2. Failures are of two kinds: the client's (4xx: every
 * replica that decides alike would refuse it) and ours. A group fails with a client error when a
 * majority says so, otherwise with ERR_UNAVAILABLE as soon as neither majority can be reached any
 * more. The batch is OK when all groups are, and has FAILED as soon as one failed with ours or all
 * are decided.
 *
 * Reads. Complete when all instances of all units (zones; or instances, see ring_read_set) but
 * max_fail have answered, and at least min_ok; failed when more than max_fail units have a failed
 * instance, or fewer than min_ok are known at all.
 */
#pragma once
#include "common/base/err.h"
#include "common/ring/ring.h"

enum quorum_verdict { QUORUM_PENDING, QUORUM_OK, QUORUM_FAILED };

/* True for codes that mean the request is to blame: 4xx but for 499. */
bool quorum_is_client_error(enum err_code code);

/* ---- writes ---- */

struct quorum_group {
    uint16_t n, ok, client, ours, need;
    enum err_code client_code; /* of the first client error */
    enum quorum_verdict verdict;
};

struct quorum {
    struct quorum_group *groups;
    size_t n_groups;
    uint32_t *first; /* per instance: where its groups start in of_instance; n_instances + 1 */
    uint32_t *of_instance;
    bool *has_answered;
    size_t n_instances;
    size_t n_ok, n_decided;
    enum quorum_verdict verdict;
    enum err_code code; /* when FAILED */
};

/*
 * sets[g]: the instances of group g, numbers below n_instances; need: ring_write_quorum(). A set
 * with fewer than need instances makes the verdict FAILED at once.
 */
void quorum_init(struct quorum *q, const struct ring_set *sets, size_t n_sets, size_t n_instances,
                 unsigned need);
void quorum_done(struct quorum *q);
/* A second answer of an instance is ignored (a repeated message acknowledges nothing). */
enum quorum_verdict quorum_ack(struct quorum *q, unsigned instance);
enum quorum_verdict quorum_fail(struct quorum *q, unsigned instance, enum err_code code);
/* Instances that have not answered yet. */
size_t quorum_outstanding(const struct quorum *q);

/* ---- reads ---- */

struct quorum_read {
    const struct ring_read_set *set; /* borrowed: outlives the tracker */
    uint8_t *answer;                 /* per position in set: 0 none, 1 ok, 2 failed */
    struct quorum_unit {
        uint16_t n, ok, failed;
    } * units;
    size_t n_units, complete, failed;
    size_t n_ok, n_failed;
    enum quorum_verdict verdict;
    enum err_code code; /* when FAILED: of the first failure */
};

/* An empty set is OK at once (nobody holds anything) unless zones are required. */
void quorum_read_init(struct quorum_read *q, const struct ring_read_set *set);
void quorum_read_done(struct quorum_read *q);
/* position: index into set->instances. */
enum quorum_verdict quorum_read_ok(struct quorum_read *q, unsigned position);
enum quorum_verdict quorum_read_fail(struct quorum_read *q, unsigned position, enum err_code code);
/* Whether nobody is missing: then the answer is whole without leaning on replication. */
bool quorum_read_is_whole(const struct quorum_read *q);
