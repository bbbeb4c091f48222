#include "tests/bench/poster.h"

#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int poster_connect(const char *addr)
{
    char host[128];
    const char *colon = strrchr(addr, ':');
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_INET}, *ai;
    int fd = -1, one = 1;

    if (!colon)
        return -1;
    snprintf(host, sizeof(host), "%.*s", (int)(colon - addr), addr);
    if (getaddrinfo(host, colon + 1, &hints, &ai) == 0) {
        fd = socket(ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, ai->ai_addr, ai->ai_addrlen)) {
            close(fd);
            fd = -1;
        }
        freeaddrinfo(ai);
    }
    if (fd >= 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

static bool send_all(int fd, struct slice s)
{
    while (s.len) {
        ssize_t k = send(fd, s.ptr, s.len, MSG_NOSIGNAL);

        if (k <= 0)
            return false;
        s = slice_sub(s, (size_t)k, s.len - (size_t)k);
    }
    return true;
}

static int read_reply(int fd, char *text, size_t cap)
{
    size_t n = 0, body = 0;
    char *end = NULL;

    while (n < cap - 1) {
        ssize_t k = recv(fd, text + n, cap - 1 - n, 0);
        const char *length;

        if (k <= 0)
            return 0;
        n += (size_t)k;
        text[n] = 0;
        if (!end && !(end = strstr(text, "\r\n\r\n")))
            continue;
        length = strcasestr(text, "content-length:");
        body = length && length < end ? strtoul(length + 15, NULL, 10) : 0;
        if (n >= (size_t)(end + 4 - text) + body)
            return atoi(text + 9);
    }
    return 0;
}

int poster_send(int fd, struct slice head, struct slice body, char reply[POSTER_REPLY_BYTES])
{
    reply[0] = 0;
    if (fd < 0 || !send_all(fd, head) || !send_all(fd, body))
        return 0;
    return read_reply(fd, reply, POSTER_REPLY_BYTES);
}

const char *poster_body(const char *reply)
{
    const char *at = strstr(reply, "\r\n\r\n");

    return at ? at + 4 : "";
}
