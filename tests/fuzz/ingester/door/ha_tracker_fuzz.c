/* Bytes as an entry that gossip brings to the tracker of replicas: key, a zero byte, value. */
#include <string.h>

#include "ingester/door/ha_tracker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct tenant_limits limits = {.ha_max_clusters = 5};
    struct slice rest = slice_of(data, size), key;
    struct ha_tracker *t = ha_tracker_new(&(struct ha_tracker_opts){.seed = 1});
    struct ha_tracker_row *rows;
    size_t n;

    (void)ha_tracker_check(t, SLICE("t"), &limits, SLICE("c"), SLICE("a"), 1000);
    if (slice_split(&rest, 0, &key) && rest.ptr)
        ha_tracker_learn(t, key, 1, rest, 2000);
    ha_tracker_list(t, &rows, &n);
    for (size_t i = 0; i < n; i++)
        ORR_ASSERT(rows[i].elections && strlen(rows[i].replica) <= HA_TRACKER_MAX_NAME &&
                   rows[i].received_ms <= 2000);
    ha_tracker_list_free(rows, n);
    (void)ha_tracker_check(t, SLICE("t"), &limits, SLICE("c"), SLICE("b"), INT64_MAX / 2);
    ha_tracker_free(t);
    return 0;
}
