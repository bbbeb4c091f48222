#include "common/base/gore.h"

#include "common/base/gostr.h"

bool gore_next(const struct re *re, struct slice text, struct gore_scan *scan, int *spans,
               size_t n_spans)
{
    while (scan->from <= text.len && re_find(re, text, scan->from, spans, n_spans)) {
        bool is_empty = spans[0] == spans[1];
        bool counts = !is_empty || spans[0] != scan->last_end;
        size_t end = (size_t)spans[1];
        uint32_t rune;

        scan->last_end = spans[1];
        if (!is_empty)
            scan->from = end;
        else
            scan->from = end + (end < text.len ? gostr_rune(slice_from(text, end), &rune) : 1);
        if (counts)
            return true;
    }
    return false;
}

static bool is_name_byte(uint8_t c)
{
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The group's name behind a dollar, as long as it can be; 0 bytes taken if there is none. */
static size_t name_at(struct slice s, struct slice *ret)
{
    bool in_braces = s.len && s.ptr[0] == '{';
    size_t start = in_braces, n = start;

    while (n < s.len && is_name_byte(s.ptr[n]))
        n++;
    *ret = slice_sub(s, start, n - start);
    if (n == start || (in_braces && (n == s.len || s.ptr[n] != '}')))
        return 0;
    return n + in_braces;
}

static int group_of(const struct re *re, struct slice name)
{
    uint64_t i;

    if (slice_to_u64(name, &i) && (name.len == 1 || name.ptr[0] != '0'))
        return i <= re_groups(re) ? (int)i : -1;
    return re_group_index(re, name);
}

void gore_expand(struct buf *out, const struct re *re, struct slice r, struct slice text,
                 const int *spans, size_t n_spans)
{
    ptrdiff_t dollar;
    struct slice name;
    size_t n;
    int group;

    while ((dollar = slice_find_byte(r, '$', 0)) >= 0) {
        buf_slice_append(out, slice_sub(r, 0, (size_t)dollar));
        r = slice_from(r, (size_t)dollar + 1);
        if (r.len && r.ptr[0] == '$') {
            buf_byte(out, '$');
            r = slice_from(r, 1);
            continue;
        }
        if (!(n = name_at(r, &name))) {
            buf_byte(out, '$'); /* malformed: an ordinary dollar */
            continue;
        }
        r = slice_from(r, n);
        group = group_of(re, name);
        if (group >= 0 && (size_t)group < n_spans / 2 && spans[2 * group] >= 0)
            buf_append(out, text.ptr + spans[2 * group],
                       (size_t)(spans[2 * group + 1] - spans[2 * group]));
    }
    buf_slice_append(out, r);
}

void gore_replace_all(struct buf *out, const struct re *re, struct slice text,
                      struct slice replacement)
{
    struct gore_scan scan = {0, -1};
    int spans[2 * GORE_MAX_GROUPS];
    size_t done = 0;

    while (gore_next(re, text, &scan, spans, ORR_COUNT(spans))) {
        buf_slice_append(out, slice_sub(text, done, (size_t)spans[0] - done));
        gore_expand(out, re, replacement, text, spans,
                    2 * ORR_MIN(re_groups(re) + 1, (size_t)GORE_MAX_GROUPS));
        done = (size_t)spans[1];
    }
    buf_slice_append(out, slice_from(text, done));
}
