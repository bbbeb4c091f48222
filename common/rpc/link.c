#include "common/rpc/link.h"

#include <nanomsg/nn.h>

#include "common/base/arena.h"
#include "common/base/mem.h"
#include "common/rpc/link_internal.h"

static struct slice hello_aad(const uint8_t *frame)
{
    return slice_of(frame, FRAME_HEAD_BYTES + SEAL_RANDOM_BYTES);
}

static const uint8_t no_random[SEAL_RANDOM_BYTES];

void link_reset(struct link *l)
{
    seal_ctx_free(l->tx);
    seal_ctx_free(l->rx);
    l->tx = l->rx = NULL;
    if (l->held)
        link_free_message(l->held);
    l->held = NULL;
    l->tx_seq = l->rx_seq = l->session = 0;
}

enum link_sent link_flush(struct link *l)
{
    if (l->held && !link_transmit(l->sock, l->is_server, &l->route, l->held, l->held_bytes))
        return LINK_HELD;
    l->held = NULL;
    return LINK_SENT;
}

/* Builds head, random (or none) and body in one nanomsg message. tx NULL: plain. */
static uint8_t *build(const struct frame_head *h, const uint8_t *random, struct seal_ctx *tx,
                      const struct envelope *e, struct slice payload, size_t *ret_len)
{
    uint8_t fixed[ENVELOPE_MAX_BYTES];
    struct buf envelope = {.ptr = fixed, .cap = sizeof(fixed)}; /* never grows: it is bounded */
    size_t head = FRAME_HEAD_BYTES + (random ? SEAL_RANDOM_BYTES : 0), body;
    uint8_t length[2], *frame;

    envelope_encode(e, &envelope);
    ORR_ASSERT(envelope.ptr == fixed);
    body = 2 + envelope.len + payload.len;
    *ret_len = head + body + (tx ? SEAL_TAG_BYTES : 0);
    frame = link_new_message(*ret_len);
    frame_head_put(h, frame);
    if (random)
        memcpy(frame + FRAME_HEAD_BYTES, random, SEAL_RANDOM_BYTES);
    length[0] = (uint8_t)envelope.len;
    length[1] = (uint8_t)(envelope.len >> 8);
    if (tx) {
        struct slice parts[] = {slice_of(length, 2), buf_slice(&envelope), payload};

        seal_parts(tx, h->seq, slice_of(frame, head), parts, ORR_COUNT(parts), frame + head);
        return frame;
    }
    memcpy(frame + head, length, 2);
    memcpy(frame + head + 2, envelope.ptr, envelope.len);
    if (payload.len)
        memcpy(frame + head + 2 + envelope.len, payload.ptr, payload.len);
    return frame;
}

static enum link_sent transmit(struct link *l, uint8_t *frame, size_t len)
{
    ORR_ASSERT(!l->held);
    l->held = frame;
    l->held_bytes = len;
    return link_flush(l);
}

enum link_sent link_hello(struct link *l, struct seal_keyring *k, const struct envelope *hello)
{
    struct frame_head h = {.type = FRAME_HELLO};
    struct seal_ctx *tx = NULL;
    uint8_t *frame;
    size_t len;

    link_reset(l);
    seal_random(l->client_random, SEAL_RANDOM_BYTES);
    if (k) {
        h.is_sealed = true;
        while (!tx) { /* the first key may be replaced between the two calls */
            h.key_id = seal_keyring_first(k);
            tx = seal_ctx_new(k, h.key_id, SEAL_HELLO, l->client_random, no_random, true);
        }
    }
    l->key_id = h.key_id;
    l->is_sealed = h.is_sealed;
    frame = build(&h, l->client_random, tx, hello, SLICE_EMPTY, &len);
    seal_ctx_free(tx);
    return transmit(l, frame, len);
}

bool link_greeted(struct link *l, struct seal_keyring *k, const struct frame_head *h,
                  struct arena *a, uint8_t *frame, size_t len, struct envelope *ret,
                  unsigned *ret_reason)
{
    size_t head = FRAME_HEAD_BYTES + SEAL_RANDOM_BYTES;
    struct slice body = slice_from(slice_of(frame, len), head), payload;

    *ret_reason = FRAME_REASON_BAD;
    if (len < head + 2)
        return false;
    if (h->is_sealed != (k != NULL)) {
        *ret_reason = k ? FRAME_REASON_PLAIN : FRAME_REASON_SEALED;
        return false;
    }
    link_reset(l);
    memcpy(l->client_random, frame + FRAME_HEAD_BYTES, SEAL_RANDOM_BYTES);
    l->is_sealed = h->is_sealed;
    l->key_id = h->key_id;
    if (k) {
        struct seal_ctx *rx =
            seal_ctx_new(k, h->key_id, SEAL_HELLO, l->client_random, no_random, false);
        bool is_open = rx && seal_open(rx, 0, hello_aad(frame), body, frame + head);

        seal_ctx_free(rx);
        if (!is_open) {
            *ret_reason = FRAME_REASON_KEY;
            return false;
        }
        body.len -= SEAL_TAG_BYTES;
    }
    return frame_body_get(a, body, ret, &payload) && ret->kind == ENVELOPE_HELLO;
}

