/* A request on its way: from its loop to the role's loop (and perhaps to peers) and back. */
#pragma once
#include "alertmanager/alertmanager_internal.h"

#define ALERTMANAGER_FORWARD_TIMEOUT_MS 5000

struct asking {
    struct alertmanager *am;
    struct http_request *request; /* answered on its loop */
    struct loop *loop;
    struct slice tenant;          /* heap */
    struct buf question;          /* GET */
    bool is_here;                 /* GET: every alertmanager can answer it */
    alert_vec alerts;             /* POST of alerts */
    struct silences_spec silence; /* POST of a silence, DELETE: texts are the request's */
    struct err *bad;              /* POST: what was wrong with some of the alerts */
    unsigned waiting, succeeded;  /* forwards */
    struct err *failed;
    bool is_page;         /* what is answered is HTML */
    const char *redirect; /* where who has changed something by a form goes on; static */
    struct amapi_answer answer;
};

/* On the loop of the request, whose route has the role as argument. NULL: it was answered. */
struct asking *asking_new(struct http_request *r);
/* From the role's loop: what is in answer is replied, and a freed. */
void asking_answered(struct asking *a);
/* The same from the loop of the request. */
void asking_reply(struct asking *a);
/* GET: asks this process, or one that holds the tenant's alerts. */
void asking_get(struct http_request *r, struct slice what, bool is_here);
void asking_refuse(struct http_request *r, struct err *e);

/* alertmanager_put.c: alerts on their way to all who hold the tenant's */
void alertmanager_handle_post_alerts(struct http_request *r);
void alertmanager_on_put(void *arg, struct rpc_call *call);

/* alertmanager_page.c */
void alertmanager_page_open(struct alertmanager *am);

/* alertmanager_silences.c */
void alertmanager_handle_post_silence(struct http_request *r);
void alertmanager_handle_delete_silence(struct http_request *r);
/* Sets a->silence, or ends the one of its id. */
void alertmanager_change_silence(struct asking *a, bool is_new);
void alertmanager_on_silences(void *arg, struct rpc_call *call);
