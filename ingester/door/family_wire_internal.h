/* Fields of the exposition format's messages, and its histograms; see family_wire.h. */
#pragma once
#include "ingester/door/family_wire.h"
#include "ingester/door/rw_histogram.h"
#include "ingester/door/rw_wire.h"

#define FAMILY_TAG(number, type) ((uint32_t)(number) << 3 | (type))
#define FAMILY_MAX_BUCKETS 65536
#define MS_PER_SECOND 1000

/* One field: u, f or s by its wire type. */
struct family_field {
    uint32_t tag;
    bool is_bad;
    uint64_t u;
    double f;
    struct slice s;
};
/* False at the end, and on malformed bytes (then is_bad). */
bool family_field_next(struct slice *rest, struct family_field *ret);
/* Unix milliseconds of a Timestamp; 0 when it does not fit. Sets *ret_bad if malformed. */
int64_t family_time(struct slice message, bool *ret_bad);
bool family_exemplar_read(struct arena *a, struct slice message, struct family_exemplar *ret);
ORR_CHECKED ORR_NONNULL struct err *family_malformed(const char *message);

struct family_bucket {
    double upper_bound, count;
    bool has_exemplar;
    struct family_exemplar exemplar;
};

struct family_hist {
    struct rw_histogram r; /* of a native one all, of a classic one the sum */
    double classic_count;
    const struct family_bucket *buckets;
    const struct family_exemplar *exemplars;
    size_t n_buckets, n_exemplars;
    int64_t created_ms;
    bool is_native;
};
ORR_CHECKED struct err *family_hist_read(struct arena *a, struct slice message, size_t max_buckets,
                                         struct family_hist *ret);
/* Of a native one: rw_histogram_check(), after empty spans were taken out. */
ORR_CHECKED struct err *family_hist_check(struct arena *a, struct family_hist *h);
