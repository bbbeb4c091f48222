#include "ruler/rule_dir.h"

#include <errno.h>
#include <glob.h>
#include <sys/stat.h>

#include "common/base/clock.h"
#include "common/base/fsx.h"
#include "common/base/log.h"
#include "common/base/vec.h"
#include "common/base/yaml.h"
#include "common/model/tenant.h"

#define LOGS_DIR "logs"

struct finder {
    const char *default_tenant;
    VEC(struct rule_dir_file) files;
};

static bool is_rule_file(const char *name)
{
    struct slice s = slice_cstr(name);

    return name[0] != '.' &&
           (slice_has_suffix(s, SLICE(".yml")) || slice_has_suffix(s, SLICE(".yaml")) ||
            slice_has_suffix(s, SLICE(".rules")));
}

static struct err *add(struct finder *f, const char *tenant, enum rule_lang lang, const char *path,
                       size_t name_at)
{
    struct rule_dir_file *file;
    struct stat st;

    if (stat(path, &st))
        return err_errno(ERR_IO, "%s", path);
    if (!S_ISREG(st.st_mode))
        return NULL;
    if (f->files.len >= RULE_DIR_MAX_FILES)
        return err_new(ERR_LIMIT, "more than %d rule files", RULE_DIR_MAX_FILES);
    file = vec_add(&f->files);
    file->tenant = mem_strdup(tenant);
    file->lang = lang;
    file->path = mem_strdup(path);
    file->name = file->path + name_at;
    file->mtime_ns = (int64_t)st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec;
    file->size = st.st_size;
    file->inode = st.st_ino;
    return NULL;
}

