#include "ingester/door/tenant_gate.h"
#include "tests/unit/test.h"

static const struct slice A = SLICE_INIT("a");

TEST(tenant_gate_lets_the_rate_through)
{
    struct clock_fake clock;
    struct tenant_gate *g;
    struct tenant_limits l = {.ingestion_rate = 100, .ingestion_burst_size = 200};

    clock_fake_init(&clock, 1);
    clock_fake_advance(&clock, NS_PER_S);
    g = tenant_gate_new(&clock.clock);
    CHECK_OK(tenant_gate_samples(g, A, &l, 1, 150));
    CHECK_ERR(tenant_gate_samples(g, A, &l, 1, 100), ERR_RATE, "ingestion_rate is 100");
    CHECK_OK(tenant_gate_samples(g, SLICE("b"), &l, 1, 100)); /* another tenant's is its own */
    clock_fake_advance(&clock, NS_PER_S / 2);
    CHECK_OK(tenant_gate_samples(g, A, &l, 1, 100));
    CHECK_ERR(tenant_gate_samples(g, A, &l, 1, 1), ERR_RATE, "");
    tenant_gate_free(g);
}

TEST(tenant_gate_takes_a_write_above_the_burst_on_credit)
{
    struct clock_fake clock;
    struct tenant_gate *g;
    struct tenant_limits l = {.ingestion_rate = 100, .ingestion_burst_size = 100};

    clock_fake_init(&clock, 1);
    clock_fake_advance(&clock, NS_PER_S);
    g = tenant_gate_new(&clock.clock);
    CHECK_OK(tenant_gate_samples(g, A, &l, 1, 300));
    clock_fake_advance(&clock, 2 * NS_PER_S);
    CHECK_ERR(tenant_gate_samples(g, A, &l, 1, 300), ERR_RATE, "");
    clock_fake_advance(&clock, NS_PER_S);
    CHECK_OK(tenant_gate_samples(g, A, &l, 1, 300));
    tenant_gate_free(g);
}

TEST(tenant_gate_divides_the_rate_among_ingesters)
{
    struct clock_fake clock;
    struct tenant_gate *g;
    struct tenant_limits l = {.request_rate = 4, .request_burst_size = 1};

    clock_fake_init(&clock, 1);
    clock_fake_advance(&clock, NS_PER_S);
    g = tenant_gate_new(&clock.clock);
    CHECK_OK(tenant_gate_request(g, A, &l, 2));
    clock_fake_advance(&clock, NS_PER_S / 4);
    CHECK_ERR(tenant_gate_request(g, A, &l, 2), ERR_RATE, "request_rate is 4");
    clock_fake_advance(&clock, NS_PER_S / 4);
    CHECK_OK(tenant_gate_request(g, A, &l, 2));
    tenant_gate_free(g);
}

TEST(tenant_gate_without_limits_lets_all_through)
{
    struct tenant_gate *g = tenant_gate_new(NULL);
    struct tenant_limits l = {0};

    for (int i = 0; i < 1000; i++)
        CHECK_OK(tenant_gate_samples(g, A, &l, 1, UINT64_MAX));
    tenant_gate_free(g);
}

TEST(tenant_gate_counts_bytes_of_log_lines)
{
    struct clock_fake clock;
    struct tenant_gate *g;
    struct tenant_limits l = {.ingestion_rate_mb = 1, .ingestion_burst_size_mb = 2};
    uint64_t mb = 1 << 20;

    clock_fake_init(&clock, 1);
    g = tenant_gate_new(&clock.clock);
    CHECK_OK(tenant_gate_log_bytes(g, A, &l, 1, 10, 2 * mb));
    CHECK_ERR(tenant_gate_log_bytes(g, A, &l, 1, 3, mb), ERR_RATE,
              "ingestion_rate_mb is 1 MB per second, this write has 3 lines of 1048576 bytes");
    clock_fake_advance(&clock, NS_PER_S);
    CHECK_OK(tenant_gate_log_bytes(g, A, &l, 1, 3, mb));
    clock_fake_advance(&clock, 4 * NS_PER_S);
    CHECK_OK(tenant_gate_log_bytes(g, A, &l, 1, 1, 5 * mb)); /* larger than the burst: it is full */
    clock_fake_advance(&clock, 3 * NS_PER_S);
    CHECK_ERR(tenant_gate_log_bytes(g, A, &l, 1, 1, 1), ERR_RATE, "ingestion_rate_mb");
    l.ingestion_rate_mb = 0;
    CHECK_OK(tenant_gate_log_bytes(g, A, &l, 1, 1, 1000 * mb));
    tenant_gate_free(g);
}
