/* Parses and executes any bytes as a template with Prometheus' functions, under small limits: it
 * must end, within its memory, and say the same when asked twice. */
#include "common/template/template_prom.h"

static const struct label labels[] = {{SLICE_INIT("a"), SLICE_INIT("b.c:1")},
                                      {SLICE_INIT("job"), SLICE_INIT("api")}};

static struct err *query(void *arg, struct arena *a, struct slice promql, int64_t now_ms,
                         struct template_prom_vector *ret)
{
    struct template_prom_sample *s = arena_array(a, struct template_prom_sample, 2);

    (void)arg, (void)now_ms;
    if (promql.len > 20)
        return err_new(ERR_INVALID, "no such query");
    s[0] = (struct template_prom_sample){{labels, 2}, 1.5};
    s[1] = (struct template_prom_sample){{labels, 1}, -1e300};
    *ret = (struct template_prom_vector){s, 2};
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct template_prom_query queries = {query, NULL};
    struct template_prom p = {.name = "f",
                              .labels = {labels, 2},
                              .external_url = SLICE("http://x/y"),
                              .value = 0.25,
                              .now_ms = 1000,
                              .query = &queries,
                              .limit_bytes = 1u << 20,
                              .max_output_bytes = 1u << 14};
    struct buf one = {0}, two = {0};
    struct err *a = template_prom_expand(&p, slice_of(data, size), &one);
    struct err *b = template_prom_expand(&p, slice_of(data, size), &two);

    ORR_ASSERT(!a == !b && slice_eq(buf_slice(&one), buf_slice(&two)));
    ORR_ASSERT(one.len <= p.max_output_bytes);
    err_free(a);
    err_free(b);
    buf_done(&one);
    buf_done(&two);
    return 0;
}
