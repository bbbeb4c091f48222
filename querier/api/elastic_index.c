/* What there is: _mapping, _field_caps, _cat/indices, _resolve. */
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/map.h"
#include "querier/api/elastic_api_internal.h"

#define MAX_FIELDS 5000 /* of all indices together */
#define FIELD_BYTES 160 /* of memory, beside its name */

/* X(symbol, name, whether buckets can be made of it) */
#define TYPES(X)                                                                                   \
    X(TYPE_NONE, "", true)                                                                         \
    X(TYPE_LONG, "long", true)                                                                     \
    X(TYPE_DOUBLE, "double", true)                                                                 \
    X(TYPE_BOOLEAN, "boolean", true)                                                               \
    X(TYPE_KEYWORD, "keyword", true)                                                               \
    X(TYPE_TEXT, "text", false)                                                                    \
    X(TYPE_DATE, "date", true)
enum type {
#define X(sym, name, is_bucket) sym,
    TYPES(X)
#undef X
};
static const char *const type_names[] = {
#define X(sym, name, is_bucket) [sym] = name,
    TYPES(X)
#undef X
};
static const bool type_buckets[] = {
#define X(sym, name, is_bucket) [sym] = is_bucket,
    TYPES(X)
#undef X
};

struct index_params {
    struct slice index, body;
    struct slice fields; /* of _field_caps: names with *, empty: all */
    bool is_json;        /* of _cat */
};

/* ---- fields ---- */

struct field {
    struct slice name;
    enum type type;
};
struct index {
    struct slice name;
    struct map by_name;
    struct field **fields;
    size_t n, cap;
};
struct sampling {
    struct arena *arena;
    struct index **indices;
    size_t n, cap, n_fields;
    struct index *at; /* of the document looked at */
};

static struct index *index_of(struct sampling *s, struct slice name)
{
    for (size_t i = 0; i < s->n; i++)
        if (slice_eq(s->indices[i]->name, name))
            return s->indices[i];
    if (s->n == ELASTIC_MAX_NAMES)
        return NULL;
    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 16;

        s->indices = arena_grow(s->arena, s->indices, s->cap * sizeof(struct index *),
                                cap * sizeof(struct index *));
        s->cap = cap;
    }
    s->indices[s->n] = arena_new_of(s->arena, struct index);
    s->indices[s->n]->name = arena_dup(s->arena, name);
    return s->indices[s->n++];
}

static struct field *field_of(struct sampling *s, struct index *x, struct slice name)
{
    struct field *f = map_get(&x->by_name, name);

    if (f || s->n_fields == MAX_FIELDS)
        return f;
    s->n_fields++;
    arena_charge(s->arena, (int64_t)(FIELD_BYTES + name.len));
    if (x->n == x->cap) {
        size_t cap = x->cap ? 2 * x->cap : 32;

        x->fields = arena_grow(s->arena, x->fields, x->cap * sizeof(struct field *),
                               cap * sizeof(struct field *));
        x->cap = cap;
    }
    f = arena_new_of(s->arena, struct field);
    f->name = arena_dup(s->arena, name);
    *map_slot(&x->by_name, name) = f;
    return x->fields[x->n++] = f;
}

static enum type type_of(struct slice name, const struct esvalue *v)
{
    if (slice_eq_cstr(name, ESQUERY_TIME))
        return TYPE_DATE;
    if (slice_eq_cstr(name, ESQUERY_MESSAGE))
        return TYPE_TEXT;
    if (v->kind == ESVALUE_NUMBER)
        return v->is_float ? TYPE_DOUBLE : TYPE_LONG;
    return v->kind == ESVALUE_BOOL ? TYPE_BOOLEAN : TYPE_KEYWORD;
}