static bool is_dir(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* tenant NULL: the top, where directories are tenants. */
static struct err *find_in_dir(struct finder *f, const char *dir, const char *tenant,
                               enum rule_lang lang, size_t name_at)
{
    char **names = NULL;
    size_t n = 0;
    struct err *e = fsx_list(dir, &names, &n);

    for (size_t i = 0; i < n && !e; i++) {
        char *path = mem_printf("%s/%s", dir, names[i]);

        if (!tenant && names[i][0] != '.' && is_dir(path)) {
            struct err *bad = tenant_check(slice_cstr(names[i]));

            if (bad)
                LOG_WARN(ruler, "directory passed over: no tenant", KV_STR("path", path),
                         KV_ERR(bad));
            else
                e = find_in_dir(f, path, names[i], RULE_PROMQL, name_at);
            err_free(bad);
        } else if (tenant && lang != RULE_LOGQL && strcmp(names[i], LOGS_DIR) == 0 &&
                   is_dir(path)) {
            e = find_in_dir(f, path, tenant, RULE_LOGQL, name_at);
        } else if (is_rule_file(names[i])) {
            e = add(f, tenant ? tenant : f->default_tenant, lang, path, name_at);
        }
        mem_free(path);
    }
    fsx_names_free(names, n);
    return e;
}

/* The name of the directory that ends before end; where it starts. */
static const char *last_dir(const char *path, const char *end)
{
    const char *start = end;

    while (start > path && start[-1] != '/')
        start--;
    return start;
}

/* What is in the last directory that the text names. */
static enum rule_lang lang_of(const char *path)
{
    const char *end = strrchr(path, '/'), *start = end ? last_dir(path, end) : path;

    return end && slice_eq_cstr(slice_of(start, (size_t)(end - start)), LOGS_DIR) ? RULE_LOGQL
                                                                                  : RULE_PROMQL;
}

static struct err *find_pattern(struct finder *f, const char *pattern)
{
    enum rule_lang lang = lang_of(pattern);
    const char *slash = strrchr(pattern, '/');
    size_t wild = strcspn(pattern, "*?[");
    bool has_tenants = slash && wild < (size_t)(slash - pattern);
    struct err *e = NULL;
    size_t fixed = wild;
    glob_t g;
    int rc = glob(pattern, 0, NULL, &g);

    if (rc == GLOB_NOMATCH)
        return NULL; /* they may come yet */
    if (rc != 0)
        return err_new(ERR_IO, "%s: cannot be searched", pattern);
    while (fixed > 0 && pattern[fixed - 1] != '/')
        fixed--;
    for (size_t i = 0; i < g.gl_pathc && !e; i++) {
        const char *path = g.gl_pathv[i], *end = strrchr(path, '/'), *start;
        char *tenant = NULL;

        if (lang == RULE_LOGQL && has_tenants)
            end = last_dir(path, end) - 1; /* there is one: it has the wildcard */
        if (has_tenants && end) {
            start = last_dir(path, end);
            tenant = mem_strndup(start, (size_t)(end - start));
            e = err_wrap(tenant_check(slice_cstr(tenant)), "%s", path);
        }
        if (!e)
            e = add(f, tenant ? tenant : f->default_tenant, lang, path, fixed);
        mem_free(tenant);
    }
    globfree(&g);
    return e;
}

static void dir_free(struct snapshot *s)
{
    struct rule_dir *d = ORR_CONTAINER(s, struct rule_dir, snap);

    for (size_t i = 0; i < d->n; i++) {
        mem_free(d->files[i].tenant);
        mem_free(d->files[i].path);
        rule_file_unref(d->files[i].rules);
    }
    mem_free(d->files);
    mem_free(d);
}

static const struct rule_dir_file *find_before(const struct rule_dir *before, const char *path)
{
    for (size_t i = 0; before && i < before->n; i++)
        if (strcmp(before->files[i].path, path) == 0)
            return &before->files[i];
    return NULL;
}

/* Reads f, or takes what before has of it. Returns whether there is something new. */
static bool read_file(struct rule_dir_file *f, const struct rule_dir_file *was)
{
    struct buf text = {0};
    struct err *e;

    if (was && was->mtime_ns == f->mtime_ns && was->size == f->size && was->inode == f->inode) {
        f->rules = was->rules ? rule_file_ref(was->rules) : NULL;
        f->is_bad = was->is_bad;
        return false;
    }
    e = fsx_read(f->path, YAML_MAX_BYTES, &text);
    if (!e)
        e = rule_file_parse(f->path, buf_slice(&text), f->lang, &f->rules);
    buf_done(&text);
    if (!e)
        return true;
    LOG_ERROR(ruler, "rule file refused: what was read before stays", KV_STR("path", f->path),
              KV_ERR(e));
    err_free(e);
    f->is_bad = true;
    f->rules = was && was->rules ? rule_file_ref(was->rules) : NULL;
    return false;
}

static bool is_pattern(const char *path)
{
    return strpbrk(path, "*?[") != NULL;
}

struct err *rule_dir_check(const char *path)
{
    if (!path[0] || is_pattern(path) || fsx_exists(path))
        return NULL;
    return err_new(ERR_NOT_FOUND, "ruler.rule-path: %s: no such file or directory", path);
}

/* When it has just become so. */
static void warn_if_empty(const char *path, size_t n, const struct rule_dir *before)
{
    if (path[0] && !n && (!before || before->n))
        LOG_WARN(ruler, "no rule files are there: nothing is evaluated", KV_STR("path", path));
}

struct err *rule_dir_load(const char *path, const char *default_tenant,
                          const struct rule_dir *before, struct rule_dir **ret, bool *ret_changed)
{
    struct finder f = {.default_tenant = default_tenant};
    struct rule_dir *d = mem_new(struct rule_dir);
    struct err *e = rule_dir_check(path);

    if (e) {
        mem_free(d);
        return e;
    }
    if (is_pattern(path))
        e = find_pattern(&f, path);
    else if (path[0] && !is_dir(path))
        e = add(&f, default_tenant, lang_of(path), path, 0);
    else if (path[0])
        e = find_in_dir(&f, path, NULL, RULE_PROMQL, strlen(path) + 1);
    snapshot_init(&d->snap, dir_free);
    d->files = f.files.ptr;
    d->n = f.files.len;
    if (e) {
        rule_dir_unref(d);
        return err_wrap(e, "ruler.rule-path");
    }
    warn_if_empty(path, d->n, before);
    *ret_changed = !before || before->n != d->n;
    for (size_t i = 0; i < d->n; i++) {
        const struct rule_dir_file *was = find_before(before, d->files[i].path);

        if (read_file(&d->files[i], was) || !was)
            *ret_changed = true;
        d->n_bad += d->files[i].is_bad;
    }
    *ret = d;
    return NULL;
}

struct rule_dir *rule_dir_ref(const struct rule_dir *d)
{
    return (struct rule_dir *)snapshot_ref((struct snapshot *)&d->snap);
}

void rule_dir_unref(const struct rule_dir *d)
{
    if (d)
        snapshot_unref((struct snapshot *)&d->snap);
}
