/* textformat/: exposition texts, entry by entry, beside what Prometheus' parsers read. */
#include <stdio.h>

#include "common/model/textformat.h"
#include "tests/conformance/conformance.h"

static json_t *text_json(struct slice s)
{
    return json_stringn((const char *)s.ptr, s.len);
}

static json_t *float_json(double v)
{
    struct buf b = {0};
    json_t *s;

    buf_f64_text(&b, v);
    s = text_json(buf_slice(&b));
    buf_done(&b);
    return s;
}

/* An object; with a name that comes twice, a list of pairs in order of the names. */
static json_t *labels_json_of(struct conformance *c, struct labels ls)
{
    json_t *o = json_object(), *list = json_array();
    struct label *sorted = arena_array(c->arena, struct label, ls.n + 1);
    bool has_dup = false;

    for (size_t i = 0, k; i < ls.n; i++) {
        for (k = i; k > 0 && slice_cmp(sorted[k - 1].name, ls.ptr[i].name) > 0; k--)
            sorted[k] = sorted[k - 1];
        sorted[k] = ls.ptr[i];
    }
    for (size_t i = 0; i < ls.n; i++) {
        json_t *pair = json_array();

        json_array_append_new(pair, text_json(sorted[i].name));
        json_array_append_new(pair, text_json(sorted[i].value));
        json_array_append_new(list, pair);
        has_dup |= i > 0 && slice_eq(sorted[i].name, sorted[i - 1].name);
        json_object_set_new(o, arena_cstr(c->arena, sorted[i].name), text_json(sorted[i].value));
    }
    json_decref(has_dup ? o : list);
    return has_dup ? list : o;
}

static void add_series(struct conformance *c, const struct textformat *t, json_t *o)
{
    char bits[17];

    json_object_set_new(o, "labels", labels_json_of(c, t->labels));
    json_object_set_new(o, "v", float_json(t->value));
    if (t->value != t->value) {
        (void)snprintf(bits, sizeof(bits), "%016llx", (unsigned long long)sample_bits(t->value));
        json_object_set_new(o, "bits", json_string(bits));
    }
    if (t->has_time)
        json_object_set_new(o, "ts", json_integer(t->t_ms));
    if (t->has_exemplar) {
        json_t *list = json_array(), *x = json_object();

        json_object_set_new(x, "labels", labels_json_of(c, t->exemplar_labels));
        json_object_set_new(x, "v", float_json(t->exemplar_value));
        if (t->has_exemplar_time)
            json_object_set_new(x, "ts", json_integer(t->exemplar_t_ms));
        json_array_append_new(list, x);
        json_object_set_new(o, "exemplars", list);
    }
}

static json_t *entry_json(struct conformance *c, const struct textformat *t,
                          enum textformat_entry entry)
{
    static const char *const kinds[] = {"end", "help", "type", "unit", "comment", "series"};
    static const char *const types[] = {
#define X(sym, name) name,
        SAMPLE_METRIC_TYPES(X)
#undef X
    };
    json_t *o = json_object();

    json_object_set_new(o, "t", json_string(kinds[entry]));
    if (entry == TEXTFORMAT_SERIES) {
        add_series(c, t, o);
    } else if (entry == TEXTFORMAT_COMMENT) {
        json_object_set_new(o, "text", text_json(t->text));
    } else {
        json_object_set_new(o, "name", text_json(t->family));
        if (entry == TEXTFORMAT_TYPE)
            json_object_set_new(o, "type", json_string(types[t->type]));
        else
            json_object_set_new(o, entry == TEXTFORMAT_HELP ? "help" : "unit", text_json(t->text));
    }
    if (entry == TEXTFORMAT_HELP) { /* its text is called so */
        json_object_set(o, "text", json_object_get(o, "help"));
        json_object_del(o, "help");
    }
    return o;
}

CONFORMANCE(textformat, cases)
{
    struct slice type = conformance_text(c, "content_type");
    struct textformat t;
    enum textformat_entry entry;
    json_t *got = json_array();
    struct err *e = NULL;
    bool want_ok = conformance_bool(c, "ok");

    textformat_init(&t, c->arena,
                    slice_has_prefix(type, SLICE("application/openmetrics-text"))
                        ? TEXTFORMAT_OPENMETRICS
                        : TEXTFORMAT_PROMETHEUS,
                    conformance_text(c, "input"));
    while ((entry = textformat_next(&t)) > TEXTFORMAT_END)
        json_array_append_new(got, entry_json(c, &t, entry));
    if (entry == TEXTFORMAT_BAD)
        e = textformat_err(&t);
    if (conformance_check_ok(c, "parse", e, want_ok)) {
        if (want_ok)
            (void)conformance_check_json(c, "entries", got, conformance_get(c, "entries"));
        else
            (void)conformance_check_int(c, "entries before the error", json_array_size(got),
                                        conformance_int(c, "entries_before_error"));
    }
    json_decref(got);
}
