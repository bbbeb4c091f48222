/* A regex, a zero byte, a line: the filter made of the regex keeps the line exactly if the regex
 * itself matches it; patterns and addresses of any text end well. */
#include <stdlib.h>

#include "common/lang/logql_re.h"
#include "common/logs/linefilter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(struct arena *a, enum logql_line_op op, bool is_ip, struct slice text,
                struct slice line)
{
    struct logql_needle needle = {text, is_ip};
    struct logql_stage s = {
        .kind = LOGQL_STAGE_LINE, .line_op = op, .needles = &needle, .n_needles = 1};
    struct linefilter *f;
    struct err *e = linefilter_make(a, &s, 1, &f);

    if (!e) {
        bool is_kept = linefilter_keeps(f, line);
        struct re *re = NULL;

        if (op == LOGQL_LINE_RE) {
            e = re_compile(text, 0, &re);
            if (!e && re_match(re, line) != is_kept)
                abort();
            re_free(re);
        }
        linefilter_done(f);
    }
    err_free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice all = slice_of(data, size);
    ptrdiff_t zero = slice_find_byte(all, 0, 0);
    struct slice text = zero < 0 ? all : slice_sub(all, 0, (size_t)zero);
    struct slice line = zero < 0 ? all : slice_from(all, (size_t)zero + 1);
    struct arena *a = arena_new(16 << 20);

    run(a, LOGQL_LINE_RE, false, text, line);
    run(a, LOGQL_LINE_PATTERN, false, text, line);
    run(a, LOGQL_LINE_HAS, true, text, line);
    arena_free(a);
    return 0;
}
