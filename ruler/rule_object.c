#include "ruler/rule_object.h"

#include "common/base/hash.h"
#include "common/base/map.h"
#include "common/base/reader.h"
#include "common/model/tenant.h"

#define MAX_SEGMENT 240 /* of a key: file systems take 255 */
#define CRC_BYTES 4

static const char magic[8] = "ORRRUL\0\1";

static const char *lang_dir(enum rule_lang lang)
{
    return lang == RULE_LOGQL ? "logs" : "metrics";
}

static bool is_kept(struct slice ns, size_t i)
{
    uint8_t c = ns.ptr[i];

    return c >= 0x80 || (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
           c == '_' || c == '-' || (c == '.' && i > 0);
}

static void put_ns(struct buf *out, struct slice ns)
{
    for (size_t i = 0; i < ns.len; i++) {
        if (is_kept(ns, i))
            buf_byte(out, ns.ptr[i]);
        else
            buf_printf(out, "!%02X", ns.ptr[i]);
    }
}

struct err *rule_object_check_ns(struct slice ns)
{
    struct buf b = {0};
    size_t len;

    if (!ns.len)
        return err_new(ERR_INVALID, "a namespace must be provided in the request");
    if (!slice_is_utf8(ns))
        return err_new(ERR_INVALID, "the namespace is not UTF-8");
    for (size_t i = 0; i < ns.len; i++)
        if (ns.ptr[i] < 0x20 || ns.ptr[i] == 0x7f)
            return err_new(ERR_INVALID, "the namespace has a control byte in it");
    put_ns(&b, ns);
    len = b.len;
    buf_done(&b);
    if (len > MAX_SEGMENT)
        return err_new(ERR_INVALID,
                       "the namespace is too long: it takes %zu bytes (all but letters, digits, "
                       "_, - and . take three), and %d are the most",
                       len, MAX_SEGMENT);
    return NULL;
}

struct slice rule_object_prefix(struct arena *a, struct slice tenant)
{
    return slice_cstr(tenant.len ? arena_printf(a, RULE_OBJECT_PREFIX "%.*s/", SLICE_ARG(tenant))
                                 : RULE_OBJECT_PREFIX);
}

struct slice rule_object_lang_prefix(struct arena *a, struct slice tenant, enum rule_lang lang)
{
    return slice_cstr(
        arena_printf(a, RULE_OBJECT_PREFIX "%.*s/%s/", SLICE_ARG(tenant), lang_dir(lang)));
}

struct slice rule_object_key(struct arena *a, struct slice tenant, enum rule_lang lang,
                             struct slice ns)
{
    struct buf b = {0};
    struct slice key;

    buf_slice_append(&b, rule_object_lang_prefix(a, tenant, lang));
    put_ns(&b, ns);
    key = arena_dup(a, buf_slice(&b));
    buf_done(&b);
    return key;
}

static int hex_of(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The other way round; false: put_ns() does not write so. */
static bool read_ns(struct arena *a, struct slice text, struct slice *ret)
{
    struct buf b = {0};
    bool is_same;

    for (size_t i = 0; i < text.len; i++) {
        int hi = i + 2 < text.len ? hex_of(text.ptr[i + 1]) : -1;
        int lo = i + 2 < text.len ? hex_of(text.ptr[i + 2]) : -1;

        if (text.ptr[i] == '!' && hi >= 0 && lo >= 0) {
            buf_byte(&b, (uint8_t)(hi << 4 | lo));
            i += 2;
        } else {
            buf_byte(&b, text.ptr[i]);
        }
    }
    *ret = arena_dup(a, buf_slice(&b));
    buf_reset(&b);
    put_ns(&b, *ret);
    is_same = slice_eq(buf_slice(&b), text);
    buf_done(&b);
    return is_same;
}

static bool read_lang(struct slice text, enum rule_lang *ret)
{
    static const enum rule_lang all[] = {RULE_PROMQL, RULE_LOGQL};

    for (size_t i = 0; i < ORR_COUNT(all); i++)
        if (slice_eq_cstr(text, lang_dir(all[i]))) {
            *ret = all[i];
            return true;
        }
    return false;
}

bool rule_object_key_read(struct arena *a, struct slice key, struct slice *ret_tenant,
                          enum rule_lang *ret_lang, struct slice *ret_ns)
{
    struct slice rest = key, top, lang, ns, more;
    struct err *e;

    if (!slice_split(&rest, '/', &top) || !slice_eq_cstr(top, "rules") ||
        !slice_split(&rest, '/', ret_tenant) || !slice_split(&rest, '/', &lang) ||
        !slice_split(&rest, '/', &ns) || slice_split(&rest, '/', &more) ||
        !read_lang(lang, ret_lang) || !read_ns(a, ns, ret_ns))
        return false;
    e = err_first(tenant_check(*ret_tenant), rule_object_check_ns(*ret_ns));
    err_free(e);
    return !e;
}

struct err *rule_object_write(struct buf *out, const struct rule_object *o)
{
    size_t from = out->len;

    if (o->n > RULE_OBJECT_MAX_GROUPS)
        return err_new(ERR_LIMIT, "namespace of %zu groups, more than %d", o->n,
                       RULE_OBJECT_MAX_GROUPS);
    buf_append(out, magic, sizeof(magic));
    buf_lstr(out, o->ns);
    buf_uvarint(out, o->n);
    for (size_t i = 0; i < o->n; i++) {
        buf_lstr(out, o->groups[i].name);
        buf_lstr(out, o->groups[i].yaml);
    }
    buf_u32le(out, hash_crc32c(slice_of(out->ptr + from, out->len - from)));
    if (out->len - from > RULE_OBJECT_MAX_BYTES)
        return err_new(ERR_LIMIT, "namespace of %zu bytes, more than %u", out->len - from,
                       RULE_OBJECT_MAX_BYTES);
    return NULL;
}

static struct err *read_groups(struct arena *a, struct reader *r, struct rule_object *ret)
{
    struct map seen = {0};
    bool is_twice = false;

    ret->n = reader_count(r, 2);
    if (ret->n > RULE_OBJECT_MAX_GROUPS)
        return err_new(ERR_CORRUPT, "more than %d groups", RULE_OBJECT_MAX_GROUPS);
    ret->groups = arena_array(a, struct rule_object_group, ret->n + 1);
    for (size_t i = 0; i < ret->n && reader_ok(r); i++) {
        struct rule_object_group *g = &ret->groups[i];

        g->name = reader_lstr(r);
        g->yaml = reader_lstr(r);
        is_twice = is_twice || !g->name.len || map_put(&seen, g->name, ret);
    }
    map_done(&seen);
    if (!reader_ok(r) || reader_left(r))
        return err_new(ERR_CORRUPT, "it does not end where it should");
    return is_twice ? err_new(ERR_CORRUPT, "a group without a name, or of one twice") : NULL;
}

struct err *rule_object_parse(struct arena *a, struct slice bytes, struct rule_object *ret)
{
    struct slice body = slice_sub(bytes, 0, bytes.len - ORR_MIN(bytes.len, (size_t)CRC_BYTES));
    struct reader crc = reader_new(slice_from(bytes, body.len)), r = reader_new(body);

    if (bytes.len > RULE_OBJECT_MAX_BYTES)
        return err_new(ERR_CORRUPT, "%zu bytes, more than %u", bytes.len, RULE_OBJECT_MAX_BYTES);
    if (!slice_eq(reader_bytes(&r, sizeof(magic)), slice_of(magic, sizeof(magic))))
        return err_new(ERR_CORRUPT, "no rules are in it that this version can read");
    if (reader_u32le(&crc) != hash_crc32c(body) || !reader_ok(&crc))
        return err_new(ERR_CORRUPT, "its checksum does not fit");
    ret->ns = reader_lstr(&r);
    return read_groups(a, &r, ret);
}

const struct rule_object_group *rule_object_find(const struct rule_object *o, struct slice name)
{
    for (size_t i = 0; i < o->n; i++)
        if (slice_eq(o->groups[i].name, name))
            return &o->groups[i];
    return NULL;
}

void rule_object_set(struct arena *a, struct rule_object *o, struct rule_object_group g)
{
    const struct rule_object_group *is = rule_object_find(o, g.name);
    struct rule_object_group *groups = arena_array(a, struct rule_object_group, o->n + 1);

    for (size_t i = 0; i < o->n; i++)
        groups[i] = is == &o->groups[i] ? g : o->groups[i];
    if (!is)
        groups[o->n++] = g;
    o->groups = groups;
}

bool rule_object_remove(struct rule_object *o, struct slice name)
{
    const struct rule_object_group *is = rule_object_find(o, name);
    size_t at;

    if (!is)
        return false;
    at = (size_t)(is - o->groups);
    for (size_t i = at + 1; i < o->n; i++)
        o->groups[i - 1] = o->groups[i];
    o->n--;
    return true;
}
