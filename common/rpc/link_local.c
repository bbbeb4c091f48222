#include "common/rpc/link_local.h"

#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/lock.h"
#include "common/base/mem.h"
#include "common/base/vec.h"

struct item {
    struct item *next;
    struct link_route route;
    uint8_t *message;
    size_t len;
};

struct local {
    bool is_server, is_connected, is_blocked;
    char *address;
    int recv_fd, send_fd;
    struct item *head, **tail;
    size_t queued_bytes;
    struct local *server; /* a client's, while connected */
    uint32_t pipe;
    uint64_t connections, broken;
};

static struct lock lock; /* guards all of it */
static VEC(struct local *) locals;
static uint32_t last_pipe;

static void init(void)
{
    lock_init(&lock, LOCK_LEAF_MODULE);
}

static void take(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, init);
    lock_take(&lock);
}

static void set_readable(int fd, bool is_readable)
{
    eventfd_t n;

    if (is_readable)
        (void)eventfd_write(fd, 1);
    else
        (void)eventfd_read(fd, &n); /* not blocking; not set is fine */
}

static void set_route(struct link_route *r, uint32_t pipe)
{
    *r = (struct link_route){
        {(uint8_t)(pipe >> 24), (uint8_t)(pipe >> 16), (uint8_t)(pipe >> 8), (uint8_t)pipe, 0x80}};
}

/* With the lock held, as all below. */
static struct local *get(int sock)
{
    size_t i = (size_t)(sock - LINK_LOCAL_BASE);

    ORR_ASSERT(i < locals.len && locals.ptr[i]);
    return locals.ptr[i];
}

static void push(struct local *l, uint32_t pipe, uint8_t *message, size_t len)
{
    struct item *it = mem_new(struct item);

    it->message = message;
    it->len = len;
    set_route(&it->route, pipe);
    if (!l->head)
        set_readable(l->recv_fd, true);
    *l->tail = it;
    l->tail = &it->next;
    l->queued_bytes += len;
}

static struct item *pop(struct local *l)
{
    struct item *it = l->head;

    if (!it)
        return NULL;
    l->head = it->next;
    l->queued_bytes -= it->len;
    if (!l->head) {
        l->tail = &l->head;
        set_readable(l->recv_fd, false);
    }
    return it;
}

static void attach(struct local *client, struct local *server)
{
    client->server = server;
    client->is_connected = true;
    client->is_blocked = false;
    client->pipe = ++last_pipe;
    client->connections++;
    set_readable(client->send_fd, true);
}

static void detach(struct local *client)
{
    if (!client->is_connected)
        return;
    client->server->broken++;
    client->server = NULL;
    client->is_connected = false;
    set_readable(client->send_fd, false);
}

static struct local *find_server(const char *address)
{
    VEC_FOREACH (it, &locals) {
        if (*it && (*it)->is_server && strcmp((*it)->address, address) == 0)
            return *it;
    }
    return NULL;
}

static struct err *local_new(const char *address, bool is_server, struct local **ret)
{
    struct local *l = mem_new(struct local);

    l->is_server = is_server;
    l->tail = &l->head;
    l->recv_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    l->send_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (l->recv_fd < 0 || l->send_fd < 0) {
        struct err *e = err_errno(ERR_NET, "%s", address);

        if (l->recv_fd >= 0)
            close(l->recv_fd);
        mem_free(l);
        return e;
    }
    l->address = mem_strdup(address);
    *ret = l;
    return NULL;
}

static int enlist(struct local *l)
{
    size_t i = 0;

    while (i < locals.len && locals.ptr[i])
        i++;
    if (i == locals.len)
        vec_push(&locals, l);
    else
        locals.ptr[i] = l;
    return LINK_LOCAL_BASE + (int)i;
}

struct err *link_local_bind(const char *address, int *ret_sock)
{
    struct local *l;
    struct err *e = local_new(address, true, &l);

