/* alertmanager load, get, delete: a tenant's configuration at a running Orrery, by Mimir's API. */
#include <stdio.h>
#include <string.h>

#include "common/base/fsx.h"
#include "common/base/yaml.h"
#include "deploy/orreryctl/ctl_http.h"
#include "ruler/rule_yaml.h"

/* /api/v1/alerts too, but for processes that have queriers or rulers in them: there that is Prometheus' list */
#define PATH SLICE("/alertmanager/api/v1/alerts")

static struct err *put_file(struct buf *out, const char *path)
{
    struct buf text = {0};
    struct err *e = fsx_read(path, YAML_MAX_BYTES, &text);

    if (!e && !slice_is_utf8(buf_slice(&text)))
        e = err_new(ERR_INVALID, "%s: it is not UTF-8", path);
    if (!e)
        rule_yaml_text(out, buf_slice(&text));
    buf_byte(out, '\n');
    buf_done(&text);
    return e;
}

struct err *ctl_am_load(struct ctl *c)
{
    struct buf body = {0};
    struct err *e;

    buf_str(&body, "alertmanager_config: ");
    e = put_file(&body, c->args[0]);
    if (c->n_args > 1)
        buf_str(&body, "template_files:\n");
    for (size_t i = 1; i < c->n_args && !e; i++) {
        const char *slash = strrchr(c->args[i], '/');

        buf_str(&body, "    ");
        rule_yaml_text(&body, slice_cstr(slash ? slash + 1 : c->args[i]));
        buf_str(&body, ": ");
        e = put_file(&body, c->args[i]);
    }
    if (!e)
        e = ctl_http(c, "POST", PATH, "application/yaml", buf_slice(&body), NULL);
    buf_done(&body);
    return e;
}

struct err *ctl_am_get(struct ctl *c)
{
    struct buf text = {0};
    struct err *e = ctl_http(c, "GET", PATH, NULL, SLICE_EMPTY, &text);

    if (!e)
        (void)fwrite(text.ptr, 1, text.len, stdout);
    buf_done(&text);
    return e;
}

struct err *ctl_am_delete(struct ctl *c)
{
    return ctl_http(c, "DELETE", PATH, NULL, SLICE_EMPTY, NULL);
}
