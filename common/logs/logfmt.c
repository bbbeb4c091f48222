#include "common/logs/logfmt.h"

#include "common/base/gostr.h"
#include "common/logs/bytescan.h"
#include "common/logs/jsonline.h"

bool logfmt_unquote(struct slice s, struct buf *out)
{
    if (s.len < 2 || s.ptr[0] != '"' || s.ptr[s.len - 1] != '"')
        return false;
    s = slice_sub(s, 1, s.len - 2);
    while (s.len) {
        uint32_t rune;
        size_t n;

        if (s.ptr[0] == '\\') {
            n = jsonline_escape(s, out, true);
        } else if (s.ptr[0] == '"' || s.ptr[0] < ' ') {
            n = 0;
        } else {
            n = gostr_rune(s, &rune);
            gostr_put_rune(out, rune);
        }
        if (n == 0)
            return false;
        s = slice_from(s, n);
    }
    return true;
}

static int byte_at(const struct logfmt *it)
{
    return it->pos < it->line.len ? it->line.ptr[it->pos] : -1;
}

static bool is_space(int c)
{
    return c >= 0 && c <= ' ';
}

/* Goes on behind the bad pair: at the next space. */
static enum logfmt_what bad(struct logfmt *it, size_t pos, const char *error)
{
    it->error = error;
    it->error_pos = pos;
    while (byte_at(it) > ' ')
        it->pos++;
    return LOGFMT_BAD;
}

/* "a \"b\"" with it->pos at the first quote. */
static enum logfmt_what take_quoted(struct logfmt *it, struct buf *scratch, struct slice *ret)
{
    size_t start = it->pos;
    bool has_escapes;
    struct slice text;

    it->pos = bytescan_string(it->line, start + 1, &has_escapes);
    if (byte_at(it) < 0) {
        return bad(it, start, "unterminated quoted value");
    }
    it->pos++;
    text = slice_sub(it->line, start, it->pos - start);
    if (!has_escapes) {
        *ret = slice_sub(text, 1, text.len - 2);
        return LOGFMT_PAIR;
    }
    buf_reset(scratch);
    if (!logfmt_unquote(text, scratch))
        return bad(it, start, "invalid quoted value");
    *ret = buf_slice(scratch);
    return LOGFMT_PAIR;
}

static enum logfmt_what take_value(struct logfmt *it, struct buf *scratch, struct slice *ret)
{
    size_t start = it->pos;
    int c = byte_at(it);

    if (c == '"')
        return take_quoted(it, scratch, ret);
    it->pos = bytescan_word(it->line, it->pos);
    c = byte_at(it);
    if (c > ' ')
        return bad(it, it->pos, c == '=' ? "unexpected '='" : "unexpected '\"'");
    *ret = slice_sub(it->line, start, it->pos - start);
    return LOGFMT_PAIR;
}

/* U+FFFD, be it written or what bytes that are not UTF-8 stand for. */
static bool has_bad_rune(struct slice s)
{
    while (s.len) {
        uint32_t r;
        size_t n = gostr_rune(s, &r);

        if (r == 0xfffd)
            return true;
        s = slice_from(s, n);
    }
    return false;
}

enum logfmt_what logfmt_next(struct logfmt *it, struct buf *scratch, struct slice *ret_key,
                             struct slice *ret_value)
{
    size_t start;
    int c;

    while (is_space(byte_at(it)))
        it->pos++;
    if (byte_at(it) < 0)
        return LOGFMT_END;
    start = it->pos;
    it->pos = bytescan_word(it->line, start);
    c = byte_at(it);
    if (c == '"')
        return bad(it, it->pos, "unexpected '\"'");
    *ret_key = slice_sub(it->line, start, it->pos - start);
    *ret_value = SLICE_EMPTY;
    if (ret_key->len == 0)
        return bad(it, it->pos, "unexpected '='");
    if (!bytescan_is_ascii(*ret_key) && has_bad_rune(*ret_key))
        return bad(it, start, "invalid key");
    if (c != '=')
        return LOGFMT_PAIR;
    it->pos++;
    return take_value(it, scratch, ret_value);
}
