#include "querier/search/esbody.h"

#include "common/base/clock.h"
#include "querier/search/lucene.h"

#define MAX_INCLUDES 256

void esbody_init(struct esbody *b, struct arena *a, int64_t now_ns)
{
    *b = (struct esbody){.arena = a, .size = ESBODY_DEF_SIZE, .track = ESBODY_DEF_TOTAL};
    esquery_parser_init(&b->queries, a, now_ns);
    b->aggs_parser.queries = &b->queries;
}

void esbody_done(struct esbody *b)
{
    esagg_parser_done(&b->aggs_parser);
    esquery_parser_done(&b->queries);
}

/* ---- values ---- */

static struct err *bad(const char *name, const char *what)
{
    return err_new(ERR_INVALID, "[%s] %s", name, what);
}

static struct err *text_of(struct esbody *b, const char *name, struct jsonval v, struct slice *ret)
{
    *ret = esquery_scalar(b->arena, v);
    return ret->ptr ? NULL : bad(name, "a text or number is expected");
}

static struct err *count_of(const char *name, struct slice text, uint64_t *ret)
{
    if (slice_to_u64(text, ret))
        return NULL;
    return err_new(ERR_INVALID, "[%s] parameter cannot be [%.*s]", name,
                   SLICE_ARG(slice_sub(text, 0, 100)));
}

static struct err *track_of(struct esbody *b, struct slice text)
{
    if (slice_eq_cstr(text, "true") || !text.len)
        b->track = UINT64_MAX;
    else if (slice_eq_cstr(text, "false"))
        b->track = 0;
    else
        return count_of("track_total_hits", text, &b->track);
    return NULL;
}

/* 30s, 500ms, 1m; -1: none. */
static struct err *timeout_of(struct esbody *b, struct slice text)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    size_t n = 0;
    uint64_t v;

    if (slice_eq_cstr(text, "-1"))
        return NULL;
    while (n < text.len && text.ptr[n] >= '0' && text.ptr[n] <= '9')
        n++;
    for (size_t i = 0; i < ORR_COUNT(units); i++)
        if (slice_eq_cstr(slice_from(text, n), units[i].unit) &&
            slice_to_u64(slice_sub(text, 0, n), &v) && v < 1000000000) {
            b->timeout_ms = (int64_t)v * units[i].ms;
            return NULL;
        }
    return err_new(ERR_INVALID, "[timeout] failed to parse [%.*s]",
                   SLICE_ARG(slice_sub(text, 0, 100)));
}

/* ---- _source, fields ---- */

/* A field's, or a pattern of such: what it may cost to look for is bounded with it. */
static struct err *check_name(const char *where, struct slice name)
{
    if (name.len && name.len <= ESQUERY_MAX_FIELD)
        return NULL;
    return err_new(name.len ? ERR_LIMIT : ERR_INVALID, "[%s] a name has 1 to %d bytes", where,
                   ESQUERY_MAX_FIELD);
}

struct names {
    struct slice *ptr;
    size_t n;
};

static struct err *add_names(struct esbody *b, struct jsonval v, struct names *ret)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct jsonval item;
    struct slice key;
    struct err *e;

    if (!ret->ptr)
        ret->ptr = arena_array(b->arena, struct slice, MAX_INCLUDES);
    if (jsonval_kind(v) == JSONVAL_TEXT) {
        if (ret->n == MAX_INCLUDES)
            return err_new(ERR_LIMIT, "[_source] more than %d names", MAX_INCLUDES);
        if ((e = text_of(b, "_source", v, &ret->ptr[ret->n])))
            return e;
        return check_name("_source", ret->ptr[ret->n++]);
    }
    if (jsonval_kind(v) != JSONVAL_LIST)
        return bad("_source", "names are expected");
    while (jsonval_next(&it, &key, &item)) {
        if (jsonval_kind(item) != JSONVAL_TEXT)
            return bad("_source", "names are expected");
        if ((e = add_names(b, item, ret)))
            return e;
    }
    return NULL;
}

