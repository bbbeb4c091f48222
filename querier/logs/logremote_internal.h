/* What the files of logremote.h share: one question to ingesters and blocks, and what is answered to it. */
#pragma once
#include "common/logblock/linetombs.h"
#include "common/model/logs_rpc.h"
#include "querier/logs/logjoin.h"
#include "querier/logs/logopened.h"
#include "querier/logs/logremote.h"

struct logremote_question {
    struct rpc_logs_select select;
    const struct logblock_bound *bound; /* NULL: none */
    uint64_t fp_first, fp_last;         /* fp_last 0: all streams */
    const atomic_bool *cancel, *stop;
    int64_t deadline_mono_ms;
    unsigned side_by_side; /* questions, that share the memory to read ahead; 0: 1 */
    struct logopened
        *ahead; /* blocks that were opened for it; taken over by the answer; NULL: none */
};

struct logremote_answer {
    struct store_query *sq;
    struct arena *arena; /* of the view and the blocks' sets */
    struct fanout *f;
    struct blockset_view blocks;
    struct logopened *ahead; /* the question's; NULL: none */
    struct logjoin *join;
    bool is_plain; /* ingesters were asked in the form of earlier versions */
};

/* The question, as blocks are asked it. */
struct logblock_query logremote_block_query(const struct logremote_question *q);
/* How far back the tenant may look. */
int64_t logremote_start(const struct store_query *sq, int64_t start_ns, int64_t end_ns);
/* Since when ingesters may hold lines of a range. */
int64_t logremote_since_ms(const struct logremote *r, int64_t start_ns);
/* If ingesters refuse what is asked because they are of an earlier version, they are asked for all that they have: what is left out
 * by texts, or by a bound, is left out by who looks at the lines, and volumes are spread over their steps. stats outlive the answer. */
ORR_CHECKED struct err *logremote_answer_open(struct logremote *r,
                                              const struct logremote_question *q,
                                              struct logsource_stats *stats,
                                              struct logremote_answer *ret);
ORR_CHECKED struct err *logremote_answer_close(struct logremote_answer *an);
/* What is deleted of a range, of streams that may match. */
struct logremote_tombs {
    struct tombstone_list *list;
    struct linetombs *lines; /* NULL: nothing is */
};
ORR_CHECKED struct err *logremote_tombs_open(struct logremote *r, const struct matchers *ms,
                                             struct logremote_range range,
                                             struct logremote_tombs *ret);
void logremote_tombs_close(struct logremote_tombs *tombs); /* {0} is allowed */
