#include "querier/search/esmatch.h"

#include <stdlib.h>

/* ---- words ---- */

static bool eq_lower(struct slice low, struct slice text)
{
    if (low.len != text.len)
        return false;
    for (size_t i = 0; i < low.len; i++)
        if (low.ptr[i] != esdoc_lower(text.ptr[i]))
            return false;
    return true;
}

static bool begins_lower(struct slice low, struct slice text)
{
    return low.len <= text.len && eq_lower(low, slice_sub(text, 0, low.len));
}

/* The query's words from the front of text on, one behind the other. */
static bool goes_on(const struct esquery *q, struct slice text)
{
    struct slice word;

    for (size_t i = 0; i < q->n_words; i++) {
        bool is_begin = q->is_prefix && i + 1 == q->n_words;

        if (!esdoc_next_word(&text, &word) ||
            !(is_begin ? begins_lower(q->words[i], word) : eq_lower(q->words[i], word)))
            return false;
    }
    return true;
}

static bool has_phrase(const struct esquery *q, struct slice text)
{
    struct slice word, rest = text;

    if (!q->n_words)
        return false;
    do {
        if (goes_on(q, rest))
            return true;
    } while (esdoc_next_word(&rest, &word));
    return false;
}

static bool has_word(struct slice text, struct slice low)
{
    struct slice word;

    while (esdoc_next_word(&text, &word))
        if (eq_lower(low, word))
            return true;
    return false;
}

/* ---- values ---- */

static bool eq_nocase_or_not(const struct esquery *q, struct slice text)
{
    return q->ignores_case ? slice_eq_nocase(q->literal.text, text)
                           : slice_eq(q->literal.text, text);
}

static bool is_literal(const struct esquery *q, const struct esvalue *v)
{
    if (v->kind == ESVALUE_NUMBER)
        return q->literal.is_number && q->literal.number == v->number;
    return eq_nocase_or_not(q, v->text);
}

static int cmp_text(const void *key, const void *item)
{
    return slice_cmp(*(const struct slice *)key, ((const struct esliteral *)item)->text);
}

static int cmp_number(const void *key, const void *item)
{
    long double a = *(const long double *)key, b = *(const long double *)item;

    return (a > b) - (a < b);
}

static bool is_one_of(const struct esquery *q, const struct esvalue *v)
{
    if (v->kind == ESVALUE_NUMBER)
        return q->n_numbers &&
               bsearch(&v->number, q->numbers, q->n_numbers, sizeof(*q->numbers), cmp_number);
    return q->n_literals &&
           bsearch(&v->text, q->literals, q->n_literals, sizeof(*q->literals), cmp_text);
}

static bool is_in_numbers(const struct esrange *r, const struct esvalue *v)
{
    long double n = v->number;

    if (v->kind != ESVALUE_NUMBER && !esliteral_number(v->text, &n))
        return false;
    if (r->has_min && (r->excludes_min ? n <= r->min : n < r->min))
        return false;
    return !r->has_max || (r->excludes_max ? n < r->max : n <= r->max);
}

static bool is_in_times(const struct esrange *r, int64_t ns)
{
    return (!r->has_min || ns >= r->from_ns) && (!r->has_max || ns < r->to_ns);
}

static bool is_in_texts(const struct esrange *r, struct slice text)
{
    int low = r->has_min ? slice_cmp(text, r->min_text) : 1;
    int high = r->has_max ? slice_cmp(text, r->max_text) : -1;

    return (low > 0 || (low == 0 && !r->excludes_min)) &&
           (high < 0 || (high == 0 && !r->excludes_max));
}

static bool is_in_range(const struct esrange *r, const struct esvalue *v)
{
    int64_t ns;

    switch (r->kind) {
    case ESRANGE_NUMBER:
        return is_in_numbers(r, v);
    case ESRANGE_DATE:
        return esdate_of_value(v->text, &ns) && is_in_times(r, ns);
    default:
        return is_in_texts(r, v->text);
    }
}

/* ---- a value of a text field ---- */

static int cmp_word(const void *key, const void *item)
{
    struct slice word = *(const struct slice *)key, low = ((const struct esliteral *)item)->text;

    for (size_t i = 0; i < word.len && i < low.len; i++)
        if (esdoc_lower(word.ptr[i]) != low.ptr[i])
            return esdoc_lower(word.ptr[i]) < low.ptr[i] ? -1 : 1;
    return (word.len > low.len) - (word.len < low.len);
}

/* Of one word, as it is in the text. */
static bool fits_word(const struct esquery *q, struct slice word)
{
    switch (q->kind) {
    case ESQUERY_PREFIX:
        return word.len >= q->literal.text.len &&
               slice_eq_nocase(q->literal.text, slice_sub(word, 0, q->literal.text.len));
    case ESQUERY_WILDCARD:
        return esdoc_glob(q->literal.text, word, true);
    case ESQUERY_REGEXP:
        return re_match(q->re, word);
    case ESQUERY_TERMS:
        return q->n_literals &&
               bsearch(&word, q->literals, q->n_literals, sizeof(*q->literals), cmp_word);
    default:
        return slice_eq_nocase(q->literal.text, word);
    }
}