static void on_field(void *arg, struct slice name, const struct esvalue *v)
{
    struct sampling *s = arg;
    struct field *f = name.len ? field_of(s, s->at, name) : NULL;
    enum type type = type_of(name, v);

    if (!f)
        return;
    if (f->type == TYPE_NONE || f->type == type)
        f->type = type;
    else if (f->type <= TYPE_DOUBLE && type <= TYPE_DOUBLE)
        f->type = TYPE_DOUBLE;
    else
        f->type = TYPE_KEYWORD;
}

static void sample_hit(void *arg, struct esdoc *d)
{
    struct sampling *s = arg;
    struct esvalue time = {.kind = ESVALUE_NUMBER};

    if (!(s->at = index_of(s, d->index)))
        return;
    on_field(s, SLICE(ESQUERY_TIME), &time);
    esdoc_fields(d, on_field, s);
}

static int by_index(const void *a, const void *b)
{
    return slice_cmp((*(struct index *const *)a)->name, (*(struct index *const *)b)->name);
}

/* A dot before all else, so that what is below a name is behind it. */
static int by_field(const void *a, const void *b)
{
    struct slice x = (*(struct field *const *)a)->name, y = (*(struct field *const *)b)->name;
    size_t i = 0;

    while (i < x.len && i < y.len && x.ptr[i] == y.ptr[i])
        i++;
    if (i == x.len || i == y.len)
        return (x.len > y.len) - (x.len < y.len);
    if (x.ptr[i] == '.' || y.ptr[i] == '.')
        return x.ptr[i] == '.' ? -1 : 1;
    return x.ptr[i] < y.ptr[i] ? -1 : 1;
}

static void sort_sample(struct sampling *s)
{
    if (s->n)
        qsort(s->indices, s->n, sizeof(struct index *), by_index);
    for (size_t i = 0; i < s->n; i++)
        if (s->indices[i]->n)
            qsort(s->indices[i]->fields, s->indices[i]->n, sizeof(struct field *), by_field);
}

static void sample_done(struct sampling *s)
{
    for (size_t i = 0; i < s->n; i++)
        map_done(&s->indices[i]->by_name);
}

/* Nothing was found: names without * are to be there. */
static struct err *check_named(struct slice index)
{
    if (!index.len || slice_find_byte(index, '*', 0) >= 0)
        return NULL;
    return err_new(ERR_NOT_FOUND, "no such index [%.*s]", SLICE_ARG(slice_sub(index, 0, 100)));
}

/* The newest lines of the indices. */
static struct err *look(struct prom_task *t, struct slice index, struct sampling *s)
{
    struct logremote_range range = elastic_api_recent(t);
    struct elastic_names *names = arena_new_of(t->arena, struct elastic_names);
    struct logsearch found = {.limits = {.start_ns = range.start_ns,
                                         .end_ns = range.end_ns,
                                         .max_bytes = (uint64_t)t->limits.max_query_bytes_read,
                                         .deadline_mono_ms = t->deadline_mono_ms,
                                         .cancel = &t->cancel}};
    struct logremote remote;
    struct esplan plan = {.n_selects = 0};
    struct esbody body;
    struct err *e;

    s->arena = t->arena;
    esbody_init(&body, t->arena, clock_wall_ms(&clock_system) * NS_PER_MS);
    body.size = ELASTIC_SAMPLE;
    body.track = 0;
    elastic_api_remote(t, &remote);
    found.body = &body;
    found.plan = &plan;
    if (!(e = elastic_names_parse(t->arena, index, names)) && !(e = esbody_end(&body, 0)) &&
        !(e = elastic_names_query(&body.queries, names, &body.query)) &&
        !(e = esplan_make(t->arena, body.query, names->include, names->n_include, &plan)))
        e = logsearch_run(&found, &remote.source, t->arena);
    for (size_t i = 0; !e && i < found.n_hits; i++) {
        logsearch_hit_visit(&found, i, sample_hit, s);
        e = logsearch_look(&found);
    }
    if (found.arena)
        logsearch_done(&found);
    esplan_done(&plan);
    esbody_done(&body);
    sort_sample(s);
    return !e && !s->n ? check_named(index) : e;
}

