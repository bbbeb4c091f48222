/*
 * The table of routes: which pattern serves a path. Patterns are described at struct http_route.
 *
 * Literal patterns are found by hash; the others are tried from the most literal to the least.
 *
 * Owner: built by main before the server listens, then only read, by all loops.
 */
#pragma once
#include "common/net/http_server.h"

#define HTTP_ROUTE_SEGMENTS_MAX 16

struct http_route_table;

struct http_route_table *http_route_table_new(void);
void http_route_table_free(struct http_route_table *t);
void http_route_table_add(struct http_route_table *t, const struct http_route *route);

/* What a path matched. */
struct http_route_match {
    const struct http_route *route;    /* NULL: none */
    unsigned allowed;                  /* without a route: methods that the path has, 0 for 404 */
    bool is_malformed;                 /* the path's escapes are malformed or hide a NUL */
    struct slice path;                 /* decoded */
    const struct http_param *segments; /* {name} and * with what they matched */
    size_t segment_count;
};
/* path_raw starts with /. Slices are a's or borrow from path_raw. */
struct http_route_match http_route_find(const struct http_route_table *t, struct arena *a,
                                        enum http_method method, struct slice path_raw);
