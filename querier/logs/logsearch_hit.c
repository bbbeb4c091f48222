/* Hits as JSON. */
#include <math.h>

#include "common/base/reader.h"
#include "querier/logs/logsearch_internal.h"

#define MAX_FETCHED (4 * ESBODY_MAX_FIELDS) /* fields of one hit; more of them are left out */

struct fetching {
    const struct esfetch *fetch;
    struct esdoc *doc;
    struct buf *out;
    struct slice name; /* of the list that is open; ptr NULL: none is */
    bool has_any;
    struct slice *names; /* that have been printed */
    size_t n_names;
    struct arena *arena;
};

static void put_fetched(struct fetching *f, const struct esvalue *v)
{
    if (slice_eq_cstr(f->name, ESQUERY_TIME)) {
        buf_byte(f->out, '"');
        esdate_format(f->out, f->doc->ts_ns, f->fetch->format, NULL);
        buf_byte(f->out, '"');
    } else {
        esdoc_put_value(f->out, v);
    }
}

static bool on_fetched(void *arg, const struct esvalue *v)
{
    struct fetching *f = arg;

    if (!f->has_any) {
        buf_str(f->out, f->n_names ? "," : "");
        buf_json_str(f->out, f->name);
        buf_str(f->out, ":[");
        f->has_any = true;
    } else {
        buf_byte(f->out, ',');
    }
    put_fetched(f, v);
    return false;
}

static void fetch_one(struct fetching *f, struct slice name)
{
    for (size_t i = 0; i < f->n_names; i++)
        if (slice_eq(f->names[i], name))
            return;
    if (f->n_names == MAX_FETCHED)
        return;
    f->name = arena_dup(f->arena, name);
    f->has_any = false;
    (void)esdoc_each(f->doc, f->name, on_fetched, f);
    if (!f->has_any)
        return;
    buf_byte(f->out, ']');
    f->names[f->n_names++] = f->name;
}

struct listing {
    struct fetching *f;
    struct slice *names;
    size_t n, cap;
};

static void on_name(void *arg, struct slice name, const struct esvalue *v)
{
    struct listing *l = arg;

    (void)v;
    if (!esdoc_glob(l->f->fetch->pattern, name, false))
        return;
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 32;

        l->names = arena_grow(l->f->arena, l->names, l->cap * sizeof(struct slice),
                              cap * sizeof(struct slice));
        l->cap = cap;
    }
    l->names[l->n++] = arena_dup(l->f->arena, name);
}

static void put_fields(const struct logsearch *s, struct esdoc *d, struct arena *a, struct buf *out)
{
    struct fetching f = {.doc = d, .out = out, .arena = a};
    static const struct slice time = SLICE_INIT(ESQUERY_TIME);

    f.names = arena_array(a, struct slice, MAX_FETCHED);
    buf_str(out, ",\"fields\":{");
    for (size_t i = 0; i < s->body->n_fields; i++) {
        struct listing l = {.f = &f};

        f.fetch = &s->body->fields[i];
        if (slice_find_byte(f.fetch->pattern, '*', 0) < 0) {
            fetch_one(&f, f.fetch->pattern);
            continue;
        }
        if (esdoc_glob(f.fetch->pattern, time, false))
            fetch_one(&f, time);
        esdoc_fields(d, on_name, &l);
        for (size_t k = 0; k < l.n && f.n_names < MAX_FETCHED; k++)
            fetch_one(&f, l.names[k]);
    }
    buf_byte(out, '}');
}

static void put_sort_value(const struct essort_key *k, const struct logsearch_hit *h,
                           const struct essort_value *v, struct buf *out)
{
    if (v->kind == ESSORT_MISSING) {
        buf_str(out, "null");
    } else if (v->kind == ESSORT_TEXT) {
        buf_json_str(out, v->text);
    } else if (k->by == ESSORT_TIME && k->format.len) {
        buf_byte(out, '"');
        esdate_format(out, h->ts_ns, k->format, NULL);
        buf_byte(out, '"');
    } else if (k->by == ESSORT_SCORE) {
        buf_str(out, "1.0");
    } else if (fabsl(v->number) < 0x1p63L && v->number == truncl(v->number)) {
        buf_printf(out, "%lld", (long long)v->number);
    } else if (v->number > 0 && v->number < 0x1p64L && v->number == truncl(v->number)) {
        buf_printf(out, "%llu", (unsigned long long)v->number); /* exact, for search_after */
    } else {
        buf_f64_text(out, (double)v->number);
    }
}

static const struct logsearch_hit *hit_at(const struct logsearch *s, size_t i)
{
    return s->hits[s->n_kept - s->n_hits + i];
}

/* The hit as the document that it was. */
static void open_hit(const struct logsearch_hit *h, struct arena *a, struct esdoc *d)
{
    struct reader r = reader_new(slice_of(h->bytes, h->len));
    struct logsource_entry entry = {.ts_ns = h->ts_ns};

    esdoc_init(d, a);
    esdoc_stream(d, labels_read(a, &r));
    entry.metadata = labels_read(a, &r);
    entry.line = reader_lstr(&r);
    esdoc_line(d, &entry);
}

void logsearch_hit_visit(const struct logsearch *s, size_t i,
                         void (*fn)(void *arg, struct esdoc *d), void *arg)
{
    struct arena *a = arena_child(s->arena, 0);
    struct esdoc d;

    open_hit(hit_at(s, i), a, &d);
    fn(arg, &d);
    esdoc_done(&d);
    arena_free(a);
}

void logsearch_hit_json(const struct logsearch *s, size_t i, struct buf *out)
{
    const struct esbody *body = s->body;
    const struct logsearch_hit *h = hit_at(s, i);
    struct arena *a = arena_child(s->arena, 0);
    struct esdoc d;

    open_hit(h, a, &d);
    buf_str(out, "{\"_index\":");
    buf_json_str(out, d.index);
    buf_printf(out, ",\"_id\":\"%016llx\",\"_score\":%s", (unsigned long long)esdoc_id(&d),
               body->has_sort ? "null" : "1.0");
    if (!body->has_no_source) {
        buf_str(out, ",\"_source\":");
        esdoc_source(&d, &body->source, out);
    }
    if (body->n_fields)
        put_fields(s, &d, a, out);
    if (body->has_sort) {
        buf_str(out, ",\"sort\":[");
        for (size_t k = 0; k < body->n_keys; k++) {
            if (k)
                buf_byte(out, ',');
            put_sort_value(&body->keys[k], h, &h->values[k], out);
        }
        buf_byte(out, ']');
    }
    buf_byte(out, '}');
    esdoc_done(&d);
    arena_free(a);
}
