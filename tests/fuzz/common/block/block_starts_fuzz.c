/* The sidecar of start timestamps; the first byte says whether it gets the right magic and checksum. What
 * can be read must be found again, and its runs must come out of a merge as they went in. */
#include <stdlib.h>

#include "common/base/hash.h"
#include "common/block/block_starts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond))                                                                               \
            abort();                                                                               \
    } while (0)

static void check_runs(struct slice runs)
{
    struct start_set once = {0}, twice = {0};
    struct buf b = {0}, c = {0};
    int64_t t[2] = {INT64_MIN, INT64_MAX}, st[2];

    MUST(!start_set_add(&once, runs));
    start_set_flatten(&once);
    start_runs_encode(&b, once.runs.ptr, once.runs.len);
    MUST(!start_set_add(&twice, buf_slice(&b)) && !start_set_add(&twice, runs));
    start_set_flatten(&twice);
    start_runs_encode(&c, twice.runs.ptr, twice.runs.len);
    (void)start_set_fill(&twice, t, 2, st);
    start_set_clip(&twice, -1000, 1000);
    for (size_t i = 0; i < once.runs.len; i++) {
        const struct start_run *r = &once.runs.ptr[i];

        MUST(start_set_fill(&once, &r->from_ms, 1, st) && st[0] == r->st_ms);
    }
    start_set_done(&once);
    start_set_done(&twice);
    buf_done(&b);
    buf_done(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct block_starts s = {0};
    struct start_set set = {0};
    struct buf in = {0};
    struct slice runs;
    struct err *e;

    if (!size)
        return 0;
    if (data[0] & 1) {
        buf_append(&in, "ORRSTR\0\1", 8);
        buf_append(&in, data + 1, size - 1);
        buf_u32be(&in, hash_crc32c(buf_slice(&in)));
    } else {
        buf_append(&in, data + 1, size - 1);
    }
    if ((e = block_starts_parse(buf_slice(&in), &s)))
        err_free(e);
    VEC_FOREACH (entry, &s.entries) {
        MUST(block_starts_find(&s, entry->ref, &runs) && runs.ptr == entry->runs.ptr);
        check_runs(runs);
        err_free(start_set_add(&set, runs)); /* all together: any overlap */
    }
    start_set_flatten(&set);
    for (size_t i = 1; i < set.runs.len; i++)
        MUST(set.runs.ptr[i].from_ms > set.runs.ptr[i - 1].to_ms);
    start_set_done(&set);
    block_starts_done(&s);
    buf_done(&in);
    return 0;
}
