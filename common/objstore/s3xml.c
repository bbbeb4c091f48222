#include "common/objstore/s3xml.h"

#include "common/base/gostr.h"

struct walk {
    struct arena *arena;
    const uint8_t *at, *end, *start;
    struct slice path[S3XML_MAX_DEPTH];
    size_t depth;
    const uint8_t *text; /* since the last tag */
    struct buf cdata;    /* text of an element that has CDATA sections, so far */
    bool has_root;
    s3xml_fn *fn;
    void *arg;
};

static struct err *malformed(const struct walk *w, const char *what)
{
    return err_new(ERR_CORRUPT, "XML: %s at byte %zu", what, (size_t)(w->at - w->start));
}

static bool looks_at(const struct walk *w, const char *s)
{
    return slice_has_prefix(slice_of(w->at, (size_t)(w->end - w->at)), slice_cstr(s));
}

/* Behind the next s, which must come. */
static bool skip_past(struct walk *w, const char *s)
{
    struct slice rest = slice_of(w->at, (size_t)(w->end - w->at));
    ptrdiff_t i = slice_find(rest, slice_cstr(s), 0);

    if (i < 0)
        return false;
    w->at += (size_t)i + strlen(s);
    return true;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* ---- text ---- */

/* "#10" or "#x0a", without & and ; — the number, or 0 when it is none that may stand in XML. */
static uint32_t char_reference(struct slice name)
{
    bool is_hex = name.len > 2 && name.ptr[1] == 'x';
    uint32_t c = 0;

    for (size_t i = is_hex ? 2 : 1; i < name.len; i++) {
        uint8_t d = name.ptr[i];
        uint32_t digit = d >= '0' && d <= '9'             ? (uint32_t)(d - '0')
                         : is_hex && d >= 'a' && d <= 'f' ? (uint32_t)(d - 'a' + 10)
                         : is_hex && d >= 'A' && d <= 'F' ? (uint32_t)(d - 'A' + 10)
                                                          : 16;

        if (digit >= (is_hex ? 16u : 10u) || c > 0x10ffff)
            return 0;
        c = c * (is_hex ? 16u : 10u) + digit;
    }
    return c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : c;
}

/* Appends what an entity stands for; false when it is unknown. */
static bool entity(struct slice name, struct buf *out)
{
    static const struct {
        const char *name;
        uint8_t c;
    } named[] = {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
    uint32_t c;

    for (size_t i = 0; i < ORR_COUNT(named); i++) {
        if (slice_eq_cstr(name, named[i].name)) {
            buf_byte(out, named[i].c);
            return true;
        }
    }
    if (name.len < 2 || name.ptr[0] != '#' || !(c = char_reference(name)))
        return false;
    gostr_put_rune(out, c);
    return true;
}

static struct err *resolve(struct walk *w, struct slice raw, struct slice *ret)
{
    struct buf out = {0};
    struct slice rest = raw;
    ptrdiff_t at, semi;

    if (slice_find_byte(raw, '&', 0) < 0) {
        *ret = raw.len ? arena_dup(w->arena, raw) : SLICE_EMPTY;
        return NULL;
    }
    while ((at = slice_find_byte(rest, '&', 0)) >= 0) {
        buf_slice_append(&out, slice_sub(rest, 0, (size_t)at));
        semi = slice_find_byte(rest, ';', (size_t)at);
        if (semi < 0 || !entity(slice_sub(rest, (size_t)at + 1, (size_t)(semi - at) - 1), &out)) {
            buf_done(&out);
            return malformed(w, "unknown entity");
        }
        rest = slice_from(rest, (size_t)semi + 1);
    }
    buf_slice_append(&out, rest);
    *ret = arena_dup(w->arena, buf_slice(&out));
    buf_done(&out);
    return NULL;
}

/* The text since the last tag, with CDATA before it. */
static struct err *element_text(struct walk *w, const uint8_t *until, struct slice *ret)
{
    struct err *e = resolve(w, slice_of(w->text, (size_t)(until - w->text)), ret);

    if (!e && w->cdata.len) {
        buf_slice_append(&w->cdata, *ret);
        *ret = arena_dup(w->arena, buf_slice(&w->cdata));
    }
    return e;
}

static struct err *cdata(struct walk *w)
{
    const uint8_t *tag = w->at, *content;
    struct slice before;
    struct err *e;

    if (w->depth == 0)
        return malformed(w, "text outside of the root");
    w->at += strlen("<![CDATA[");
    content = w->at;
    if (!skip_past(w, "]]>"))
        return malformed(w, "an open CDATA section");
    if ((e = resolve(w, slice_of(w->text, (size_t)(tag - w->text)), &before)))
        return e;
    buf_slice_append(&w->cdata, before);
    buf_append(&w->cdata, content, (size_t)(w->at - content) - strlen("]]>"));
    w->text = w->at;
    return NULL;
}

/* ---- tags ---- */

/* The name at w->at without its prefix. Empty when there is none. */
static struct slice tag_name(struct walk *w)
{
    const uint8_t *from = w->at;

    while (w->at < w->end && !is_space(*w->at) && *w->at != '>' && *w->at != '/' && *w->at != '<') {
        if (*w->at == ':')
            from = w->at + 1;
        w->at++;
    }
    return slice_of(from, (size_t)(w->at - from));
}

static struct err *close_element(struct walk *w, const uint8_t *tag)
{
    struct slice text;
    struct err *e = element_text(w, tag, &text);

    if (!e)
        e = w->fn(w->arg, w->path, w->depth, text);
    w->depth--;
    return e;
}

/* To the end of a start tag, over its attributes. */
static struct err *skip_attributes(struct walk *w, bool *ret_is_empty)
{
    *ret_is_empty = false;
    while (w->at < w->end && *w->at != '>') {
        uint8_t c = *w->at++;

        *ret_is_empty = c == '/';
        if (c == '<')
            return malformed(w, "'<' in a tag");
        if (c == '"' || c == '\'') {
            char quote[2] = {(char)c, '\0'};

            if (!skip_past(w, quote))
                return malformed(w, "an open attribute");
        }
    }
    if (w->at == w->end)
        return malformed(w, "an open tag");
    w->at++;
    return NULL;
}

static struct err *start_tag(struct walk *w)
{
    const uint8_t *tag = w->at++;
    struct slice name = tag_name(w);
    struct err *e;
    bool is_empty;

    if (name.len == 0)
        return malformed(w, "a tag without a name");
    if (w->depth == 0 && w->has_root)
        return malformed(w, "a second root");
    if (w->depth == S3XML_MAX_DEPTH)
        return malformed(w, "elements nested too deep");
    if ((e = skip_attributes(w, &is_empty)))
        return e;
    w->has_root = true;
    w->path[w->depth++] = name;
    buf_reset(&w->cdata);
    if (is_empty) {
        w->text = tag;
        e = close_element(w, tag);
    }
    w->text = w->at;
    return e;
}

static struct err *end_tag(struct walk *w)
{
    const uint8_t *tag = w->at;
    struct slice name;
    struct err *e;

    w->at += 2;
    name = tag_name(w);
    if (w->depth == 0 || !slice_eq(name, w->path[w->depth - 1]))
        return malformed(w, "an end tag that ends nothing");
    while (w->at < w->end && is_space(*w->at))
        w->at++;
    if (w->at == w->end || *w->at != '>')
        return malformed(w, "an open tag");
    w->at++;
    e = close_element(w, tag);
    w->text = w->at;
    buf_reset(&w->cdata);
    return e;
}

/* Comments and <?…?> are as if they were not there; text before them is lost, which S3's answers
 * do not have. */
static struct err *markup(struct walk *w)
{
    bool is_comment = looks_at(w, "<!--");

    if (is_comment || looks_at(w, "<?")) {
        if (!skip_past(w, is_comment ? "-->" : "?>"))
            return malformed(w, "an open comment");
        w->text = w->at;
        return NULL;
    }
    if (looks_at(w, "<![CDATA["))
        return cdata(w);
    if (looks_at(w, "<!"))
        return malformed(w, "a declaration");
    return looks_at(w, "</") ? end_tag(w) : start_tag(w);
}

static struct err *walk(struct walk *w)
{
    struct err *e = NULL;

    if (looks_at(w, "\xef\xbb\xbf"))
        w->at += 3;
    w->text = w->at;
    while (!e && w->at < w->end) {
        if (*w->at == '<')
            e = markup(w);
        else if (w->depth == 0 && !is_space(*w->at))
            e = malformed(w, "text outside of the root");
        else
            w->at++;
    }
    if (!e && (w->depth || !w->has_root))
        e = malformed(w, "the end came early");
    return e;
}

struct err *s3xml_walk(struct arena *a, struct slice doc, s3xml_fn *fn, void *arg)
{
    struct walk w = {.arena = a, .fn = fn, .arg = arg};
    struct err *e;

    if (doc.len > S3XML_MAX_BYTES)
        return err_new(ERR_TOO_LARGE, "XML of %zu bytes, more than %u", doc.len, S3XML_MAX_BYTES);
    if (doc.len == 0)
        doc = SLICE_EMPTY; /* not NULL */
    w.at = w.start = doc.ptr;
    w.end = doc.ptr + doc.len;
    e = walk(&w);
    buf_done(&w.cdata);
    return e;
}

bool s3xml_at(const struct slice *path, size_t depth, const char *parent, const char *name)
{
    if (!slice_eq_cstr(path[depth - 1], name))
        return false;
    if (!parent)
        return depth == 1;
    return depth >= 2 && slice_eq_cstr(path[depth - 2], parent);
}

void s3xml_escape(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];

        if (c == '&')
            buf_str(out, "&amp;");
        else if (c == '<')
            buf_str(out, "&lt;");
        else if (c == '>')
            buf_str(out, "&gt;");
        else if (c == '"')
            buf_str(out, "&quot;");
        else if (c == '\r')
            buf_str(out, "&#13;");
        else
            buf_byte(out, c);
    }
}
