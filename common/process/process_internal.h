/* What process.c (life), process_parts.c (what it is built of), process_storage.c (the object store) and process_admin.c (pages) share. */
#pragma once
#include "common/auth/auth.h"
#include "common/model/limits.h"
#include "common/process/process_conf.h"
#include "common/process/process_cors.h"

#define PROCESS_MAX_ROLES 8
#define PROCESS_MAX_SECTIONS 64
#define PROCESS_MAX_HTTP 8

enum process_phase { PROCESS_STARTING, PROCESS_SERVING, PROCESS_STOPPING };

struct process {
    const char *program;
    const struct process_role *const *roles;
    size_t n_roles, n_opened;
    _Atomic size_t n_started; /* pages read it while roles start */
    void *objects[PROCESS_MAX_ROLES];
    const struct conf_section *sections[PROCESS_MAX_SECTIONS];
    size_t n_sections;
    int argc;
    char **argv;

    struct snapshot_cell conf;
    char *instance, *zone, *data_dir, *tokens_path, *members_path, *rpc_advertised,
        *http_advertised;
    struct loop **loops;
    size_t n_loops, n_loops_running;
    struct job_pool *jobs;
    struct net_tls *tls;
    struct process_cors *cors;
    struct auth *auth;
    struct http_server *http;
    struct grpc_server *grpc;                        /* on http */
    struct http_server *more_http[PROCESS_MAX_HTTP]; /* at other addresses */
    size_t n_more_http;
    struct http_client *http_client;
    struct seal_keyring *keyring;
    struct rpc_server *rpc;
    struct rpc_pool *peers;
    struct objstore *objstore;
    struct limits *storage_limits;  /* of S3: how tenants' objects are encrypted; else NULL */
    struct loop_timer *sweep_timer; /* loop 0; NULL: it is not this process's */
    struct membership *membership;
    bool is_alone; /* all roles here and nobody to join */
    unsigned rf;   /* of the ingesters' rings */

    _Atomic int phase; /* enum process_phase */
    int stop_fd;       /* eventfd: main waits for signals and for this */
    int lock_fd;       /* DATA/lock, held while the process lives */
};

/* Makes everything below p and opens the roles; nothing runs yet. On failure what was made stays for the tear-down. */
ORR_CHECKED struct err *process_build(struct process *p, struct conf *c);
/* True when everything here is ready to serve; else says why not. */
bool process_is_ready(struct process *p, struct buf *ret);
/* Makes main stop the process. Any thread. */
void process_stop(struct process *p);
/* Reads the configuration again. Main or worker. */
ORR_CHECKED struct err *process_reload(struct process *p);
void process_admin_routes(struct process *p);
/* Makes p->objstore. Loops and jobs are there, and the loops do not run. */
ORR_CHECKED struct err *process_storage_open(struct process *p, struct conf *c);
/* The loops do not run any more; also when it was never opened. */
void process_storage_close(struct process *p);
