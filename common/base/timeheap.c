#include "common/base/timeheap.h"

static void put(struct timeheap *h, size_t place, struct timeheap_item *i)
{
    h->items.ptr[place - 1] = i;
    i->place = place;
}

static struct timeheap_item *at(const struct timeheap *h, size_t place)
{
    return h->items.ptr[place - 1];
}

/* Moves i from a hole at place to where it belongs. */
static void settle(struct timeheap *h, size_t place, struct timeheap_item *i)
{
    for (; place > 1 && at(h, place / 2)->at_ns > i->at_ns; place /= 2)
        put(h, place, at(h, place / 2));
    for (;;) {
        size_t child = 2 * place;

        if (child < h->items.len && at(h, child + 1)->at_ns < at(h, child)->at_ns)
            child++;
        if (child > h->items.len || at(h, child)->at_ns >= i->at_ns)
            break;
        put(h, place, at(h, child));
        place = child;
    }
    put(h, place, i);
}

void timeheap_set(struct timeheap *h, struct timeheap_item *i, int64_t at_ns)
{
    i->at_ns = at_ns;
    if (!i->place) {
        vec_push(&h->items, i);
        i->place = h->items.len;
    }
    settle(h, i->place, i);
}

void timeheap_drop(struct timeheap *h, struct timeheap_item *i)
{
    size_t place = i->place;
    struct timeheap_item *last;

    if (!place)
        return;
    i->place = 0;
    last = vec_pop(&h->items);
    if (last != i)
        settle(h, place, last);
}

struct timeheap_item *timeheap_first(const struct timeheap *h)
{
    return h->items.len ? h->items.ptr[0] : NULL;
}

void timeheap_done(struct timeheap *h)
{
    vec_done(&h->items);
}
