#include <stdatomic.h>
#include <sys/stat.h>

#include "alertmanager/alertmanager_internal.h"
#include "common/base/fsx.h"
#include "common/base/log.h"
#include "common/base/mem.h"

#define MAX_FILE_BYTES YAML_MAX_BYTES

static int64_t mtime_ns(const char *path)
{
    struct stat st;

    if (stat(path, &st))
        return 0;
    return (int64_t)st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec;
}

/* Their paths are relative to the configuration's. */
static struct err *load_templates(struct amconf *c, const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash ? mem_strndup(path, (size_t)(slash - path)) : mem_strdup(".");
    struct err *e = amconf_load_templates(c, dir);

    mem_free(dir);
    return e;
}

static struct err *load(const char *path, struct amconf **ret)
{
    struct amconf *c = NULL;
    struct buf b = {0};
    struct err *e;

    if (!*path) {
        *ret = amconf_default();
        return NULL;
    }
    if (!(e = fsx_read(path, MAX_FILE_BYTES, &b)) &&
        !(e = amconf_parse(path, buf_slice(&b), 0, &c)))
        e = load_templates(c, path);
    buf_done(&b);
    if (e)
        amconf_unref(c);
    else
        *ret = c;
    return e;
}

void alertmanager_warn_unsupported(const struct amconf *c)
{
    for (size_t i = 0; i < c->n_receivers; i++)
        for (size_t k = 0; k < c->receivers[i].n; k++) {
            const struct amconf_integration *in = &c->receivers[i].integrations[k];

            if (in->unsupported)
                LOG_WARN(notify, "a receiver that cannot be told: its notifications will fail",
                         KV_SLICE("receiver", c->receivers[i].name), KV_STR("method", in->kind),
                         KV_STR("reason", in->unsupported));
        }
    if (c->has_route_labels)
        LOG_WARN(notify, "labels of routes are not supported and left out");
}

static void use(struct alertmanager *am, struct amconf *c)
{
    amconf_unref(am->conf);
    am->conf = c;
    atomic_store(&am->resolve_ms, c->resolve_timeout_ms);
    am->metrics.config_last_reload_successful = 1;
    alertmanager_warn_unsupported(c);
    alertmanager_reconfigure(am);
}

/* Before the loops run: a configuration that cannot be read stops the start. */
struct err *alertmanager_config_open(struct alertmanager *am)
{
    struct amconf *c;
    struct err *e;

    am->config_mtime_ns = mtime_ns(am->config_path);
    if ((e = load(am->config_path, &c)))
        return err_wrap(e, "alertmanager.config-file");
    use(am, c);
    return NULL;
}

/* ---- changes ---- */

struct reading {
    struct alertmanager *am;
    char *path;
    int64_t known_ns, mtime_ns;
    struct amconf *conf; /* NULL: as it was */
    struct err *e;
};

static void read_file(void *arg)
{
    struct reading *r = arg;

    r->mtime_ns = mtime_ns(r->path);
    if (r->mtime_ns != r->known_ns)
        r->e = load(r->path, &r->conf);
}

static void file_read(void *arg)
{
    struct reading *r = arg;
    struct alertmanager *am = r->am;

    am->is_reading = false;
    am->config_mtime_ns = r->mtime_ns;
    if (r->e) {
        am->metrics.config_reload_failures++;
        am->metrics.config_last_reload_successful = 0;
        LOG_ERROR(alertmanager, "configuration not reloaded", KV_STR("path", r->path),
                  KV_ERR(r->e));
        err_free(r->e);
    } else if (r->conf) {
        use(am, r->conf);
        LOG_INFO(alertmanager, "configuration reloaded", KV_STR("path", r->path));
    }
    mem_free(r->path);
    mem_free(r);
}

/* The path itself may have changed: process_reload() has a new struct conf then. */
void alertmanager_config_watch(struct alertmanager *am)
{
    struct conf *c = process_conf(am->process);
    const struct alertmanager_conf *conf = conf_section(c, "alertmanager");
    struct reading *r;
    struct err *e;

    if (strcmp(conf->config_file, am->config_path) != 0) {
        mem_free(am->config_path);
        am->config_path = mem_strdup(conf->config_file);
        am->config_mtime_ns = -1;
    }
    loop_timer_arm_ms(am->config_timer, conf->config_poll_ns / NS_PER_MS);
    conf_unref(c);
    if (am->is_reading || am->is_draining)
        return;
    r = mem_new(struct reading);
    r->am = am;
    r->path = mem_strdup(am->config_path);
    r->known_ns = am->config_mtime_ns;
    am->is_reading = true;
    if ((e = job_run(process_jobs(am->process), am->loop, read_file, file_read, r))) {
        am->is_reading = false;
        err_free(e); /* next time */
        mem_free(r->path);
        mem_free(r);
    }
}
