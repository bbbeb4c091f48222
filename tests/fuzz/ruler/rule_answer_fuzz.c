/* Any bytes as the answer of a querier. */
#include "ruler/rule_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(16 << 20);
    struct rule_points *points = NULL;
    struct rule_vector v = {0};
    size_t n = 0;

    err_free(rule_answer_vector(a, slice_of(data, size), &v));
    err_free(rule_answer_matrix(a, slice_of(data, size), &points, &n));
    arena_free(a);
    return 0;
}
