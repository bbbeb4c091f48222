#include "common/ring/member.h"

#include <stdlib.h>

#include "common/base/mem.h"
#include "common/base/reader.h"

#define MEMBER_FORMAT 1

static const char *const state_names[] = {
#define X(sym, name) name,
    MEMBER_STATES(X)
#undef X
};

struct named_bit {
    uint32_t bit;
    const char *name;
};
#define X(sym, name, bit) {sym, name},
static const struct named_bit role_names[] = {MEMBER_ROLES(X)};
static const struct named_bit signal_names[] = {MEMBER_SIGNALS(X)};
#undef X

const char *member_state_name(enum member_state s)
{
    return (unsigned)s < MEMBER_STATE_COUNT ? state_names[s] : "?";
}

static void mask_text(struct buf *out, uint32_t mask, const struct named_bit *names, size_t n)
{
    const char *comma = "";

    for (size_t i = 0; i < n; i++) {
        if (mask & names[i].bit) {
            buf_printf(out, "%s%s", comma, names[i].name);
            comma = ",";
        }
    }
}

static uint32_t mask_from_name(struct slice name, const struct named_bit *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq_cstr(name, names[i].name))
            return names[i].bit;
    return 0;
}

void member_roles_text(struct buf *out, uint32_t roles)
{
    mask_text(out, roles, role_names, ORR_COUNT(role_names));
}

void member_signals_text(struct buf *out, uint32_t signals)
{
    mask_text(out, signals, signal_names, ORR_COUNT(signal_names));
}

uint32_t member_role_from_name(struct slice name)
{
    return mask_from_name(name, role_names, ORR_COUNT(role_names));
}

uint32_t member_signal_from_name(struct slice name)
{
    return mask_from_name(name, signal_names, ORR_COUNT(signal_names));
}

/* Names end up in pages, logs and addresses: nothing but visible ASCII. */
static struct err *check_text(const char *what, struct slice s, size_t max, bool may_be_empty)
{
    if (s.len > max)
        return err_new(ERR_INVALID, "member: %s is longer than %zu bytes", what, max);
    if (s.len == 0 && !may_be_empty)
        return err_new(ERR_INVALID, "member: %s is empty", what);
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= 0x20 || s.ptr[i] >= 0x7f)
            return err_new(ERR_INVALID, "member: %s holds byte 0x%02x", what, s.ptr[i]);
    return NULL;
}

/* What a decoder has read and a caller has filled in, before it is checked and copied. */
struct member_parts {
    struct slice instance, zone, rpc_addr, http_addr;
};

static struct err *check(const struct member_parts *p, const struct member *m)
{
    struct err *e;

    if ((e = check_text("instance", p->instance, MEMBER_MAX_NAME, false)) ||
        (e = check_text("zone", p->zone, MEMBER_MAX_NAME, true)) ||
        (e = check_text("rpc address", p->rpc_addr, MEMBER_MAX_ADDR, true)) ||
        (e = check_text("http address", p->http_addr, MEMBER_MAX_ADDR, true)))
        return e;
    if ((unsigned)m->state >= MEMBER_STATE_COUNT)
        return err_new(ERR_INVALID, "member: unknown state %u", (unsigned)m->state);
    if (m->n_tokens > MEMBER_MAX_TOKENS)
        return err_new(ERR_INVALID, "member: %zu tokens, at most %d", m->n_tokens,
                       MEMBER_MAX_TOKENS);
    /* Beyond, nobody could take a higher one. A wall clock in ms stays below for a long time. */
    if (m->incarnation >= 1ull << 62 || m->version >= 1ull << 63)
        return err_new(ERR_INVALID, "member: version out of range");
    return NULL;
}

static int cmp_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Takes over tokens. */
static struct member *build(const struct member_parts *p, const struct member *from,
                            uint32_t *tokens, size_t n)
{
    struct member *m = mem_new(struct member);
    size_t kept = 0;

    m->refs = 1;
    m->instance = slice_dup(p->instance);
    m->zone = slice_dup(p->zone);
    m->rpc_addr = slice_dup(p->rpc_addr);
    m->http_addr = slice_dup(p->http_addr);
    m->roles = from->roles;
    m->signals = from->signals;
    m->state = from->state;
    m->incarnation = from->incarnation;
    m->version = from->version;
    m->registered_ms = from->registered_ms;
    m->state_ms = from->state_ms;
    m->left_ms = from->left_ms;
    if (n > 1)
        qsort(tokens, n, sizeof(*tokens), cmp_u32);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || tokens[i] != tokens[kept - 1])
            tokens[kept++] = tokens[i];
    m->tokens = tokens;
    m->n_tokens = kept;
    return m;
}

struct err *member_new(const struct member *from, struct member **ret)
{
    struct member_parts p = {slice_cstr(from->instance), slice_cstr(from->zone),
                             slice_cstr(from->rpc_addr), slice_cstr(from->http_addr)};
    struct err *e = check(&p, from);
    uint32_t *tokens = NULL;

