#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "common/base/vec.h"
#include "common/objstore/objstore_fs_internal.h"

/*
 * A walk in the byte order of the keys. Within a directory, "a/…" sorts as "a/" does: behind
 * "a-b", though the name "a" sorts before it.
 */
struct walk {
    struct objstore_fs *fs;
    struct arena *arena;
    const struct objstore_list *opts;
    struct slice prefix;
    VEC(struct objstore_entry) out;
    bool is_truncated;
};

struct name {
    char *s; /* with a "/" at the end if it is a directory */
    bool is_dir;
};

struct names {
    VEC(struct name) v;
};

static int by_bytes(const void *a, const void *b)
{
    return strcmp(((const struct name *)a)->s, ((const struct name *)b)->s);
}

static void names_free(struct names *n)
{
    VEC_FOREACH (x, &n->v)
        mem_free(x->s);
    vec_done(&n->v);
}

/* False for what is neither file nor directory, or has just gone. */
static bool classify(int dir_fd, const struct dirent *d, bool *ret_is_dir)
{
    struct stat st;

    if (d->d_type == DT_DIR || d->d_type == DT_REG) {
        *ret_is_dir = d->d_type == DT_DIR;
        return true;
    }
    if (fstatat(dir_fd, d->d_name, &st, 0) != 0 || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
        return false;
    *ret_is_dir = S_ISDIR(st.st_mode);
    return true;
}

/* Sorted content of the directory at key ("" or "a/b/"). An absent one is empty. */
static struct err *read_names(struct walk *w, struct slice key, struct names *ret)
{
    char *path = mem_printf("%s/%.*s", w->fs->root, SLICE_ARG(key));
    DIR *dir = opendir(path);
    struct err *e = NULL;
    struct dirent *d;
    bool is_dir;

    if (!dir) {
        if (errno != ENOENT && errno != ENOTDIR)
            e = err_errno(ERR_IO, "open directory %s", path);
        mem_free(path);
        return e;
    }
    for (errno = 0; (d = readdir(dir)); errno = 0) {
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
            continue;
        if (key.len == 0 && strcmp(d->d_name, OBJSTORE_FS_OWN) == 0)
            continue;
        if (classify(dirfd(dir), d, &is_dir))
            vec_push(&ret->v,
                     ((struct name){mem_printf("%s%s", d->d_name, is_dir ? "/" : ""), is_dir}));
    }
    if (errno)
        e = err_errno(ERR_IO, "read directory %s", path);
    (void)closedir(dir);
    mem_free(path);
    if (ret->v.len)
        qsort(ret->v.ptr, ret->v.len, sizeof(*ret->v.ptr), by_bytes);
    return e;
}

static void emit(struct walk *w, struct slice key, bool is_prefix)
{
    struct objstore_entry entry = {.key = key, .is_prefix = is_prefix};
    struct stat st;
    char *path;
    bool is_there = true;

    if (slice_cmp(key, w->opts->start_after) <= 0 && w->opts->start_after.len)
        return;
    if (w->opts->limit && w->out.len == w->opts->limit) {
        w->is_truncated = true;
        return;
    }
    if (!is_prefix) {
        path = mem_printf("%s/%.*s", w->fs->root, SLICE_ARG(key));
        is_there = stat(path, &st) == 0;
        mem_free(path);
        if (is_there) {
            entry.bytes = (uint64_t)st.st_size;
            entry.modified_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
        }
    }
    if (is_there) /* else it was deleted since */
        vec_push(&w->out, entry);
}

/* Directories without an object may be left over from a crash: they are no prefix. */
static struct err *has_objects(struct walk *w, struct slice key, bool *ret);
static struct err *walk_dir(struct walk *w, struct slice key);

static struct err *visit(struct walk *w, struct slice key, bool is_dir)
{
    struct slice common = key.len < w->prefix.len ? slice_sub(w->prefix, 0, key.len) : w->prefix;
    struct slice after = w->opts->start_after;
    struct err *e;
    bool has;

    if (!slice_has_prefix(key, common))
        return NULL;
    if (!is_dir) {
        if (key.len >= w->prefix.len)
            emit(w, key, false);
        return NULL;
    }
    if (w->opts->by_directory && key.len > w->prefix.len) {
        if ((e = has_objects(w, key, &has)))
            return e;
        if (has)
            emit(w, key, true);
        return NULL;
    }
    if (after.len && slice_cmp(key, after) < 0 && !slice_has_prefix(after, key))
        return NULL;
    return walk_dir(w, key);
}

static struct err *walk_dir(struct walk *w, struct slice key)
{
    struct names names = {0};
    struct err *e = read_names(w, key, &names);

    for (size_t i = 0; !e && !w->is_truncated && i < names.v.len; i++) {
        struct name *n = &names.v.ptr[i];
        size_t len = key.len + strlen(n->s);

        if (len > OBJSTORE_MAX_KEY)
            continue;
        e = visit(w, slice_cstr(arena_printf(w->arena, "%.*s%s", SLICE_ARG(key), n->s)), n->is_dir);
    }
    names_free(&names);
    return e;
}

static struct err *has_objects(struct walk *w, struct slice key, bool *ret)
{
    struct objstore_list opts = {.prefix = key, .limit = 1};
    struct walk inner = {.fs = w->fs, .arena = w->arena, .opts = &opts, .prefix = key};
    struct err *e = walk_dir(&inner, key);

    *ret = inner.out.len > 0;
    vec_done(&inner.out);
    return e;
}

struct err *objstore_fs_list(struct objstore *s, struct arena *a, const struct objstore_list *opts,
                             struct objstore_listing *ret)
{
    struct walk w = {
        .fs = (struct objstore_fs *)s, .arena = a, .opts = opts, .prefix = opts->prefix};
    struct slice dir = SLICE_EMPTY;
    struct err *e;

    for (size_t i = 0; i < opts->prefix.len; i++)
        if (opts->prefix.ptr[i] == '/')
            dir = slice_sub(opts->prefix, 0, i + 1);
    if (dir.len) {
        /* A prefix that no key can have, such as "../", lists nothing. */
        e = objstore_check_key(slice_sub(dir, 0, dir.len - 1));
        if (e) {
            err_free(e);
            *ret = (struct objstore_listing){0};
            return NULL;
        }
    }
    e = walk_dir(&w, dir);
    if (!e)
        *ret = (struct objstore_listing){.ptr = arena_copy(a, w.out.ptr, w.out.len),
                                         .n = w.out.len,
                                         .is_truncated = w.is_truncated};
    vec_done(&w.out);
    return e;
}
