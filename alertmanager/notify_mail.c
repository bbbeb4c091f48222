/* The words of mail: addresses, headers, quoted-printable. */
#include "alertmanager/notify_internal.h"

#define MAX_ADDRESSES 1000
#define QP_LINE 76      /* bytes of a line, with its soft break */
#define PLAIN_BYTES 900 /* of a header: SMTP takes lines of 998 */
#define WORD_BYTES 75   /* of an encoded word */

/* Up to the next comma that stands in no quotes, brackets or comment. */
static struct slice next_mailbox(struct slice *rest)
{
    bool is_quoted = false, is_angled = false;
    unsigned comment = 0;
    size_t i = 0;
    struct slice ret;

    for (; i < rest->len; i++) {
        uint8_t c = rest->ptr[i];

        if (c == '\\' && (is_quoted || comment))
            i++;
        else if (c == '"' && !comment)
            is_quoted = !is_quoted;
        else if (c == '(' && !is_quoted)
            comment++;
        else if (c == ')' && comment)
            comment--;
        else if (!is_quoted && !comment && (c == '<' || c == '>'))
            is_angled = c == '<';
        else if (c == ',' && !is_quoted && !is_angled && !comment)
            break;
    }
    i = ORR_MIN(i, rest->len);
    ret = slice_trim(slice_sub(*rest, 0, i));
    *rest = slice_from(*rest, i + 1);
    return ret;
}

static bool is_address(struct slice s)
{
    ptrdiff_t at = -1;

    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] <= ' ' || s.ptr[i] == 0x7f || strchr("<>(),;:\\\"[]", s.ptr[i]))
            return false;
        if (s.ptr[i] == '@')
            at = (ptrdiff_t)i;
    }
    return at > 0 && (size_t)at + 1 < s.len;
}

/* The address in "name <address>" or "address (comment)". */
static struct slice bare(struct slice s)
{
    ptrdiff_t open = -1, close;

    for (ptrdiff_t at = slice_find_byte(s, '<', 0); at >= 0;
         at = slice_find_byte(s, '<', (size_t)at + 1))
        open = at; /* the last: names may have them in quotes */
    if (open < 0)
        return slice_trim(slice_sub(
            s, 0, slice_find_byte(s, '(', 0) < 0 ? s.len : (size_t)slice_find_byte(s, '(', 0)));
    close = slice_find_byte(s, '>', (size_t)open);
    return slice_sub(s, (size_t)open + 1, close < 0 ? 0 : (size_t)(close - open - 1));
}

const char **notify_mail_addresses(struct notify_render *r, const char *what, struct slice list,
                                   size_t *ret_n)
{
    const char **ret = NULL;

    *ret_n = 0;
    while (list.len) {
        struct slice box = next_mailbox(&list), address = bare(box);

        if (!box.len)
            continue;
        if (!is_address(address) || *ret_n >= MAX_ADDRESSES) {
            notify_fail(r, err_new(ERR_INVALID, "%s: \"%.*s\" is no address", what,
                                   SLICE_ARG(slice_sub(box, 0, 200))));
            break;
        }
        ret = arena_more(r->arena, ret, *ret_n);
        ret[(*ret_n)++] = arena_cstr(r->arena, address);
    }
    if (!*ret_n)
        notify_fail(r, err_new(ERR_INVALID, "%s: no address", what));
    return ret;
}

/* ---- headers: RFC 2047 ---- */

static bool is_plain(struct slice s)
{
    if (s.len > PLAIN_BYTES)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if ((s.ptr[i] < ' ' && s.ptr[i] != '\t') || s.ptr[i] >= 0x7f)
            return false;
    return true;
}

static size_t rune_bytes(struct slice s, size_t at)
{
    size_t n = 1;

    while (at + n < s.len && (s.ptr[at + n] & 0xc0) == 0x80 && n < 4)
        n++;
    return n;
}

static bool goes_plain(uint8_t c)
{
    return c > ' ' && c < 0x7f && c != '=' && c != '?' && c != '_';
}

void notify_mail_header(struct buf *b, const char *name, struct slice value)
{
    size_t line = 0;

    buf_printf(b, "%s: ", name);
    if (is_plain(value)) {
        buf_slice_append(b, value);
        buf_str(b, "\r\n");
        return;
    }
    for (size_t i = 0; i < value.len;) {
        size_t n = rune_bytes(value, i);
        size_t need = n > 1 || !(goes_plain(value.ptr[i]) || value.ptr[i] == ' ') ? 3 * n : 1;

        if (!line || line + need + 2 > WORD_BYTES) { /* a word has whole runes */
            buf_str(b, line ? "?=\r\n =?utf-8?q?" : "=?utf-8?q?");
            line = strlen("=?utf-8?q?");
        }
        for (size_t k = 0; k < n; k++) {
            uint8_t c = value.ptr[i + k];

            if (c == ' ')
                buf_byte(b, '_');
            else if (n == 1 && goes_plain(c))
                buf_byte(b, c);
            else
                buf_printf(b, "=%02X", c);
        }
        line += need;
        i += n;
    }
    buf_str(b, "?=\r\n");
}

/* ---- bodies: RFC 2045 ---- */

static void soft_break(struct buf *b, size_t *line, size_t need)
{
    if (*line + need >= QP_LINE) {
        buf_str(b, "=\r\n");
        *line = 0;
    }
    *line += need;
}

void notify_mail_body(struct buf *b, struct slice s)
{
    size_t line = 0;

    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        bool ends = i + 1 == s.len || s.ptr[i + 1] == '\n' ||
                    (s.ptr[i + 1] == '\r' && i + 2 < s.len && s.ptr[i + 2] == '\n');

        if (c == '\r' && i + 1 < s.len && s.ptr[i + 1] == '\n')
            continue;
        if (c == '\n') {
            buf_str(b, "\r\n");
            line = 0;
        } else if (((c == ' ' || c == '\t') && !ends) || (c > ' ' && c < 0x7f && c != '=')) {
            soft_break(b, &line, 1);
            buf_byte(b, c);
        } else {
            soft_break(b, &line, 3);
            buf_printf(b, "=%02X", c);
        }
    }
    buf_str(b, "\r\n");
}
