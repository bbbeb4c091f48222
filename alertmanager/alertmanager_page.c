/*
 * The pages (ampage.c) and their forms, below /alertmanager: alerts, silences, status. A form is refused that another
 * site has sent: a browser tells where it comes from.
 */
#include "alertmanager/alertmanager_asking.h"
#include "common/base/mem.h"
#include "common/base/promdur.h"

static void handle_home(struct http_request *r)
{
    http_reply_header(r, "Location",
                      SLICE("alertmanager/alerts")); /* relative: there may be a prefix */
    http_reply(r, 302, NULL, SLICE_EMPTY);
}

static void handle_alerts(struct http_request *r)
{
    asking_get(r, SLICE("page/alerts"), false);
}

static void handle_status(struct http_request *r)
{
    asking_get(r, SLICE("page/status"), true);
}

/* ---- forms ---- */

static struct err *check_origin(const struct http_request *r)
{
    struct slice site = http_request_header(r, "Sec-Fetch-Site");
    struct slice origin = http_request_header(r, "Origin");
    ptrdiff_t at = slice_find(origin, SLICE("://"), 0);

    if (site.len
            ? slice_eq_cstr(site, "same-origin") || slice_eq_cstr(site, "none")
            : !origin.len || (at >= 0 && slice_eq(slice_from(origin, (size_t)at + 3), r->host)))
        return NULL;
    return err_new(ERR_FORBIDDEN, "this form was sent by another site");
}

/* What a form asks for, in the request's arena. */
static struct err *read_form(struct http_request *r, struct silences_spec *ret)
{
    struct silences_matcher *ms;
    struct ammatch_list l = {0};
    int64_t duration_ns;
    struct err *e;

    if ((e = ammatch_parse_list(r->arena, AMMATCH_FALLBACK, http_param(r, "matchers"), &l)) ||
        (e = promdur_parse(http_param(r, "duration"), &duration_ns))) {
        ammatch_list_done(&l);
        return e;
    }
    ms = arena_array(r->arena, struct silences_matcher, l.n + 1);
    for (size_t i = 0; i < l.n; i++)
        ms[i] = (struct silences_matcher){l.ptr[i].op, l.ptr[i].name, l.ptr[i].value};
    *ret = (struct silences_spec){.created_by = http_param(r, "createdBy"),
                                  .comment = http_param(r, "comment"),
                                  .matchers = ms,
                                  .n_matchers = l.n,
                                  .starts_ns = clock_wall_ns(&clock_system)};
    ret->ends_ns = duration_ns > SILENCES_MAX_NS - ret->starts_ns ? SILENCES_MAX_NS
                                                                  : ret->starts_ns + duration_ns;
    ammatch_list_done(&l);
    return NULL;
}

static void handle_post(struct http_request *r, bool is_new)
{
    struct asking *a = asking_new(r);
    struct err *e;

    if (!a)
        return;
    if ((e = check_origin(r)) || (is_new && (e = read_form(r, &a->silence)))) {
        amapi_error(&a->answer, e);
        asking_reply(a);
        return;
    }
    if (!is_new)
        a->silence.id = http_param(r, "id");
    a->redirect = is_new ? "silences" : "../silences";
    alertmanager_change_silence(a, is_new);
}

static void handle_silences(struct http_request *r)
{
    if (r->method == HTTP_POST)
        handle_post(r, true);
    else
        asking_get(r, SLICE("page/silences"), true);
}

static void handle_expire(struct http_request *r)
{
    handle_post(r, false);
}

void alertmanager_page_open(struct alertmanager *am)
{
    static const struct {
        unsigned methods;
        const char *path;
        void (*handler)(struct http_request *r);
    } routes[] = {
        {HTTP_GET, "/alertmanager", handle_home},
        {HTTP_GET, "/alertmanager/alerts", handle_alerts},
        {HTTP_GET, "/alertmanager/status", handle_status},
        {HTTP_GET | HTTP_POST, "/alertmanager/silences", handle_silences},
        {HTTP_POST, "/alertmanager/silences/expire", handle_expire},
    };

    for (size_t i = 0; i < ORR_COUNT(routes); i++)
        http_server_route(process_http(am->process),
                          &(struct http_route){.methods = routes[i].methods,
                                               .pattern = routes[i].path,
                                               .handler = routes[i].handler,
                                               .arg = am});
}
