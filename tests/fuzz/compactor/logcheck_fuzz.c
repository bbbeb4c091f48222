/* A segment of log lines as an ingester may hand it out; checksums are put right first, else nothing gets past them. What
 * passes the check, all of it, can be merged: streams and times ascend, and no entry is missing. What passes without its texts being
 * looked at fails cleanly. */
#include "common/base/mem.h"
#include "compactor/logcheck.c"
#include "tests/fuzz/common/logblock/framefix.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t read_source(struct logblock_source *s, bool is_sound)
{
    struct logblock_stream st;
    struct logpage_entry en;
    struct hash128 last = {0};
    uint64_t n = 0;
    bool is_end = false, is_first = true;

    for (;; is_first = false) {
        int64_t t = INT64_MIN;

        err_free(s->stream(s->arg, &st, &is_end));
        if (is_end)
            break;
        ORR_ASSERT(is_first || hash128_cmp(last, st.fp) < 0);
        last = st.fp;
        for (;; n++) {
            struct err *e = s->entry(s->arg, &en, &is_end);

            ORR_ASSERT(!e || !is_sound);
            if (e || is_end) {
                err_free(e);
                break;
            }
            ORR_ASSERT(en.ts_ns >= t);
            t = en.ts_ns;
        }
    }
    s->close(s->arg);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes = (uint8_t *)mem_dup(data, size ? size : 1);
    struct segcheck found = {INT64_MAX, INT64_MIN, 0};
    struct logcheck c = {.bytes = slice_of(bytes, size)};
    struct logframe first;
    struct err *e;
    uint64_t n = 0;

    framefix_all(bytes, size);
    if (!(e = logframe_open_front(c.bytes, &first)))
        e = open_frames(&c, first.tenant, first.head.segment, &found);
    if (!e) {
        struct err *bad = logcheck_deep(&c);

        for (size_t i = 0; i < c.frames.len; i++) {
            struct logblock_source s = logblock_source_frame(&c.frames.ptr[i]);

            n += read_source(&s, !bad);
        }
        ORR_ASSERT(bad || n == found.samples);
        err_free(bad);
    }
    err_free(e);
    vec_done(&c.frames);
    mem_free(bytes);
    return 0;
}
