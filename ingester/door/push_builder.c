#include "ingester/door/push_builder.h"

#include <stdlib.h>

#include "common/model/exemplar_order.h"
#include "ingester/door/rewrite.h"
#include "ingester/door/series_labels.h"

#define SHORT 32 /* labels up to which insertion is the fastest way to sort */
#define METADATA_SLOTS 256

void push_builder_init(struct push_builder *b, struct push *p, const struct fp_cache *known,
                       int64_t now_ms)
{
    *b = (struct push_builder){
        .push = p, .known = known, .now_ms = now_ms, .arena_before = arena_used(p->arena)};
}

/* The creation of a series, which is not told twice. */
static struct hash128 created_hash(struct hash128 fp, int64_t created_ms)
{
    return hash_xxh128(slice_of(&created_ms, sizeof(created_ms)), fp.lo ^ fp.hi);
}

/* Not a fingerprint of labels: those begin with a tag. */
static struct hash128 metadata_hash(const struct push_metadata *m, uint64_t epoch)
{
    uint64_t h = hash_xxh64(m->family, epoch + (uint64_t)m->type);
    struct hash128 help = hash_xxh128(m->help, h);

    return (struct hash128){help.lo, help.hi ^ hash_xxh64(m->unit, h)};
}

void push_builder_remember(const struct push *p, struct fp_cache *known)
{
    VEC_FOREACH (s, &p->series) {
        if (!s->is_known)
            fp_cache_add(known, s->fp);
        if (s->extra && s->extra->created_ms)
            fp_cache_add(known, created_hash(s->fp, s->extra->created_ms));
    }
    if (p->metadata_epoch)
        VEC_FOREACH (m, &p->metadata)
            fp_cache_add(known, metadata_hash(m, p->metadata_epoch));
}

void push_builder_reject(struct push_builder *b, enum door_reason reason, uint64_t n,
                         struct slice labels)
{
    if (b->rejects.samples[reason] == 0)
        b->rejects.example[reason] = labels;
    b->rejects.samples[reason] += n;
}

void push_builder_reject_with(struct push_builder *b, enum door_reason reason, uint64_t n,
                              struct slice labels, const char *detail)
{
    if (b->rejects.samples[reason] == 0)
        b->rejects.detail[reason] = arena_strdup(b->push->arena, detail);
    push_builder_reject(b, reason, n, labels);
}

void push_builder_drop_exemplars(struct push_builder *b, uint64_t n)
{
    b->rejects.exemplars += n;
}

void push_builder_metadata(struct push_builder *b, const struct push_metadata *m)
{
    const struct tenant_limits *limits = &b->push->limits;
    size_t max = limits->max_metadata_length ? (size_t)limits->max_metadata_length : SIZE_MAX;

    if (m->family.len == 0 || m->family.len > max || m->help.len > max || m->unit.len > max ||
        !slice_is_utf8(m->family) || !slice_is_utf8(m->help) || !slice_is_utf8(m->unit)) {
        b->rejects.metadata++;
        return;
    }
    vec_push(&b->push->metadata, *m);
}

void push_builder_metadata_once(struct push_builder *b, const struct push_metadata *m)
{
    struct hash128 h, *slot;

    if (!b->metadata) {
        b->metadata = arena_array(b->push->arena, struct hash128, METADATA_SLOTS);
        b->push->metadata_epoch = (uint64_t)b->now_ms / PUSH_BUILDER_METADATA_MS + 1;
    }
    h = metadata_hash(m, b->push->metadata_epoch);
    slot = &b->metadata[h.lo % METADATA_SLOTS];
    if (hash128_eq(*slot, h) || fp_cache_has(b->known, h))
        return;
    *slot = h;
    push_builder_metadata(b, m);
}

/* ---- labels ---- */

static struct label *scratch(struct push_builder *b, size_t n)
{
    if (n > b->scratch_cap) {
        b->scratch_cap = ORR_MAX(2 * n, (size_t)64);
        b->scratch = arena_array(b->push->arena, struct label, b->scratch_cap);
    }
    return b->scratch;
}

static int by_name(const void *a, const void *b)
{
    return slice_cmp(((const struct label *)a)->name, ((const struct label *)b)->name);
}

