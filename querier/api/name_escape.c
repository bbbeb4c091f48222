#include "querier/api/name_escape.h"

#include "common/base/gostr.h"
#include "common/model/labels.h"

static const char *const texts[] = {
#define X(sym, name) name,
    NAME_ESCAPES(X)
#undef X
};

enum name_escape name_escape_of_accept(struct slice accept)
{
    static const struct slice key = SLICE_INIT("escaping=");
    ptrdiff_t at = accept.ptr ? slice_find(accept, key, 0) : -1;
    struct slice value;
    size_t n = 0;

    if (at < 0)
        return NAME_ESCAPE_UNDERSCORES;
    value = slice_from(accept, (size_t)at + key.len);
    while (n < value.len && value.ptr[n] != ';' && value.ptr[n] != ',' && value.ptr[n] != ' ')
        n++;
    value.len = n;
    for (size_t i = 0; i < ORR_COUNT(texts); i++)
        if (slice_eq_cstr(value, texts[i]))
            return (enum name_escape)i;
    return NAME_ESCAPE_UNDERSCORES;
}

static bool is_plain(uint32_t rune, bool is_first)
{
    return (rune >= 'a' && rune <= 'z') || (rune >= 'A' && rune <= 'Z') || rune == '_' ||
           rune == ':' || (rune >= '0' && rune <= '9' && !is_first);
}

static void put_rune(struct buf *out, enum name_escape how, uint32_t rune, bool is_first)
{
    if (how == NAME_ESCAPE_DOTS && rune == '.')
        buf_str(out, "_dot_");
    else if (how != NAME_ESCAPE_UNDERSCORES && rune == '_')
        buf_str(out, "__");
    else if (is_plain(rune, is_first))
        buf_byte(out, (uint8_t)rune);
    else if (how == NAME_ESCAPE_VALUES)
        buf_printf(out, "_%x_", rune);
    else
        buf_str(out, how == NAME_ESCAPE_DOTS ? "__" : "_");
}

struct slice name_escape(struct arena *a, enum name_escape how, struct slice name)
{
    struct buf out = {0};
    struct slice rest = name, ret;
    bool is_legacy = labels_is_legacy_metric(name);

    if (how == NAME_ESCAPE_NONE || (is_legacy && how != NAME_ESCAPE_DOTS))
        return name;
    if (how == NAME_ESCAPE_VALUES)
        buf_str(&out, "U__");
    for (bool is_first = true; rest.len; is_first = false) {
        uint32_t rune;
        size_t n = gostr_rune(rest, &rune);

        put_rune(&out, how, rune, is_first);
        rest = slice_from(rest, n);
    }
    ret = arena_dup(a, buf_slice(&out));
    buf_done(&out);
    return ret;
}
