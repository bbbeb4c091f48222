#include "common/base/metric.h"

#include <stdlib.h>

#include "common/base/lock.h"
#include "common/base/mem.h"
#include "common/base/metric_internal.h"
#include "common/base/vec.h"

struct registration {
    const void *object;
    const struct metric_field *fields;
    size_t n;
    char *labels; /* NULL: none */
};

struct collector {
    metric_collect_fn *fn;
    void *arg;
};

/* Objects may come and go under any lock of their module; collectors take such locks. */
static struct lock lock = {PTHREAD_MUTEX_INITIALIZER, LOCK_METRIC}; /* guards registrations */
static VEC(struct registration) registrations;
static struct lock collect_lock = {PTHREAD_MUTEX_INITIALIZER,
                                   LOCK_METRIC_COLLECT}; /* guards collectors */
static VEC(struct collector) collectors;

/* ---- values ---- */

static int bucket_of(double seconds)
{
    double bound = 64e-6;
    int i = 0;

    while (i < METRIC_HIST_BUCKETS && seconds > bound) {
        bound *= 4;
        i++;
    }
    return i;
}

void metric_hist_observe(struct metric_hist *h, double seconds)
{
    double old, sum;

    if (!(seconds > 0)) /* a step of a clock, or NaN, must not poison the sum */
        seconds = 0;
    METRIC_ADD(h->buckets[bucket_of(seconds)], 1);
    METRIC_ADD(h->count, 1);
    __atomic_load(&h->sum, &old, __ATOMIC_RELAXED);
    do
        sum = old + seconds;
    while (
        !__atomic_compare_exchange(&h->sum, &old, &sum, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
}

/* Owners write plain words: by design not a race that could tear, but one to the sanitizer. */
#define UNRACED __attribute__((no_sanitize("thread"), noinline))

UNRACED static uint64_t load_u64(const void *p)
{
    return *(const volatile uint64_t *)p;
}

UNRACED static double load_f64(const void *p)
{
    return *(const volatile double *)p;
}

/* ---- writing ---- */

static size_t family_len(const char *name, enum metric_type type, bool is_openmetrics)
{
    size_t len = strlen(name);
    bool is_counter = type == METRIC_T_COUNTER || type == METRIC_T_COUNTER_F64;

    return is_openmetrics && is_counter ? len - strlen("_total") : len;
}

static const char *type_name(enum metric_type type)
{
    switch (type) {
    case METRIC_T_COUNTER:
    case METRIC_T_COUNTER_F64:
        return "counter";
    case METRIC_T_GAUGE:
    case METRIC_T_GAUGE_F64:
        return "gauge";
    case METRIC_T_HIST:
        return "histogram";
    }
    return "unknown";
}

static void escape(struct buf *out, struct slice s, bool also_quotes)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '\n')
            buf_str(out, "\\n");
        else if (s.ptr[i] == '\\')
            buf_str(out, "\\\\");
        else if (s.ptr[i] == '"' && also_quotes)
            buf_str(out, "\\\"");
        else
            buf_byte(out, s.ptr[i]);
    }
}

void metric_escape(struct buf *out, struct slice value)
{
    escape(out, value, true);
}

void metric_write_family(struct buf *out, bool is_openmetrics, enum metric_type type,
                         const char *name, const char *help)
{
    int len = (int)family_len(name, type, is_openmetrics);

    buf_printf(out, "# HELP %.*s ", len, name);
    escape(out, slice_cstr(help), is_openmetrics);
    buf_printf(out, "\n# TYPE %.*s %s\n", len, name, type_name(type));
}

static void put_labels(struct buf *out, const char *labels)
{
    if (labels && labels[0])
        buf_printf(out, "{%s}", labels);
    buf_byte(out, ' ');
}

void metric_write_u64(struct buf *out, const char *name, const char *labels, uint64_t v)
{
    buf_str(out, name);
    put_labels(out, labels);
    buf_printf(out, "%llu\n", (unsigned long long)v);
}

static void put_i64(struct buf *out, const char *name, const char *labels, int64_t v)
{
    buf_str(out, name);
    put_labels(out, labels);
    buf_printf(out, "%lld\n", (long long)v);
}

void metric_write_f64(struct buf *out, const char *name, const char *labels, double v)
{
    buf_str(out, name);
    put_labels(out, labels);
    buf_f64_text(out, v);
    buf_byte(out, '\n');
}

void metric_write_hist(struct buf *out, const char *name, const char *labels,
                       const struct metric_hist *h)
{
    bool has_labels = labels && labels[0];
    double bound = 64e-6;
    uint64_t total = 0;

    for (int i = 0; i <= METRIC_HIST_BUCKETS; i++, bound *= 4) {
        total += load_u64(&h->buckets[i]);
        buf_printf(out, "%s_bucket{%s%sle=\"", name, has_labels ? labels : "",
                   has_labels ? "," : "");
        if (i < METRIC_HIST_BUCKETS)
            buf_printf(out, "%.9g", bound);
        else
            buf_str(out, "+Inf");
        buf_printf(out, "\"} %llu\n", (unsigned long long)total);
    }
    /* Not h->count: it may be ahead of the buckets just read. */
    buf_printf(out, "%s_count", name);
    put_labels(out, labels);
    buf_printf(out, "%llu\n%s_sum", (unsigned long long)total, name);
    put_labels(out, labels);
    buf_f64_text(out, load_f64(&h->sum));
    buf_byte(out, '\n');
}

