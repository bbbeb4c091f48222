#include "common/model/exemplar_order.h"
#include "common/model/labels.h"
#include "tests/unit/test.h"

static struct slice canonical(struct buf *b, struct slice value)
{
    struct label l = {SLICE("trace_id"), value};

    buf_reset(b);
    labels_canonical(b, (struct labels){&l, 1});
    return buf_slice(b);
}

static enum exemplar_place place(int64_t t1, double v1, const char *l1, int64_t t2, double v2,
                                 const char *l2)
{
    struct buf a = {0}, b = {0};
    struct exemplar_order last = {t1, v1, canonical(&a, slice_cstr(l1))};
    struct exemplar_order next = {t2, v2, canonical(&b, slice_cstr(l2))};
    enum exemplar_place p = exemplar_order_place(&last, &next);

    buf_done(&a);
    buf_done(&b);
    return p;
}

TEST(exemplar_order_is_that_of_prometheus)
{
    char wide[600];

    CHECK_INT(place(1, 1, "abc", 2, 0, "abc"), EXEMPLAR_AFTER);
    CHECK_INT(place(2, 1, "abc", 1, 5, "abc"), EXEMPLAR_BEHIND);
    CHECK_INT(place(1, 1, "abc", 1, 2, "abc"), EXEMPLAR_AFTER);
    CHECK_INT(place(1, 2, "abc", 1, 1, "abc"), EXEMPLAR_BEHIND);
    CHECK_INT(place(1, 1, "abc", 1, 1, "abc"), EXEMPLAR_SAME);
    /* From a case of the conformance data: def is not taken behind abc. */
    CHECK_INT(place(1, 0.5, "abc", 1, 0.5, "def"), EXEMPLAR_BEHIND);
    CHECK_INT(place(1, 0.5, "def", 1, 0.5, "abc"), EXEMPLAR_AFTER);
    memset(wide, 'w', sizeof(wide) - 1);
    wide[sizeof(wide) - 1] = 0;
    CHECK(place(1, 0.5, wide, 1, 0.5, "a") != place(1, 0.5, "a", 1, 0.5, wide));
}
