/* GET silences, GET silence. */
#include "alertmanager/amapi_internal.h"
#include "alertmanager/silence_json.h"

/* As amtool filters: by the names and the texts of the silence's matchers, as if they were labels. */
static bool matches(const struct amapi_question *q, const struct silence *s)
{
    struct label ls[SILENCES_MAX_MATCHERS];
    size_t n = 0;
    struct slice dup;

    for (size_t i = 0; i < s->matchers.n; i++) {
        const struct ammatch *m = &s->matchers.ptr[i];
        size_t k = 0;

        while (k < n && !slice_eq(ls[k].name, m->name))
            k++;
        ls[k] = (struct label){m->name, m->value}; /* of two of a name the later one */
        n += k == n;
    }
    (void)labels_sort(ls, n, &dup);
    return ammatch_list_matches(&q->filters, (struct labels){ls, n});
}

struct err *amapi_get_silences(struct amapi_question *q)
{
    bool wants[SILENCE_EXPIRED + 1];
    const struct amapi_view *v = q->view;
    silence_vec all = {0};
    struct err *e;

    if ((e = amapi_truth(q, "active", &wants[SILENCE_ACTIVE])) ||
        (e = amapi_truth(q, "pending", &wants[SILENCE_PENDING])) ||
        (e = amapi_truth(q, "expired", &wants[SILENCE_EXPIRED])))
        return e;
    silences_list(v->silences, v->tenant, v->now_ns, &all);
    buf_byte(q->out, '[');
    VEC_FOREACH (s, &all) {
        if (!wants[silence_state(*s, v->now_ns)] || !matches(q, *s))
            continue;
        buf_json_comma(q->out);
        silence_json(q->out, *s, v->now_ns);
    }
    buf_str(q->out, "]\n");
    vec_done(&all);
    return NULL;
}

struct err *amapi_get_silence(struct amapi_question *q)
{
    const struct amapi_view *v = q->view;
    const struct silence *s = silences_get(v->silences, v->tenant, amapi_param(q, "id"));

    if (!s)
        return err_new(ERR_NOT_FOUND, "silence not found");
    silence_json(q->out, s, v->now_ns);
    buf_byte(q->out, '\n');
    return NULL;
}
