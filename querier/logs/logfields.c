#include "querier/logs/logfields.h"

#include <stdlib.h>

#include "common/base/gosize.h"
#include "common/base/num.h"
#include "common/base/promdur.h"
#include "common/logs/linelabels.h"
#include "common/logs/logfmt.h"

#define INDEX_BYTES 64 /* of memory, for a name in the map */

/* ---- types ---- */

static const char *const type_names[] = {
#define X(sym, name) [sym] = name,
    LOGFIELDS_TYPES(X)
#undef X
};

static bool is_boolean(struct slice value)
{
    static const char *const words[] = {"1", "t", "T", "TRUE",  "true",  "True",
                                        "0", "f", "F", "FALSE", "false", "False"};

    for (size_t i = 0; i < ORR_COUNT(words); i++)
        if (slice_eq_cstr(value, words[i]))
            return true;
    return false;
}

static bool is_duration(struct slice value)
{
    int64_t ns;
    struct err *e = promdur_parse_go(value, &ns);

    err_free(e);
    return !e;
}

enum logfields_type logfields_type_of(struct slice value)
{
    uint64_t bytes;
    int64_t whole;
    double number;

    if (slice_to_i64(value, &whole))
        return LOGFIELDS_INT;
    if (num_parse(value, &number))
        return LOGFIELDS_FLOAT;
    if (is_boolean(value))
        return LOGFIELDS_BOOLEAN;
    if (is_duration(value))
        return LOGFIELDS_DURATION;
    return gosize_parse(value, &bytes) ? LOGFIELDS_BYTES : LOGFIELDS_STRING;
}

static enum logfields_type both(enum logfields_type a, enum logfields_type b)
{
    if (a == b)
        return a;
    return a <= LOGFIELDS_FLOAT && b <= LOGFIELDS_FLOAT ? LOGFIELDS_FLOAT : LOGFIELDS_STRING;
}

/* ---- one line ---- */

static void keep(struct logfields_reader *r, enum logfields_parser parser, struct slice name,
                 struct slice value, struct slice path)
{
    if (!value.len || linelabels_is_error(name))
        return;
    if (r->n == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 32;

        r->items =
            arena_grow(r->arena, r->items, r->cap * sizeof(*r->items), cap * sizeof(*r->items));
        r->cap = cap;
    }
    r->items[r->n++] =
        (struct logfields_item){arena_dup(r->line, name), arena_dup(r->line, value), parser,
                                path.len ? arena_dup(r->line, path) : SLICE_EMPTY};
}

static bool on_json(void *arg, struct slice key, struct slice value)
{
    struct logfields_reader *r = arg;

    keep(r, LOGFIELDS_JSON, key, value, buf_slice(&r->json.path));
    return true;
}

static bool read_logfmt(struct logfields_reader *r, struct slice line)
{
    struct logfmt it = logfmt_of(line);
    struct slice key, value;
    enum logfmt_what what;

    while ((what = logfmt_next(&it, &r->value, &key, &value)) == LOGFMT_PAIR) {
        buf_reset(&r->name);
        jsonline_label_name(&r->name, key, true);
        keep(r, LOGFIELDS_LOGFMT, buf_slice(&r->name), value, SLICE_EMPTY);
    }
    return what == LOGFMT_END;
}

static void read_line(struct logfields_reader *r, struct slice line)
{
    r->n = 0;
    if (jsonline_each(&r->json, line, on_json, r))
        return;
    r->n = 0;
    if (!read_logfmt(r, line))
        r->n = 0;
}

static void give_labels(struct labels ls, logfields_fn *fn, void *arg)
{
    for (size_t i = 0; i < ls.n; i++)
        if (!linelabels_is_error(ls.ptr[i].name))
            fn(arg, &(struct logfields_item){
                        .name = ls.ptr[i].name, .value = ls.ptr[i].value, .path = SLICE_EMPTY});
}

/* What the stages have parsed is not the stream's any more. */
static void give_line(struct logfields_reader *r, const struct logquery_stream *s, logfields_fn *fn,
                      void *arg)
{
    for (size_t i = 0; i < r->n; i++) {
        struct logfields_item item = r->items[i];

        if (labels_has(s->stream, item.name))
            item.name = slice_cstr(
                arena_printf(r->line, "%.*s" LINELABELS_EXTRACTED, SLICE_ARG(item.name)));
        fn(arg, &item);
    }
}

