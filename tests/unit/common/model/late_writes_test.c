#include "common/model/late_writes.h"
#include "tests/unit/test.h"

#define MINUTE_MS INT64_C(60000)

TEST(late_writes_are_late_well_before_answers_are_kept)
{
    struct tenant_limits l = {.max_cache_freshness_ns = 10 * MINUTE_MS * NS_PER_MS};
    int64_t now = 1000 * MINUTE_MS;

    CHECK_INT(late_writes_before_ms(&l, now), now - 7 * MINUTE_MS - 30000);
    l.max_cache_freshness_ns = 0; /* what is scraped is some seconds old and yet not late */
    CHECK_INT(late_writes_before_ms(&l, now), now - MINUTE_MS);
    for (int64_t fresh_ms = 0; fresh_ms < 20 * MINUTE_MS; fresh_ms += 7001) {
        l.max_cache_freshness_ns = fresh_ms * NS_PER_MS;
        CHECK(late_writes_fresh_ms(&l) >= fresh_ms);
        /* nothing is kept that a sample may still come for untold, and take 15 s to be seen */
        CHECK(now - late_writes_fresh_ms(&l) <= late_writes_before_ms(&l, now) - 15000);
    }
}

/* Whatever is written in a round: until it is over and told of, nothing is kept; after that it is. */
TEST(late_writes_keep_answers_from_being_kept_until_they_are_told_of)
{
    for (int64_t now = 0; now < 30000; now += 500) {
        uint64_t version = late_writes_version(now);

        CHECK((int64_t)version > now && (int64_t)version <= now + LATE_WRITES_ROUND_MS);
        CHECK(late_writes_are_under_way(version, now));
        CHECK(late_writes_are_under_way(version, now + LATE_WRITES_QUIET_MS));
        CHECK(
            !late_writes_are_under_way(version, now + LATE_WRITES_ROUND_MS + LATE_WRITES_QUIET_MS));
    }
    CHECK(late_writes_version(4999) == late_writes_version(0));
    CHECK(late_writes_version(5000) > late_writes_version(4999));
    CHECK(!late_writes_are_under_way(0, 1700000000000)); /* none was told of */
}
