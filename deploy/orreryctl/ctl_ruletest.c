/* rules test: unit tests of rules, as promtool test rules. */
#include "common/base/fsx.h"
#include "common/base/log.h"
#include "common/base/yaml.h"
#include "deploy/orreryctl/ctl_show.h"
#include "deploy/orreryctl/ctl_unit.h"

static void test_file(struct ctl *c, const char *path)
{
    struct arena *a = arena_new(0); /* the files are the caller's own */
    struct ctl_unit u;
    struct buf text = {0}, out = {0};
    struct err *e = fsx_read(path, YAML_MAX_BYTES, &text);

    if (!e)
        e = ctl_unit_parse(a, path, buf_slice(&text), &u);
    ctl_say("Unit Testing:  %s", path);
    if (e)
        ctl_wrong(c, "  FAILED:\n    %s\n", err_msg(e));
    else if (!ctl_unit_run(a, &u, c->opts.run, &out))
        ctl_wrong(c, "  FAILED:\n%s", buf_cstr(&out));
    else
        ctl_say("%s  SUCCESS\n", buf_cstr(&out));
    err_free(e);
    buf_done(&text);
    buf_done(&out);
    arena_free(a);
}

struct err *ctl_rules_test(struct ctl *c)
{
    err_free(log_set_level("error")); /* a rule that fails is told by its test */
    for (size_t i = 0; i < c->n_args; i++)
        test_file(c, c->args[i]);
    return NULL;
}