static bool fits_text(const struct esquery *q, struct slice text)
{
    struct slice word;

    if (q->kind == ESQUERY_PHRASE)
        return has_phrase(q, text);
    while (esdoc_next_word(&text, &word))
        if (fits_word(q, word))
            return true;
    return false;
}

/* ---- a value of an exact field ---- */

static bool fits_exact(const struct esquery *q, const struct esvalue *v)
{
    struct slice low = q->literal.text;

    switch (q->kind) {
    case ESQUERY_TERMS:
        return is_one_of(q, v);
    case ESQUERY_PREFIX:
        return v->text.len >= low.len && eq_nocase_or_not(q, slice_sub(v->text, 0, low.len));
    case ESQUERY_WILDCARD:
        return esdoc_glob(low, v->text, q->ignores_case);
    case ESQUERY_REGEXP:
        return re_match(q->re, v->text);
    case ESQUERY_PHRASE:
        if (q->is_prefix)
            return slice_has_prefix(v->text, low);
        return is_literal(q, v);
    default:
        return is_literal(q, v);
    }
}

struct looking {
    const struct esquery *q;
    struct slice word; /* of a match */
    bool is_text;
};

static bool on_value(void *arg, const struct esvalue *v)
{
    const struct looking *l = arg;

    if (l->q->kind == ESQUERY_EXISTS)
        return true;
    if (l->q->kind == ESQUERY_RANGE)
        return is_in_range(&l->q->range, v);
    if (l->word.ptr)
        return has_word(v->text, l->word);
    return l->is_text ? fits_text(l->q, v->text) : fits_exact(l->q, v);
}

/* Of a match each word by itself: they may be in several values. */
static bool keeps_match(const struct esquery *q, struct esdoc *d)
{
    struct looking l = {.q = q, .is_text = true};
    size_t n = 0;

    for (size_t i = 0; i < q->n_words && n < q->min_words; i++) {
        l.word = q->words[i];
        n += esdoc_each(d, q->field, on_value, &l);
    }
    return n >= q->min_words;
}

static bool keeps_bool(const struct esquery *q, struct esdoc *d)
{
    size_t n = 0;

    for (size_t i = 0; i < q->must.n; i++)
        if (!esmatch_keeps(q->must.ptr[i], d))
            return false;
    for (size_t i = 0; i < q->must_not.n; i++)
        if (esmatch_keeps(q->must_not.ptr[i], d))
            return false;
    for (size_t i = 0; i < q->should.n && n < q->min_should; i++)
        n += esmatch_keeps(q->should.ptr[i], d);
    return n >= q->min_should;
}

static bool keeps_existing(const struct esquery *q, struct esdoc *d)
{
    struct looking l = {.q = q};
    bool ret;

    d->descends = true;
    ret = esdoc_each(d, q->field, on_value, &l);
    d->descends = false;
    return ret;
}

#define LOOK_WORK (16u << 20) /* some ms */

/* How much there may be to compare: a query of thousands of patterns takes its time for one long line. */
static bool has_stopped(const struct esquery *q, struct esdoc *d)
{
    if (d->err)
        return true;
    d->work += (d->line.len + 64) * (q->kind == ESQUERY_WILDCARD ? q->literal.text.len + 1
                                     : q->kind == ESQUERY_PHRASE || q->kind == ESQUERY_MATCH
                                         ? q->n_words + 1
                                         : 1);
    if (d->work < LOOK_WORK || !d->look)
        return false;
    d->work = 0;
    d->err = d->look(d->look_arg);
    return d->err != NULL;
}

bool esmatch_keeps(const struct esquery *q, struct esdoc *d)
{
    struct looking l = {.q = q};

    if (has_stopped(q, d))
        return false;
    switch (q->kind) {
    case ESQUERY_ALL:
        return true;
    case ESQUERY_NONE:
        return false;
    case ESQUERY_BOOL:
        return keeps_bool(q, d);
    case ESQUERY_EXISTS:
        return keeps_existing(q, d);
    case ESQUERY_RANGE:
        if (slice_eq_cstr(q->field, ESQUERY_TIME))
            return is_in_times(&q->range, d->ts_ns);
        return esdoc_each(d, q->field, on_value, &l);
    case ESQUERY_MATCH:
        if (esquery_is_text(q->field))
            return keeps_match(q, d);
        break;
    default:
        break;
    }
    l.is_text = esquery_is_text(q->field);
    return esdoc_each(d, q->field, on_value, &l);
}
