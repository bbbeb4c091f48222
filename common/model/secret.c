#include "common/model/secret.h"

#include <arpa/inet.h>

#define MIN_CARD 13
#define MAX_CARD 19
#define MAX_LOCAL 254 /* bytes before the @ that are looked at */
#define MAX_HOST 253
#define MAX_IP 45 /* of an address as text */
#define MIN_TOKEN 8
#define SURE_TOKEN 20 /* a word so long is no word */
#define MIN_JWT_PART 8

static const char *const names[] = {
#define X(sym, name) name,
    SECRET_CLASSES(X)
#undef X
};

bool secret_class_from_name(struct slice name, enum secret_class *ret)
{
    for (unsigned i = 0; i < SECRET_CLASS_COUNT; i++)
        if (slice_eq_cstr(name, names[i])) {
            *ret = (enum secret_class)i;
            return true;
        }
    return false;
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_alpha(uint8_t c)
{
    return (uint8_t)((c | 0x20) - 'a') < 26;
}

static bool is_word(uint8_t c)
{
    return is_digit(c) || is_alpha(c) || c == '_';
}

static bool is_hex(uint8_t c)
{
    return is_digit(c) || (uint8_t)((c | 0x20) - 'a') < 6;
}

/* ---- cards ---- */

/* Do n digits begin as cards do, and end with their check digit? */
static bool is_card(const uint8_t *digits, size_t n)
{
    unsigned sum = 0;

    if (digits[0] < '2' || digits[0] > '6')
        return false;
    for (size_t i = 0; i < n; i++) {
        unsigned d = digits[n - 1 - i] - '0';

        if (i % 2)
            d = d > 4 ? 2 * d - 9 : 2 * d;
        sum += d;
    }
    return sum % 10 == 0;
}

/* The longest card that begins at i, where a group of digits does; its end, or 0. */
static size_t card_at(struct slice s, size_t i)
{
    uint8_t digits[MAX_CARD];
    size_t n = 0, end = 0;

    while (i < s.len && is_digit(s.ptr[i])) {
        while (i < s.len && is_digit(s.ptr[i])) {
            if (n == MAX_CARD)
                return end;
            digits[n++] = s.ptr[i++];
        }
        if (n >= MIN_CARD && (i == s.len || !is_word(s.ptr[i])) && is_card(digits, n))
            end = i;
        if (i < s.len && (s.ptr[i] == ' ' || s.ptr[i] == '-'))
            i++;
    }
    return end;
}

static bool find_card(struct slice s, size_t from, size_t *ret_start, size_t *ret_end)
{
    for (size_t i = from; i + MIN_CARD <= s.len; i++) {
        if (!is_digit(s.ptr[i]))
            continue;
        *ret_start = i;
        if ((i == 0 || !is_word(s.ptr[i - 1])) && (*ret_end = card_at(s, i)))
            return true;
        while (i < s.len && is_digit(s.ptr[i]))
            i++;
    }
    return false;
}

/* ---- e-mail ---- */

static bool is_local(uint8_t c)
{
    return is_word(c) || c == '.' || c == '%' || c == '+' || c == '-';
}

/* The end of a host with a dot that begins at i, or 0. */
static size_t host_at(struct slice s, size_t i)
{
    size_t start = i, part = i, end = 0;

    for (; i < s.len && i - start <= MAX_HOST; i++) {
        if (is_word(s.ptr[i]) || s.ptr[i] == '-')
            continue;
        if (s.ptr[i] != '.' || i == part)
            break;
        part = i + 1;
    }
    if (part == start)
        return 0;
    end = i == part ? part - 1 : i; /* a full stop behind it */
    /* the last part: letters */
    for (part = end; part > start && s.ptr[part - 1] != '.'; part--)
        if (!is_alpha(s.ptr[part - 1]))
            return 0;
    return part > start && end - part >= 2 ? end : 0;
}

static bool find_email(struct slice s, size_t from, size_t *ret_start, size_t *ret_end)
{
    for (ptrdiff_t at = slice_find_byte(s, '@', from); at >= 0;
         at = slice_find_byte(s, '@', (size_t)at + 1)) {
        size_t start = (size_t)at, end = host_at(s, (size_t)at + 1);

        while (start > from && (size_t)at - start < MAX_LOCAL && is_local(s.ptr[start - 1]))
            start--;
        if (end && start < (size_t)at) {
            *ret_start = start;
            *ret_end = end;
            return true;
        }
    }
    return false;
}

/* ---- addresses ---- */

/* The end of a dotted IPv4 address that begins at i, or 0. */
static size_t ipv4_at(struct slice s, size_t i)
{
    for (unsigned part = 0; part < 4; part++) {
        unsigned v = 0, n = 0;

        if (part && (i == s.len || s.ptr[i++] != '.'))
            return 0;
        for (; i < s.len && is_digit(s.ptr[i]) && n < 4; i++, n++)
            v = 10 * v + (unsigned)(s.ptr[i] - '0');
        if (n == 0 || n > 3 || v > 255)
            return 0;
    }
    if (i < s.len &&
        (is_word(s.ptr[i]) || (s.ptr[i] == '.' && i + 1 < s.len && is_digit(s.ptr[i + 1]))))
        return 0;
    return i;
}

/* The same of an IPv6 address in the text form of the system. */
static size_t ipv6_at(struct slice s, size_t i)
{
    char text[MAX_IP + 1];
    struct in6_addr addr;
    size_t end = i, colons = 0, digits = 0;

    for (; end < s.len && end - i <= MAX_IP; end++) {
        uint8_t c = s.ptr[end];

        if (!is_hex(c) && c != ':' && c != '.')
            break;
        colons += c == ':';
        digits += is_digit(c);
    }
    if (end < s.len && is_word(s.ptr[end]))
        return 0;
    while (end > i && s.ptr[end - 1] == '.')
        end--;
    if (end > i + 2 && s.ptr[end - 1] == ':' && s.ptr[end - 2] != ':')
        end--;
    if (colons < 2 || !digits || end - i > MAX_IP)
        return 0;
    memcpy(text, s.ptr + i, end - i);
    text[end - i] = 0;
    return inet_pton(AF_INET6, text, &addr) == 1 ? end : 0;
}

static bool find_ip(struct slice s, size_t from, size_t *ret_start, size_t *ret_end)
{
    for (size_t i = from; i < s.len; i++) {
        uint8_t c = s.ptr[i], before = i ? s.ptr[i - 1] : ' ';

        if ((!is_hex(c) && c != ':') || is_word(before) || before == '.')
            continue;
        *ret_start = i;
        if ((is_digit(c) && (*ret_end = ipv4_at(s, i))) ||
            (before != ':' && (*ret_end = ipv6_at(s, i))))
            return true;
    }
    return false;
}

/* ---- tokens ---- */

static bool is_token(uint8_t c)
{
    return is_word(c) || c == '-' || c == '.' || c == '~' || c == '+' || c == '/' || c == '=';
}

static size_t bearer_at(struct slice s, size_t i, size_t *ret_start)
{
    size_t digits = 0;

    if (s.len - i < 7 || !slice_eq_nocase(slice_sub(s, i, 6), SLICE("bearer")) ||
        (i && is_word(s.ptr[i - 1])) || s.ptr[i + 6] != ' ')
        return 0;
    for (i += 7; i < s.len && s.ptr[i] == ' '; i++)
        ;
    for (*ret_start = i; i < s.len && is_token(s.ptr[i]); i++)
        digits += is_digit(s.ptr[i]);
    return i - *ret_start >= SURE_TOKEN || (i - *ret_start >= MIN_TOKEN && digits) ? i : 0;
}

static size_t base64url_at(struct slice s, size_t i)
{
    while (i < s.len && (is_word(s.ptr[i]) || s.ptr[i] == '-'))
        i++;
    return i;
}

/* eyJ….….… : three parts of base64url, the first of which is a JSON object. */
static size_t jwt_at(struct slice s, size_t i)
{
    size_t dot = base64url_at(s, i), second;

    if (dot - i < MIN_JWT_PART || dot == s.len || s.ptr[dot] != '.')
        return 0;
    second = base64url_at(s, dot + 1);
    if (second - dot <= MIN_JWT_PART || second == s.len || s.ptr[second] != '.')
        return 0;
    return base64url_at(s, second + 1);
}

static bool find_bearer(struct slice s, size_t from, size_t *ret_start, size_t *ret_end)
{
    for (size_t i = from; i + MIN_TOKEN <= s.len; i++) {
        uint8_t c = s.ptr[i];

        *ret_start = i;
        if ((c | 0x20) == 'b' && (*ret_end = bearer_at(s, i, ret_start)))
            return true;
        if (c != 'e' || s.ptr[i + 1] != 'y' || s.ptr[i + 2] != 'J' || (i && is_word(s.ptr[i - 1])))
            continue;
        *ret_start = i;
        if ((*ret_end = jwt_at(s, i)))
            return true;
        i = base64url_at(s, i) - 1;
    }
    return false;
}

bool secret_find(enum secret_class c, struct slice text, size_t from, size_t *ret_start,
                 size_t *ret_end)
{
    switch (c) {
    case SECRET_CARD:
        return find_card(text, from, ret_start, ret_end);
    case SECRET_EMAIL:
        return find_email(text, from, ret_start, ret_end);
    case SECRET_IP:
        return find_ip(text, from, ret_start, ret_end);
    default:
        return find_bearer(text, from, ret_start, ret_end);
    }
}
