#include "ingester/door/message_cut.h"

enum taken {
    TAKEN_MORE,   /* nothing: more of the stream is needed */
    TAKEN_PASSED, /* something that is no message */
    TAKEN_MESSAGE
};

void message_cut_init(struct message_cut *c, const struct message_cut_opts *opts)
{
    *c = (struct message_cut){.opts = *opts};
}

void message_cut_done(struct message_cut *c)
{
    buf_done(&c->in);
}

static bool is_end(const struct message_cut *c, uint8_t b)
{
    return b == 0 || (b == '\n' && c->opts.framing == MESSAGE_SYSLOG);
}

/* Where the message that starts here ends; len: not yet. What comes byte by byte is looked at once. */
static size_t find_end(struct message_cut *c, struct slice s)
{
    struct slice rest = slice_from(s, c->looked);
    const uint8_t *nul = memchr(rest.ptr, 0, rest.len), *newline = NULL;
    size_t n = nul ? (size_t)(nul - s.ptr) : s.len;

    if (c->opts.framing == MESSAGE_SYSLOG && (newline = memchr(rest.ptr, '\n', n - c->looked)))
        n = (size_t)(newline - s.ptr);
    c->looked = nul || newline ? 0 : n;
    return n;
}

/* Does s begin with "57 <"? *ret_head: bytes before the <; 0: no. False: it cannot be told yet. */
static bool read_count(const struct message_cut *c, struct slice s, size_t *ret_head, size_t *ret_n)
{
    size_t i = 0, n = 0;

    *ret_head = *ret_n = 0;
    if (c->opts.framing != MESSAGE_SYSLOG || s.ptr[0] < '1' || s.ptr[0] > '9')
        return true;
    for (; i < s.len && i < MESSAGE_CUT_DIGITS && s.ptr[i] >= '0' && s.ptr[i] <= '9'; i++)
        n = 10 * n + (size_t)(s.ptr[i] - '0');
    if (i == s.len)
        return false;
    if (s.ptr[i] != ' ')
        return true;
    if (i + 1 == s.len)
        return false;
    if (s.ptr[i + 1] == '<') {
        *ret_head = i + 1;
        *ret_n = n;
    }
    return true;
}

/* What is too long is cut at the bound, or passed over; *rest is behind what is known of it. */
static enum taken take_long(struct message_cut *c, struct slice *rest, struct slice *ret)
{
    *(c->opts.truncates ? &c->cut : &c->dropped) += 1;
    c->looked = 0;
    *ret = slice_sub(*rest, 0, c->opts.max_bytes);
    *rest = slice_from(*rest, c->opts.max_bytes);
    return c->opts.truncates ? TAKEN_MESSAGE : TAKEN_PASSED;
}

static enum taken take_counted(struct message_cut *c, struct slice *rest, size_t head, size_t n,
                               struct slice *ret)
{
    struct slice body = slice_from(*rest, head);

    if (n > c->opts.max_bytes) {
        if (body.len < c->opts.max_bytes)
            return TAKEN_MORE;
        c->skips = n - c->opts.max_bytes;
        *rest = body;
        return take_long(c, rest, ret);
    }
    if (body.len < n)
        return TAKEN_MORE;
    *ret = slice_sub(body, 0, n);
    *rest = slice_from(body, n);
    return TAKEN_MESSAGE;
}

static enum taken skip(struct message_cut *c, struct slice *rest)
{
    size_t n = c->skips ? ORR_MIN(c->skips, rest->len) : find_end(c, *rest);

    if (c->skips)
        c->skips -= n;
    else
        c->skips_to_end = n == rest->len;
    c->looked = 0;
    *rest = slice_from(*rest, n);
    return TAKEN_PASSED;
}

/* One step; rest is not empty. */
static enum taken take(struct message_cut *c, struct slice *rest, struct slice *ret)
{
    size_t head, n;

    if (c->skips || c->skips_to_end)
        return skip(c, rest);
    if (is_end(c, rest->ptr[0])) {
        *rest = slice_from(*rest, 1);
        return TAKEN_PASSED;
    }
    if (!read_count(c, *rest, &head, &n))
        return TAKEN_MORE;
    if (head)
        return take_counted(c, rest, head, n, ret);
    n = find_end(c, *rest);
    if (n > c->opts.max_bytes) {
        c->skips_to_end = true;
        return take_long(c, rest, ret);
    }
    if (n == rest->len)
        return TAKEN_MORE;
    *ret = slice_sub(*rest, 0, n);
    *rest = slice_from(*rest, n + 1);
    return TAKEN_MESSAGE;
}

void message_cut_put(struct message_cut *c, struct slice piece, message_fn *fn, void *arg)
{
    struct buf before = c->in;
    struct slice rest = piece, m = SLICE_EMPTY;
    enum taken t = TAKEN_PASSED;

    c->in = (struct buf){0};
    if (before.len) {
        buf_slice_append(&before, piece);
        rest = buf_slice(&before);
    }
    while (rest.len && (t = take(c, &rest, &m)) != TAKEN_MORE)
        if (t == TAKEN_MESSAGE && m.len)
            fn(arg, m);
    if (rest.len && rest.ptr == before.ptr) {
        c->in = before; /* a message that comes in many pieces is not copied each time */
        return;
    }
    if (rest.len)
        buf_slice_append(&c->in, rest);
    buf_done(&before);
}

void message_cut_end(struct message_cut *c, message_fn *fn, void *arg)
{
    struct slice rest = buf_slice(&c->in);
    size_t head = 0, n;

    if (rest.len && (!read_count(c, rest, &head, &n) || !head))
        fn(arg, rest);
    else if (rest.len)
        c->dropped++;
    buf_done(&c->in);
    c->looked = c->skips = 0;
    c->skips_to_end = false;
}