static struct err *source_of(struct esbody *b, struct jsonval v)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct names in = {0}, out = {0};
    struct jsonval item;
    struct err *e = NULL;
    struct slice name;

    if (jsonval_kind(v) == JSONVAL_BOOL) {
        b->has_no_source = !jsonval_bool(v);
        return NULL;
    }
    if (jsonval_kind(v) != JSONVAL_OBJECT)
        e = add_names(b, v, &in);
    else
        while (!e && jsonval_next(&it, &name, &item)) {
            if (slice_eq_cstr(name, "includes") || slice_eq_cstr(name, "include"))
                e = add_names(b, item, &in);
            else if (slice_eq_cstr(name, "excludes") || slice_eq_cstr(name, "exclude"))
                e = add_names(b, item, &out);
            else
                e = bad("_source", "includes and excludes are expected");
        }
    b->source = (struct esdoc_wants){in.ptr, out.ptr, in.n, out.n};
    return e;
}

static struct err *fields_of(struct esbody *b, struct jsonval v)
{
    struct jsonval_iter it = jsonval_iter(v), parts;
    struct jsonval item, part;
    struct slice key, name;
    struct err *e = NULL;

    if (jsonval_kind(v) != JSONVAL_LIST)
        return bad("fields", "a list is expected");
    while (!e && jsonval_next(&it, &key, &item)) {
        struct esfetch *f = &b->fields[b->n_fields];

        if (b->n_fields == ESBODY_MAX_FIELDS)
            return err_new(ERR_LIMIT, "[fields] more than %d names", ESBODY_MAX_FIELDS);
        if (jsonval_kind(item) != JSONVAL_OBJECT)
            e = text_of(b, "fields", item, &f->pattern);
        for (parts = jsonval_iter(item);
             jsonval_kind(item) == JSONVAL_OBJECT && !e && jsonval_next(&parts, &name, &part);) {
            if (slice_eq_cstr(name, "field"))
                e = text_of(b, "fields", part, &f->pattern);
            else if (!slice_eq_cstr(name, "format"))
                continue; /* include_unmapped */
            else if (!(e = text_of(b, "fields", part, &f->format)))
                e = esdate_check_format(f->format);
        }
        if (!e)
            e = check_name("fields", f->pattern);
        b->n_fields++;
    }
    return e;
}

/* ---- sort ---- */

static struct err *order_of(struct slice text, struct essort_key *k)
{
    k->is_ascending = slice_eq_nocase(text, SLICE("asc"));
    if (k->is_ascending || slice_eq_nocase(text, SLICE("desc")))
        return NULL;
    return err_new(ERR_INVALID, "[sort] an order is asc or desc, not [%.*s]",
                   SLICE_ARG(slice_sub(text, 0, 100)));
}

static struct err *new_key(struct esbody *b, struct slice name, struct essort_key **ret)
{
    struct essort_key *k = &b->keys[b->n_keys];

    if (b->n_keys == ESBODY_MAX_KEYS)
        return err_new(ERR_LIMIT, "[sort] more than %d keys", ESBODY_MAX_KEYS);
    if (!name.len || name.len > ESQUERY_MAX_FIELD)
        return bad("sort", "the name of a field is expected");
    *k = (struct essort_key){
        .by = ESSORT_FIELD, .field = arena_dup(b->arena, name), .is_ascending = true};
    if (slice_eq_cstr(name, ESQUERY_TIME))
        k->by = ESSORT_TIME;
    else if (slice_eq_cstr(name, "_doc") || slice_eq_cstr(name, "_shard_doc"))
        k->by = ESSORT_ORDER;
    else if (slice_eq_cstr(name, "_score"))
        k->by = ESSORT_SCORE;
    else if (slice_eq_cstr(name, "_script") || slice_eq_cstr(name, "_geo_distance"))
        return err_new(ERR_UNSUPPORTED, "[sort] [%.*s] is not supported", SLICE_ARG(name));
    b->n_keys++;
    b->has_sort = true;
    *ret = k;
    return NULL;
}

static struct err *key_param(struct esbody *b, struct essort_key *k, struct slice name,
                             struct jsonval v)
{
    struct slice text;
    struct err *e;