    if (e)
        return e;
    take();
    if (find_server(address)) {
        e = err_errnum(ERR_NET, EADDRINUSE, "bind %s", address);
        *ret_sock = -1;
    } else {
        VEC_FOREACH (it, &locals) {
            if (*it && !(*it)->is_server && strcmp((*it)->address, address) == 0)
                attach(*it, l);
        }
        *ret_sock = enlist(l);
    }
    lock_release(&lock);
    if (!e)
        return NULL;
    close(l->recv_fd);
    close(l->send_fd);
    mem_free(l->address);
    mem_free(l);
    return e;
}

struct err *link_local_connect(const char *address, int *ret_sock)
{
    struct local *l, *server;
    struct err *e = local_new(address, false, &l);

    if (e)
        return e;
    take();
    if ((server = find_server(address)))
        attach(l, server);
    *ret_sock = enlist(l);
    lock_release(&lock);
    return NULL;
}

void link_local_close(int sock)
{
    struct local *l;

    take();
    l = get(sock);
    locals.ptr[sock - LINK_LOCAL_BASE] = NULL;
    if (l->is_server) {
        VEC_FOREACH (it, &locals) {
            if (*it && (*it)->server == l)
                detach(*it);
        }
    } else {
        detach(l);
    }
    if (locals.len > 0 && !vec_last(&locals))
        locals.len--;
    if (locals.len == 0)
        vec_done(&locals);
    lock_release(&lock);
    for (struct item *it; (it = pop(l));) {
        link_free_message(it->message);
        mem_free(it);
    }
    close(l->recv_fd);
    close(l->send_fd);
    mem_free(l->address);
    mem_free(l);
}

bool link_local_transmit(int sock, const struct link_route *route, void *message, size_t len)
{
    struct local *l, *to = NULL;
    bool is_taken = true;

    take();
    l = get(sock);
    if (!l->is_server) {
        to = l->server;
        is_taken = to && to->queued_bytes < LINK_LOCAL_QUEUE_BYTES;
        if (to && !is_taken && !l->is_blocked) {
            l->is_blocked = true;
            set_readable(l->send_fd, false);
        }
        if (is_taken)
            push(to, l->pipe, message, len);
    } else {
        VEC_FOREACH (it, &locals) {
            if (*it && (*it)->server == l && (*it)->pipe == link_route_pipe(route))
                to = *it;
        }
        if (to)
            push(to, to->pipe, message, len);
        else
            link_free_message(message); /* it has gone */
    }
    lock_release(&lock);
    return is_taken;
}

static void unblock_clients(struct local *server)
{
    VEC_FOREACH (it, &locals) {
        struct local *client = *it;

        if (client && client->server == server && client->is_blocked) {
            client->is_blocked = false;
            set_readable(client->send_fd, true);
        }
    }
}

uint8_t *link_local_recv(int sock, size_t *ret_len, struct link_route *ret_route)
{
    struct local *l;
    struct item *it;
    uint8_t *message;

    take();
    l = get(sock);
    it = pop(l);
    if (it && l->is_server && l->queued_bytes < LINK_LOCAL_QUEUE_BYTES / 2)
        unblock_clients(l);
    lock_release(&lock);
    if (!it)
        return NULL;
    message = it->message;
    *ret_len = it->len;
    *ret_route = it->route;
    mem_free(it);
    return message;
}

int link_local_recv_fd(int sock)
{
    int fd;

    take();
    fd = get(sock)->recv_fd;
    lock_release(&lock);
    return fd;
}

int link_local_send_fd(int sock)
{
    int fd;

    take();
    fd = get(sock)->send_fd;
    lock_release(&lock);
    return fd;
}

bool link_local_is_connected(int sock)
{
    bool is_connected;

    take();
    is_connected = get(sock)->is_connected;
    lock_release(&lock);
    return is_connected;
}

uint64_t link_local_connections(int sock)
{
    uint64_t n;

    take();
    n = get(sock)->connections;
    lock_release(&lock);
    return n;
}

uint64_t link_local_broken(int sock)
{
    uint64_t n;

    take();
    n = get(sock)->broken;
    lock_release(&lock);
    return n;
}
