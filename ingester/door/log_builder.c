#include "ingester/door/log_builder.h"

#include "common/base/clock.h"
#include "common/model/event.h"
#include "ingester/door/line_level.h"
#include "ingester/door/log_apply.h"
#include "ingester/door/log_labels.h"

#define MAX_EXAMPLES 4
#define EXAMPLE_BYTES 200
#define SORT_FEW 32 /* labels that are put in order by insertion */

static const char *const reason_names[] = {
#define X(sym, name, text) name,
    LOG_REASONS(X)
#undef X
};
static const char *const reason_texts[] = {
#define X(sym, name, text) text,
    LOG_REASONS(X)
#undef X
};

const char *log_reason_name(enum log_reason reason)
{
    return reason_names[reason];
}

void log_builder_init(struct log_builder *b, struct log_batch *batch, const struct fp_cache *known,
                      int64_t now_ns)
{
    const struct tenant_limits *l = &batch->limits;

    *b = (struct log_builder){.batch = batch,
                              .known = known,
                              .now_ns = now_ns,
                              .min_t_ns = INT64_MIN,
                              .max_t_ns = INT64_MAX,
                              .arena_before = arena_used(batch->arena)};
    if (l->reject_old_samples && l->reject_old_samples_max_age_ns)
        b->min_t_ns = now_ns - l->reject_old_samples_max_age_ns;
    if (l->creation_grace_period_ns)
        b->max_t_ns = now_ns + l->creation_grace_period_ns;
}

void log_builder_set_rules(struct log_builder *b, const struct tenant_rules *rules)
{
    b->rules = rules;
    if (!rules || (!rules->log.n && !rules->log_relabel))
        return;
    b->tally = arena_array(b->batch->arena, struct log_tally, rules->log.n + 1);
}

/* ---- refusals ---- */

static void reject_n(struct log_builder *b, enum log_reason reason, uint64_t lines, uint64_t bytes,
                     struct slice labels, const char *detail)
{
    struct log_rejects *r = &b->rejects;

    if (r->lines[reason] == 0) {
        r->example[reason] = labels;
        r->detail[reason] = detail ? arena_strdup(b->batch->arena, detail) : NULL;
    }
    r->lines[reason] += lines;
    r->bytes[reason] += bytes;
}

void log_builder_reject(struct log_builder *b, enum log_reason reason, uint64_t bytes,
                        struct slice labels, const char *detail)
{
    reject_n(b, reason, 1, bytes, labels, detail);
}

uint64_t log_builder_refused(const struct log_builder *b)
{
    uint64_t n = 0;

    for (size_t i = 0; i < LOG_REASON_COUNT; i++)
        n += b->rejects.lines[i];
    return n;
}

struct err *log_builder_answer(const struct log_builder *b)
{
    uint64_t refused = log_builder_refused(b);
    struct buf text = {0};
    struct err *e;
    size_t shown = 0;

    if (refused == 0)
        return NULL;
    buf_printf(&text, "%llu of %llu lines refused, the others are stored",
               (unsigned long long)refused, (unsigned long long)(refused + b->batch->entries.len));
    for (size_t i = 0; i < LOG_REASON_COUNT; i++) {
        if (b->rejects.lines[i] == 0)
            continue;
        if (shown++ == MAX_EXAMPLES) {
            buf_str(&text, "; and for other reasons");
            break;
        }
        buf_printf(&text, "; %s (%llu lines)", reason_texts[i],
                   (unsigned long long)b->rejects.lines[i]);
        if (b->rejects.example[i].len) {
            buf_str(&text, ": stream ");
            log_labels_text(&text, b->rejects.example[i], EXAMPLE_BYTES);
        }
        if (b->rejects.detail[i])
            buf_printf(&text, ": %s", b->rejects.detail[i]);
    }
    e = err_new(ERR_INVALID, "%s", buf_cstr(&text));
    buf_done(&text);
    return e;
}

/* ---- streams ---- */

/* Labels that name a service, the best first (Loki's default list). */
static struct slice find_service(struct labels sorted)
{
    static const struct slice names[] = {SLICE_INIT("service"),
                                         SLICE_INIT("app"),
                                         SLICE_INIT("application"),
                                         SLICE_INIT("app_name"),
                                         SLICE_INIT("name"),
                                         SLICE_INIT("app_kubernetes_io_name"),
                                         SLICE_INIT("container"),
                                         SLICE_INIT("container_name"),
                                         SLICE_INIT("k8s_container_name"),
                                         SLICE_INIT("component"),
                                         SLICE_INIT("workload"),
                                         SLICE_INIT("job"),
                                         SLICE_INIT("k8s_job_name")};

    for (size_t i = 0; i < ORR_COUNT(names); i++) {
        struct slice v = labels_get(sorted, names[i]);

        if (v.len)
            return v;
    }
    return SLICE(LOG_SERVICE_UNKNOWN);
}

