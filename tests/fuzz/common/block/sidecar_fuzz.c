/* Sidecars: the first byte chooses the kind, the rest gets a right checksum. What is read must merge
 * to something that merges to itself. */
#include <stdlib.h>

#include "common/block/sidecar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum sidecar_kind kind = size && data[0] & 1 ? SIDECAR_METADATA : SIDECAR_EXEMPLARS;
    struct buf in = {0}, once = {0}, twice = {0};
    struct slice parts[2];
    struct err *e;

    sidecar_begin(&in, kind);
    if (size)
        buf_append(&in, data + 1, size - 1);
    sidecar_end(&in);
    parts[0] = parts[1] = buf_slice(&in);
    e = sidecar_merge(kind, parts, 2, &once);
    if (!e && once.len) {
        parts[0] = buf_slice(&once);
        if (sidecar_check(kind, parts[0]) || sidecar_merge(kind, parts, 2, &twice) ||
            !slice_eq(buf_slice(&once), buf_slice(&twice)))
            abort();
    }
    err_free(e);
    buf_done(&in);
    buf_done(&once);
    buf_done(&twice);
    return 0;
}
