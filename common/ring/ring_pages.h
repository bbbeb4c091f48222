/*
 * What an operator sees of ring and membership, HTML for people, JSON when the client's Accept names
 * application/json:
 *
 *     GET  /ring                      instances of every role with state, zone, share; ?role=ingester
 *     GET  /memberlist                the gossip: versions, heartbeats, health, counters, channels
 *     POST /ring, /memberlist         forget=INSTANCE (form or query): forgets a member that is dead
 *
 * JSON of /ring:        {"rings":[{"role","signals","rf","active","zones","instances":[{"instance",
 *   "zone","roles","state","healthy","rpc","http","tokens","share","registered","since"}]}]}
 * JSON of /memberlist:  {"cluster","self","members":[{"instance","state","healthy","incarnation",
 *   "version","heartbeat","heartbeat_age_seconds"}],"counters":{…}}
 *
 * A member that is healthy is not forgotten by the button unless force=true comes with it.
 *
 * Rendering: the membership's loop. The HTTP handlers may run on any loop.
 */
#pragma once
#include "common/base/buf.h"
#include "common/ring/membership.h"

struct http_server;

/* role 0: all. */
void ring_pages_ring(struct membership *ms, uint32_t role, bool as_json, struct buf *out);
void ring_pages_memberlist(struct membership *ms, bool as_json, struct buf *out);
/* ERR_NOT_FOUND, ERR_INVALID (ourselves), ERR_CONFLICT (it is healthy and force is false). */
ORR_CHECKED struct err *ring_pages_forget(struct membership *ms, struct slice instance, bool force);

/* Adds the routes; before http_server_listen(). ms outlives the server's requests. */
void ring_pages_routes(struct membership *ms, struct http_server *srv);
