#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/vec.h"
#include "tests/conformance/conformance_internal.h"

#define EXIT_NOTHING_TO_RUN 77
#define LINE_BYTES 400 /* of a failure on the terminal; all of it is in --results */

struct counts {
    size_t passed, failed, skipped;
};

struct run {
    const char *kind, *corpus, *only;
    FILE *results;
    struct map known; /* id -> itself */
    struct counts now, all;
    bool has_surprise; /* a failure that is not known */
};

static struct conformance_row *rows;

void conformance_register(struct conformance_row *row)
{
    row->next = rows;
    rows = row;
}

/* One line: control characters become spaces. */
static void print_line(const char *id, const char *detail, const char *suffix)
{
    (void)printf("%s: ", id);
    for (size_t i = 0; detail[i] && i < LINE_BYTES; i++)
        (void)putchar((unsigned char)detail[i] < ' ' ? ' ' : detail[i]);
    (void)printf("%s%s\n", strlen(detail) > LINE_BYTES ? "…" : "", suffix);
}

static void write_result(struct run *r, const char *id, enum conformance_result result,
                         const char *detail)
{
    static const char *const name[] = {"pass", "fail", "skip"};
    struct buf b = {0};

    if (!r->results)
        return;
    buf_str(&b, "{\"id\":");
    buf_json_str(&b, slice_cstr(id));
    buf_str(&b, ",\"corpus\":");
    buf_json_str(&b, slice_cstr(r->corpus));
    buf_printf(&b, ",\"result\":\"%s\",\"detail\":", name[result]);
    buf_json_str(&b, slice_cstr(detail));
    buf_str(&b, "}\n");
    (void)fwrite(b.ptr, 1, b.len, r->results);
    buf_done(&b);
}

static void on_case(void *arg, const char *id, enum conformance_result result, const char *detail)
{
    struct run *r = arg;
    bool is_known = map_has(&r->known, slice_cstr(id));

    write_result(r, id, result, detail);
    switch (result) {
    case CONFORMANCE_PASS:
        r->now.passed++;
        if (is_known)
            print_line(id, "passes now: take it off the list of known failures", "");
        break;
    case CONFORMANCE_FAIL:
        r->now.failed++;
        print_line(id, detail, is_known ? " (known)" : "");
        r->has_surprise |= !is_known;
        break;
    case CONFORMANCE_SKIP:
        r->now.skipped++;
        break;
    }
}

static void run_nothing(struct conformance *c)
{
    conformance_skip(c, "there is no runner for %s/%s", c->kind, c->corpus);
}

/* Kinds are folder names; '-' there is '_' in a row. */
static bool is_kind(const char *row, const char *kind)
{
    while (*row && (*row == *kind || (*row == '_' && *kind == '-')))
        row++, kind++;

    return *row == *kind;
}

static const struct conformance_row *row_of(const char *kind, const char *corpus)
{
    static struct conformance_row none = {.run = run_nothing};

    for (struct conformance_row *row = rows; row; row = row->next)
        if (is_kind(row->kind, kind) && !strcmp(row->corpus, corpus))
            return row;
    none.kind = kind;
    none.corpus = corpus;
    return &none;
}

static void run_file(struct run *r, const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    char *corpus = mem_strndup(base, strcspn(base, "."));
    char *dir = slash ? mem_strndup(path, (size_t)(slash - path)) : mem_strdup(".");
    VEC(struct slice) lines = {0};
    struct buf text = {0};
    struct slice rest, line;
    struct err *e = conformance_read_file(path, &text);

    r->corpus = corpus;
    r->now = (struct counts){0};
    rest = buf_slice(&text);
    while (slice_split(&rest, '\n', &line)) {
        char *id = conformance_id_of(line);

        if (slice_trim(line).len && (!r->only || !strcmp(id, r->only)))
            vec_push(&lines, line);
        mem_free(id);
    }
    if (e) {
        (void)printf("%s: %s\n", corpus, err_msg(e));
        err_free(e);
        r->has_surprise = true;
    }
    conformance_run_lines(row_of(r->kind, corpus), dir, lines.ptr, lines.len, on_case, r);
    (void)printf("%s: %zu passed, %zu failed, %zu skipped\n", corpus, r->now.passed, r->now.failed,
                 r->now.skipped);
    r->all.passed += r->now.passed;
    r->all.failed += r->now.failed;
    r->all.skipped += r->now.skipped;
    vec_done(&lines);
    buf_done(&text);
    mem_free(corpus);
    mem_free(dir);
}

