#include "deploy/orreryctl/ctl_show.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"

#define BAR_COLUMNS 30
#define BAR_EVERY_NS (100 * NS_PER_MS)
#define LINE_EVERY_NS (5 * NS_PER_S)

/* ---- tables ---- */

void ctl_table_init(struct ctl_table *t, struct arena *a, const char *names)
{
    struct slice rest = slice_cstr(arena_strdup(a, names)), name;

    *t = (struct ctl_table){.arena = a};
    while (slice_split(&rest, ' ', &name)) {
        ORR_ASSERT(t->n < CTL_COLUMNS);
        t->names[t->n++] = arena_cstr(a, name);
    }
}

void ctl_table_row(struct ctl_table *t, const char *const *texts)
{
    if (t->n_rows == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 16;

        t->rows = arena_grow(t->arena, (void *)t->rows, t->cap * sizeof(*t->rows),
                             cap * sizeof(*t->rows));
        t->cap = cap;
    }
    t->rows[t->n_rows++] = arena_copy(t->arena, texts, t->n);
}

static bool is_number(const struct ctl_table *t, size_t col)
{
    return t->names[col][0] == '#';
}

static const char *name_of(const struct ctl_table *t, size_t col)
{
    return t->names[col] + is_number(t, col);
}

/* How many bytes a control character takes at the begin of s; 0: there is none. */
static size_t control_len(struct slice s, bool keeps_breaks)
{
    uint8_t c = s.ptr[0];

    if (c == 0xc2 && s.len > 1 && s.ptr[1] >= 0x80 && s.ptr[1] < 0xa0)
        return 2;
    if (keeps_breaks && (c == '\n' || c == '\t'))
        return 0;
    return c < 0x20 || c == 0x7f;
}

static void put_plain(struct buf *out, struct slice text, bool keeps_breaks)
{
    for (size_t i = 0, n; i < text.len; i += ORR_MAX(n, (size_t)1)) {
        n = control_len(slice_from(text, i), keeps_breaks);
        if (n == 0)
            buf_byte(out, text.ptr[i]);
        else
            buf_printf(out, n == 1 ? "\\x%02x" : "\\u%04x", text.ptr[i + n - 1]);
    }
}

const char *ctl_plain(struct arena *a, struct slice text)
{
    struct buf out = {0};
    const char *ret;

    put_plain(&out, text, false);
    ret = arena_cstr(a, buf_slice(&out));
    buf_done(&out);
    return ret;
}

static const char *cell_of(const struct ctl_table *t, size_t row, size_t col)
{
    const char *text = t->rows[row][col];

    return text ? ctl_plain(t->arena, slice_cstr(text)) : "-";
}

static size_t width_of(const struct ctl_table *t, size_t col)
{
    size_t w = strlen(name_of(t, col));

    for (size_t i = 0; i < t->n_rows; i++)
        w = ORR_MAX(w, strlen(cell_of(t, i, col)));
    return w;
}

/* The last column of text is not padded. */
static void put_cell(const struct ctl_table *t, struct buf *out, size_t col, size_t width,
                     const char *text)
{
    size_t pad = width - ORR_MIN(width, strlen(text));

    if (is_number(t, col))
        buf_fill(out, ' ', pad);
    buf_str(out, text);
    if (!is_number(t, col) && col + 1 < t->n)
        buf_fill(out, ' ', pad);
    buf_str(out, col + 1 < t->n ? "  " : "\n");
}

void ctl_table_text(const struct ctl_table *t, struct buf *out)
{
    size_t width[CTL_COLUMNS];

    for (size_t k = 0; k < t->n; k++)
        width[k] = width_of(t, k);
    for (size_t k = 0; k < t->n; k++)
        put_cell(t, out, k, width[k], name_of(t, k));
    for (size_t i = 0; i < t->n_rows; i++)
        for (size_t k = 0; k < t->n; k++)
            put_cell(t, out, k, width[k], cell_of(t, i, k));
}

void ctl_table_json(const struct ctl_table *t, struct buf *out)
{
    buf_str(out, "[");
    for (size_t i = 0; i < t->n_rows; i++) {
        buf_str(out, i ? ",\n {" : "\n {");
        for (size_t k = 0; k < t->n; k++) {
            const char *text = t->rows[i][k];

            buf_str(out, k ? ", " : "");
            buf_json_str(out, slice_cstr(name_of(t, k)));
            buf_str(out, ": ");
            if (!text)
                buf_str(out, "null");
            else if (is_number(t, k))
                buf_str(out, text);
            else
                buf_json_str(out, slice_cstr(text));
        }
        buf_byte(out, '}');
    }
    buf_str(out, t->n_rows ? "\n]\n" : "]\n");
}

