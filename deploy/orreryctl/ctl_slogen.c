/* slo generate: objectives to rules, and to tests of them. */
#include <stdio.h>
#include <string.h>

#include "common/base/fsx.h"
#include "common/base/yaml.h"
#include "deploy/orreryctl/ctl_show.h"
#include "deploy/orreryctl/ctl_slo.h"

/* "dir/shop.slo.yml" → "shop" */
static const char *base_of(struct arena *a, const char *path)
{
    const char *slash = strrchr(path, '/');
    struct slice name = slice_cstr(slash ? slash + 1 : path);
    ptrdiff_t dot = slice_find_byte(name, '.', 1);

    return arena_cstr(a, dot > 0 ? slice_sub(name, 0, (size_t)dot) : name);
}

static struct err *put_file(struct ctl *c, const char *name, struct slice text)
{
    const char *path = arena_printf(c->arena, "%s/%s", c->opts.output, name);
    struct err *e = fsx_write_atomic(path, text);

    if (!e)
        ctl_say("%s", path);
    return e;
}

static struct err *write_files(struct ctl *c, const struct ctl_slo_file *f, struct slice rules,
                               struct buf *notes)
{
    const char *base = base_of(c->arena, f->path);
    const char *rules_name = arena_printf(c->arena, "%s.rules.yml", base);
    struct buf tests = {0};
    struct err *e = fsx_mkdirs(c->opts.output);

    ctl_slo_tests(c->arena, f, rules_name, &tests, notes);
    if (!e)
        e = put_file(c, rules_name, rules);
    if (!e)
        e = put_file(c, arena_printf(c->arena, "%s.test.yml", base), buf_slice(&tests));
    buf_done(&tests);
    return e;
}

static struct err *generate(struct ctl *c, const char *path)
{
    struct ctl_slo_file f;
    struct rule_file *again = NULL;
    struct buf text = {0}, rules = {0}, notes = {0};
    struct err *e = fsx_read(path, YAML_MAX_BYTES, &text);

    if (!e)
        e = ctl_slo_parse(c->arena, path, buf_slice(&text), &f);
    if (!e) {
        ctl_slo_rules(c->arena, &f, &rules, &notes);
        e = rule_file_parse(path, buf_slice(&rules), RULE_PROMQL, &again);
    }
    if (!e && c->opts.output)
        e = write_files(c, &f, buf_slice(&rules), &notes);
    else if (!e)
        (void)fwrite(rules.ptr, 1, rules.len, stdout);
    if (notes.len)
        (void)fputs(buf_cstr(&notes), stderr);
    rule_file_unref(again);
    buf_done(&text);
    buf_done(&rules);
    buf_done(&notes);
    return e;
}

struct err *ctl_slo_generate(struct ctl *c)
{
    struct err *e = NULL;

    for (size_t i = 0; i < c->n_args && !e; i++)
        e = generate(c, c->args[i]);
    return e;
}