static struct label *scratch(struct log_builder *b, size_t n)
{
    if (n > b->scratch_cap) {
        b->scratch_cap = 2 * n + 8;
        b->scratch = arena_array(b->batch->arena, struct label, b->scratch_cap);
    }
    return b->scratch;
}

/* sorted: by name, without empty values. */
static enum log_reason check_labels(const struct log_builder *b, struct labels sorted,
                                    size_t n_sent)
{
    const struct tenant_limits *l = &b->batch->limits;

    if (sorted.n == 0)
        return LOG_MISSING_LABELS;
    for (size_t i = 0; b->rules && i < b->rules->enforced_labels.n; i++)
        if (!labels_has(sorted, b->rules->enforced_labels.ptr[i]))
            return LOG_MISSING_ENFORCED;
    if (l->max_label_names_per_stream && n_sent > (size_t)l->max_label_names_per_stream)
        return LOG_MAX_LABELS;
    for (size_t i = 0; i < sorted.n; i++) {
        struct label s = sorted.ptr[i];

        if (l->max_label_name_length && s.name.len > (size_t)l->max_label_name_length)
            return LOG_NAME_TOO_LONG;
        if (l->max_stream_label_value_length &&
            s.value.len > (size_t)l->max_stream_label_value_length)
            return LOG_VALUE_TOO_LONG;
        if (!labels_is_legacy_name(s.name) || !slice_is_utf8(s.value))
            return LOG_INVALID_LABELS;
    }
    return LOG_OK;
}

static bool is_sorted(const struct label *ls, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (slice_cmp(ls[i - 1].name, ls[i].name) >= 0)
            return false;
    return true;
}

/* By name; of a name that comes twice the last stays. Gives how many are left. */
static size_t sort_unique(struct label *ls, size_t n)
{
    struct slice dup;
    size_t kept = 0;

    if (is_sorted(ls, n))
        return n;
    if (n > SORT_FEW)
        (void)labels_sort(ls, n, &dup);
    for (size_t i = 1; i < n && n <= SORT_FEW; i++) {
        struct label l = ls[i];
        size_t k = i;

        for (; k > 0 && slice_cmp(ls[k - 1].name, l.name) > 0; k--)
            ls[k] = ls[k - 1];
        ls[k] = l;
    }
    for (size_t i = 0; i < n; i++)
        if (kept && slice_eq(ls[kept - 1].name, ls[i].name))
            ls[kept - 1] = ls[i];
        else
            ls[kept++] = ls[i];
    return kept;
}

/* The service name in its place among sorted labels. */
static size_t add_service(struct label *ls, size_t n)
{
    struct label service = {SLICE(LOG_SERVICE_LABEL), find_service((struct labels){ls, n})};
    size_t i = n;

    for (; i > 0 && slice_cmp(ls[i - 1].name, service.name) > 0; i--)
        ls[i] = ls[i - 1];
    ls[i] = service;
    return n + 1;
}

static struct log_builder_at refused(enum log_reason reason, struct slice labels)
{
    return (struct log_builder_at){
        .stream = LOG_BATCH_NONE, .reason = reason, .labels = labels, .level = LINE_LEVEL_UNKNOWN};
}

/* Those of the tenant's rules that are for a stream; kept for when it comes again. */
static uint64_t find_rules(struct log_builder *b, uint32_t stream, struct labels sorted)
{
    const struct log_rules *rules = &b->rules->log;
    uint64_t bits = 0;

    static_assert(LOG_RULE_MAX_RULES <= 64, "a bit each");
    for (size_t i = 0; i < rules->n; i++)
        if (matchers_match(rules->ptr[i].match, sorted))
            bits |= 1ull << i;
    if (stream >= b->stream_rules_cap) {
        size_t cap = 2 * (size_t)stream + 16;

        b->stream_rules = arena_grow(b->batch->arena, b->stream_rules,
                                     b->stream_rules_cap * sizeof(*b->stream_rules),
                                     cap * sizeof(*b->stream_rules));
        b->stream_rules_cap = cap;
    }
    b->stream_rules[stream] = bits;
    return bits;
}

/* A stream that this write has not had. */
static struct log_builder_at new_stream(struct log_builder *b, struct labels sorted, size_t n_sent,
                                        struct hash128 fp, struct slice canonical)
{
    struct log_batch *batch = b->batch;
    bool is_known = b->known && fp_cache_has(b->known, fp);
    enum log_reason reason = is_known || b->is_lax ? LOG_OK : check_labels(b, sorted, n_sent);
    struct slice labels = arena_dup(batch->arena, canonical);
    struct log_stream *s;
    uint32_t at;

