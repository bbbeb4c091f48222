/* rules check: rule files as the ruler reads them. */
#include "common/base/fsx.h"
#include "common/base/yaml.h"
#include "common/model/tenant.h"
#include "deploy/orreryctl/ctl_show.h"
#include "ruler/rule_dir.h"

/* Why it was refused: the directory does not keep it. */
static void say_why(struct ctl *c, const struct rule_dir_file *f)
{
    struct rule_file *rules = NULL;
    struct buf text = {0};
    struct err *e = fsx_read(f->path, YAML_MAX_BYTES, &text);

    if (!e)
        e = rule_file_parse(f->path, buf_slice(&text), f->lang, &rules);
    ctl_wrong(c, "%s", e ? err_msg(e) : "it has changed meanwhile");
    err_free(e);
    rule_file_unref(rules);
    buf_done(&text);
}

static void add_file(struct ctl *c, struct ctl_table *t, const struct rule_dir_file *f)
{
    struct arena *a = c->arena;
    uint64_t n = 0;

    if (f->is_bad) {
        say_why(c, f);
        return;
    }
    for (size_t i = 0; i < f->rules->n_groups; i++)
        n += f->rules->groups[i].n_rules;
    ctl_table_row(t, (const char *const[]){
                         arena_cstr(a, slice_cstr(f->path)), arena_cstr(a, slice_cstr(f->tenant)),
                         rule_lang_name(f->lang), ctl_u64(a, f->rules->n_groups), ctl_u64(a, n)});
}

struct err *ctl_rules_check(struct ctl *c)
{
    struct ctl_table t;

    ctl_table_init(&t, c->arena, "file tenant language #groups #rules");
    for (size_t i = 0; i < c->n_args; i++) {
        struct rule_dir *d = NULL;
        bool is_changed;
        struct err *e = rule_dir_load(c->args[i], TENANT_DEFAULT, NULL, &d, &is_changed);

        if (e)
            return e;
        for (size_t k = 0; k < d->n; k++)
            add_file(c, &t, &d->files[k]);
        rule_dir_unref(d);
    }
    ctl_table_print(&t, c->opts.is_json);
    return NULL;
}
