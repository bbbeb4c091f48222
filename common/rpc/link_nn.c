/* nanomsg, and nothing of ours but its surprises (link.h). */
#include <arpa/inet.h>
#include <errno.h>
#include <nanomsg/nn.h>
#include <nanomsg/reqrep.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/fault.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/rpc/link_internal.h"
#include "common/rpc/link_local.h"

#define SEND_BUFFER_BYTES (1 << 20) /* asked for; the kernel caps it at net.core.wmem_max */
#define WINDOW_MAX_BYTES (192u << 10)

struct control {
    struct nn_cmsghdr head;
    size_t bytes; /* nanomsg puts the length in front of the header it hands out */
    uint8_t header[8];
};

uint8_t *link_new_message(size_t len)
{
    void *p = nn_allocmsg(len, 0);

    ORR_ASSERT(p); /* as mem_alloc: no heap, no process */
    return p;
}

void link_free_message(void *message)
{
    if (message)
        (void)nn_freemsg(message);
}

bool link_transmit(int sock, bool is_server, const struct link_route *route, void *message,
                   size_t len)
{
    size_t n = is_server ? 8 : 4;
    struct control c = {.head = {.cmsg_len = NN_CMSG_LEN(sizeof(size_t) + n),
                                 .cmsg_level = PROTO_SP,
                                 .cmsg_type = SP_HDR},
                        .bytes = n};
    struct nn_iovec iov = {&message, NN_MSG};
    struct nn_msghdr msg = {&iov, 1, &c, sizeof(c)};
    int errnum;

    if (is_server && fault_hit("rpc.drop", &errnum)) { /* as nanomsg would */
        link_free_message(message);
        return true;
    }
    if (link_local_is(sock))
        return link_local_transmit(sock, route, message, len);
    memcpy(c.header, route->bytes + 8 - n, n);
    return nn_sendmsg(sock, &msg, NN_DONTWAIT) >= 0;
}

uint8_t *link_recv(int sock, bool is_server, size_t *ret_len, struct link_route *ret_route)
{
    union {
        struct control c;
        uint8_t space[256]; /* longer ones are not written at all: hence the zeros */
    } control = {0};
    size_t n = is_server ? 8 : 4;
    void *message = NULL;
    struct nn_iovec iov = {&message, NN_MSG};
    struct nn_msghdr msg = {&iov, 1, &control, sizeof(control)};
    int len;

    if (link_local_is(sock))
        return link_local_recv(sock, ret_len, ret_route);
    len = nn_recvmsg(sock, &msg, NN_DONTWAIT);
    if (len < 0)
        return NULL;
    *ret_len = (size_t)len;
    memset(ret_route, 0, sizeof(*ret_route));
    if (control.c.head.cmsg_level == PROTO_SP && control.c.head.cmsg_type == SP_HDR &&
        control.c.bytes == n)
        memcpy(ret_route->bytes + 8 - n, control.c.header, n);
    else
        *ret_len = 0; /* came through a device or is garbage: no frame is empty */
    return message;
}

static void set_int(int sock, int option, int value)
{
    (void)nn_setsockopt(sock, NN_SOL_SOCKET, option, &value, sizeof(value));
}

bool link_is_inproc(const char *address)
{
    return strncmp(address, "inproc://", 9) == 0;
}

static struct err *new_socket(int protocol, const char *nn_address, int *ret)
{
    int sock = nn_socket(AF_SP_RAW, protocol);

    if (sock < 0)
        return err_errnum(ERR_NET, nn_errno(), "nanomsg socket for %s", nn_address);
    set_int(sock, NN_RCVMAXSIZE, FRAME_MAX_BYTES + 64);
    set_int(sock, NN_SNDBUF, SEND_BUFFER_BYTES);
    set_int(sock, NN_RCVBUF, SEND_BUFFER_BYTES);
    set_int(sock, NN_IPV4ONLY, strchr(nn_address, '[') == NULL);
    *ret = sock;
    return NULL;
}

static struct err *split(const char *text, struct slice *ret_host, uint16_t *ret_port)
{
    const char *colon = strrchr(text, ':');
    uint64_t port;

    if (!colon || colon == text)
        return err_new(ERR_INVALID, "address \"%s\": want host:port", text);
    if (!slice_to_u64(slice_cstr(colon + 1), &port) || port > UINT16_MAX)
        return err_new(ERR_INVALID, "address \"%s\": \"%s\" is no port", text, colon + 1);
    *ret_host = slice_of(text, (size_t)(colon - text));
    *ret_port = (uint16_t)port;
    return NULL;
}