/* ---- _mapping ---- */

struct put {
    struct buf *out;
    struct field *const *fields;
};

/* The part of the name that begins at from, up to the next dot. */
static struct slice part_of(struct slice name, size_t from)
{
    ptrdiff_t dot = slice_find_byte(name, '.', from);

    return slice_sub(name, from, dot < 0 ? SIZE_MAX : (size_t)dot - from);
}

/* Fields i to end, alike up to from, as an object of their next parts. Where one is a value here and an object there, which
 * Elasticsearch does not have, it is the object. */
static void put_properties(struct put *p, size_t i, size_t end, size_t from, unsigned depth)
{
    bool is_first = true;
    size_t next;

    buf_str(p->out, "{\"properties\":{");
    for (; i < end; i = next) {
        struct slice name = p->fields[i]->name;
        struct slice part = depth < ESDOC_MAX_DEPTH ? part_of(name, from) : slice_from(name, from);
        size_t to = from + part.len;

        for (next = i + 1; next < end && depth < ESDOC_MAX_DEPTH; next++)
            if (!slice_eq(part_of(p->fields[next]->name, from), part))
                break;
        buf_str(p->out, is_first ? "" : ",");
        is_first = false;
        buf_json_str(p->out, part);
        buf_byte(p->out, ':');
        if (next == i + 1 && name.len == to)
            buf_printf(p->out, "{\"type\":\"%s\"}", type_names[p->fields[i]->type]);
        else
            put_properties(p, i + (name.len == to), next, to + 1, depth + 1);
    }
    buf_str(p->out, "}}");
}

static struct err *run_mapping(struct prom_task *t)
{
    const struct index_params *p = t->params;
    struct sampling s = {0};
    struct err *e = look(t, p->index, &s);

    buf_byte(&t->out, '{');
    for (size_t i = 0; i < s.n && !e; i++) {
        struct put put = {&t->out, s.indices[i]->fields};

        buf_str(&t->out, i ? "," : "");
        buf_json_str(&t->out, s.indices[i]->name);
        buf_str(&t->out, ":{\"mappings\":");
        put_properties(&put, 0, s.indices[i]->n, 0, 0);
        buf_byte(&t->out, '}');
    }
    buf_byte(&t->out, '}');
    sample_done(&s);
    return e;
}

/* ---- _field_caps ---- */

static bool is_wanted(struct slice patterns, struct slice name)
{
    struct slice one;

    if (!patterns.len)
        return true;
    while (slice_split(&patterns, ',', &one))
        if (esdoc_glob(slice_trim(one), name, false))
            return true;
    return false;
}

/* Of each name the types that it has. */
struct caps {
    struct slice name;
    unsigned types; /* bits */
};

static int by_name(const void *a, const void *b)
{
    return slice_cmp(((const struct caps *)a)->name, ((const struct caps *)b)->name);
}

static size_t gather_caps(const struct sampling *s, struct slice fields, struct caps *ret)
{
    size_t n = 0, kept = 0;

    for (size_t i = 0; i < s->n; i++)
        for (size_t k = 0; k < s->indices[i]->n; k++)
            if (is_wanted(fields, s->indices[i]->fields[k]->name))
                ret[n++] = (struct caps){s->indices[i]->fields[k]->name,
                                         1u << s->indices[i]->fields[k]->type};
    qsort(ret, n, sizeof(*ret), by_name);
    for (size_t i = 0; i < n; i++)
        if (kept && slice_eq(ret[kept - 1].name, ret[i].name))
            ret[kept - 1].types |= ret[i].types;
        else
            ret[kept++] = ret[i];
    return kept;
}