void ctl_table_print(const struct ctl_table *t, bool is_json)
{
    struct buf b = {0};

    if (is_json)
        ctl_table_json(t, &b);
    else
        ctl_table_text(t, &b);
    (void)fwrite(b.ptr, 1, b.len, stdout);
    buf_done(&b);
}

/* ---- texts ---- */

const char *ctl_time(struct arena *a, int64_t ms)
{
    int64_t part = (ms % MS_PER_S + MS_PER_S) % MS_PER_S;
    time_t s = (ms - part) / MS_PER_S;
    char day[64];
    struct tm tm;

    if (!gmtime_r(&s, &tm) || !strftime(day, sizeof(day), "%Y-%m-%d %H:%M:%S", &tm))
        return arena_printf(a, "%lld", (long long)ms);
    return part ? arena_printf(a, "%s.%03d", day, (int)part) : arena_strdup(a, day);
}

const char *ctl_bytes(struct arena *a, uint64_t n)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
    double v = (double)n / 1024;
    size_t i = 0;

    if (n < 1024)
        return arena_printf(a, "%llu B", (unsigned long long)n);
    for (; v >= 1024 && i + 1 < ORR_COUNT(units); i++)
        v /= 1024;
    return arena_printf(a, "%.1f %s", v, units[i]);
}

const char *ctl_u64(struct arena *a, uint64_t n)
{
    return arena_printf(a, "%llu", (unsigned long long)n);
}

/* ---- lines ---- */

static bool has_bar; /* one is drawn on the terminal's last line */

static void clear_bar(void)
{
    if (has_bar)
        fputs("\r\033[K", stderr);
    has_bar = false;
}

static ORR_PRINTF(1, 0) void say(const char *fmt, va_list ap)
{
    struct buf text = {0}, b = {0};

    clear_bar();
    buf_vprintf(&text, fmt, ap);
    put_plain(&b, buf_slice(&text), true);
    buf_byte(&b, '\n');
    (void)fwrite(b.ptr, 1, b.len, stdout);
    (void)fflush(stdout);
    buf_done(&text);
    buf_done(&b);
}

void ctl_say(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(fmt, ap);
    va_end(ap);
}

void ctl_wrong(struct ctl *c, const char *fmt, ...)
{
    va_list ap;

    c->wrong++;
    va_start(ap, fmt);
    say(fmt, ap);
    va_end(ap);
}

/* ---- progress ---- */

static const char *amount(const struct ctl_progress *p, struct arena *a, uint64_t n)
{
    return p->is_bytes ? ctl_bytes(a, n) : ctl_u64(a, n);
}

static void draw(struct ctl_progress *p)
{
    struct arena *a = arena_new(0);
    uint64_t done = ORR_MIN(p->done, p->total);
    unsigned share = p->total ? (unsigned)((double)done / (double)p->total * BAR_COLUMNS) : 0;
    char bar[BAR_COLUMNS + 1];

    memset(bar, '.', BAR_COLUMNS);
    memset(bar, '#', share);
    bar[BAR_COLUMNS] = '\0';
    if (p->is_terminal)
        fprintf(stderr, "\r\033[K%s [%s] %s of %s", p->what, bar, amount(p, a, p->done),
                amount(p, a, p->total));
    else
        fprintf(stderr, "%s: %s of %s\n", p->what, amount(p, a, p->done), amount(p, a, p->total));
    has_bar = p->is_terminal;
    arena_free(a);
}

void ctl_progress_begin(struct ctl_progress *p, const char *what, uint64_t total, bool is_bytes)
{
    *p = (struct ctl_progress){.what = what,
                               .total = total,
                               .is_bytes = is_bytes,
                               .is_terminal = isatty(STDERR_FILENO) == 1,
                               .said_ns = clock_mono_ns(&clock_system)};
    if (p->is_terminal && p->total)
        draw(p);
}

void ctl_progress_add(struct ctl_progress *p, uint64_t n)
{
    int64_t now = clock_mono_ns(&clock_system);

    p->done += n;
    if (now - p->said_ns < (p->is_terminal ? BAR_EVERY_NS : LINE_EVERY_NS))
        return;
    p->said_ns = now;
    draw(p);
}

void ctl_progress_end(struct ctl_progress *p)
{
    (void)p;
    clear_bar();
}