/* An address of the machine, with or without brackets. */
static bool to_sockaddr(struct slice host, uint16_t port, struct sockaddr_storage *ret,
                        socklen_t *ret_len)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    bool has_brackets = host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
    char text[INET6_ADDRSTRLEN];

    if (has_brackets)
        host = slice_of(host.ptr + 1, host.len - 2);
    if (host.len >= sizeof(text))
        return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = 0;
    if (!has_brackets && inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        memcpy(ret, &v4, sizeof(v4));
        *ret_len = sizeof(v4);
        return true;
    }
    if (has_brackets && inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
        memcpy(ret, &v6, sizeof(v6));
        *ret_len = sizeof(v6);
        return true;
    }
    return false;
}

static bool is_host_name(struct slice host)
{
    for (size_t i = 0; i < host.len; i++) {
        uint8_t c = host.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '.' || c == '_'))
            return false;
    }
    return host.len > 0;
}

struct err *link_address(const char *address, bool is_bind, char ret[LINK_ADDRESS_MAX_BYTES],
                         char ret_host[LINK_ADDRESS_MAX_BYTES])
{
    const char *text = strncmp(address, "tcp://", 6) == 0 ? address + 6 : address;
    struct sockaddr_storage ss;
    socklen_t ss_len;
    struct slice host;
    uint16_t port;
    struct err *e;

    if (ret_host)
        ret_host[0] = 0;
    if (strlen(address) + 7 > LINK_ADDRESS_MAX_BYTES) /* nanomsg has 128 */
        return err_new(ERR_INVALID, "address \"%s\": longer than %d bytes", address,
                       LINK_ADDRESS_MAX_BYTES - 7);
    if (link_is_inproc(address)) {
        if (!address[9])
            return err_new(ERR_INVALID, "address \"%s\": no name", address);
        snprintf(ret, LINK_ADDRESS_MAX_BYTES, "%s", address);
        return NULL;
    }
    if (strstr(text, "://"))
        return err_new(ERR_INVALID, "address \"%s\": only tcp:// and inproc:// are possible",
                       address);
    if ((e = split(text, &host, &port)))
        return e;
    if (is_bind && slice_eq_cstr(host, "*"))
        host = SLICE("0.0.0.0");
    else if (!is_bind && port == 0)
        return err_new(ERR_INVALID, "address \"%s\": port 0", address);
    if (!to_sockaddr(host, port, &ss, &ss_len)) {
        if (is_bind || !is_host_name(host))
            return err_new(ERR_INVALID, "address \"%s\": no IP address%s", address,
                           is_bind ? "" : " or host name");
        snprintf(ret_host, LINK_ADDRESS_MAX_BYTES, "%.*s", SLICE_ARG(host));
    }
    snprintf(ret, LINK_ADDRESS_MAX_BYTES, "tcp://%.*s:%u", SLICE_ARG(host), port);
    return NULL;
}

/* Binds a plain socket for a moment: tells what is wrong with an address in the system's words,
 * and finds a port for port 0. */
static struct err *probe(const char *nn_address, char ret[LINK_ADDRESS_MAX_BYTES])
{
    struct sockaddr_storage ss;
    socklen_t ss_len;
    struct slice host;
    uint16_t port;
    int one = 1, fd;
    struct err *e;

    if ((e = split(nn_address + 6, &host, &port)))
        return e;
    ORR_ASSERT(to_sockaddr(host, port, &ss, &ss_len)); /* link_address() has checked */
    fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_errno(ERR_NET, "bind %s", nn_address);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&ss, ss_len) ||
        getsockname(fd, (struct sockaddr *)&ss, &ss_len))
        e = err_errno(ERR_NET, "bind %s", nn_address);
    close(fd);
    port = ntohs(ss.ss_family == AF_INET ? ((struct sockaddr_in *)&ss)->sin_port
                                         : ((struct sockaddr_in6 *)&ss)->sin6_port);
    snprintf(ret, LINK_ADDRESS_MAX_BYTES, "tcp://%.*s:%u", SLICE_ARG(host), port);
    return e;
}

struct err *link_bind(const char *address, int *ret_sock, char ret_address[LINK_ADDRESS_MAX_BYTES])
{
    char wanted[LINK_ADDRESS_MAX_BYTES], found[LINK_ADDRESS_MAX_BYTES];
    struct err *e = link_address(address, true, wanted, NULL);
    int sock, rc = -1, errnum = 0;

