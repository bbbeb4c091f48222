#include "querier/logs/logbytime.h"

#include <stdlib.h>

static int by_key(const void *a, const void *b)
{
    const struct logbytime *x = a, *y = b;

    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

size_t logbytime(struct arena *a, const struct logquery_result *results, size_t n, bool is_forward,
                 struct logbytime **ret)
{
    struct logbytime *all;
    size_t room = 0, count = 0;

    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < results[i].n_streams; k++)
            room += results[i].streams[k].n;
    all = arena_array(a, struct logbytime, room + 1);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < results[i].n_streams; k++) {
            const struct logquery_stream *s = &results[i].streams[k];

            for (size_t l = 0; l < s->n; l++) {
                int64_t ts_ns = s->lines[l].ts_ns;

                all[count] =
                    (struct logbytime){is_forward ? ts_ns : -ts_ns, count, s, &s->lines[l]};
                count++;
            }
        }
    if (count > 1)
        qsort(all, count, sizeof(*all), by_key);
    *ret = all;
    return count;
}
