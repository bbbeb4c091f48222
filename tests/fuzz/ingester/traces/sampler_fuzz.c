/* Bytes as what other replicas ask and tell the sampler. The id of the policies is 1. */
#include "ingester/traces/sampler.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct err *look(void *arg, struct slice tenant, const struct tail_rules *rules,
                        const uint8_t (*ids)[16], size_t n, struct sampling_evidence *ret)
{
    (void)arg;
    (void)tenant;
    (void)rules;
    for (size_t i = 0; i < n; i++)
        ret[i].leaves = ids[i][0];
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sampler *s = sampler_new(&(struct sampler_opts){.instance = "i", .max_remembered = 4});
    struct tail_rules rules = {.id = 1};
    struct slice bytes = slice_of(data, size);
    struct buf out = {0};
    struct err *e;

    err_free(sampler_told(s, SLICE("t"), &rules, bytes));
    if (!(e = sampler_answer(s, SLICE("t"), &rules, bytes, look, NULL, &out)))
        ORR_ASSERT((out.len - 1) % (3 + SAMPLING_EVIDENCE_BYTES) == 0);
    err_free(e);
    buf_done(&out);
    sampler_free(s);
    return 0;
}
