/*
 * Events: deployments, flag changes and their like, as records of their own kind among the log lines.
 *
 * An event is a line of the stream {orrery_event="<kind>"}, which has no other label; so no query that selects logs by their labels
 * sees events, {orrery_event="deployment"} reads them, and {orrery_event=""} is all that is none. The line is the title; structured metadata are service_name, EVENT_END
 * (Unix ns, of what lasts) and the attributes, their names as labels' names.
 *
 * They come by POST /api/v1/events (ingester/door/event_json.h) and as OTLP's log records with an event name, which is the kind then;
 * GET /api/v1/events lists them (querier/api/loki_events.c).
 */
#pragma once

#define EVENT_LABEL "orrery_event"
#define EVENT_SERVICE "service_name"
#define EVENT_END "event_end"
#define EVENT_NAME "event_name" /* of OTLP's, beside the label */
