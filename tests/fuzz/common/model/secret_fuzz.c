/* Any text: what is found lies in it, behind what was found before, and is not empty. */
#include "common/base/err.h"
#include "common/model/secret.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice s = slice_of(data, size);

    for (unsigned c = 0; c < SECRET_CLASS_COUNT; c++) {
        size_t at = 0, start, end;

        while (secret_find((enum secret_class)c, s, at, &start, &end)) {
            ORR_ASSERT(start >= at && end > start && end <= size);
            at = end;
        }
    }
    return 0;
}
