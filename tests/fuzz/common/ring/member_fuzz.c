/* Entries from peers: no crash, and what is accepted encodes to something equal. */
#include "common/ring/member.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct member *m, *back;
    struct buf out = {0};
    struct err *e = member_decode(slice_of(data, size), &m);

    if (e) {
        err_free(e);
        return 0;
    }
    member_encode(&out, m);
    e = member_decode(buf_slice(&out), &back);
    ORR_ASSERT(!e);
    ORR_ASSERT(member_cmp(m, back) == 0);
    member_unref(m);
    member_unref(back);
    buf_done(&out);
    return 0;
}
