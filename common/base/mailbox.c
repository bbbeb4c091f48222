#include "common/base/mailbox.h"

#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/thread.h"

unsigned mailbox_count(unsigned asked, unsigned max)
{
    long want = asked ? (long)asked : sysconf(_SC_NPROCESSORS_ONLN);
    unsigned n = 1;

    while (n < want && n < max)
        n *= 2;
    return n;
}

static void append(struct mailbox *mb, struct mailbox_msg *m)
{
    m->next = NULL;
    *mb->last = m;
    mb->last = &m->next;
}

void mailbox_post(struct mailbox *mb, struct mailbox_msg *m)
{
    bool was_empty;

    lock_take(&mb->lock);
    was_empty = !mb->first;
    append(mb, m);
    lock_release(&mb->lock);
    if (was_empty)
        (void)pthread_cond_signal(&mb->wake);
}

/* NULL: stopped, and nothing is left. */
static struct mailbox_msg *take(struct mailbox *mb)
{
    struct mailbox_msg *m;

    lock_take(&mb->lock);
    while (!mb->first && !mb->is_stopping)
        lock_wait(&mb->lock, &mb->wake);
    m = mb->first;
    if (m)
        mb->first = m->next;
    if (!mb->first)
        mb->last = &mb->first;
    lock_release(&mb->lock);
    return m;
}

static void *run(void *arg)
{
    struct mailbox *mb = arg;
    struct mailbox_msg *m;

    while ((m = take(mb)))
        if (m->fn(m->arg)) /* else m may be gone */
            mailbox_post(mb, m);
    return NULL;
}

struct err *mailbox_start(struct mailbox *mb, const char *name)
{
    struct err *e;

    *mb = (struct mailbox){.is_started = true};
    mb->last = &mb->first;
    lock_init(&mb->lock, LOCK_LEAF_MODULE);
    (void)pthread_cond_init(&mb->wake, NULL);
    if ((e = thread_start(name, run, mb, &mb->thread))) {
        mb->is_started = false;
        mailbox_done(mb);
    }
    return e;
}

void mailbox_stop(struct mailbox *mb)
{
    if (!mb->is_started)
        return;
    lock_take(&mb->lock);
    mb->is_stopping = true;
    lock_release(&mb->lock);
    (void)pthread_cond_signal(&mb->wake);
    (void)pthread_join(mb->thread, NULL);
    mb->is_started = false;
}

void mailbox_done(struct mailbox *mb)
{
    mailbox_stop(mb);
    if (!mb->last)
        return;
    lock_done(&mb->lock);
    (void)pthread_cond_destroy(&mb->wake);
    *mb = (struct mailbox){0};
}

/* ---- calls that wait ---- */

struct gate {
    struct lock lock;
    pthread_cond_t cond;
    size_t left;
};
struct call {
    struct mailbox_msg msg;
    mailbox_fn *fn;
    void *arg;
    struct gate *gate;
};

static bool run_call(void *arg)
{
    struct call *c = arg;
    struct gate *g = c->gate;

    if (c->fn(c->arg))
        return true;
    lock_take(&g->lock);
    g->left--;
    (void)pthread_cond_signal(&g->cond); /* under the lock: the waiter frees the gate */
    lock_release(&g->lock);
    return false;
}

void mailbox_call_many(struct mailbox *const *boxes, size_t n, mailbox_fn *fn, void *const *args)
{
    struct call *calls = mem_new_array(struct call, n + 1);
    struct gate g = {.left = n};

    lock_init(&g.lock, LOCK_LEAF_MODULE);
    (void)pthread_cond_init(&g.cond, NULL);
    for (size_t i = 0; i < n; i++) {
        calls[i] = (struct call){.fn = fn, .arg = args[i], .gate = &g};
        calls[i].msg = (struct mailbox_msg){.fn = run_call, .arg = &calls[i]};
        mailbox_post(boxes[i], &calls[i].msg);
    }
    lock_take(&g.lock);
    while (g.left)
        lock_wait(&g.lock, &g.cond);
    lock_release(&g.lock);
    (void)pthread_cond_destroy(&g.cond);
    lock_done(&g.lock);
    mem_free(calls);
}
