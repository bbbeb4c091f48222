/* Foreign bytes by a decoder of logs into a batch, under limits and without, and back out of the
 * batch's own bytes. For the fuzz targets of logs. */
#pragma once
#include "ingester/door/log_builder.h"

static inline void log_whole_way_read(const struct log_batch *batch)
{
    struct arena *a = arena_new(0);
    struct log_batch_reader r;
    struct log_batch_head head;
    struct log_entry got;
    struct buf bytes = {0};
    size_t n = 0;

    log_batch_encode(batch, NULL, 0, true, &bytes);
    log_batch_reader_init(&r, a, buf_slice(&bytes));
    while (log_batch_next_stream(&r, &head)) {
        uint32_t at = log_batch_find(batch, head.fp);

        ORR_ASSERT(at != LOG_BATCH_NONE);
        ORR_ASSERT(hash128_eq(head.fp, labels_fingerprint_of_canonical(head.labels)));
        LOG_BATCH_FOREACH(want, batch, &batch->streams.ptr[at])
        {
            ORR_ASSERT(log_batch_next_entry(&r, &got));
            ORR_ASSERT(got.t_ns == want->t_ns && slice_eq(got.line, want->line));
            ORR_ASSERT(got.n_metadata == want->n_metadata);
            n++;
        }
    }
    ORR_ASSERT(log_batch_reader_end(&r) == NULL && n == batch->entries.len);
    buf_done(&bytes);
    arena_free(a);
}

static inline void log_whole_way(log_decode_fn *decode, const void *arg)
{
    static const struct tenant_limits limits = {.generation = 1,
                                                .max_label_names_per_stream = 10,
                                                .max_label_name_length = 20,
                                                .max_stream_label_value_length = 50,
                                                .max_line_size = 100,
                                                .max_line_size_truncate = true,
                                                .allow_structured_metadata = true,
                                                .max_structured_metadata_size = 200,
                                                .max_structured_metadata_entries_count = 8,
                                                .discover_service_name = true,
                                                .discover_log_levels = true};

    for (int lax = 0; lax < 2; lax++) {
        struct log_batch *batch = log_batch_new(SLICE("t"), &limits);
        struct log_builder b;
        struct err *e;

        log_builder_init(&b, batch, NULL, 1767225600000000000);
        b.is_lax = lax;
        e = decode(&b, arg);
        if (!e) /* else texts may be gone with what they were in */
            log_whole_way_read(batch);
        err_free(e);
        err_free(log_builder_answer(&b));
        log_batch_free(batch);
    }
}
