#include <errno.h>
#include <stdatomic.h>

#include "common/base/fault.h"
#include "common/base/mailbox.h"
#include "tests/unit/test.h"

/* What a thread owns: a text of who had a turn. */
struct owned {
    struct mailbox box;
    char text[64];
    size_t len;
};
struct turns {
    struct mailbox_msg msg;
    struct owned *of;
    char name;
    int left;
};

static bool take_turn(void *arg)
{
    struct turns *t = arg;

    if (t->of->len + 1 < sizeof(t->of->text))
        t->of->text[t->of->len++] = t->name;
    return --t->left > 0;
}

static void post(struct owned *o, struct turns *t, char name, int n)
{
    *t = (struct turns){.of = o, .name = name, .left = n};
    t->msg = (struct mailbox_msg){.fn = take_turn, .arg = t};
    mailbox_post(&o->box, &t->msg);
}

struct hold {
    struct mailbox_msg msg;
    atomic_bool is_open;
};

static bool hold(void *arg)
{
    return !atomic_load(&((struct hold *)arg)->is_open);
}

TEST(messages_come_in_order_and_long_ones_go_in_turns)
{
    struct owned o = {0};
    struct hold h = {.msg = {.fn = hold, .arg = &h}};
    struct turns a, b, c;

    CHECK_OK(mailbox_start(&o.box, "box"));
    mailbox_post(&o.box, &h.msg);
    post(&o, &a, 'a', 1);
    post(&o, &b, 'b', 3);
    post(&o, &c, 'c', 2);
    atomic_store(&h.is_open, true);
    mailbox_stop(&o.box); /* runs what is there */
    CHECK_STR(o.text, "abcbcb");
    mailbox_done(&o.box);
    mailbox_done(&o.box);
}

TEST(a_call_to_many_waits_for_the_last_turn_of_each)
{
    struct owned o[3] = {0};
    struct mailbox *boxes[3];
    struct turns t[3];
    void *args[3];

    for (int i = 0; i < 3; i++) {
        CHECK_OK(mailbox_start(&o[i].box, "box"));
        boxes[i] = &o[i].box;
        t[i] = (struct turns){.of = &o[i], .name = 'x', .left = 10 * i + 1};
        args[i] = &t[i];
    }
    mailbox_call_many(boxes, 3, take_turn, args);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(t[i].left, 0);
        CHECK_INT(o[i].len, 10 * i + 1);
        mailbox_done(&o[i].box);
    }
}

TEST(a_thread_that_cannot_be_had_leaves_nothing)
{
    struct mailbox mb = {0};

    fault_arm_point("thread.start", EAGAIN);
    CHECK_ERR(mailbox_start(&mb, "box"), ERR_UNAVAILABLE, "start thread box");
    fault_disarm();
    mailbox_done(&mb);
}

TEST(mailbox_count_is_a_power_of_two_within_its_bound)
{
    CHECK_INT(mailbox_count(1, 64), 1);
    CHECK_INT(mailbox_count(3, 64), 4);
    CHECK_INT(mailbox_count(4, 64), 4);
    CHECK_INT(mailbox_count(1000, 64), 64);
    CHECK(mailbox_count(0, 64) >= 1);
}