    if (slice_eq_cstr(name, "unmapped_type") || slice_eq_cstr(name, "numeric_type"))
        return NULL;
    if ((e = text_of(b, "sort", v, &text)))
        return e;
    if (slice_eq_cstr(name, "order"))
        return order_of(text, k);
    if (slice_eq_cstr(name, "format")) {
        k->format = text;
        return esdate_check_format(text);
    }
    if (slice_eq_cstr(name, "missing")) {
        k->missing_first = slice_eq_cstr(text, "_first");
        return k->missing_first || slice_eq_cstr(text, "_last")
                   ? NULL
                   : err_new(ERR_UNSUPPORTED, "[sort] missing is _first or _last");
    }
    if (slice_eq_cstr(name, "mode") && slice_eq_cstr(text, k->is_ascending ? "min" : "max"))
        return NULL;
    return err_new(ERR_UNSUPPORTED, "[sort] [%.*s] is not supported",
                   SLICE_ARG(slice_sub(name, 0, 100)));
}

static struct err *sort_of(struct esbody *b, struct jsonval v)
{
    struct jsonval_iter it = jsonval_iter(v), params;
    struct jsonval item, part;
    struct essort_key *k;
    struct slice name, what;
    struct err *e = NULL;

    if (jsonval_kind(v) == JSONVAL_TEXT) {
        if (!(e = new_key(b, jsonval_text(v), &k)))
            k->is_ascending = k->by != ESSORT_SCORE;
        return e;
    }
    if (jsonval_kind(v) != JSONVAL_LIST && jsonval_kind(v) != JSONVAL_OBJECT)
        return bad("sort", "names, or objects of them, are expected");
    while (!e && jsonval_next(&it, &name, &item)) {
        if (jsonval_kind(v) == JSONVAL_LIST) {
            e = sort_of(b, item);
            continue;
        }
        if ((e = new_key(b, name, &k)))
            break;
        if (jsonval_kind(item) == JSONVAL_TEXT)
            e = order_of(jsonval_text(item), k);
        else if (jsonval_kind(item) != JSONVAL_OBJECT)
            e = bad("sort", "an order is expected");
        else
            for (params = jsonval_iter(item); !e && jsonval_next(&params, &what, &part);)
                e = key_param(b, k, what, part);
    }
    return e;
}

/* ---- search_after ---- */

static struct err *after_value(struct esbody *b, const struct essort_key *k, struct slice text,
                               bool is_text, struct essort_value *ret)
{
    struct esdate_opts o = {.now_ns = b->queries.now_ns, .format = k->format};
    struct esdate d;
    struct err *e;

    *ret = (struct essort_value){.kind = ESSORT_NUMBER};
    if (k->by == ESSORT_TIME) {
        o.format = is_text ? k->format : SLICE_EMPTY;
        if ((e = esdate_parse(text, &o, &d)))
            return e;
        ret->number = (long double)esdate_floor_ms(d.ns);
        return NULL;
    }
    if (is_text && k->by == ESSORT_FIELD) {
        ret->kind = ESSORT_TEXT;
        ret->text = text;
        return NULL;
    }
    return esliteral_number(text, &ret->number) ? NULL
                                                : bad("search_after", "a number is expected");
}

/* Kept until the end: sort may come behind it. */
static struct err *after_of(struct esbody *b, struct jsonval v)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct jsonval item;
    struct slice key;
    struct err *e;

    if (jsonval_kind(v) != JSONVAL_LIST || jsonval_count(v) > ESBODY_MAX_KEYS || !jsonval_count(v))
        return bad("search_after", "a list of the sort's values is expected");
    b->n_after = 0;
    while (jsonval_next(&it, &key, &item)) {
        struct essort_value *x = &b->after[b->n_after++];

        x->kind = jsonval_kind(item) == JSONVAL_NULL   ? ESSORT_MISSING
                  : jsonval_kind(item) == JSONVAL_TEXT ? ESSORT_TEXT
                                                       : ESSORT_NUMBER;
        if (x->kind != ESSORT_MISSING && (e = text_of(b, "search_after", item, &x->text)))
            return e;
    }
    return NULL;
}

static struct err *end_after(struct esbody *b)
{
    struct err *e = NULL;

