/* How grams are found, and where the bits of one are, for filters of one page and of many. Within common/logblock only. */
#pragma once
#include "common/base/hash.h"
#include "common/logblock/logfilter.h"

#define LOGFILTER_MAX_CLASS 176

/* Stripes of a class: from one to the next they grow by an eighth or less. */
uint32_t logfilter_stripes(uint32_t size_class);
/* The LOGFILTER_HASHES rows of a gram: all in one stripe. */
void logfilter_rows(uint32_t hash, uint32_t n_stripes, uint32_t *ret);

#define LOGFILTER_BATCH 1024 /* windows that are looked at at once */

struct logfilter_kept {
    uint32_t
        before; /* the least hash of the window before the first; 0: there is none. In and out */
    uint32_t least[LOGFILTER_BATCH + 8];
    uint64_t changes[LOGFILTER_BATCH / 64]; /* bit i: least[i] is another than the one before it */
};
/* Of the first n windows of a text, 1 to LOGFILTER_BATCH: n + LOGFILTER_MIN_NEEDLE - 1 bytes are read. Of least n
 * are set, of changes as many whole words. With AVX2, if the machine has it; portable: as it is said in plain C. */
void logfilter_kept_of(const uint8_t *text, size_t n, struct logfilter_kept *k);
void logfilter_kept_portable(const uint8_t *text, size_t n, struct logfilter_kept *k);

/* ---- what is known of a needle ---- */

/* How many groups a file has, and words of a set of its pages. */
void logfilter_sizes(const struct logfilter *f, size_t *ret_groups, size_t *ret_words);

struct logfilter_known {
    uint32_t
        *done; /* of each group: so many of the needle's grams, the first ones, were looked for */
    uint64_t *left; /* pages that, as far as that tells, can hold it */
    /* Of those in a memo. */
    struct hash128 key;
    uint64_t used; /* when, by a count; 0: never */
    bool is_taken;
};
/* Of a needle nothing of which was looked for. */
void logfilter_known_init(struct logfilter_known *k, size_t n_groups, size_t n_words);
void logfilter_known_done(struct logfilter_known *k);
/* What is known of the needle, for the caller alone until it is given back: others who want it wait. NULL: there is no room. */
struct logfilter_known *logfilter_memo_take(struct logfilter_memo *m,
                                            const struct logfilter_grams *needle);
void logfilter_memo_give(struct logfilter_memo *m, struct logfilter_known *k);