static void put_caps(struct buf *out, const struct caps *c)
{
    bool is_first = true;

    buf_json_str(out, c->name);
    buf_str(out, ":{");
    for (size_t i = 0; i < ORR_COUNT(type_names); i++)
        if (c->types >> i & 1) {
            buf_printf(out,
                       "%s\"%s\":{\"type\":\"%s\",\"metadata_field\":false,\"searchable\":true,"
                       "\"aggregatable\":%s}",
                       is_first ? "" : ",", type_names[i], type_names[i],
                       type_buckets[i] ? "true" : "false");
            is_first = false;
        }
    buf_byte(out, '}');
}

/* {"fields":["a","b*"]}, instead of the parameter. */
static struct err *read_fields(struct prom_task *t, struct slice body, struct slice *fields)
{
    struct jsonval_iter it;
    struct jsonval root, v;
    struct jsonval_doc *doc;
    struct slice name;
    struct err *e;

    body = slice_trim(body);
    if (!body.len)
        return NULL;
    if ((e = jsonval_parse(body, 8, &doc, &root)))
        return e;
    for (it = jsonval_iter(root); !e && jsonval_next(&it, &name, &v);)
        if (slice_eq_cstr(name, "fields"))
            *fields = elastic_names_join(t->arena, v);
        else
            e = err_new(ERR_UNSUPPORTED, "_field_caps: [%.*s] is not supported",
                        SLICE_ARG(slice_sub(name, 0, 100)));
    jsonval_free(doc);
    return e;
}

static struct err *run_field_caps(struct prom_task *t)
{
    const struct index_params *p = t->params;
    struct slice fields = p->fields;
    struct sampling s = {0};
    struct err *e = read_fields(t, p->body, &fields);
    struct caps *caps;
    size_t n;

    if (e || (e = look(t, p->index, &s))) {
        sample_done(&s);
        return e;
    }
    caps = arena_array(t->arena, struct caps, s.n_fields + 1);
    n = gather_caps(&s, fields, caps);
    buf_str(&t->out, "{\"indices\":[");
    for (size_t i = 0; i < s.n; i++) {
        buf_str(&t->out, i ? "," : "");
        buf_json_str(&t->out, s.indices[i]->name);
    }
    buf_str(&t->out, "],\"fields\":{");
    for (size_t i = 0; i < n; i++) {
        buf_str(&t->out, i ? "," : "");
        put_caps(&t->out, &caps[i]);
    }
    buf_str(&t->out, "}}");
    sample_done(&s);
    return NULL;
}

/* ---- indices ---- */

struct volume {
    struct slice name;
    uint64_t lines, bytes;
};
struct volumes {
    struct arena *arena;
    const struct elastic_names *names;
    struct volume ptr[ELASTIC_MAX_NAMES];
    size_t n;
};

static struct err *add_volume(struct volumes *v, const struct logremote_stream *s)
{
    struct slice name = labels_get(s->labels, SLICE("index"));
    size_t i = 0;

    if (!name.len)
        name = SLICE(ESDOC_NO_INDEX);
    if (!elastic_names_have(v->names, name))
        return NULL;
    while (i < v->n && !slice_eq(v->ptr[i].name, name))
        i++;
    if (i == ELASTIC_MAX_NAMES)
        return err_new(ERR_LIMIT, "there are more than %d indices", ELASTIC_MAX_NAMES);
    if (i == v->n)
        v->ptr[v->n++] = (struct volume){.name = arena_dup(v->arena, name)};
    v->ptr[i].lines += s->entries;
    v->ptr[i].bytes += s->bytes;
    return NULL;
}

static int by_volume(const void *a, const void *b)
{
    return slice_cmp(((const struct volume *)a)->name, ((const struct volume *)b)->name);
}

static struct err *volumes_of(struct prom_task *t, struct slice index, struct volumes *v)
{
    struct elastic_names *names = arena_new_of(t->arena, struct elastic_names);
    struct logremote_streams *streams;
    struct logremote_stream one;
    struct logremote remote;
    struct err *e;

