#include "ingester/metrics/batch.h"
#include "tests/unit/test.h"

static struct hash128 fp_of(uint64_t i)
{
    return (struct hash128){i * 7 + 1, i};
}

static struct slice canonical(struct buf *b, const char *name, const char *value)
{
    struct label l = {slice_cstr(name), slice_cstr(value)};

    buf_reset(b);
    labels_canonical(b, (struct labels){&l, 1});
    return buf_slice(b);
}

TEST(batch_carries_plain_samples_in_their_entries)
{
    struct batch_writer w;
    struct buf out = {0};
    struct batch b;
    struct batch_entry en;

    batch_writer_init(&w, 1000);
    for (uint64_t i = 0; i < 100; i++)
        batch_sample(&w, fp_of(i), 1000 + (int64_t)i, (double)i);
    CHECK_INT(batch_writer_bytes(&w), 32 + 100 * 32);
    batch_finish(&w, &out);
    CHECK_OK(batch_open(buf_slice(&out), &b));
    CHECK_INT(b.n, 100);
    for (uint32_t i = 0; i < 100; i++) {
        CHECK(batch_entry_get(&b, i, &en));
        CHECK(hash128_eq(en.fp, fp_of(i)) && en.has_inline && !en.labels.ptr);
        CHECK_INT(en.inline_sample.t_ms, 1000 + i);
        CHECK(en.inline_sample.v == (double)i);
    }
    buf_done(&out);
    batch_writer_done(&w);
}

TEST(batch_carries_labels_histograms_exemplars_and_metadata)
{
    struct batch_writer w;
    struct buf out = {0}, lb = {0};
    struct batch b;
    struct batch_entry en;
    struct batch_exemplar ex;
    struct batch_meta m;
    struct slice enc;
    int64_t t;
    struct reader r;
    struct arena *a = arena_new(0);
    struct histogram h = {.schema = 2,
                          .is_int = true,
                          .zero_threshold = 0.01,
                          .count = 5,
                          .sum = 9},
                     got;
    struct histogram_span sp[] = {{-1, 2}, {3, 1}};
    double buckets[] = {1, 2, 2};

    h.pos_spans = sp;
    h.n_pos_spans = 2;
    h.pos_buckets = buckets;
    h.n_pos_buckets = 3;
    batch_writer_init(&w, 0);
    batch_series_begin(&w, fp_of(1));
    batch_series_labels(&w, canonical(&lb, "__name__", "up"));
    batch_series_sample(&w, 5, 1.5);
    batch_series_end(&w);
    batch_series_begin(&w, fp_of(2));
    batch_series_sample(&w, 5, 1);
    batch_series_sample(&w, INT64_MAX, 2);
    batch_series_histogram(&w, 7, &h);
    batch_series_exemplar(&w, canonical(&lb, "trace_id", "abc"), 8, 3);
    batch_series_end(&w);
    batch_sample(&w, fp_of(3), INT64_MIN, 4); /* does not fit an entry */
    batch_metadata(&w, METRIC_COUNTER_TYPE, SLICE("up"), SLICE("Is it."), SLICE(""));
    batch_finish(&w, &out);

    CHECK_OK(batch_open(buf_slice(&out), &b));
    CHECK(batch_entry_get(&b, 0, &en));
    CHECK(en.has_inline && batch_labels_valid(en.labels));
    CHECK(batch_entry_get(&b, 1, &en));
    CHECK_INT(en.n_samples, 2);
    CHECK_INT(batch_entry_sample(&en, 1).t_ms, INT64_MAX);
    r = reader_new(en.histograms);
    CHECK(batch_next_histogram(&r, &t, &enc));
    CHECK_INT(t, 7);
    CHECK_OK(batch_histogram_decode(a, enc, &got));
    CHECK(got.is_int && got.n_pos_spans == 2 && got.pos_spans[0].offset == -1 && got.sum == 9 &&
          got.pos_buckets[2] == 2);
    CHECK(!batch_next_histogram(&r, &t, &enc));
    r = reader_new(en.exemplars);
    CHECK(batch_next_exemplar(&r, &ex));
    CHECK(ex.v == 3 && ex.t_ms == 8);
    CHECK(batch_entry_get(&b, 2, &en));
    CHECK(!en.has_inline && en.n_samples == 1);
    r = reader_new(b.meta);
    CHECK(batch_next_meta(&r, &m));
    CHECK_SLICE(m.help, "Is it.");
    arena_free(a);
    buf_done(&lb);
    buf_done(&out);
    batch_writer_done(&w);
}

