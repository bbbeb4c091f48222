/* A segment of log lines as an ingester may hand it out; checksums of heads are put right first, else nothing gets past them. What
 * passes the check can be merged: streams and times ascend, and no entry is missing. */
#include "common/base/mem.h"
#include "compactor/logcheck.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t read_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void write_crc(uint8_t *at, const uint8_t *p, size_t n)
{
    uint32_t crc = hash_crc32c(slice_of(p, n));

    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(crc >> (8 * i));
}

static void put_checksums_right(uint8_t *p, size_t size)
{
    while (size >= LOGFRAME_HEADER_BYTES) {
        size_t bytes = read_u32(p + 16), head = read_u32(p + 24);
        size_t front = LOGFRAME_HEADER_BYTES + (size_t)read_u32(p + 32);

        if (head > size || front > head || bytes < head || bytes > size)
            return;
        write_crc(p + 12, p + front, head - front);
        write_crc(p + 8, p + 12, front - 12);
        p += bytes;
        size -= bytes;
    }
}

static uint64_t read_source(struct logblock_source *s)
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

            ORR_ASSERT(!e);
            if (is_end)
                break;
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

    put_checksums_right(bytes, size);
    if (!(e = logframe_open_front(c.bytes, &first)))
        e = open_frames(&c, first.tenant, first.head.segment, &found);
    for (size_t i = 0; !e && i < c.frames.len; i++) {
        struct logblock_source s = logblock_source_frame(&c.frames.ptr[i]);

        n += read_source(&s);
    }
    ORR_ASSERT(e || n == found.samples);
    err_free(e);
    vec_done(&c.frames);
    mem_free(bytes);
    return 0;
}
