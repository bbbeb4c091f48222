/* Any line is taken apart to its end: each step moves on, and keys and values lie where they may. */
#include <stdlib.h>

#include "common/logs/logfmt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct logfmt it = logfmt_of(slice_of(data, size));
    struct buf scratch = {0};
    struct slice key, value;
    enum logfmt_what what;
    size_t pos = 0;

    while ((what = logfmt_next(&it, &scratch, &key, &value)) != LOGFMT_END) {
        if (it.pos <= pos || it.pos > size)
            abort();
        pos = it.pos;
        if (what == LOGFMT_BAD ? !it.error || it.error_pos > size
                               : key.len == 0 || slice_find_byte(key, '=', 0) >= 0)
            abort();
    }
    buf_done(&scratch);
    return 0;
}
