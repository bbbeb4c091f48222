#include "common/block/sidecar.h"
#include "common/model/labels.h"
#include "tests/unit/test.h"

static void exemplars(struct buf *b, const int64_t *t, size_t n)
{
    struct label one = {SLICE("a"), SLICE("1")}, id = {SLICE("trace"), SLICE("id")};
    struct buf series = {0}, labels = {0};
    struct sidecar_exemplar x = {.value = 1.5};

    labels_canonical(&series, (struct labels){&one, 1});
    labels_canonical(&labels, (struct labels){&id, 1});
    x.series = buf_slice(&series);
    x.labels = buf_slice(&labels);
    sidecar_begin(b, SIDECAR_EXEMPLARS);
    for (size_t i = 0; i < n; i++) {
        x.t_ms = t[i];
        sidecar_put_exemplar(b, &x);
    }
    sidecar_end(b);
    buf_done(&series);
    buf_done(&labels);
}

TEST(sidecar_merges_sorted_and_each_once)
{
    struct buf one = {0}, two = {0}, ab = {0}, ba = {0};
    const int64_t t1[] = {5, 1}, t2[] = {3, 5};
    struct sidecar_exemplar x;
    struct slice in[2];
    struct reader r;
    int64_t want = 1;

    exemplars(&one, t1, 2);
    exemplars(&two, t2, 2);
    in[0] = buf_slice(&one), in[1] = buf_slice(&two);
    CHECK_OK(sidecar_merge(SIDECAR_EXEMPLARS, in, 2, &ab));
    in[0] = buf_slice(&two), in[1] = buf_slice(&one);
    CHECK_OK(sidecar_merge(SIDECAR_EXEMPLARS, in, 2, &ba));
    CHECK(slice_eq(buf_slice(&ab), buf_slice(&ba)));
    CHECK_OK(sidecar_open(SIDECAR_EXEMPLARS, buf_slice(&ab), &r));
    for (; sidecar_next_exemplar(&r, &x); want += 2) {
        CHECK_INT(x.t_ms, want);
        CHECK(x.value == 1.5);
        CHECK_SLICE(x.labels, "\x0a\x0b\x0a\5trace\x12\2id");
    }
    CHECK(reader_ok(&r));
    CHECK_INT(want, 7);
    buf_done(&one), buf_done(&two), buf_done(&ab), buf_done(&ba);
}

TEST(sidecar_keeps_metadata_that_differs)
{
    struct buf one = {0}, out = {0};
    struct sidecar_metadata m = {1, SLICE("up"), SLICE("help"), SLICE("")};
    struct slice in[2];
    struct reader r;
    size_t n = 0;

    sidecar_begin(&one, SIDECAR_METADATA);
    sidecar_put_metadata(&one, &m);
    m.help = SLICE("other");
    sidecar_put_metadata(&one, &m);
    sidecar_end(&one);
    in[0] = in[1] = buf_slice(&one);
    CHECK_OK(sidecar_merge(SIDECAR_METADATA, in, 2, &out));
    CHECK_OK(sidecar_open(SIDECAR_METADATA, buf_slice(&out), &r));
    while (sidecar_next_metadata(&r, &m))
        n++;
    CHECK_INT(n, 2);
    CHECK_OK(sidecar_merge(SIDECAR_METADATA, in, 0, &out));
    CHECK_INT(out.len, 0);
    buf_done(&one), buf_done(&out);
}

TEST(sidecar_refuses_every_flipped_byte)
{
    const int64_t t[] = {1, 2};
    struct buf b = {0};

    exemplars(&b, t, 2);
    CHECK_OK(sidecar_check(SIDECAR_EXEMPLARS, buf_slice(&b)));
    CHECK_ERR(sidecar_check(SIDECAR_METADATA, buf_slice(&b)), ERR_CORRUPT, "metadata");
    for (size_t i = 0; i < b.len; i++) {
        b.ptr[i] ^= 0x10;
        CHECK_ERR(sidecar_check(SIDECAR_EXEMPLARS, buf_slice(&b)), ERR_CORRUPT, "");
        b.ptr[i] ^= 0x10;
        CHECK_ERR(sidecar_check(SIDECAR_EXEMPLARS, slice_of(b.ptr, i)), ERR_CORRUPT, "");
    }
    buf_done(&b);
}

TEST(sidecar_refuses_labels_that_are_no_pairs)
{
    struct sidecar_exemplar x = {SLICE("\1a"), 0, 1, SLICE("")};
    struct buf b = {0};

    sidecar_begin(&b, SIDECAR_EXEMPLARS);
    sidecar_put_exemplar(&b, &x);
    sidecar_end(&b);
    CHECK_ERR(sidecar_check(SIDECAR_EXEMPLARS, buf_slice(&b)), ERR_CORRUPT, "malformed");
    buf_done(&b);
}