    if (reason != LOG_OK)
        return refused(reason, labels);
    at = log_batch_put(batch, fp, labels);
    s = &batch->streams.ptr[at];
    s->is_known = is_known;
    s->level = (uint8_t)line_level_of_labels(sorted);
    return (struct log_builder_at){.stream = at,
                                   .reason = LOG_OK,
                                   .rules = b->tally ? find_rules(b, at, sorted) : 0,
                                   .labels = labels,
                                   .level = s->level};
}

/* What the tenant's rules make of n sorted labels in *io, which get room for one more. False: the
 * stream is dropped. */
static bool relabel(struct log_builder *b, struct label **io, size_t *io_n)
{
    struct labels after;

    if (!b->rules || !b->rules->log_relabel)
        return true;
    if (!relabel_apply(b->rules->log_relabel, b->batch->arena, (struct labels){*io, *io_n}, &after))
        return false;
    *io = scratch(b, after.n + 1);
    memcpy(*io, after.ptr, after.n * sizeof(**io));
    *io_n = after.n;
    return true;
}

struct log_builder_at log_builder_stream(struct log_builder *b, struct labels ls)
{
    struct log_batch *batch = b->batch;
    size_t n = 0, n_sent;
    struct label *out;
    struct hash128 fp;
    uint32_t at;

    if (ls.n > LOG_BUILDER_MAX_LABELS)
        return refused(LOG_MAX_LABELS, SLICE_EMPTY);
    out = scratch(b, ls.n + 1);
    for (size_t i = 0; i < ls.n; i++)
        if (ls.ptr[i].value.len)
            out[n++] = ls.ptr[i];
    n = sort_unique(out, n);
    if (!relabel(b, &out, &n))
        return (struct log_builder_at){
            .stream = LOG_BATCH_NONE, .reason = LOG_OK, .is_dropped = true, .labels = SLICE_EMPTY};
    n_sent = n;
    buf_reset(&batch->scratch);
    if (!b->is_lax && batch->limits.discover_service_name &&
        !labels_has((struct labels){out, n}, SLICE(LOG_SERVICE_LABEL)) &&
        !labels_has((struct labels){out, n}, SLICE(EVENT_LABEL)))
        n = add_service(out, n);
    labels_canonical(&batch->scratch, (struct labels){out, n});
    fp = labels_fingerprint_of_canonical(buf_slice(&batch->scratch));
    at = log_batch_find(batch, fp);
    if (at == LOG_BATCH_NONE)
        return new_stream(b, (struct labels){out, n}, n_sent, fp, buf_slice(&batch->scratch));
    return (struct log_builder_at){.stream = at,
                                   .reason = LOG_OK,
                                   .rules = b->tally ? b->stream_rules[at] : 0,
                                   .labels = batch->streams.ptr[at].labels,
                                   .level = batch->streams.ptr[at].level};
}

/* ---- entries ---- */

static enum log_reason check_entry(const struct log_builder *b, const struct log_in *in)
{
    const struct tenant_limits *l = &b->batch->limits;
    uint64_t bytes = 0;

    if (in->t_ns < b->min_t_ns)
        return LOG_TOO_OLD;
    if (in->t_ns > b->max_t_ns)
        return LOG_TOO_NEW;
    if (l->max_line_size && in->line.len > (size_t)l->max_line_size && !l->max_line_size_truncate)
        return LOG_LINE_TOO_LONG;
    if (in->n_metadata == 0)
        return LOG_OK;
    if (!l->allow_structured_metadata)
        return LOG_METADATA_OFF;
    for (size_t i = 0; i < in->n_metadata; i++)
        bytes += in->metadata[i].name.len + in->metadata[i].value.len;
    if (l->max_structured_metadata_size && bytes > (uint64_t)l->max_structured_metadata_size)
        return LOG_METADATA_TOO_LARGE;
    if (l->max_structured_metadata_entries_count &&
        in->n_metadata > (size_t)l->max_structured_metadata_entries_count)
        return LOG_METADATA_TOO_MANY;
    return LOG_OK;
}

/* Cut where no rune is split. */
static struct slice truncated(struct slice line, size_t max)
{
    size_t n = max;

    while (n > 0 && max - n < 3 && (line.ptr[n] & 0xc0) == 0x80)
        n--;
    if (n > 0 && (line.ptr[n] & 0xc0) == 0x80)
        n = max; /* it is no UTF-8 */
    return slice_sub(line, 0, n);
}

/* A line that is longer than the limit, cut, with the tenant's mark behind it. */
static struct slice cut_line(struct log_builder *b, struct slice line)
{
    size_t max = (size_t)b->batch->limits.max_line_size;
    struct slice mark = b->rules ? b->rules->max_line_size_truncate_identifier : SLICE_EMPTY, head;
    uint8_t *out;

