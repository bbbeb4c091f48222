/* What the parts of API v2's answers share. */
#pragma once
#include "alertmanager/amapi.h"
#include "common/base/re.h"

struct amapi_question {
    const struct amapi_view *view;
    struct arena *arena;
    struct http_param *params;
    size_t n_params;
    struct ammatch_list filters;
    struct re *receiver; /* NULL: any */
    struct ammatch_list receiver_matchers;
    struct buf *out;
};

/* A parameter that is true or false; true if it is not there. */
ORR_CHECKED struct err *amapi_truth(const struct amapi_question *q, const char *name, bool *ret);
/* The first parameter of that name; empty if there is none. */
struct slice amapi_param(const struct amapi_question *q, const char *name);

bool amapi_wants_receiver(const struct amapi_question *q, const struct amconf_receiver *r);

/* amapi_alerts.c */
ORR_CHECKED struct err *amapi_get_alerts(struct amapi_question *q);
ORR_CHECKED struct err *amapi_get_groups(struct amapi_question *q);
/* ampage.c */
ORR_CHECKED struct err *ampage_alerts(struct amapi_question *q);
ORR_CHECKED struct err *ampage_silences(struct amapi_question *q);
ORR_CHECKED struct err *ampage_status(struct amapi_question *q);
/* amapi_silences.c */
ORR_CHECKED struct err *amapi_get_silences(struct amapi_question *q);
ORR_CHECKED struct err *amapi_get_silence(struct amapi_question *q);
