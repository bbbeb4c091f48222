#include "common/net/http_h2_internal.h"

/* Buckets: what a client may do at once, and per second for ever. */
#define RESETS_PER_S 50
#define CONTROLS_PER_S 200
/* Requests of one connection that begin before others get their turn, and for how long. */
#define REQUESTS_A_TURN 64
#define TURN_MS 2
/* In units of output_high_bytes: with so much waiting for the client no request of it begins. */
#define OUTPUT_MARKS 16

/* ---- manners ---- */

/* False when there was no token left. */
static bool calm_spend(struct h2_calm *calm, int64_t at_once, int64_t per_s, int64_t now_ms)
{
    int64_t due = (now_ms - calm->filled_ms) * per_s / MS_PER_S;

    if (due > 0) {
        calm->tokens = ORR_MIN(at_once, calm->tokens + due);
        calm->filled_ms = now_ms;
    }
    return calm->tokens-- > 0;
}

void h2_cut_off(struct h2 *h, enum http_reject reason)
{
    if (h->is_ending)
        return;
    h->is_ending = true;
    server_reject(h->conn->sl->srv, reason);
    conn_set_busy(h->conn, true); /* timed from here on, whether it reads this or not */
    (void)nghttp2_session_terminate_session(h->session, NGHTTP2_ENHANCE_YOUR_CALM);
}

void h2_spend_reset(struct h2 *h)
{
    if (!calm_spend(&h->resets, H2_RESETS_AT_ONCE, RESETS_PER_S, loop_now_ms(h->conn->sl->loop)))
        h2_cut_off(h, REJECT_FLOOD);
}

void h2_spend_control(struct h2 *h)
{
    if (!calm_spend(&h->controls, H2_CONTROLS_AT_ONCE, CONTROLS_PER_S,
                    loop_now_ms(h->conn->sl->loop)))
        h2_cut_off(h, REJECT_FLOOD);
}

void h2_refill(struct h2_calm *calm, int64_t at_once)
{
    if (calm->tokens < at_once)
        calm->tokens++;
}

/* ---- turns ---- */

void h2_begin_turn(struct h2 *h)
{
    h->begun = 0;
    h->turn_ms = loop_now_ms(h->conn->sl->loop);
}

static bool has_room(const struct h2 *h)
{
    return h->output_bytes <= OUTPUT_MARKS * h->conn->sl->srv->opts.output_high_bytes;
}

bool h2_wants_turn(const struct h2 *h)
{
    return h->parked && has_room(h) && !h->is_ending;
}

bool h2_take_turn(struct h2 *h)
{
    if (h->begun >= REQUESTS_A_TURN || !has_room(h) ||
        (h->begun && loop_now_ms(h->conn->sl->loop) - h->turn_ms >= TURN_MS))
        return false;
    h->begun++;
    return true;
}

void h2_park(struct h2_stream *s)
{
    struct h2 *h = s->h2;

    s->phase = H2_PARKED;
    s->next_parked = NULL;
    *(h->parked ? &h->last_parked->next_parked : &h->parked) = s;
    h->last_parked = s;
}

void h2_unpark(struct h2_stream *s)
{
    struct h2_stream *before = NULL;

    for (struct h2_stream *p = s->h2->parked; p; before = p, p = p->next_parked) {
        if (p != s)
            continue;
        *(before ? &before->next_parked : &s->h2->parked) = s->next_parked;
        if (s->h2->last_parked == s)
            s->h2->last_parked = before;
        return;
    }
}

bool h2_launch_parked(struct h2 *h)
{
    bool any = false;

    while (h->parked && !h->is_ending && h2_take_turn(h)) {
        struct h2_stream *s = h->parked;

        h2_unpark(s);
        if (s->phase == H2_PARKED)
            h2_stream_launch(s);
        any = true;
    }
    return any;
}

void h2_count_output(struct h2 *h, int64_t bytes)
{
    h->output_bytes += (size_t)bytes;
    METRIC_ADD(h->conn->sl->srv->m.h2_output_bytes, bytes);
}
