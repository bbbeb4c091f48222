#include "common/base/attr.h"

#include <stdio.h>
#include <stdlib.h>

void attr_assert_failed(const char *cond, const char *file, int line)
{
    fprintf(stderr, "assertion failed: %s at %s:%d\n", cond, file, line);
    abort();
}
