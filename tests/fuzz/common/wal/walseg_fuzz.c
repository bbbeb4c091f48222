/* The scan of a log file ends, stays inside the file, and never hands out a record twice. */
#include "common/wal/walseg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice file = slice_of(data, size);
    struct walseg_scan s;
    enum walseg_event event;
    uint64_t first_seq, last_seq = 0;
    bool has_last = false;

    if (!walseg_parse_header(file, &first_seq))
        return 0;
    walseg_scan_init(&s, file, first_seq);
    while ((event = walseg_scan_next(&s)) != WALSEG_END) {
        ORR_ASSERT(s.offset + s.bytes <= size);
        if (event == WALSEG_RECORD) {
            ORR_ASSERT(!has_last || s.rec.seq > last_seq);
            ORR_ASSERT(s.rec.payload.ptr + s.rec.payload.len <= data + size);
            last_seq = s.rec.seq;
            has_last = true;
        }
    }
    return 0;
}