    v->arena = t->arena;
    v->names = names;
    elastic_api_remote(t, &remote);
    if ((e = elastic_names_parse(t->arena, index, names)) ||
        (e = logremote_streams(&remote, (struct matchers){0}, elastic_api_recent(t), true,
                               &streams)))
        return e;
    while (!e && logremote_streams_next(streams, &one))
        e = add_volume(v, &one);
    e = err_first(e, logremote_streams_close(streams));
    qsort(v->ptr, v->n, sizeof(*v->ptr), by_volume);
    return !e && !v->n ? check_named(index) : e;
}

/* health, status, index, uuid, pri, rep, docs.count, docs.deleted, store.size, pri.store.size */
static void put_index(struct buf *out, const struct volume *v, bool is_json)
{
    unsigned long long lines = v->lines, bytes = v->bytes;

    if (!is_json) {
        buf_printf(out, "green open %.*s - 1 0 %llu 0 %llub %llub\n", SLICE_ARG(v->name), lines,
                   bytes, bytes);
        return;
    }
    buf_str(out, "{\"health\":\"green\",\"status\":\"open\",\"index\":");
    buf_json_str(out, v->name);
    buf_printf(out,
               ",\"uuid\":\"-\",\"pri\":\"1\",\"rep\":\"0\",\"docs.count\":\"%llu\","
               "\"docs.deleted\":\"0\",\"store.size\":\"%llub\",\"pri.store.size\":\"%llub\"}",
               lines, bytes, bytes);
}

static struct err *run_cat(struct prom_task *t)
{
    const struct index_params *p = t->params;
    struct volumes *v = arena_new_of(t->arena, struct volumes);
    struct err *e = volumes_of(t, p->index, v);

    t->content_type = p->is_json ? HTTP_JSON : HTTP_TEXT;
    buf_str(&t->out, p->is_json ? "[" : "");
    for (size_t i = 0; i < v->n && !e; i++) {
        buf_str(&t->out, p->is_json && i ? "," : "");
        put_index(&t->out, &v->ptr[i], p->is_json);
    }
    buf_str(&t->out, p->is_json ? "]" : "");
    return e;
}

static struct err *run_resolve(struct prom_task *t)
{
    const struct index_params *p = t->params;
    struct volumes *v = arena_new_of(t->arena, struct volumes);
    struct err *e = volumes_of(t, p->index, v);

    buf_str(&t->out, "{\"indices\":[");
    for (size_t i = 0; i < v->n && !e; i++) {
        buf_str(&t->out, i ? ",{\"name\":" : "{\"name\":");
        buf_json_str(&t->out, v->ptr[i].name);
        buf_str(&t->out, ",\"attributes\":[\"open\"]}");
    }
    buf_str(&t->out, "],\"aliases\":[],\"data_streams\":[]}");
    return e;
}

/* ---- on a loop ---- */

static void start(struct http_request *r, prom_work_fn *work)
{
    struct index_params *p = arena_new_of(r->arena, struct index_params);
    struct slice fields = http_param(r, "fields"), format = http_param(r, "format"), tenant;
    struct slice accept = http_request_header(r, "Accept");

    if (!elastic_api_begin(r, &tenant))
        return;
    p->index = elastic_api_index(r);
    p->body = r->body;
    p->fields = fields.ptr ? fields : SLICE_EMPTY;
    p->is_json = slice_eq_cstr(format, "json") ||
                 (!format.ptr && accept.ptr && slice_find(accept, SLICE("json"), 0) >= 0);
    elastic_api_task(r, tenant, work, p);
}

void elastic_mapping(struct http_request *r)
{
    start(r, run_mapping);
}

void elastic_field_caps(struct http_request *r)
{
    start(r, run_field_caps);
}

void elastic_cat_indices(struct http_request *r)
{
    start(r, run_cat);
}

void elastic_resolve(struct http_request *r)
{
    start(r, run_resolve);
}
