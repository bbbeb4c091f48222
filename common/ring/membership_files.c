/* What blocks: the tokens file, the members file, names. All but the loading runs on the job pool. */
#include <arpa/inet.h>
#include <netdb.h>
#include <unistd.h>

#include "common/base/fsx.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/ring/membership.h"
#include "common/ring/membership_internal.h"

#define FILES_MAX_BYTES (64u << 20)

struct err *membership_load_tokens(struct membership *ms, struct tokens_file *ret)
{
    struct buf text = {0};
    struct err *e;

    *ret = (struct tokens_file){0};
    if (!ms->opts.tokens_path || !fsx_exists(ms->opts.tokens_path))
        return NULL;
    if (!(e = fsx_read(ms->opts.tokens_path, FILES_MAX_BYTES, &text)))
        e = tokens_file_decode(buf_slice(&text), ret);
    buf_done(&text);
    return err_wrap(e, "%s", ms->opts.tokens_path);
}

void membership_load_members(struct membership *ms)
{
    struct buf bytes = {0};
    struct err *e;

    if (!ms->opts.members_path || !fsx_exists(ms->opts.members_path))
        return;
    if (!(e = fsx_read(ms->opts.members_path, FILES_MAX_BYTES, &bytes)))
        e = gossip_load(ms->gossip, buf_slice(&bytes), membership_mono(ms), membership_wall(ms));
    buf_done(&bytes);
    if (e) /* the seeds will do */
        LOG_WARN(ring, "saved members not read", KV_STR("path", ms->opts.members_path), KV_ERR(e));
    err_free(e);
}

/* ---- writing ---- */

struct file_job {
    struct membership *ms;
    const char *path;
    struct buf content;
    bool is_tokens;
    struct err *e;
};

static void write_file(void *arg)
{
    struct file_job *j = arg;

    j->e = fsx_write_atomic(j->path, buf_slice(&j->content));
}

static void file_written(void *arg)
{
    struct file_job *j = arg;

    if (j->e)
        LOG_ERROR(ring, "cannot write", KV_STR("path", j->path), KV_ERR(j->e));
    if (j->is_tokens) {
        j->ms->is_storing_tokens = false;
        j->ms->has_stored_tokens = !j->e;
    } else {
        j->ms->is_storing_members = false;
    }
    err_free(j->e);
    buf_done(&j->content);
    mem_free(j);
}

/* False when the pool takes no more: the caller tries again at its next turn. */
static bool start_write(struct file_job *j)
{
    struct err *e = job_run(j->ms->opts.jobs, j->ms->opts.loop, write_file, file_written, j);

    if (!e)
        return true;
    LOG_WARN(ring, "cannot write yet", KV_STR("path", j->path), KV_ERR(e));
    err_free(e);
    buf_done(&j->content);
    mem_free(j);
    return false;
}

void membership_store_tokens(struct membership *ms)
{
    const struct member *self = gossip_self(ms->gossip);
    struct tokens_file f = {self->registered_ms, self->incarnation, (uint32_t *)self->tokens,
                            self->n_tokens};
    struct file_job *j;

    if (!ms->opts.tokens_path) {
        ms->has_stored_tokens = true;
        return;
    }
    if (ms->is_storing_tokens)
        return;
    j = mem_new(struct file_job);
    *j = (struct file_job){.ms = ms, .path = ms->opts.tokens_path, .is_tokens = true};
    tokens_file_encode(&j->content, &f);
    ms->is_storing_tokens = start_write(j);
}

void membership_store_members(struct membership *ms)
{
    struct file_job *j;

    if (!ms->opts.members_path || ms->is_storing_members)
        return;
    j = mem_new(struct file_job);
    *j = (struct file_job){.ms = ms, .path = ms->opts.members_path};
    gossip_save(ms->gossip, &j->content);
    ms->is_storing_members = start_write(j);
    if (ms->is_storing_members) {
        ms->members_are_due = false;
        ms->members_stored_ns = membership_mono(ms);
    }
}

static void remove_file(void *arg)
{
    (void)unlink(arg); /* absent is as good; kept, it would only be stale tokens */
    mem_free(arg);
}

void membership_remove_tokens(struct membership *ms)
{
    char *path = mem_strdup(ms->opts.tokens_path);
    struct err *e;

    if (!path)
        return;
    if ((e = job_run(ms->opts.jobs, NULL, remove_file, NULL, path))) {
        LOG_WARN(ring, "tokens file stays", KV_STR("path", path), KV_ERR(e));
        err_free(e);
        mem_free(path);
    }
}

/* ---- names ---- */

struct resolve_job {
    struct membership *ms;
    VEC(char *) seeds;
    VEC(char *) found;
};

static void add_found(struct resolve_job *j, const struct addrinfo *a, const char *port)
{
    char host[NI_MAXHOST];

    if (getnameinfo(a->ai_addr, a->ai_addrlen, host, sizeof(host), NULL, 0, NI_NUMERICHOST))
        return;
    vec_push(&j->found, mem_printf(a->ai_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port));
}

/* An address stays as it is; a name becomes all its addresses, or stays, for the next attempt. */
static void resolve_one(struct resolve_job *j, const char *seed)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list = NULL;
    const char *colon = strrchr(seed, ':');
    unsigned char parsed[sizeof(struct in6_addr)];
    char *host;
    int rc;

    if (!colon || strstr(seed, "://") || seed[0] == '[') {
        vec_push(&j->found, mem_strdup(seed));
        return;
    }
    host = mem_strndup(seed, (size_t)(colon - seed));
    if (inet_pton(AF_INET, host, parsed) == 1) {
        vec_push(&j->found, mem_strdup(seed));
    } else if ((rc = getaddrinfo(host, NULL, &hints, &list))) {
        LOG_WARN(ring, "cannot resolve a seed", KV_STR("addr", seed),
                 KV_STR("reason", gai_strerror(rc)));
        vec_push(&j->found, mem_strdup(seed));
    } else {
        for (const struct addrinfo *a = list; a; a = a->ai_next)
            add_found(j, a, colon + 1);
        freeaddrinfo(list);
    }
    mem_free(host);
}

static void resolve_all(void *arg)
{
    struct resolve_job *j = arg;

    VEC_FOREACH (s, &j->seeds)
        resolve_one(j, *s);
}

static void free_resolve(struct resolve_job *j)
{
    VEC_FOREACH (s, &j->seeds)
        mem_free(*s);
    VEC_FOREACH (f, &j->found)
        mem_free(*f);
    vec_done(&j->seeds);
    vec_done(&j->found);
    mem_free(j);
}

static void resolved(void *arg)
{
    struct resolve_job *j = arg;

    gossip_set_seeds(j->ms->gossip, (const char *const *)j->found.ptr, j->found.len);
    j->ms->is_resolving = false;
    free_resolve(j);
}

void membership_resolve_seeds(struct membership *ms)
{
    struct resolve_job *j;
    struct err *e;

    if (ms->opts.n_seeds == 0 || ms->is_resolving)
        return;
    j = mem_new(struct resolve_job);
    j->ms = ms;
    for (size_t i = 0; i < ms->opts.n_seeds; i++)
        vec_push(&j->seeds, mem_strdup(ms->opts.seeds[i]));
    if ((e = job_run(ms->opts.jobs, ms->opts.loop, resolve_all, resolved, j))) {
        err_free(e); /* the next round tries again */
        free_resolve(j);
        return;
    }
    ms->is_resolving = true;
    ms->resolved_ns = membership_mono(ms);
}