void logfields_each(struct logfields_reader *r, const struct logquery_stream *s, logfields_fn *fn,
                    void *arg)
{
    r->json.keeps_path = true;
    if (!r->line)
        r->line = arena_child(r->arena, 0);
    give_labels(s->metadata, fn, arg); /* the same for all its lines */
    give_labels(s->parsed, fn, arg);
    for (size_t i = 0; i < s->n; i++) {
        arena_reset(r->line);
        read_line(r, s->lines[i].line);
        give_line(r, s, fn, arg);
    }
}

void logfields_reader_done(struct logfields_reader *r)
{
    arena_free(r->line);
    jsonline_done(&r->json);
    buf_done(&r->name);
    buf_done(&r->value);
}

/* ---- the fields of many ---- */

static struct logfield *field_of(struct logfields *f, struct slice name)
{
    struct logfield *one = map_get(&f->index, name);

    if (one)
        return one;
    if (f->n >= f->max) {
        f->is_cut = true;
        return NULL;
    }
    if (f->n == f->cap) {
        size_t cap = f->cap ? 2 * f->cap : 32;

        f->ptr = arena_grow(f->arena, f->ptr, f->cap * sizeof(struct logfield *),
                            cap * sizeof(struct logfield *));
        f->cap = cap;
    }
    one = arena_new_of(f->arena, struct logfield);
    one->name = arena_dup(f->arena, name);
    f->ptr[f->n++] = one;
    arena_charge(f->arena, INDEX_BYTES);
    map_put(&f->index, name, one);
    return one;
}

static void on_item(void *arg, const struct logfields_item *item)
{
    struct logfields *f = arg;
    struct logfield *one = field_of(f, item->name);
    bool is_first;

    if (!one)
        return;
    is_first = !one->values.cap && !one->values.registers;
    if (is_first)
        one->type = logfields_type_of(item->value);
    else if (one->type != LOGFIELDS_STRING)
        one->type = both(one->type, logfields_type_of(item->value));
    if (item->path.len && !one->path.len)
        one->path = arena_dup(f->arena, item->path);
    one->parsers |= item->parser;
    distinct_add(&one->values, f->arena, item->value);
}

void logfields_add(struct logfields *f, const struct logquery_stream *s)
{
    f->reader.arena = f->arena;
    logfields_each(&f->reader, s, on_item, f);
}

static int by_name(const void *a, const void *b)
{
    const struct logfield *x = *(struct logfield *const *)a, *y = *(struct logfield *const *)b;

    return slice_cmp(x->name, y->name);
}

void logfields_sort(struct logfields *f)
{
    if (f->n)
        qsort(f->ptr, f->n, sizeof(struct logfield *), by_name);
}

void logfields_json(struct buf *out, const struct logfield *one)
{
    struct reader path = reader_new(one->path);

    buf_str(out, "{\"label\":");
    buf_json_str(out, one->name);
    buf_printf(out, ",\"type\":\"%s\",\"cardinality\":%llu,\"parsers\":", type_names[one->type],
               (unsigned long long)distinct_count(&one->values));
    if (!one->parsers)
        buf_str(out, "null");
    else
        buf_printf(out, "[%s%s%s]", one->parsers & LOGFIELDS_JSON ? "\"json\"" : "",
                   one->parsers == (LOGFIELDS_JSON | LOGFIELDS_LOGFMT) ? "," : "",
                   one->parsers & LOGFIELDS_LOGFMT ? "\"logfmt\"" : "");
    for (bool is_first = true; reader_left(&path); is_first = false) {
        buf_str(out, is_first ? ",\"jsonPath\":[" : ",");
        buf_json_str(out, reader_lstr(&path));
    }
    buf_str(out, one->path.len ? "]}" : "}");
}

void logfields_done(struct logfields *f)
{
    arena_charge(f->arena, -(int64_t)(f->n * INDEX_BYTES));
    map_done(&f->index);
    logfields_reader_done(&f->reader);
}