static void sort(struct label *ls, size_t n)
{
    if (n > SHORT) {
        qsort(ls, n, sizeof(*ls), by_name);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        struct label l = ls[i];
        size_t k = i;

        for (; k > 0 && slice_cmp(ls[k - 1].name, l.name) > 0; k--)
            ls[k] = ls[k - 1];
        ls[k] = l;
    }
}

/* ls by name: itself, or a copy in the scratch. */
static struct labels in_order(struct push_builder *b, const struct label *ls, size_t n,
                              bool *ret_has_empty)
{
    bool is_sorted = true, has_empty = false;
    struct label *copy;

    for (size_t i = 0; i < n; i++) {
        has_empty |= ls[i].value.len == 0;
        is_sorted = is_sorted && (i == 0 || slice_cmp(ls[i - 1].name, ls[i].name) < 0);
    }
    *ret_has_empty = has_empty;
    if (ORR_LIKELY(is_sorted))
        return (struct labels){ls, n};
    copy = scratch(b, n);
    memcpy(copy, ls, n * sizeof(*ls));
    sort(copy, n);
    return (struct labels){copy, n};
}

static struct labels without_empty(struct push_builder *b, struct labels ls)
{
    struct label *out = ls.ptr == b->scratch ? b->scratch : scratch(b, ls.n);
    size_t n = 0;

    for (size_t i = 0; i < ls.n; i++)
        if (ls.ptr[i].value.len)
            out[n++] = ls.ptr[i];
    return (struct labels){out, n};
}

enum door_reason push_builder_check(struct push_builder *b, struct labels ls)
{
    bool has_empty;

    return series_labels_reason(in_order(b, ls.ptr, ls.n, &has_empty), &b->push->limits);
}

static bool has_twice(struct labels ls)
{
    for (size_t i = 1; i < ls.n; i++)
        if (slice_eq(ls.ptr[i - 1].name, ls.ptr[i].name))
            return true;
    return false;
}

/* What the pair's tracker says, asked again only when another pair comes. */
static enum ha_verdict ask_ha(struct push_builder *b, uint32_t pair)
{
    struct slice cluster, replica;

    if (!pair || !b->ha)
        return HA_ELECTED;
    if (b->ha_pair != pair || b->ha_epoch != rewrite_epoch(b->rewrite)) {
        rewrite_pair(b->rewrite, pair, &cluster, &replica);
        b->ha_verdict = b->ha(b->ha_arg, b->push, cluster, replica);
        b->ha_pair = pair;
        b->ha_epoch = rewrite_epoch(b->rewrite);
    }
    return b->ha_verdict;
}

/* ls: in order, without empty values, names unique. */
static enum door_reason name_rewritten(struct push_builder *b, struct labels ls, struct hash128 key,
                                       uint64_t n, struct push_named *ret)
{
    struct arena *a = b->push->arena;
    enum door_reason reason = DOOR_OK;
    struct rewrite_result r = {.labels = SLICE_EMPTY};
    bool was_known = rewrite_known(b->rewrite, key, &r);
    struct labels after = {0};
    enum ha_verdict ha;

    if (was_known)
        ret->labels = arena_dup(a, r.labels);
    else
        r.is_dropped = !rewrite_labels(b->rewrite, a, ls, &after, &r.pair);
    ha = ask_ha(b, r.pair);
    if (!was_known && !r.is_dropped) {
        r.labels = ret->labels = labels_canonical_dup(a, after);
        r.fp = labels_fingerprint_of_canonical(r.labels);
        if (!fp_cache_has(b->known, r.fp))
            reason = series_labels_reason(after, &b->push->limits);
    }
    ret->fp = r.fp;
    if (!was_known && reason == DOOR_OK)
        rewrite_remember(b->rewrite, key, &r);
    if (ha == HA_TOO_MANY_CLUSTERS)
        return DOOR_HA_CLUSTERS;
    if (ha == HA_NAME_TOO_LONG)
        return DOOR_VALUE_TOO_LONG;
    if (ha == HA_OTHER_REPLICA)
        b->rejects.deduplicated += n;
    else if (r.is_dropped)
        b->rejects.relabelled += n;
    ret->is_gone = ha != HA_ELECTED || r.is_dropped;
    ret->is_known = !ret->is_gone && reason == DOOR_OK && fp_cache_has(b->known, r.fp);
    return ret->is_gone ? DOOR_OK : reason;
}

