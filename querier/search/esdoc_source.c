/* What a document is printed as. */
#include "querier/search/esdoc.h"
#include "querier/search/esquery.h"

static bool is_one_of(const struct slice *patterns, size_t n, struct slice name)
{
    for (size_t end = name.len + 1; end-- > 0;)
        if (end == name.len || name.ptr[end] == '.')
            for (size_t i = 0; i < n; i++)
                if (esdoc_glob(patterns[i], slice_sub(name, 0, end), false))
                    return true;
    return false;
}

bool esdoc_wants(const struct esdoc_wants *w, struct slice name)
{
    return (!w->n_includes || is_one_of(w->includes, w->n_includes, name)) &&
           !is_one_of(w->excludes, w->n_excludes, name);
}

void esdoc_put_value(struct buf *out, const struct esvalue *v)
{
    if (v->kind == ESVALUE_TEXT)
        buf_json_str(out, v->text);
    else
        buf_slice_append(out, v->text);
}

static void put_name(struct buf *out, struct slice name, bool *is_first)
{
    if (!*is_first)
        buf_byte(out, ',');
    *is_first = false;
    buf_json_str(out, name);
    buf_byte(out, ':');
}

static void put_scalar(struct buf *out, struct jsonval v)
{
    switch (jsonval_kind(v)) {
    case JSONVAL_TEXT:
        buf_json_str(out, jsonval_text(v));
        break;
    case JSONVAL_BOOL:
        buf_str(out, jsonval_bool(v) ? "true" : "false");
        break;
    case JSONVAL_I64:
        buf_printf(out, "%lld", (long long)jsonval_i64(v));
        break;
    case JSONVAL_U64:
        buf_printf(out, "%llu", (unsigned long long)jsonval_u64(v));
        break;
    case JSONVAL_F64:
        buf_f64_text(out, jsonval_f64(v));
        break;
    default:
        buf_str(out, "null");
        break;
    }
}

static bool put_wanted(struct buf *out, struct jsonval v, struct buf *path,
                       const struct esdoc_wants *w);

/* Members that are wanted; false: there is none. */
static bool put_object(struct buf *out, struct jsonval v, struct buf *path,
                       const struct esdoc_wants *w)
{
    struct jsonval_iter it = jsonval_iter(v);
    size_t before = path->len, n = 0;
    struct jsonval item;
    struct slice key;

    buf_byte(out, '{');
    while (jsonval_next(&it, &key, &item)) {
        size_t start = out->len;

        if (before)
            buf_byte(path, '.');
        buf_slice_append(path, key);
        if (n)
            buf_byte(out, ',');
        buf_json_str(out, key);
        buf_byte(out, ':');
        if (put_wanted(out, item, path, w))
            n++;
        else
            out->len = start;
        path->len = before;
    }
    buf_byte(out, '}');
    return n > 0;
}

static bool put_list(struct buf *out, struct jsonval v, struct buf *path,
                     const struct esdoc_wants *w)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct jsonval item;
    struct slice key;
    size_t n = 0;

    buf_byte(out, '[');
    while (jsonval_next(&it, &key, &item)) {
        size_t start = out->len;

        if (n)
            buf_byte(out, ',');
        if (put_wanted(out, item, path, w))
            n++;
        else
            out->len = start;
    }
    buf_byte(out, ']');
    return n > 0 || esdoc_wants(w, buf_slice(path));
}

static bool put_wanted(struct buf *out, struct jsonval v, struct buf *path,
                       const struct esdoc_wants *w)
{
    if (jsonval_kind(v) == JSONVAL_OBJECT)
        return put_object(out, v, path, w) ||
               (!jsonval_count(v) && esdoc_wants(w, buf_slice(path)));
    if (jsonval_kind(v) == JSONVAL_LIST)
        return put_list(out, v, path, w);
    if (!esdoc_wants(w, buf_slice(path)))
        return false;
    put_scalar(out, v);
    return true;
}

