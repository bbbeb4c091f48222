/* Any bytes as a frame: its head, and as a plain DATA or HELLO body. */
#include "common/base/arena.h"
#include "common/rpc/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice frame = slice_of(data, size), payload;
    struct arena *a = arena_new(1 << 20);
    struct frame_head h;
    struct envelope e;

    if (frame_head_get(frame, &h)) {
        uint8_t back[FRAME_HEAD_BYTES];
        struct frame_head again;

        frame_head_put(&h, back);
        ORR_ASSERT(frame_head_get(slice_of(back, sizeof(back)), &again));
        ORR_ASSERT(again.session == h.session && again.seq == h.seq && again.type == h.type);
        if (frame_body_get(a, slice_from(frame, FRAME_HEAD_BYTES), &e, &payload))
            ORR_ASSERT(payload.len <= size);
    }
    arena_free(a);
    return 0;
}
