#include "deploy/orreryctl/ctl_space.h"

#include <sys/stat.h>

#include "common/base/fsx.h"
#include "common/base/yaml.h"

void ctl_space_init(struct ctl_space *s, struct arena *a)
{
    *s = (struct ctl_space){.arena = a};
}

void ctl_space_done(struct ctl_space *s)
{
    VEC_FOREACH (f, &s->files)
        rule_file_unref(*f);
    vec_done(&s->files);
    vec_done(&s->groups);
    map_done(&s->places);
}

/* No name of a group has a NUL in it. */
static void put_key(struct buf *out, struct slice ns, struct slice name)
{
    buf_slice_append(out, ns);
    buf_byte(out, 0);
    buf_slice_append(out, name);
}

const struct ctl_space_group *ctl_space_find(const struct ctl_space *s, struct slice ns,
                                             struct slice name)
{
    struct buf key = {0};
    size_t place;

    put_key(&key, ns, name);
    place = (size_t)(uintptr_t)map_get(&s->places, buf_slice(&key));
    buf_done(&key);
    return place ? &s->groups.ptr[place - 1] : NULL;
}

static void add_group(struct ctl_space *s, struct ctl_space_group g)
{
    struct buf key = {0};

    vec_push(&s->groups, g);
    put_key(&key, g.ns, g.name);
    (void)map_put(&s->places, buf_slice(&key), (void *)(uintptr_t)s->groups.len);
    buf_done(&key);
}

/* All groups of f, which it takes. */
static struct err *add_groups(struct ctl_space *s, const char *path, struct slice ns,
                              struct rule_file *f)
{
    vec_push(&s->files, f);
    for (size_t i = 0; i < f->n_groups; i++) {
        const struct rule_group *g = &f->groups[i];
        const struct ctl_space_group *is = ctl_space_find(s, ns, g->name);
        struct buf yaml = {0};

        if (is)
            return err_new(ERR_INVALID, "%s: namespace %.*s has group %.*s already%s%s",
                           path ? path : "the answer", SLICE_ARG(ns), SLICE_ARG(g->name),
                           is->path ? ", of " : "", is->path ? is->path : "");
        rule_yaml_group(&yaml, g, 0);
        add_group(s, (struct ctl_space_group){ns, g->name, arena_dup(s->arena, buf_slice(&yaml)),
                                              path ? arena_strdup(s->arena, path) : NULL, g});
        buf_done(&yaml);
    }
    return NULL;
}

/* ---- files ---- */

static const char *const suffixes[] = {".yml", ".yaml", ".rules"};

/* What the file is called, without its suffix. */
static struct slice stem_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    struct slice name = slice_cstr(slash ? slash + 1 : path);

    for (size_t i = 0; i < ORR_COUNT(suffixes); i++)
        if (slice_has_suffix(name, slice_cstr(suffixes[i])))
            return slice_sub(name, 0, name.len - strlen(suffixes[i]));
    return name;
}

static struct err *add_document(struct ctl_space *s, const char *path, struct slice text,
                                enum rule_lang lang)
{
    struct rule_file *f = NULL;
    struct err *e = rule_file_parse_namespace(path, text, lang, &f);
    struct slice ns;

    if (e)
        return e;
    ns = f->ns.len ? f->ns : arena_dup(s->arena, stem_of(path));
    if ((e = rule_object_check_ns(ns))) {
        rule_file_unref(f);
        return err_wrap(e, "%s", path);
    }
    return add_groups(s, path, ns, f);
}

struct err *ctl_space_add_text(struct ctl_space *s, const char *path, struct slice text,
                               enum rule_lang lang)
{
    struct slice document;
    struct err *e = NULL;

    while (!e && rule_file_next_document(&text, &document))
        e = add_document(s, path, document, lang);
    return e;
}

static struct err *add_file(struct ctl_space *s, const char *path, enum rule_lang lang)
{
    struct buf text = {0};
    struct err *e = fsx_read(path, YAML_MAX_BYTES, &text);

    if (!e)
        e = ctl_space_add_text(s, path, buf_slice(&text), lang);
    buf_done(&text);
    return e;
}

static bool is_named_so(const char *name)
{
    for (size_t i = 0; i < ORR_COUNT(suffixes); i++)
        if (name[0] != '.' && slice_has_suffix(slice_cstr(name), slice_cstr(suffixes[i])))
            return true;
    return false;
}

struct err *ctl_space_add_path(struct ctl_space *s, const char *path, enum rule_lang lang)
{
    struct stat st;
    char **names = NULL;
    size_t n = 0;
    struct err *e;

    if (stat(path, &st))
        return err_errno(ERR_NOT_FOUND, "%s", path);
    if (!S_ISDIR(st.st_mode))
        return add_file(s, path, lang);
    e = fsx_list(path, &names, &n);
    for (size_t i = 0; i < n && !e; i++) {
        char *file = mem_printf("%s/%s", path, names[i]);

        if (is_named_so(names[i]) && stat(file, &st) == 0 && S_ISREG(st.st_mode))
            e = add_file(s, file, lang);
        mem_free(file);
    }
    fsx_names_free(names, n);
    return e;
}

/* ---- answers: by lines, so that none is too long for a reader of YAML ---- */

static bool begins_group(struct slice line)
{
    struct slice text = slice_trim(line);

    return line.len > text.len && slice_has_prefix(line, SLICE("    -"));
}

/* "name:" alone in its line. */
static struct err *read_ns(struct ctl_space *s, struct slice line, struct slice *ret)
{
    struct yaml_node *root = NULL;
    struct err *e = yaml_load("the answer", line, s->arena, &root);

    if (e)
        return e;
    if (!root || root->kind != YAML_KIND_MAP || root->n != 1 || !yaml_is_null(root->items[0]))
        return err_new(ERR_INVALID, "the answer is not a list of namespaces: %.*s",
                       (int)ORR_MIN(line.len, (size_t)80), (const char *)line.ptr);
    *ret = root->keys[0].text;
    return NULL;
}

/* Lines of one group, which stand in a list. */
static struct err *add_one(struct ctl_space *s, struct slice ns, struct slice lines,
                           enum rule_lang lang)
{
    struct rule_file *f = NULL;
    struct buf text = {0};
    struct err *e;

    if (!slice_trim(lines).len)
        return NULL;
    buf_str(&text, "groups:\n");
    buf_slice_append(&text, lines);
    e = rule_file_parse("the answer", buf_slice(&text), lang, &f);
    buf_done(&text);
    return e ? e : add_groups(s, NULL, ns, f);
}

struct err *ctl_space_add_answer(struct ctl_space *s, struct slice text, enum rule_lang lang)
{
    struct slice rest = text, line, ns = SLICE_EMPTY, group = SLICE_EMPTY;
    struct err *e = NULL;

    while (!e && slice_split(&rest, '\n', &line)) {
        bool is_ns = line.len && line.ptr[0] != ' ' && line.ptr[0] != '#';

        if (is_ns || begins_group(line)) {
            e = add_one(s, ns, group, lang);
            group = SLICE_EMPTY;
        }
        if (e)
            break;
        if (is_ns)
            e = read_ns(s, line, &ns);
        else if (line.len)
            group = slice_of(group.len ? group.ptr : line.ptr,
                             (size_t)(line.ptr + line.len - (group.len ? group.ptr : line.ptr)));
    }
    return e ? e : add_one(s, ns, group, lang);
}