    if (e)
        return e;
    if (from->n_tokens) {
        tokens = mem_new_array(uint32_t, from->n_tokens);
        memcpy(tokens, from->tokens, from->n_tokens * sizeof(*tokens));
    }
    *ret = build(&p, from, tokens, from->n_tokens);
    return NULL;
}

struct member *member_ref(const struct member *m)
{
    struct member *mine = (struct member *)m; /* the count is all that changes */

    atomic_fetch_add_explicit(&mine->refs, 1, memory_order_relaxed);
    return mine;
}

void member_unref(const struct member *m)
{
    struct member *mine = (struct member *)m;

    if (!mine || atomic_fetch_sub_explicit(&mine->refs, 1, memory_order_acq_rel) != 1)
        return;
    mem_free((char *)mine->instance);
    mem_free((char *)mine->zone);
    mem_free((char *)mine->rpc_addr);
    mem_free((char *)mine->http_addr);
    mem_free((uint32_t *)mine->tokens);
    mem_free(mine);
}

int member_cmp(const struct member *a, const struct member *b)
{
    struct buf x = {0}, y = {0};
    int c;

    if (a->incarnation != b->incarnation)
        return a->incarnation > b->incarnation ? 1 : -1;
    if (a->version != b->version)
        return a->version > b->version ? 1 : -1;
    if (a == b)
        return 0;
    /* Two writers of one version: a name used twice, or two who forget at once. Any order will do
     * as long as everybody takes the same. */
    member_encode(&x, a);
    member_encode(&y, b);
    c = slice_cmp(buf_slice(&x), buf_slice(&y));
    buf_done(&x);
    buf_done(&y);
    return c;
}

struct member *member_forgotten(const struct member *m, int64_t now_ms)
{
    struct member copy = *m;
    struct member_parts p = {slice_cstr(m->instance), slice_cstr(m->zone), slice_cstr(m->rpc_addr),
                             slice_cstr(m->http_addr)};

    copy.version |= MEMBER_FORGOTTEN;
    copy.state = MEMBER_LEFT;
    copy.state_ms = now_ms;
    if (!copy.left_ms)
        copy.left_ms = now_ms;
    return build(&p, &copy, NULL, 0);
}

bool member_is_readable(const struct member *m)
{
    if (m->state == MEMBER_LEFT)
        return false;
    return m->state != MEMBER_PENDING || m->registered_ms != 0;
}

void member_encode(struct buf *out, const struct member *m)
{
    buf_byte(out, MEMBER_FORMAT);
    buf_lstr(out, slice_cstr(m->instance));
    buf_lstr(out, slice_cstr(m->zone));
    buf_lstr(out, slice_cstr(m->rpc_addr));
    buf_lstr(out, slice_cstr(m->http_addr));
    buf_uvarint(out, m->roles);
    buf_uvarint(out, m->signals);
    buf_byte(out, (uint8_t)m->state);
    buf_uvarint(out, m->incarnation);
    buf_uvarint(out, m->version);
    buf_varint(out, m->registered_ms);
    buf_varint(out, m->state_ms);
    buf_varint(out, m->left_ms);
    buf_uvarint(out, m->n_tokens);
    for (size_t i = 0; i < m->n_tokens; i++)
        buf_u32le(out, m->tokens[i]);
}

static uint32_t *decode_tokens(struct reader *r, uint64_t n)
{
    uint32_t *tokens;

    if (n == 0)
        return NULL;
    if (n > MEMBER_MAX_TOKENS || n * 4 > reader_left(r)) {
        reader_fail(r);
        return NULL;
    }
    tokens = mem_new_array(uint32_t, n);
    for (uint64_t i = 0; i < n; i++)
        tokens[i] = reader_u32le(r);
    return tokens;
}

struct err *member_decode(struct slice bytes, struct member **ret)
{
    struct reader r = reader_new(bytes);
    struct member m = {0};
    struct member_parts p;
    uint32_t *tokens;
    uint8_t format = reader_u8(&r);
    struct err *e;

    if (reader_ok(&r) && format != MEMBER_FORMAT)
        return err_new(ERR_UNSUPPORTED, "member: format %u, this is %d", format, MEMBER_FORMAT);
    p.instance = reader_lstr(&r);
    p.zone = reader_lstr(&r);
    p.rpc_addr = reader_lstr(&r);
    p.http_addr = reader_lstr(&r);
    m.roles = (uint32_t)reader_uvarint(&r);
    m.signals = (uint32_t)reader_uvarint(&r);
    m.state = (enum member_state)reader_u8(&r);
    m.incarnation = reader_uvarint(&r);
    m.version = reader_uvarint(&r);
    m.registered_ms = reader_varint(&r);
    m.state_ms = reader_varint(&r);
    m.left_ms = reader_varint(&r);
    m.n_tokens = reader_uvarint(&r);
    tokens = decode_tokens(&r, m.n_tokens);
    if (!reader_ok(&r))
        return err_new(ERR_INVALID, "member: malformed after byte %zu", reader_pos(&r));
    if ((e = check(&p, &m))) {
        mem_free(tokens);
        return e;
    }
    *ret = build(&p, &m, tokens, m.n_tokens);
    return NULL;
}