TEST(batch_refuses_bytes_cut_anywhere)
{
    struct batch_writer w;
    struct buf out = {0}, lb = {0};
    struct batch b;

    batch_writer_init(&w, 0);
    batch_series_begin(&w, fp_of(1));
    batch_series_labels(&w, canonical(&lb, "a", "b"));
    batch_series_sample(&w, 5, 1.5);
    batch_series_end(&w);
    batch_metadata(&w, METRIC_UNKNOWN, SLICE("f"), SLICE("h"), SLICE("u"));
    batch_finish(&w, &out);
    for (size_t n = 0; n < out.len; n++)
        CHECK_ERR(batch_open(slice_of(out.ptr, n), &b), ERR_INVALID, "");
    out.ptr[32 + 16] = 200;
    CHECK_ERR(batch_open(buf_slice(&out), &b), ERR_INVALID, "extra");
    buf_done(&lb);
    buf_done(&out);
    batch_writer_done(&w);
}

TEST(batch_labels_valid_wants_sorted_unique_full_pairs)
{
    struct buf b = {0};
    struct label ok[] = {{SLICE("a"), SLICE("1")}, {SLICE("b"), SLICE("2")}};
    struct label swapped[] = {{SLICE("b"), SLICE("1")}, {SLICE("a"), SLICE("2")}};
    struct label twice[] = {{SLICE("a"), SLICE("1")}, {SLICE("a"), SLICE("2")}};

    labels_canonical(&b, (struct labels){ok, 2});
    CHECK(batch_labels_valid(buf_slice(&b)));
    CHECK(!batch_labels_valid(slice_of(b.ptr, b.len - 1)));
    buf_reset(&b);
    labels_canonical(&b, (struct labels){swapped, 2});
    CHECK(!batch_labels_valid(buf_slice(&b)));
    buf_reset(&b);
    labels_canonical(&b, (struct labels){twice, 2});
    CHECK(!batch_labels_valid(buf_slice(&b)));
    CHECK(!batch_labels_valid(SLICE_EMPTY));
    buf_done(&b);
}

TEST(batch_reply_survives_its_codec)
{
    struct batch_reply r = {.accepted = 77}, got;
    struct buf b = {0};

    vec_push(&r.unknown, 0);
    vec_push(&r.unknown, 5);
    vec_push(&r.unknown, 1000);
    for (uint32_t i = 0; i < 20; i++)
        batch_reject(&r, BATCH_TOO_OLD, i, -(int64_t)i);
    batch_reply_encode(&b, &r);
    CHECK_OK(batch_reply_decode(buf_slice(&b), &got));
    CHECK_INT(got.accepted, 77);
    CHECK_INT(got.unknown.len, 3);
    CHECK_INT(got.unknown.ptr[0], 0);
    CHECK_INT(got.unknown.ptr[2], 1000);
    CHECK_INT(got.rejected[BATCH_TOO_OLD], 20);
    CHECK_INT(batch_rejected(&got), 20);
    CHECK_INT(got.refusals.len, 20);
    CHECK_INT(got.refusals.ptr[17].series, 17);
    CHECK_INT(got.refusals.ptr[17].t_ms, -17);
    CHECK_INT(got.refusals.ptr[17].reason, BATCH_TOO_OLD);
    batch_reply_done(&got);
    for (size_t n = 0; n < b.len; n++)
        CHECK_ERR(batch_reply_decode(slice_of(b.ptr, n), &got), ERR_INVALID, "");
    batch_reply_done(&r);
    buf_done(&b);
}

TEST(batch_reply_names_the_widest_label)
{
    struct batch_reply all = {0}, part = {0}, got;
    struct buf b = {0};

    part.widest = slice_of(mem_strdup("pod"), 3);
    part.widest_values = 7;
    batch_reply_merge(&all, &part);
    CHECK_INT(part.widest.len, 0);
    part.widest = slice_of(mem_strdup("pod"), 3);
    part.widest_values = 2;
    batch_reply_merge(&all, &part);
    part.widest = slice_of(mem_strdup("app"), 3);
    part.widest_values = 8;
    batch_reply_merge(&all, &part);
    batch_reply_encode(&b, &all);
    batch_reply_done(&all);
    CHECK_OK(batch_reply_decode(buf_slice(&b), &got));
    CHECK_SLICE(got.widest, "pod");
    CHECK_INT(got.widest_values, 9);
    batch_reply_done(&got);
    for (size_t n = 0; n < b.len; n++)
        CHECK_ERR(batch_reply_decode(slice_of(b.ptr, n), &got), ERR_INVALID, "");
    buf_done(&b);
}

