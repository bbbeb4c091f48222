/* Any line is flattened to its end; names are names of labels. */
#include <stdlib.h>

#include "common/logs/jsonline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool check(void *arg, struct slice key, struct slice value)
{
    size_t *sum = arg;

    for (size_t i = 0; i < key.len; i++)
        if (key.ptr[i] != '_' && (key.ptr[i] | 0x20) < 'a' &&
            (key.ptr[i] < '0' || key.ptr[i] > '9'))
            abort();
    for (size_t i = 0; i < value.len; i++)
        *sum += value.ptr[i];
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jsonline j = {0};
    size_t sum = 0;

    if (!jsonline_each(&j, slice_of(data, size), check, &sum) && !j.error)
        abort();
    jsonline_done(&j);
    return 0;
}
