#include "common/base/base64.h"

static int digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

bool base64_decode(struct slice s, struct buf *out)
{
    size_t before = out->len;
    uint32_t bits = 0;
    unsigned have = 0;

    /* Padding is optional, but where it is the length must come out even. */
    if (s.len && s.ptr[s.len - 1] == '=') {
        if (s.len % 4 != 0)
            return false;
        s.len -= s.ptr[s.len - 2] == '=' ? 2 : 1;
    }
    if (s.len % 4 == 1)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        int d = digit(s.ptr[i]);

        if (d < 0) {
            out->len = before;
            return false;
        }
        bits = bits << 6 | (uint32_t)d;
        have += 6;
        if (have >= 8) {
            have -= 8;
            buf_byte(out, (uint8_t)(bits >> have));
        }
    }
    return true;
}

void base64_encode(struct slice s, bool is_padded, struct buf *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < s.len; i += 3) {
        size_t n = ORR_MIN(s.len - i, (size_t)3);
        uint32_t v = (uint32_t)s.ptr[i] << 16;

        v |= n > 1 ? (uint32_t)s.ptr[i + 1] << 8 : 0;
        v |= n > 2 ? s.ptr[i + 2] : 0;
        for (size_t k = 0; k < 4; k++) {
            if (k <= n)
                buf_byte(out, (uint8_t)digits[v >> (18 - 6 * k) & 63]);
            else if (is_padded)
                buf_byte(out, '=');
        }
    }
}