enum door_reason push_builder_name(struct push_builder *b, struct labels in,
                                   const struct hash128 *key, uint64_t n, struct push_named *ret)
{
    enum door_reason reason = DOOR_OK;
    struct labels ls;
    bool has_empty;

    *ret = (struct push_named){.labels = SLICE_EMPTY};
    ls = in_order(b, in.ptr, in.n, &has_empty);
    if (ORR_UNLIKELY(b->rewrite)) {
        bool twice = has_twice(ls);

        if (has_empty)
            ls = without_empty(b, ls);
        ret->labels = key && !twice ? SLICE_EMPTY : labels_canonical_dup(b->push->arena, ls);
        if (twice)
            return DOOR_DUPLICATE_LABEL;
        return name_rewritten(b, ls, key ? *key : labels_fingerprint_of_canonical(ret->labels), n,
                              ret);
    }
    if (ORR_UNLIKELY(has_empty)) { /* the names of those left out are held to the rules, too */
        reason = series_labels_reason(ls, &b->push->limits);
        if (reason == DOOR_OK)
            ls = without_empty(b, ls);
    }
    ret->labels = labels_canonical_dup(b->push->arena, ls);
    ret->fp = labels_fingerprint_of_canonical(ret->labels);
    ret->is_known = reason == DOOR_OK && fp_cache_has(b->known, ret->fp);
    if (!ret->is_known && !has_empty)
        reason = series_labels_reason(ls, &b->push->limits);
    return reason;
}

/* ---- what a series holds beside one sample ---- */

static size_t count_chars(struct slice s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += (s.ptr[i] & 0xc0) != 0x80;
    return n;
}

/* False when the exemplar is not to be kept. */
static bool exemplar_labels(struct push_builder *b, const struct push_in_exemplar *ex,
                            struct slice *ret)
{
    struct labels ls;
    size_t chars = 0;
    bool has_empty;

    if (ex->n_labels > 2 * PUSH_BUILDER_EXEMPLAR_MAX_CHARS)
        return false;
    ls = in_order(b, ex->labels, ex->n_labels, &has_empty);
    for (size_t i = 0; i < ls.n; i++) {
        const struct label *l = &ls.ptr[i];

        if (l->name.len == 0 || !slice_is_utf8(l->name) || !slice_is_utf8(l->value) ||
            (i && slice_eq(ls.ptr[i - 1].name, l->name)))
            return false;
        chars += count_chars(l->name) + count_chars(l->value);
    }
    if (chars > PUSH_BUILDER_EXEMPLAR_MAX_CHARS)
        return false;
    *ret = labels_canonical_dup(b->push->arena, has_empty ? without_empty(b, ls) : ls);
    return true;
}

static bool is_behind(const struct push_exemplar *last, const struct push_exemplar *next)
{
    return exemplar_order_place(&(struct exemplar_order){last->t_ms, last->v, last->labels},
                                &(struct exemplar_order){next->t_ms, next->v, next->labels}) ==
           EXEMPLAR_BEHIND;
}

static void take_exemplars(struct push_builder *b, const struct push_in *in, struct push_extra *x)
{
    struct push_exemplar *out = arena_array(b->push->arena, struct push_exemplar, in->n_exemplars);

    x->exemplars = out;
    for (size_t i = 0; i < in->n_exemplars; i++) {
        struct push_exemplar *to = &out[x->n_exemplars];

        if (!exemplar_labels(b, &in->exemplars[i], &to->labels)) {
            b->rejects.exemplars++;
            continue;
        }
        to->v = in->exemplars[i].v;
        to->t_ms = in->exemplars[i].t_ms;
        if (x->n_exemplars && is_behind(&to[-1], to)) {
            b->rejects.exemplars++;
            b->rejects.exemplars_behind++;
            continue;
        }
        x->n_exemplars++;
    }
}