static void write_field(struct buf *out, const struct registration *r, const struct metric_field *f)
{
    const void *p = (const char *)r->object + f->offset;

    switch (f->type) {
    case METRIC_T_COUNTER:
        metric_write_u64(out, f->name, r->labels, load_u64(p));
        break;
    case METRIC_T_GAUGE:
        put_i64(out, f->name, r->labels, (int64_t)load_u64(p));
        break;
    case METRIC_T_COUNTER_F64:
    case METRIC_T_GAUGE_F64:
        metric_write_f64(out, f->name, r->labels, load_f64(p));
        break;
    case METRIC_T_HIST:
        metric_write_hist(out, f->name, r->labels, p);
        break;
    }
}

/* ---- registry ---- */

static void check_fields(const struct metric_field *fields, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct slice name = slice_cstr(fields[i].name);
        bool is_counter =
            fields[i].type == METRIC_T_COUNTER || fields[i].type == METRIC_T_COUNTER_F64;

        ORR_ASSERT(name.len && fields[i].help);
        ORR_ASSERT(slice_has_suffix(name, SLICE("_total")) == is_counter);
    }
}

void metric_register(const void *object, const struct metric_field *fields, size_t n,
                     const char *labels)
{
    check_fields(fields, n);
    lock_take(&lock);
    vec_push(&registrations, ((struct registration){object, fields, n, mem_strdup(labels)}));
    lock_release(&lock);
}

void metric_unregister(const void *object)
{
    size_t kept = 0;

    lock_take(&lock);
    VEC_FOREACH (r, &registrations) {
        if (r->object == object)
            mem_free(r->labels);
        else
            registrations.ptr[kept++] = *r;
    }
    registrations.len = kept;
    if (kept == 0)
        vec_done(&registrations);
    lock_release(&lock);
}

void metric_register_collector(metric_collect_fn *fn, void *arg)
{
    lock_take(&collect_lock);
    vec_push(&collectors, ((struct collector){fn, arg}));
    lock_release(&collect_lock);
}

void metric_unregister_collector(metric_collect_fn *fn, void *arg)
{
    size_t kept = 0;

    lock_take(&collect_lock);
    VEC_FOREACH (c, &collectors)
        if (c->fn != fn || c->arg != arg)
            collectors.ptr[kept++] = *c;
    collectors.len = kept;
    if (kept == 0)
        vec_done(&collectors);
    lock_release(&collect_lock);
}

/* ---- putting families together ---- */

/* A family's head and some of its samples, as offsets into the text they were written to. */
struct chunk {
    struct slice family;
    size_t head, samples, end;
    size_t order;
};
typedef VEC(struct chunk) chunk_list;

static void write_registrations(struct buf *out, bool is_openmetrics)
{
    lock_take(&lock);
    VEC_FOREACH (r, &registrations) {
        for (size_t i = 0; i < r->n; i++) {
            const struct metric_field *f = &r->fields[i];

            metric_write_family(out, is_openmetrics, f->type, f->name, f->help);
            write_field(out, r, f);
        }
    }
    lock_release(&lock);
}

/* One thread at a time; a collector may register objects, but not collectors. */
static void run_collectors(struct buf *out, bool is_openmetrics)
{
    lock_take(&collect_lock);
    VEC_FOREACH (c, &collectors)
        c->fn(c->arg, out, is_openmetrics);
    lock_release(&collect_lock);
}

static struct slice line_at(struct slice text, size_t at)
{
    ptrdiff_t end = slice_find_byte(text, '\n', at);

    return slice_sub(text, at, (end < 0 ? text.len : (size_t)end + 1) - at);
}

static void split_families(struct slice text, chunk_list *ret)
{
    static const char head[] = "# HELP ";

    for (size_t at = 0; at < text.len;) {
        struct slice line = line_at(text, at);

        if (slice_has_prefix(line, slice_cstr(head))) {
            struct slice rest = slice_from(line, sizeof(head) - 1), name;
            size_t type_at = at + line.len;

            (void)slice_split(&rest, ' ', &name);
            line = line_at(text, type_at);
            vec_push(ret, ((struct chunk){.family = name,
                                          .head = at,
                                          .samples = type_at + line.len,
                                          .end = type_at + line.len,
                                          .order = ret->len}));
            at = type_at + line.len;
            continue;
        }
        ORR_ASSERT(ret->len > 0); /* a collector wrote a sample before its family */
        at += line.len;
        vec_last(ret).end = at;
    }
}

static int chunk_cmp(const void *a, const void *b)
{
    const struct chunk *x = a, *y = b;
    int c = slice_cmp(x->family, y->family);

    return c ? c : (x->order > y->order) - (x->order < y->order);
}

void metric_write(struct buf *out, bool is_openmetrics)
{
    struct buf text = {0};
    chunk_list chunks = {0};
    struct slice last = {0};

    write_registrations(&text, is_openmetrics);
    metric_process_collect(NULL, &text, is_openmetrics);
    run_collectors(&text, is_openmetrics);
    split_families(buf_slice(&text), &chunks);
    if (chunks.len)
        qsort(chunks.ptr, chunks.len, sizeof(*chunks.ptr), chunk_cmp);
    VEC_FOREACH (c, &chunks) {
        size_t from = last.ptr && slice_eq(last, c->family) ? c->samples : c->head;

        buf_append(out, text.ptr + from, c->end - from);
        last = c->family;
    }
    if (is_openmetrics)
        buf_str(out, "# EOF\n");
    vec_done(&chunks);
    buf_done(&text);
}
