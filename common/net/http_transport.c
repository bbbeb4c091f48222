#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "common/base/fault.h"
#include "common/net/http_server_internal.h"

static enum transport_got tls_result(struct conn *c, int rc, bool is_write)
{
    switch (SSL_get_error(c->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        c->write_wants_read = is_write;
        return TRANSPORT_AGAIN;
    case SSL_ERROR_WANT_WRITE:
        c->read_wants_write = !is_write;
        return TRANSPORT_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return is_write ? TRANSPORT_FAILED : TRANSPORT_EOF;
    default:
        if (!c->has_handshaken)
            server_reject(c->sl->srv, REJECT_TLS);
        return TRANSPORT_FAILED;
    }
}

static enum transport_got tls_read(struct conn *c, uint8_t *dst, size_t n, size_t *ret_n)
{
    int rc;

    /* OpenSSL's error queue is the thread's: what another connection left there would be taken for
     * ours. */
    ERR_clear_error();
    c->read_wants_write = false;
    rc = SSL_read(c->ssl, dst, (int)ORR_MIN(n, (size_t)INT_MAX));
    if (rc <= 0)
        return tls_result(c, rc, false);
    c->has_handshaken = true;
    *ret_n = (size_t)rc;
    return TRANSPORT_OK;
}

enum transport_got transport_read(struct conn *c, uint8_t *dst, size_t n, size_t *ret_n)
{
    int errnum;
    ssize_t got;

    if (fault_hit("net.read", &errnum))
        return TRANSPORT_FAILED;
    if (c->ssl)
        return tls_read(c, dst, n, ret_n);
    do {
        got = recv(c->fd, dst, n, 0);
    } while (got < 0 && errno == EINTR);
    if (got > 0) {
        *ret_n = (size_t)got;
        return TRANSPORT_OK;
    }
    if (got == 0)
        return TRANSPORT_EOF;
    return errno == EAGAIN || errno == EWOULDBLOCK ? TRANSPORT_AGAIN : TRANSPORT_FAILED;
}

static enum transport_got tls_write(struct conn *c)
{
    struct evbuffer_iovec v;

    ERR_clear_error();
    c->write_wants_read = false;
    while (evbuffer_peek(c->out, -1, NULL, &v, 1) > 0) {
        int rc = SSL_write(c->ssl, v.iov_base, (int)ORR_MIN(v.iov_len, (size_t)INT_MAX));

        if (rc <= 0)
            return tls_result(c, rc, true);
        METRIC_ADD(c->sl->srv->m.sent_bytes, (uint64_t)rc);
        (void)evbuffer_drain(c->out, (size_t)rc);
    }
    return TRANSPORT_OK;
}

enum transport_got transport_write(struct conn *c)
{
    int errnum;

    if (fault_hit("net.write", &errnum))
        return TRANSPORT_FAILED;
    if (c->ssl)
        return tls_write(c);
    while (evbuffer_get_length(c->out)) {
        int n = evbuffer_write(c->out, c->fd);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK ? TRANSPORT_AGAIN : TRANSPORT_FAILED;
        if (n == 0)
            return TRANSPORT_AGAIN;
        METRIC_ADD(c->sl->srv->m.sent_bytes, (uint64_t)n);
    }
    return TRANSPORT_OK;
}

void transport_shutdown(struct conn *c)
{
    if (c->ssl && c->has_handshaken) {
        ERR_clear_error();
        (void)SSL_shutdown(c->ssl); /* says goodbye; we do not wait for theirs */
    }
    (void)shutdown(c->fd, SHUT_WR);
}