/* Whether the line itself has a member of the name at its top. */
static bool has_member(struct esdoc *d, struct slice name)
{
    struct jsonval_iter it;
    struct jsonval item;
    struct slice key;

    if (esdoc_form(d) != ESDOC_JSON)
        return slice_eq_cstr(name, ESQUERY_MESSAGE);
    for (it = jsonval_iter(d->root); jsonval_next(&it, &key, &item);)
        if (slice_eq(key, name))
            return true;
    return false;
}

static void put_label(struct esdoc *d, const struct esdoc_wants *w, struct slice name,
                      struct slice value, bool *is_first, struct buf *out)
{
    if (has_member(d, name) || !esdoc_wants(w, name))
        return;
    put_name(out, name, is_first);
    buf_json_str(out, value);
}

static void put_attributes(struct esdoc *d, const struct esdoc_wants *w, bool *is_first,
                           struct buf *out)
{
    bool is_first_one = true;
    struct buf name = {0};

    for (size_t i = 0; i < d->metadata.n; i++) {
        const struct label *l = &d->metadata.ptr[i];

        buf_reset(&name);
        buf_str(&name, ESDOC_ATTRIBUTES);
        buf_slice_append(&name, l->name);
        if (esdoc_is_metadata(l->name) || !esdoc_wants(w, buf_slice(&name)))
            continue;
        if (is_first_one) {
            put_name(out, SLICE("attributes"), is_first);
            buf_byte(out, '{');
        }
        put_name(out, l->name, &is_first_one);
        buf_json_str(out, l->value);
    }
    if (!is_first_one)
        buf_byte(out, '}');
    buf_done(&name);
}

/* What stands beside the line. */
static void put_rest(struct esdoc *d, const struct esdoc_wants *w, bool *is_first, struct buf *out)
{
    bool has_attributes = has_member(d, SLICE("attributes"));

    if (!has_member(d, SLICE(ESQUERY_TIME)) && esdoc_wants(w, SLICE(ESQUERY_TIME))) {
        put_name(out, SLICE(ESQUERY_TIME), is_first);
        buf_byte(out, '"');
        esdate_format(out, d->ts_ns, SLICE("strict_date_optional_time_nanos"), NULL);
        buf_byte(out, '"');
    }
    for (size_t i = 0; i < d->stream.n; i++)
        put_label(d, w, d->stream.ptr[i].name, d->stream.ptr[i].value, is_first, out);
    for (size_t i = 0; i < d->metadata.n; i++)
        if (esdoc_is_metadata(d->metadata.ptr[i].name) &&
            !labels_has(d->stream, d->metadata.ptr[i].name))
            put_label(d, w, d->metadata.ptr[i].name, d->metadata.ptr[i].value, is_first, out);
    if (!has_attributes)
        put_attributes(d, w, is_first, out);
}

/* The line without its last brace, as it is. */
static void put_line(struct esdoc *d, bool *is_first, struct buf *out)
{
    struct slice line = slice_trim(d->line);

    line.len--;
    buf_slice_append(out, slice_trim(line));
    *is_first = !jsonval_count(d->root);
}

void esdoc_source(struct esdoc *d, const struct esdoc_wants *w, struct buf *out)
{
    bool is_document = labels_has(d->stream, SLICE("index"));
    bool is_all = !w->n_includes && !w->n_excludes, is_first = true;
    struct buf path = {0};

    if (esdoc_form(d) != ESDOC_JSON) {
        buf_byte(out, '{');
        if (esdoc_wants(w, SLICE(ESQUERY_MESSAGE))) {
            put_name(out, SLICE(ESQUERY_MESSAGE), &is_first);
            buf_json_str(out, d->line);
        }
    } else if (is_all && is_document) {
        buf_slice_append(out, slice_trim(d->line));
        return;
    } else if (is_all) {
        put_line(d, &is_first, out);
    } else {
        is_first = !put_object(out, d->root, &path, w);
        out->len -= out->len > 0; /* the brace: there may be more */
        buf_done(&path);
    }
    if (!is_document)
        put_rest(d, w, &is_first, out);
    buf_byte(out, '}');
}