static bool make_keys(struct link *l, struct seal_keyring *k, const uint8_t *server_random)
{
    if (!l->is_sealed)
        return true;
    l->tx = seal_ctx_new(k, l->key_id, l->is_server ? SEAL_S2C : SEAL_C2S, l->client_random,
                         server_random, true);
    l->rx = seal_ctx_new(k, l->key_id, l->is_server ? SEAL_C2S : SEAL_S2C, l->client_random,
                         server_random, false);
    return l->tx && l->rx;
}

bool link_welcome(struct link *l, struct seal_keyring *k)
{
    struct envelope e = {.kind = ENVELOPE_WELCOME};
    struct frame_head h = {.type = FRAME_WELCOME, .is_sealed = l->is_sealed, .key_id = l->key_id};
    uint8_t random[SEAL_RANDOM_BYTES];
    uint8_t *frame;
    size_t len;

    seal_random(random, sizeof(random));
    seal_random((uint8_t *)&l->session, sizeof(l->session));
    l->session |= 1; /* 0 means none */
    h.session = l->session;
    if (!make_keys(l, k, random))
        return false;                                        /* the key was removed a moment ago */
    frame = build(&h, random, l->tx, &e, SLICE_EMPTY, &len); /* sequence number 0 */
    (void)transmit(l, frame, len);
    return true;
}

bool link_welcomed(struct link *l, struct seal_keyring *k, const struct frame_head *h,
                   uint8_t *frame, size_t len)
{
    size_t head = FRAME_HEAD_BYTES + SEAL_RANDOM_BYTES;
    struct slice body = slice_from(slice_of(frame, len), head);
    bool is_good = len >= head + 2 && h->is_sealed == l->is_sealed && h->key_id == l->key_id &&
                   h->session != 0 && make_keys(l, k, frame + FRAME_HEAD_BYTES) &&
                   (!l->is_sealed || seal_open(l->rx, 0, hello_aad(frame), body, frame + head));

    if (!is_good) {
        seal_ctx_free(l->tx);
        seal_ctx_free(l->rx);
        l->tx = l->rx = NULL;
        return false;
    }
    l->session = h->session;
    return true;
}

enum link_sent link_send(struct link *l, const struct envelope *e, struct slice payload,
                         size_t *ret_bytes)
{
    struct frame_head h = {.type = FRAME_DATA,
                           .is_sealed = l->is_sealed,
                           .key_id = l->key_id,
                           .session = l->session,
                           .seq = ++l->tx_seq};
    size_t len;
    uint8_t *frame = build(&h, NULL, l->tx, e, payload, &len);

    if (ret_bytes)
        *ret_bytes = len;
    return transmit(l, frame, len);
}

bool link_open(struct link *l, const struct frame_head *h, struct arena *a, uint8_t *frame,
               size_t len, struct envelope *ret, struct slice *ret_payload)
{
    struct slice body = slice_from(slice_of(frame, len), FRAME_HEAD_BYTES);

    if (h->is_sealed != l->is_sealed || h->seq != l->rx_seq + 1)
        return false;
    if (l->is_sealed) {
        if (!seal_open(l->rx, h->seq, slice_of(frame, FRAME_HEAD_BYTES), body,
                       frame + FRAME_HEAD_BYTES))
            return false;
        body.len -= SEAL_TAG_BYTES;
    }
    l->rx_seq = h->seq;
    return frame_body_get(a, body, ret, ret_payload);
}

void link_refuse(int sock, const struct link_route *route, enum frame_type type, unsigned reason,
                 uint64_t session)
{
    struct frame_head h = {.type = type, .reason = (uint16_t)reason, .session = session};
    uint8_t *frame = link_new_message(FRAME_HEAD_BYTES);

    frame_head_put(&h, frame);
    if (!link_transmit(sock, true, route, frame, FRAME_HEAD_BYTES))
        link_free_message(frame);
}
