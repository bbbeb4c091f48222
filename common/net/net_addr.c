#include "common/net/net_addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/fault.h"

struct err *net_addr_split(struct slice s, struct slice *ret_host, uint16_t *ret_port)
{
    ptrdiff_t colon = -1;
    struct slice host;
    uint64_t port;

    for (size_t i = s.len; i-- > 0 && colon < 0;)
        if (s.ptr[i] == ':')
            colon = (ptrdiff_t)i;
    if (colon < 0)
        return err_new(ERR_INVALID, "address \"%.*s\": no port", SLICE_ARG(s));
    host = slice_sub(s, 0, (size_t)colon);
    if (!slice_to_u64(slice_from(s, (size_t)colon + 1), &port) || port > UINT16_MAX)
        return err_new(ERR_INVALID, "address \"%.*s\": the port is no number up to 65535",
                       SLICE_ARG(s));
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = slice_sub(host, 1, host.len - 2);
    else if (slice_find_byte(host, ':', 0) >= 0)
        return err_new(ERR_INVALID, "address \"%.*s\": an IPv6 address needs brackets",
                       SLICE_ARG(s));
    *ret_host = host;
    *ret_port = (uint16_t)port;
    return NULL;
}

struct err *net_addr_resolve(const char *host_port, struct net_addr *ret)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    char host[256], service[8];
    struct slice h;
    uint16_t port;
    struct err *e;
    int rc;

    if ((e = net_addr_split(slice_cstr(host_port), &h, &port)))
        return e;
    if (h.len >= sizeof(host))
        return err_new(ERR_INVALID, "address \"%s\": the host is too long", host_port);
    (void)snprintf(host, sizeof(host), "%.*s", SLICE_ARG(h));
    (void)snprintf(service, sizeof(service), "%u", port);
    /* All interfaces: IPv4 any, which works also where IPv6 is switched off. */
    rc = getaddrinfo(h.len ? host : "0.0.0.0", service, &hints, &found);
    if (rc != 0)
        return err_new(ERR_NET, "address \"%s\": %s", host_port, gai_strerror(rc));
    *ret = (struct net_addr){0};
    ORR_ASSERT(found->ai_addrlen <= sizeof(ret->in6));
    memcpy(&ret->sa, found->ai_addr, found->ai_addrlen);
    ret->len = found->ai_addrlen;
    freeaddrinfo(found);
    return NULL;
}

const char *net_addr_text(const struct net_addr *a, char text[NET_ADDR_TEXT_BYTES])
{
    char ip[INET6_ADDRSTRLEN] = "";

    text[0] = '\0';
    if (a->len == 0)
        return text;
    if (a->sa.sa_family == AF_INET && inet_ntop(AF_INET, &a->in.sin_addr, ip, sizeof(ip)))
        (void)snprintf(text, NET_ADDR_TEXT_BYTES, "%s:%u", ip, net_addr_port(a));
    else if (a->sa.sa_family == AF_INET6 && inet_ntop(AF_INET6, &a->in6.sin6_addr, ip, sizeof(ip)))
        (void)snprintf(text, NET_ADDR_TEXT_BYTES, "[%s]:%u", ip, net_addr_port(a));
    return text;
}

uint16_t net_addr_port(const struct net_addr *a)
{
    if (a->len == 0)
        return 0;
    return ntohs(a->sa.sa_family == AF_INET6 ? a->in6.sin6_port : a->in.sin_port);
}

void net_addr_set_port(struct net_addr *a, uint16_t port)
{
    if (a->sa.sa_family == AF_INET6)
        a->in6.sin6_port = htons(port);
    else
        a->in.sin_port = htons(port);
}

struct err *net_addr_check_free(const struct net_addr *a)
{
    char text[NET_ADDR_TEXT_BYTES];
    struct err *e = NULL;
    int one = 1, fd;

    if (net_addr_port(a) == 0)
        return NULL;
    fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_errno(ERR_NET, "socket");
    /* Past connections may linger (SO_REUSEADDR), but nobody may listen (no SO_REUSEPORT). */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) || bind(fd, &a->sa, a->len))
        e = err_errno(ERR_NET, "listen on %s: bind", net_addr_text(a, text));
    (void)close(fd);
    return e;
}

static struct err *listen_on(int fd, struct net_addr *a, int backlog)
{
    char text[NET_ADDR_TEXT_BYTES];
    int one = 1, errnum;
    socklen_t len = sizeof(a->in6);

    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)))
        return err_errno(ERR_NET, "listen on %s: setsockopt", net_addr_text(a, text));
    if (fault_hit("net.bind", &errnum))
        return err_errnum(ERR_NET, errnum, "listen on %s: bind", net_addr_text(a, text));
    if (bind(fd, &a->sa, a->len))
        return err_errno(ERR_NET, "listen on %s: bind", net_addr_text(a, text));
    if (listen(fd, backlog))
        return err_errno(ERR_NET, "listen on %s", net_addr_text(a, text));
    if (getsockname(fd, &a->sa, &len))
        return err_errno(ERR_NET, "listen on %s: getsockname", net_addr_text(a, text));
    return NULL;
}

struct err *net_addr_listen(struct net_addr *a, int backlog, int *ret_fd)
{
    struct net_addr bound = *a;
    struct err *e;
    int fd;

    fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_errno(ERR_NET, "socket");
    if ((e = listen_on(fd, &bound, backlog))) {
        (void)close(fd);
        return e;
    }
    *a = bound;
    *ret_fd = fd;
    return NULL;
}
