#include "common/base/arena.h"
#include "common/block/block_meta.h"
#include "tests/unit/test.h"

static const char *const full =
    "{\"ulid\":\"01M80PK466RFCA99HQFHWJ3G5T\",\"minTime\":5,\"maxTime\":17,\"version\":1,"
    "\"stats\":{\"numSamples\":3,\"numSeries\":2,\"numChunks\":4},\"unknown\":[1,{}],"
    "\"compaction\":{\"level\":2,\"sources\":[\"01M80PK43WF9AX58HTBGJTW8ZC\"],"
    "\"parents\":[{\"ulid\":\"01M80PK44YP7ATDHB9017VA5N2\",\"minTime\":5,\"maxTime\":9}]},"
    "\"thanos\":{\"version\":1,\"labels\":{\"__compactor_shard_id__\":\"2_of_4\",\"a\":\"\\\"\"},"
    "\"source\":\"compactor\",\"files\":[{\"rel_path\":\"chunks/000001\",\"size_bytes\":7},"
    "{\"rel_path\":\"index\",\"size_bytes\":9},{\"rel_path\":\"meta.json\"}]},"
    "\"orrery\":{\"version\":1,\"tenant\":\"t\",\"sources\":[\"s1\",\"s2\"],\"sidecars\":["
    "\"exemplars\"]}}";

static void check_full(const struct block_meta *m)
{
    CHECK_INT(m->min_t, 5);
    CHECK_INT(m->max_t, 17);
    CHECK_INT(m->stats.samples, 3);
    CHECK_INT(m->level, 2);
    CHECK_INT(m->n_sources, 1);
    CHECK_INT(m->parents[0].max_t, 9);
    CHECK_INT(m->shard, 1);
    CHECK_INT(m->shards, 4);
    CHECK_INT(m->n_files, 2);
    CHECK_INT(block_meta_bytes(m), 16);
    CHECK_SLICE(m->segments[1], "s2");
    CHECK_SLICE(m->sidecars[0], "exemplars");
    CHECK_SLICE(m->origin, "compactor");
    CHECK_INT(m->external.n, 1);
    CHECK_SLICE(labels_get(m->external, SLICE("a")), "\"");
}

TEST(block_meta_reads_mimirs_and_writes_what_it_reads)
{
    struct arena *a = arena_new(0);
    struct block_meta m, again, copy;
    struct buf b = {0};

    CHECK_OK(block_meta_parse(a, slice_cstr(full), &m));
    check_full(&m);
    block_meta_write(&b, &m);
    CHECK_OK(block_meta_parse(a, buf_slice(&b), &again));
    check_full(&again);
    copy = block_meta_dup(a, &again);
    check_full(&copy);
    buf_done(&b);
    arena_free(a);
}

TEST(block_meta_refuses_what_it_cannot_trust)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{",
        "{\"version\":1}",
        "{\"ulid\":\"01M80PK466RFCA99HQFHWJ3G5T\",\"minTime\":5,\"maxTime\":9223372036854775807,"
        "\"version\":1}",
        "{\"ulid\":\"x\",\"minTime\":5,\"maxTime\":17,\"version\":1}",
        "{\"ulid\":\"01M80PK466RFCA99HQFHWJ3G5T\",\"minTime\":\"5\",\"maxTime\":17,\"version\":1}",
        "{\"ulid\":\"01M80PK466RFCA99HQFHWJ3G5T\",\"minTime\":5,\"maxTime\":17,\"version\":1,"
        "\"thanos\":{\"files\":[{\"rel_path\":\"../../etc/passwd\"}]}}",
        "{\"ulid\":\"01M80PK466RFCA99HQFHWJ3G5T\",\"minTime\":5,\"maxTime\":17,\"version\":1,"
        "\"orrery\":{\"sidecars\":[\"/etc/passwd\"]}}",
        "{\"ulid\":\"01M80PK466RFCA99HQFHWJ3G5T\",\"minTime\":5,\"maxTime\":17,\"version\":1,"
        "\"thanos\":{\"labels\":{\"__compactor_shard_id__\":\"5_of_4\"}}}",
        "{\"ulid\":\"01M80PK466RFCA99HQFHWJ3G5T\",\"minTime\":5,\"maxTime\":17,\"version\":1,"
        "\"thanos\":{\"labels\":{\"__compactor_shard_id__\":\"1_of_5000\"}}}",
        "{\"ulid\":\"01M80PK466RFCA99HQFHWJ3G5T\",\"minTime\":5,\"maxTime\":17,\"version\":1,"
        "\"thanos\":{\"labels\":{\"__compactor_shard_id__\":\"1_of_4junk\"}}}",
        "{\"ulid\":\"01M80PK466RFCA99HQFHWJ3G5T\",\"minTime\":5,\"maxTime\":17,\"version\":1,"
        "\"thanos\":{\"labels\":{\"__compactor_shard_id__\":\"4294967297_of_4294967298\"}}}",
    };
    struct arena *a = arena_new(0);
    struct block_meta m;

    for (size_t i = 0; i < ORR_COUNT(bad); i++)
        CHECK_ERR(block_meta_parse(a, slice_cstr(bad[i]), &m), ERR_CORRUPT, "meta.json");
    CHECK_ERR(block_meta_parse(a,
                               SLICE("{\"ulid\":\"01M80PK466RFCA99HQFHWJ3G5T\",\"minTime\":5,"
                                     "\"maxTime\":17,\"version\":2}"),
                               &m),
              ERR_UNSUPPORTED, "version 2");
    arena_free(a);
}

TEST(block_meta_of_another_system_has_its_sources_for_segments)
{
    struct arena *a = arena_new(0);
    struct block_meta m;

    CHECK_OK(block_meta_parse(
        a,
        SLICE("{\"ulid\":\"01M80PK466RFCA99HQFHWJ3G5T\",\"minTime\":5,\"maxTime\":17,\"version\":1,"
              "\"compaction\":{\"level\":2,\"sources\":[\"01M80PK466RFCA99HQFHWJ3G5A\","
              "\"01M80PK466RFCA99HQFHWJ3G5B\"]},\"thanos\":{\"downsample\":{\"resolution\":300000}}"
              "}"),
        &m));
    CHECK_INT(m.resolution_ms, 300000);
    CHECK_INT(m.n_segments, 2);
    CHECK_SLICE(m.segments[1], "01M80PK466RFCA99HQFHWJ3G5B");
    CHECK_OK(block_meta_parse(
        a,
        SLICE("{\"ulid\":\"01M80PK466RFCA99HQFHWJ3G5T\",\"minTime\":5,\"maxTime\":17,\"version\":1,"
              "\"compaction\":{\"sources\":[\"01M80PK466RFCA99HQFHWJ3G5A\"]},\"thanos\":{},"
              "\"orrery\":{\"version\":1,\"tenant\":\"t\"}}"),
        &m));
    CHECK_INT(m.n_segments, 0);
    arena_free(a);
}