static int is_jsonl(const struct dirent *d)
{
    return slice_has_suffix(slice_cstr(d->d_name), SLICE(".jsonl"));
}

/* A file, or a folder: then all .jsonl in it that are cases (their names end in cases or
 * contents), in the order of their names. */
static bool run_path(struct run *r, const char *path)
{
    struct dirent **entries;
    struct stat st;
    int n;

    if (stat(path, &st) != 0) {
        (void)printf("%s: %s: skipped\n", path, strerror(errno));
        return false;
    }
    if (!S_ISDIR(st.st_mode)) {
        run_file(r, path);
        return true;
    }
    n = scandir(path, &entries, is_jsonl, alphasort);
    for (int i = 0; i < n; i++) {
        char *file = mem_printf("%s/%s", path, entries[i]->d_name);

        if (strstr(file, "cases.jsonl") || strstr(file, "contents.jsonl"))
            run_file(r, file);
        mem_free(file);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
    return n > 0;
}

static void read_known(struct run *r, const char *path)
{
    struct buf text = {0};
    struct err *e = conformance_read_file(path, &text);
    struct slice rest = buf_slice(&text), line;

    while (!e && slice_split(&rest, '\n', &line)) {
        ptrdiff_t hash = slice_find_byte(line, '#', 0);

        line = slice_trim(hash >= 0 ? slice_sub(line, 0, (size_t)hash) : line);
        if (line.len)
            (void)map_put(&r->known, line, r);
    }
    err_free(e); /* no list: nothing is known to fail */
    buf_done(&text);
}

static int usage(void)
{
    (void)fprintf(stderr, "usage: orrery-conformance KIND FILE…|DIR… [--results FILE] "
                          "[--known FILE] [--only ID]\n");
    return 2;
}

int main(int argc, char **argv)
{
    struct run r = {.kind = argc > 1 ? argv[1] : ""};
    char *known = mem_printf(ORR_SOURCE_DIR "/tests/conformance/known_failures/%s.txt", r.kind);
    VEC(const char *) paths = {0};
    bool has_run = false;

    for (int i = 2; i < argc; i++) {
        bool has_value = i + 1 < argc;

        if (!strcmp(argv[i], "--results") && has_value) {
            if (!(r.results = fopen(argv[++i], "w"))) {
                perror(argv[i]);
                return 2;
            }
        } else if (!strcmp(argv[i], "--known") && has_value) {
            mem_free(known);
            known = mem_strdup(argv[++i]);
        } else if (!strcmp(argv[i], "--only") && has_value) {
            r.only = argv[++i];
        } else if (argv[i][0] == '-') {
            return usage();
        } else {
            vec_push(&paths, argv[i]);
        }
    }
    if (argc < 3 || paths.len == 0)
        return usage();
    read_known(&r, known);
    VEC_FOREACH (p, &paths)
        has_run |= run_path(&r, *p);
    (void)printf("%zu passed, %zu failed, %zu skipped\n", r.all.passed, r.all.failed,
                 r.all.skipped);
    if (r.results)
        (void)fclose(r.results);
    map_done(&r.known);
    vec_done(&paths);
    mem_free(known);
    if (!has_run)
        return EXIT_NOTHING_TO_RUN;
    return r.has_surprise ? 1 : 0;
}
