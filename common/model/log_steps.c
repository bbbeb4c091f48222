#include "common/model/log_steps.h"

#include "common/base/attr.h"

size_t log_steps_count(const struct log_steps *s)
{
    uint64_t length = (uint64_t)s->to_ns - (uint64_t)s->from_ns, n;

    if (s->step_ns <= 0 || s->to_ns <= s->from_ns || length > INT64_MAX)
        return SIZE_MAX;
    n = (length - 1) / (uint64_t)s->step_ns + 1;
    return n <= LOG_STEPS_MAX ? (size_t)n : SIZE_MAX;
}

void log_steps_spread(const struct log_steps *s, int64_t min_ns, int64_t max_ns, uint64_t n,
                      uint64_t *io_steps)
{
    int64_t from_ns = ORR_MAX(min_ns, s->from_ns), to_ns = ORR_MIN(max_ns, s->to_ns - 1);
    uint64_t first, last, step = (uint64_t)s->step_ns, done = 0;
    double length;

    if (from_ns > to_ns)
        return;
    /* from the range's start */
    first = (uint64_t)from_ns - (uint64_t)s->from_ns;
    last = (uint64_t)to_ns - (uint64_t)s->from_ns;
    length = (double)(last - first) + 1;
    for (uint64_t i = first / step; i <= last / step; i++) {
        uint64_t end = (i + 1) * step; /* at most twice the range */
        uint64_t upto = end > last ? n : (uint64_t)((double)n * ((double)(end - first) / length));

        upto = ORR_MIN(upto, n);
        io_steps[i] += upto - ORR_MIN(done, upto);
        done = ORR_MAX(done, upto);
    }
}
