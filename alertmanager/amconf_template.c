/* The template files of a configuration. */
#include <glob.h>

#include "alertmanager/amconf.h"
#include "common/base/fsx.h"
#include "common/base/mem.h"

#define MAX_FILES 1000

struct err *amconf_add_template(struct amconf *c, const char *name, struct slice text)
{
    const char *slash = strrchr(name, '/');
    struct err *e = template_parse(c->templates, slice_cstr(slash ? slash + 1 : name), text);

    return e ? err_wrap(e, "template file %s", name) : NULL;
}

static struct err *add_file(struct amconf *c, const char *path)
{
    struct buf b = {0};
    struct err *e = fsx_read(path, TEMPLATE_MAX_TEXT, &b);

    if (!e)
        e = amconf_add_template(c, path, buf_slice(&b));
    buf_done(&b);
    return e;
}

struct err *amconf_load_templates(struct amconf *c, const char *dir)
{
    struct err *e = NULL;
    size_t files = 0;

    for (size_t i = 0; i < c->n_template_patterns && !e; i++) {
        struct slice p = c->template_patterns[i];
        char *pattern = slice_has_prefix(p, SLICE("/")) ? slice_dup(p)
                                                        : mem_printf("%s/%.*s", dir, SLICE_ARG(p));
        glob_t found;

        if (glob(pattern, 0, NULL, &found) == 0) { /* no file at all is no error */
            for (size_t k = 0; k < found.gl_pathc && !e; k++)
                e = ++files > MAX_FILES
                        ? err_new(ERR_LIMIT, "templates: more than %d files", MAX_FILES)
                        : add_file(c, found.gl_pathv[k]);
            globfree(&found);
        }
        mem_free(pattern);
    }
    return e;
}
