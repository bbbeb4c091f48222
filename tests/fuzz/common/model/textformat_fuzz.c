/* The first byte chooses the format. Whatever is read must lie in the input or the arena. */
#include "common/model/textformat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned sink;

static void touch(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        sink += s.ptr[i];
}

static void touch_labels(struct labels ls)
{
    for (size_t i = 0; i < ls.n; i++) {
        touch(ls.ptr[i].name);
        touch(ls.ptr[i].value);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(256 << 20);
    struct textformat t;
    enum textformat_entry entry;

    if (size > 0) {
        textformat_init(&t, a, data[0] & 1 ? TEXTFORMAT_OPENMETRICS : TEXTFORMAT_PROMETHEUS,
                        slice_of(data + 1, size - 1));
        while ((entry = textformat_next(&t)) > TEXTFORMAT_END) {
            touch(t.family);
            touch(t.text);
            if (entry != TEXTFORMAT_SERIES)
                continue;
            touch_labels(t.labels);
            if (t.has_exemplar)
                touch_labels(t.exemplar_labels);
        }
        if (entry == TEXTFORMAT_BAD)
            err_free(textformat_err(&t));
    }
    arena_free(a);
    return 0;
}
