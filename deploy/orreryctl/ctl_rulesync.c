/* rules list, print, get, load, diff, sync, delete, delete-namespace: the rules of a running Orrery, and files of namespaces. */
#include <stdio.h>

#include "common/base/mem.h"
#include "deploy/orreryctl/ctl_ruleapi.h"
#include "deploy/orreryctl/ctl_show.h"
#include "deploy/orreryctl/ctl_space.h"

/* What is there and what the files say. */
struct sides {
    struct ctl_space there, files;
    size_t n_created, n_updated, n_deleted;
};

/* Whether the comma-separated list has ns. */
static bool names_it(const char *list, struct slice ns)
{
    struct slice rest = slice_cstr(list), one;

    while (slice_split(&rest, ',', &one))
        if (slice_eq(slice_trim(one), ns))
            return true;
    return false;
}

/* By --namespaces and --ignored-namespaces. */
static bool is_meant(const struct ctl *c, struct slice ns)
{
    if (c->opts.namespaces)
        return names_it(c->opts.namespaces, ns);
    return !c->opts.ignored_namespaces || !names_it(c->opts.ignored_namespaces, ns);
}

/* None at all is no error. */
static struct err *ask(struct ctl *c, struct ctl_space *there)
{
    struct buf text = {0};
    enum rule_lang lang;
    struct err *e = ctl_ruleapi_lang(c, &lang);

    ctl_space_init(there, c->arena);
    if (e)
        return e;
    e = ctl_ruleapi_get(c, SLICE_EMPTY, SLICE_EMPTY, &text);
    if (err_is(e, ERR_NOT_FOUND) && strstr(err_msg(e), "no rule groups found")) {
        err_free(e);
        e = NULL;
    } else if (!e) {
        e = ctl_space_add_answer(there, arena_dup(c->arena, buf_slice(&text)), lang);
    }
    buf_done(&text);
    return e;
}

static struct err *read_files(struct ctl *c, struct ctl_space *files)
{
    enum rule_lang lang;
    struct err *e = ctl_ruleapi_lang(c, &lang);

    ctl_space_init(files, c->arena);
    for (size_t i = 0; i < c->n_args && !e; i++)
        e = ctl_space_add_path(files, c->args[i], lang);
    return e;
}

struct err *ctl_rules_list(struct ctl *c)
{
    struct ctl_space there;
    struct err *e = ask(c, &there);
    struct ctl_table t;

    ctl_table_init(&t, c->arena, "namespace group #rules");
    VEC_FOREACH (g, &there.groups)
        if (is_meant(c, g->ns))
            ctl_table_row(&t, (const char *const[]){arena_cstr(c->arena, g->ns),
                                                    arena_cstr(c->arena, g->name),
                                                    ctl_u64(c->arena, g->group->n_rules)});
    if (!e)
        ctl_table_print(&t, c->opts.is_json);
    ctl_space_done(&there);
    return e;
}

static struct err *print_answer(struct ctl *c, struct slice ns, struct slice group)
{
    struct buf text = {0};
    struct err *e = ctl_ruleapi_get(c, ns, group, &text);

    if (!e)
        (void)fwrite(text.ptr, 1, text.len, stdout);
    buf_done(&text);
    return e;
}

struct err *ctl_rules_print(struct ctl *c)
{
    return print_answer(c, c->n_args ? slice_cstr(c->args[0]) : SLICE_EMPTY, SLICE_EMPTY);
}

/* A variable of a script that is not set must not stand for more than was meant: a namespace instead of a group. */
static struct err *check_names(struct ctl *c)
{
    for (size_t i = 0; i < c->n_args; i++)
        if (!c->args[i][0])
            return ctl_usage(c, "a name is empty");
    return NULL;
}

struct err *ctl_rules_get(struct ctl *c)
{
    struct err *e = check_names(c);

    return e ? e : print_answer(c, slice_cstr(c->args[0]), slice_cstr(c->args[1]));
}

struct err *ctl_rules_delete(struct ctl *c)
{
    struct err *e = check_names(c);

    return e ? e : ctl_ruleapi_delete(c, slice_cstr(c->args[0]), slice_cstr(c->args[1]));
}

struct err *ctl_rules_delete_namespace(struct ctl *c)
{
    struct err *e = check_names(c);

    return e ? e : ctl_ruleapi_delete(c, slice_cstr(c->args[0]), SLICE_EMPTY);
}

static void say(char what, struct slice ns, struct slice name)
{
    ctl_say("%c %.*s/%.*s", what, SLICE_ARG(ns), SLICE_ARG(name));
}

/* One group that is otherwise, or not there; is_made: it is written. */
static struct err *bring(struct ctl *c, struct sides *s, const struct ctl_space_group *g,
                         bool is_made)
{
    const struct ctl_space_group *is = ctl_space_find(&s->there, g->ns, g->name);
    struct err *e;

    if (is && slice_eq(is->yaml, g->yaml))
        return NULL;
    if (is_made && (e = ctl_ruleapi_set(c, g->ns, g->yaml)))
        return err_wrap(e, "%s: group %.*s", g->path, SLICE_ARG(g->name));
    say(is ? '~' : '+', g->ns, g->name);
    s->n_updated += is != NULL;
    s->n_created += !is;
    return NULL;
}

/* One that no file has. What a ruler has from a file of its own stays. */
static struct err *take_away(struct ctl *c, struct sides *s, const struct ctl_space_group *g,
                             bool is_made)
{
    struct err *e = is_made ? ctl_ruleapi_delete(c, g->ns, g->name) : NULL;

    if (err_is(e, ERR_CONFLICT)) {
        ctl_say("= %.*s/%.*s is of a file of the rulers, and stays", SLICE_ARG(g->ns),
                SLICE_ARG(g->name));
        err_free(e);
        return NULL;
    }
    if (e)
        return e;
    say('-', g->ns, g->name);
    s->n_deleted++;
    return NULL;
}

static struct err *compare(struct ctl *c, bool is_made, bool may_delete)
{
    struct sides s = {.n_created = 0};
    struct err *e = read_files(c, &s.files);

    if (!e)
        e = ask(c, &s.there);
    VEC_FOREACH (g, &s.files.groups)
        if (!e && is_meant(c, g->ns))
            e = bring(c, &s, g, is_made);
    VEC_FOREACH (g, &s.there.groups)
        if (!e && may_delete && is_meant(c, g->ns) && !ctl_space_find(&s.files, g->ns, g->name))
            e = take_away(c, &s, g, is_made);
    if (!e || s.n_created + s.n_updated + s.n_deleted)
        ctl_say("%s: %zu Groups Created, %zu Groups Updated, %zu Groups Deleted",
                is_made ? "Sync Summary" : "Diff Summary", s.n_created, s.n_updated, s.n_deleted);
    ctl_space_done(&s.files);
    ctl_space_done(&s.there);
    return e;
}

struct err *ctl_rules_load(struct ctl *c)
{
    return compare(c, !c->opts.is_dry, false);
}

struct err *ctl_rules_diff(struct ctl *c)
{
    return compare(c, false, true);
}

struct err *ctl_rules_sync(struct ctl *c)
{
    return compare(c, !c->opts.is_dry, true);
}