    if (b->n_after && b->n_after != b->n_keys)
        return err_new(ERR_INVALID, "[search_after] has %zu value(s) but sort has %zu", b->n_after,
                       b->n_keys);
    if (b->n_after && b->from)
        return bad("from", "parameter must be set to 0 when [search_after] is used");
    for (size_t i = 0; i < b->n_after && !e; i++)
        if (b->after[i].kind != ESSORT_MISSING)
            e = after_value(b, &b->keys[i], b->after[i].text, b->after[i].kind == ESSORT_TEXT,
                            &b->after[i]);
    return e;
}

/* ---- the body ---- */

/* Of no consequence for what is found. */
static bool is_harmless(struct slice name)
{
    static const char *const names[] = {
        "highlight", "version", "seq_no_primary_term", "explain", "stored_fields", "track_scores",
        "profile",   "stats",   "indices_boost",       "ext"};

    for (size_t i = 0; i < ORR_COUNT(names); i++)
        if (slice_eq_cstr(name, names[i]))
            return true;
    return false;
}

static bool is_empty(struct jsonval v)
{
    return jsonval_kind(v) == JSONVAL_NULL ||
           (jsonval_kind(v) >= JSONVAL_LIST && jsonval_count(v) == 0);
}

static struct err *member(struct esbody *b, struct slice name, struct jsonval v)
{
    struct slice text;
    struct err *e;

    if (slice_eq_cstr(name, "query"))
        return is_empty(v) ? NULL : esquery_parse(&b->queries, v, &b->query);
    if (slice_eq_cstr(name, "aggs") || slice_eq_cstr(name, "aggregations"))
        return esagg_parse(&b->aggs_parser, v, &b->aggs);
    if (slice_eq_cstr(name, "sort"))
        return is_empty(v) ? NULL : sort_of(b, v);
    if (slice_eq_cstr(name, "_source"))
        return source_of(b, v);
    if (slice_eq_cstr(name, "fields") || slice_eq_cstr(name, "docvalue_fields"))
        return fields_of(b, v);
    if (slice_eq_cstr(name, "search_after"))
        return is_empty(v) ? NULL : after_of(b, v);
    if (is_harmless(name) || is_empty(v)) /* script_fields: {}, runtime_mappings: {} */
        return NULL;
    if (!slice_eq_cstr(name, "size") && !slice_eq_cstr(name, "from") &&
        !slice_eq_cstr(name, "track_total_hits") && !slice_eq_cstr(name, "timeout"))
        return err_new(ERR_UNSUPPORTED, "[%.*s] in the body of a search is not supported",
                       SLICE_ARG(slice_sub(name, 0, 100)));
    if ((e = text_of(b, "body", v, &text)))
        return e;
    if (slice_eq_cstr(name, "track_total_hits"))
        return track_of(b, text);
    if (slice_eq_cstr(name, "timeout"))
        return timeout_of(b, text);
    return slice_eq_cstr(name, "size") ? count_of("size", text, &b->size)
                                       : count_of("from", text, &b->from);
}

struct err *esbody_parse(struct esbody *b, struct jsonval root)
{
    struct jsonval_iter it = jsonval_iter(root);
    struct err *e = NULL;
    struct jsonval v;
    struct slice name;

    if (jsonval_kind(root) != JSONVAL_OBJECT)
        return err_new(ERR_INVALID, "the body of a search is an object");
    while (!e && jsonval_next(&it, &name, &v)) {
        e = member(b, name, v);
        if (!e && arena_over(b->arena)) /* keys may come again and again */
            e = err_new(ERR_LIMIT, "the search needs more than its %zu bytes of memory",
                        arena_limit(b->arena));
    }
    return e;
}

/* ---- the URL ---- */

static struct err *url_sort(struct esbody *b, struct slice value)
{
    struct slice one, name;
    struct essort_key *k;
    struct err *e = NULL;

    while (!e && slice_split(&value, ',', &one)) {
        ptrdiff_t colon = slice_find_byte(one, ':', 0);

        name = colon < 0 ? one : slice_sub(one, 0, (size_t)colon);
        if (!(e = new_key(b, name, &k)) && colon >= 0)
            e = order_of(slice_from(one, (size_t)colon + 1), k);
    }
    return e;
}