    b->rejects.truncated++;
    if (mark.len == 0 || mark.len >= max)
        return truncated(line, max);
    head = truncated(line, max - mark.len);
    out = arena_alloc(b->batch->arena, head.len + mark.len);
    memcpy(out, head.ptr, head.len);
    memcpy(out + head.len, mark.ptr, mark.len);
    return slice_of(out, head.len + mark.len);
}

/* Behind the stream's last of this write, when that has, or had, the same time. */
static int64_t after_last(struct log_batch *batch, uint32_t stream, int64_t t_ns)
{
    struct log_stream *s = &batch->streams.ptr[stream];
    int64_t last = s->n ? batch->entries.ptr[s->last].t_ns : 0, ret = t_ns;

    if (s->n && last >= t_ns && last < INT64_MAX && last - s->moved_ns <= t_ns)
        ret = last + 1;
    s->moved_ns = ret - t_ns;
    return ret;
}

/* The level alone: what most lines have. */
static const struct label only_level[] = {
#define X(sym, name) {SLICE_INIT(LINE_LEVEL_LABEL), SLICE_INIT(name)},
    LINE_LEVELS(X)
#undef X
};

/* A copy, if there is more than that: in UTF-8, sorted, names unique, with the level. */
static const struct label *metadata_of(struct log_builder *b, const struct log_builder_at *at,
                                       const struct log_in *in, uint32_t *ret_n)
{
    bool has_level = b->is_lax || !b->batch->limits.discover_log_levels;
    struct label *ls;
    size_t n = 0;

    *ret_n = in->n_metadata == 0 && !has_level;
    if (in->n_metadata == 0)
        return has_level ? NULL
                         : &only_level[line_level_detect((enum line_level_kind)at->level,
                                                         (struct labels){0}, in->line)];
    ls = arena_alloc(b->batch->arena, (in->n_metadata + 1) * sizeof(*ls));
    for (; n < in->n_metadata; n++) {
        ls[n] = (struct label){log_labels_utf8(b->batch->arena, in->metadata[n].name),
                               log_labels_utf8(b->batch->arena, in->metadata[n].value)};
        has_level |= slice_eq(ls[n].name, SLICE(LINE_LEVEL_LABEL));
    }
    if (!has_level)
        ls[n++] = (struct label){
            SLICE(LINE_LEVEL_LABEL),
            line_level_name(line_level_detect((enum line_level_kind)at->level,
                                              (struct labels){ls, in->n_metadata}, in->line))};
    *ret_n = (uint32_t)sort_unique(ls, n);
    return ls;
}

static struct err *check_room(const struct log_builder *b)
{
    if (b->batch->entries.len > LOG_BUILDER_MAX_ENTRIES)
        return err_new(ERR_TOO_LARGE, "more than %u lines in one write", LOG_BUILDER_MAX_ENTRIES);
    if (arena_used(b->batch->arena) - b->arena_before > LOG_BUILDER_MAX_ARENA_BYTES)
        return err_new(
            ERR_TOO_LARGE,
            "labels, structured metadata and changed lines of one write take more than %u "
            "bytes",
            LOG_BUILDER_MAX_ARENA_BYTES);
    return NULL;
}

struct err *log_builder_entry(struct log_builder *b, const struct log_builder_at *at,
                              const struct log_in *sent)
{
    const struct tenant_limits *l = &b->batch->limits;
    enum log_reason reason = at->reason;
    struct log_in in = *sent;
    struct log_entry e;

    if (at->is_dropped) {
        log_tally_add(&b->tally[b->rules->log.n], in.line.len);
        return NULL;
    }
    if (reason == LOG_OK && !b->is_lax)
        reason = check_entry(b, &in);
    if (in.n_metadata > LOG_BATCH_MAX_METADATA)
        reason = LOG_METADATA_TOO_MANY;
    if (reason != LOG_OK) {
        reject_n(b, reason, 1, in.line.len, at->labels, NULL);
        return NULL;
    }
    if (!b->is_lax && l->max_line_size && in.line.len > (size_t)l->max_line_size)
        in.line = cut_line(b, in.line);
    if (at->rules && !log_apply_rules(&b->rules->log, at->rules, b->batch->arena, b->tally, &in))
        return check_room(b);
    if (l->increment_duplicate_timestamp)
        in.t_ns = after_last(b->batch, at->stream, in.t_ns);
    e = (struct log_entry){.t_ns = in.t_ns, .line = in.line};
    e.metadata = metadata_of(b, at, &in, &e.n_metadata);
    log_batch_add(b->batch, at->stream, &e);
    return check_room(b);
}

void log_builder_remember(const struct log_batch *batch, struct fp_cache *known)
{
    VEC_FOREACH (s, &batch->streams)
        if (!s->is_known && s->n)
            fp_cache_add(known, s->fp);
}