    if (e)
        return e;
    if (fault_hit("rpc.bind", &errnum))
        return err_errnum(ERR_NET, errnum, "bind %s", address);
    if (link_is_inproc(wanted)) {
        snprintf(ret_address, LINK_ADDRESS_MAX_BYTES, "%s", wanted);
        return link_local_bind(wanted, ret_sock);
    }
    for (int attempt = 0; attempt < 8 && rc < 0; attempt++) { /* somebody may take a found port */
        if ((e = probe(wanted, found)))
            return e;
        if ((e = new_socket(NN_REP, found, &sock)))
            return e;
        rc = nn_bind(sock, found);
        if (rc < 0) {
            errnum = nn_errno();
            link_close(sock);
            if (errnum != EADDRINUSE || !strstr(wanted, ":0"))
                break;
        }
    }
    if (rc < 0)
        return err_errnum(ERR_NET, errnum, "bind %s", address);
    *ret_sock = sock;
    snprintf(ret_address, LINK_ADDRESS_MAX_BYTES, "%s", found + 6);
    return NULL;
}

struct err *link_connect(const char *nn_address, int *ret_sock)
{
    struct rng rng;
    int sock, errnum;
    struct err *e;

    if (fault_hit("rpc.connect", &errnum))
        return err_errnum(ERR_NET, errnum, "connect %s", nn_address);
    if (link_is_inproc(nn_address))
        return link_local_connect(nn_address, ret_sock);
    if ((e = new_socket(NN_REQ, nn_address, &sock)))
        return e;
    /* nanomsg doubles from the first to the second; drawn per connection so that a restarted
     * server is not met by everybody in the same millisecond. */
    rng_seed_system(&rng);
    set_int(sock, NN_RECONNECT_IVL, 50 + (int)rng_below(&rng, 50));
    set_int(sock, NN_RECONNECT_IVL_MAX, 1500 + (int)rng_below(&rng, 1000));
    if (nn_connect(sock, nn_address) < 0) {
        e = err_errnum(ERR_NET, nn_errno(), "connect %s", nn_address);
        link_close(sock);
        return e;
    }
    *ret_sock = sock;
    return NULL;
}

void link_close(int sock)
{
    if (link_local_is(sock)) {
        link_local_close(sock);
        return;
    }
    while (nn_close(sock) < 0 && nn_errno() == EINTR)
        continue; /* documented: the socket stays open then */
}

static int descriptor(int sock, int option)
{
    int fd = -1;
    size_t n = sizeof(fd);

    ORR_ASSERT(nn_getsockopt(sock, NN_SOL_SOCKET, option, &fd, &n) == 0);
    return fd;
}

int link_recv_fd(int sock)
{
    return link_local_is(sock) ? link_local_recv_fd(sock) : descriptor(sock, NN_RCVFD);
}

int link_send_fd(int sock)
{
    return link_local_is(sock) ? link_local_send_fd(sock) : descriptor(sock, NN_SNDFD);
}

bool link_is_connected(int sock)
{
    if (link_local_is(sock))
        return link_local_is_connected(sock);
    return (int32_t)nn_get_statistic(sock, NN_STAT_CURRENT_CONNECTIONS) > 0;
}

uint64_t link_connections(int sock)
{
    if (link_local_is(sock))
        return link_local_connections(sock);
    return nn_get_statistic(sock, NN_STAT_ESTABLISHED_CONNECTIONS);
}

uint64_t link_broken(int sock)
{
    if (link_local_is(sock))
        return link_local_broken(sock);
    return nn_get_statistic(sock, NN_STAT_BROKEN_CONNECTIONS);
}

static size_t window_bytes;

static void find_window(void)
{
    FILE *f = fopen("/proc/sys/net/core/wmem_max", "re");
    unsigned long max = 212992; /* Linux's default */

    if (f && fscanf(f, "%lu", &max) != 1)
        max = 212992;
    if (f)
        fclose(f);
    /* The kernel doubles what is asked for and counts its own overhead in; LINK_FRAME_OVERHEAD
     * stands for that. A quarter is left for doubt. */
    window_bytes = ORR_MIN(WINDOW_MAX_BYTES, max / 4 * 3);
}

size_t link_window_bytes(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, find_window);
    return window_bytes;
}