TEST(batch_reply_merges_parts_with_what_is_unknown_ascending)
{
    static const uint32_t firsts[] = {2, 7, 9}, seconds[] = {0, 1, 8};
    struct batch_reply all = {.accepted = 5}, first = {.accepted = 1}, second = {.accepted = 2};

    for (size_t i = 0; i < 3; i++) {
        vec_push(&first.unknown, firsts[i]);
        vec_push(&second.unknown, seconds[i]);
    }
    batch_reject(&first, BATCH_TOO_OLD, 3, 30);
    batch_reject(&second, BATCH_TOO_OLD, 4, 40);
    batch_reply_merge(&all, &first);
    batch_reply_merge(&all, &second);
    CHECK_INT(second.unknown.len, 0);
    CHECK_INT(all.accepted, 8);
    CHECK_INT(all.rejected[BATCH_TOO_OLD], 2);
    CHECK_INT(all.refusals.len, 2);
    CHECK_INT(all.refusals.ptr[1].series, 4);
    CHECK_INT(all.unknown.len, 6);
    for (size_t i = 0; i < 6; i++)
        CHECK_INT(all.unknown.ptr[i], ((uint32_t[]){0, 1, 2, 7, 8, 9})[i]);
    batch_reply_done(&all);
}

TEST(batch_carries_when_a_series_was_created)
{
    struct batch_writer w;
    struct buf out = {0};
    struct batch b;
    struct batch_entry en;

    batch_writer_init(&w, 1000);
    for (uint64_t i = 0; i < 3; i++) {
        batch_series_begin(&w, fp_of(i));
        batch_series_sample(&w, 1000, 1);
        batch_series_created(&w, i == 1 ? -77 : 0); /* of one only: each begin forgets it */
        batch_series_end(&w);
    }
    batch_finish(&w, &out);
    CHECK_OK(batch_open(buf_slice(&out), &b));
    for (uint32_t i = 0; i < 3; i++) {
        CHECK(batch_entry_get(&b, i, &en));
        CHECK_INT(en.created_ms, i == 1 ? -77 : 0);
        CHECK(en.has_inline && en.inline_sample.t_ms == 1000);
    }
    out.ptr[32 + 3 * 32] |= 128; /* a flag that nobody knows */
    CHECK_ERR(batch_open(buf_slice(&out), &b), ERR_INVALID, "malformed extra");
    buf_done(&out);
    batch_writer_done(&w);
}

TEST(batch_carries_a_start_timestamp)
{
    struct batch_writer w;
    struct buf out = {0};
    struct batch b;
    struct batch_entry en;
    size_t plain;

    batch_writer_init(&w, 1000);
    batch_series_begin(&w, fp_of(0));
    batch_series_sample(&w, 1000, 1);
    batch_series_end(&w);
    plain = batch_writer_bytes(&w);
    batch_series_begin(&w, fp_of(1));
    batch_series_sample(&w, 1000, 1);
    batch_series_sample(&w, 2000, 1);
    batch_series_start(&w, -77);
    batch_series_end(&w);
    batch_series_begin(&w, fp_of(2));
    batch_series_sample(&w, 1000, 1);
    batch_series_start(&w, 1700000000000);
    batch_series_end(&w);
    CHECK_INT(plain, BATCH_HEADER_BYTES + BATCH_ENTRY_BYTES); /* without one: no extra */
    batch_finish(&w, &out);
    CHECK_OK(batch_open(buf_slice(&out), &b));
    for (uint32_t i = 0; i < 3; i++) {
        CHECK(batch_entry_get(&b, i, &en));
        CHECK_INT(en.start_ms, i == 0 ? 0 : i == 1 ? -77 : 1700000000000);
        CHECK_INT(en.n_samples, i == 1 ? 2 : 0);
    }
    buf_done(&out);
    batch_writer_done(&w);
}