static struct err *url_names(struct esbody *b, struct slice value, const struct slice **ret,
                             size_t *ret_n)
{
    struct slice *out = arena_array(b->arena, struct slice, MAX_INCLUDES), one;
    struct err *e;
    size_t n = 0;

    while (slice_split(&value, ',', &one)) {
        if (n == MAX_INCLUDES)
            return err_new(ERR_LIMIT, "[_source] more than %d names", MAX_INCLUDES);
        if (one.len && (e = check_name("_source", one)))
            return e;
        out[n++] = one;
    }
    *ret = out;
    *ret_n = n;
    return NULL;
}

struct err *esbody_param(struct esbody *b, struct slice name, struct slice value,
                         bool *ret_is_known)
{
    *ret_is_known = true;
    value = arena_dup(b->arena, value);
    if (slice_eq_cstr(name, "q")) {
        b->q = value;
    } else if (slice_eq_cstr(name, "df")) {
        b->df = value;
    } else if (slice_eq_cstr(name, "default_operator")) {
        b->q_joins_with_and = slice_eq_nocase(value, SLICE("and"));
    } else if (slice_eq_cstr(name, "size")) {
        return count_of("size", value, &b->size);
    } else if (slice_eq_cstr(name, "from")) {
        return count_of("from", value, &b->from);
    } else if (slice_eq_cstr(name, "sort")) {
        return url_sort(b, value);
    } else if (slice_eq_cstr(name, "track_total_hits")) {
        return track_of(b, value);
    } else if (slice_eq_cstr(name, "timeout")) {
        return timeout_of(b, value);
    } else if (slice_eq_cstr(name, "_source") &&
               (slice_eq_cstr(value, "true") || slice_eq_cstr(value, "false"))) {
        b->has_no_source = slice_eq_cstr(value, "false");
    } else if (slice_eq_cstr(name, "_source") || slice_eq_cstr(name, "_source_includes")) {
        return url_names(b, value, &b->source.includes, &b->source.n_includes);
    } else if (slice_eq_cstr(name, "_source_excludes")) {
        return url_names(b, value, &b->source.excludes, &b->source.n_excludes);
    } else if (slice_eq_cstr(name, "scroll") || slice_eq_cstr(name, "terminate_after") ||
               slice_eq_cstr(name, "min_score") || slice_eq_cstr(name, "source")) {
        return err_new(ERR_UNSUPPORTED, "[%.*s] is not supported%s", SLICE_ARG(name),
                       slice_eq_cstr(name, "scroll")   ? "; use search_after"
                       : slice_eq_cstr(name, "source") ? "; send the search as the body"
                                                       : "");
    } else {
        *ret_is_known = false;
    }
    return NULL;
}

/* ---- the end ---- */

static struct err *with_q(struct esbody *b)
{
    struct lucene_opts o = {.fields = &b->df,
                            .n_fields = b->df.len && !slice_eq_cstr(b->df, "*") ? 1 : 0,
                            .joins_with_and = b->q_joins_with_and};
    struct esquery *q;
    struct err *e = lucene_parse(&b->queries, b->q, &o, &q);

    if (!e)
        b->query = q; /* as Elasticsearch: instead of the body's */
    return e;
}

struct err *esbody_end(struct esbody *b, uint64_t max_hits)
{
    struct err *e = NULL;

    if (b->q.ptr && (e = with_q(b)))
        return e;
    if (!b->query && (e = esquery_new(&b->queries, ESQUERY_ALL, SLICE_EMPTY, &b->query)))
        return e;
    if (b->size > ESBODY_MAX_HITS || b->from > ESBODY_MAX_HITS ||
        b->from + b->size > ESBODY_MAX_HITS)
        return err_new(ERR_LIMIT,
                       "Result window is too large, from + size must be less than or equal to: "
                       "[%d] but was [%llu]; go on with [search_after]",
                       ESBODY_MAX_HITS, (unsigned long long)(b->from + b->size));
    if (max_hits && b->from + b->size > max_hits)
        return err_new(ERR_LIMIT,
                       "from + size is [%llu], more than the limit of [%llu] lines of a query "
                       "(limits.max-entries-limit-per-query)",
                       (unsigned long long)(b->from + b->size), (unsigned long long)max_hits);
    return end_after(b);
}
