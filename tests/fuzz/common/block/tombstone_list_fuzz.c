/* Tombstone lists: whatever parses is written back to a list that reads the same. The checksum is
 * put right first, else no mutation would get past it. */
#include <stdlib.h>

#include "common/base/hash.h"
#include "common/block/tombstone_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf in = {0}, out = {0}, again = {0};
    struct tombstone_list *l, *back;
    struct err *e;

    buf_append(&in, data, size);
    buf_u32le(&in, hash_crc32c(slice_of(data, size)));
    if ((e = tombstone_list_parse(buf_slice(&in), &l))) {
        err_free(e);
        buf_done(&in);
        return 0;
    }
    tombstone_list_write(&out, l);
    if (tombstone_list_parse(buf_slice(&out), &back))
        abort();
    tombstone_list_write(&again, back);
    if (!slice_eq(buf_slice(&out), buf_slice(&again)))
        abort();
    tombstone_list_unref(l);
    tombstone_list_unref(back);
    buf_done(&in);
    buf_done(&out);
    buf_done(&again);
    return 0;
}