static void take_histograms(struct push_builder *b, const struct push_in *in, struct slice labels,
                            struct push_extra *x)
{
    size_t max = (size_t)b->push->limits.max_native_histogram_buckets;
    struct push_histogram *out =
        arena_array(b->push->arena, struct push_histogram, in->n_histograms);

    x->histograms = out;
    for (size_t i = 0; i < in->n_histograms; i++) {
        const struct histogram *h = &in->histograms[i].h;

        if (max && h->n_pos_buckets + h->n_neg_buckets > max)
            push_builder_reject(b, DOOR_HISTOGRAM_BUCKETS, 1, labels);
        else
            out[x->n_histograms++] = in->histograms[i];
    }
}

/* NULL when nothing is left of the series. */
static struct push_extra *take_extra(struct push_builder *b, const struct push_in *in,
                                     struct slice labels)
{
    struct push_extra *x = arena_new_of(b->push->arena, struct push_extra);

    if (in->n_samples) {
        struct sample *out = arena_array(b->push->arena, struct sample, in->n_samples);

        memcpy(out, in->samples, in->n_samples * sizeof(*out));
        x->samples = out;
        x->n_samples = (uint32_t)in->n_samples;
    }
    if (in->n_exemplars)
        take_exemplars(b, in, x);
    if (in->n_histograms)
        take_histograms(b, in, labels, x);
    return x->n_samples | x->n_histograms | x->n_exemplars ? x : NULL;
}

/* Whether replicas are to be told when the series was created. */
static bool is_created_news(const struct push_builder *b, const struct push_in *in,
                            const struct push_named *named)
{
    int64_t first = in->n_samples      ? in->samples[0].t_ms
                    : in->n_histograms ? in->histograms[0].t_ms
                                       : INT64_MIN;

    return in->created_ms && b->push->limits.created_timestamp_zero_ingestion &&
           in->created_ms < first &&
           !fp_cache_has(b->known, created_hash(named->fp, in->created_ms));
}

static void add(struct push_builder *b, const struct push_in *in, const struct push_named *named)
{
    struct push *p = b->push;
    struct push_series *ps;
    struct push_extra *x = NULL;
    bool is_news = ORR_UNLIKELY(in->created_ms != 0) && is_created_news(b, in, named);
    int64_t start_ms = 0;

    if (ORR_UNLIKELY(p->limits.start_timestamp_storage))
        start_ms = in->start_ms ? in->start_ms : in->created_ms;
    if (ORR_UNLIKELY(in->n_samples != 1 || in->n_exemplars || in->n_histograms || is_news ||
                     start_ms)) {
        if (!(x = take_extra(b, in, named->labels)))
            return;
        x->created_ms = is_news ? in->created_ms : 0;
        x->start_ms = start_ms;
        p->histograms += x->n_histograms;
        p->exemplars += x->n_exemplars;
    }
    p->samples += in->n_samples;
    vec_reserve(&p->series, 1);
    ps = &p->series.ptr[p->series.len++];
    *ps = (struct push_series){.fp = named->fp,
                               .labels = named->labels,
                               .sample = in->n_samples ? in->samples[0] : (struct sample){0},
                               .extra = x,
                               .is_known = named->is_known};
}

struct err *push_builder_add(struct push_builder *b, const struct push_in *in)
{
    enum door_reason reason = DOOR_MAX_LABELS;
    struct push_named named = {.labels = SLICE_EMPTY};

    if (ORR_UNLIKELY(push_builder_bytes(b) > PUSH_BUILDER_MAX_BYTES))
        return err_new(ERR_LIMIT, "a write with more than %u bytes of labels",
                       PUSH_BUILDER_MAX_BYTES);
    if (ORR_LIKELY(in->n_labels <= PUSH_BUILDER_MAX_LABELS))
        reason = push_builder_name(b, (struct labels){in->labels, in->n_labels}, NULL,
                                   in->n_samples + in->n_histograms, &named);
    if (ORR_LIKELY(reason == DOOR_OK)) {
        if (ORR_LIKELY(!named.is_gone))
            add(b, in, &named);
        return NULL;
    }
    push_builder_reject(b, reason, ORR_MAX(in->n_samples + in->n_histograms, (size_t)1),
                        named.labels);
    b->rejects.exemplars += in->n_exemplars;
    return NULL;
}
