#include "common/block/block_skip.h"

static const char *const texts[] = {
#define X(sym, text) text,
    BLOCK_SKIPS(X)
#undef X
};
static_assert(ORR_COUNT(texts) == BLOCK_SKIP_REASONS, "block_skip.h counts its reasons");

const char *block_skip_text(enum block_skip reason)
{
    return texts[reason];
}

bool block_skip_labels_may_match(struct labels external, struct matchers ms)
{
    for (size_t i = 0; i < ms.n; i++) {
        struct slice value = labels_get(external, ms.ptr[i].name);

        if (value.len && !matcher_matches(&ms.ptr[i], value))
            return false;
    }
    return true;
}
