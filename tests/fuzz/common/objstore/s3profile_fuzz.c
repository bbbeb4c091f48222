/* The credentials file, and the JSON of the metadata service. */
#include "common/objstore/s3answer.h"
#include "common/objstore/s3profile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of(data, size);
    struct s3answer_role role;
    struct s3profile p;
    struct arena *a = arena_new(0);
    struct err *e = s3profile_parse(text, SLICE("default"), &p);

    ORR_ASSERT(e || (p.access.len && p.secret.len && p.secret.ptr >= data &&
                     p.secret.ptr + p.secret.len <= data + size));
    err_free(e);
    err_free(s3answer_metadata(a, text, &role));
    arena_free(a);
    return 0;
}
