#include <pthread.h>

#include "ingester/door/drained.h"
#include "tests/unit/test.h"

static void *tell(void *d)
{
    drained_one(d);
    return NULL;
}

TEST(drained_waits_for_the_last)
{
    struct drained d;
    pthread_t threads[8];

    CHECK_OK(drained_init(&d));
    drained_expect(&d, 1 + ORR_COUNT(threads));
    for (size_t i = 0; i < ORR_COUNT(threads); i++)
        CHECK_INT(pthread_create(&threads[i], NULL, tell, &d), 0);
    for (size_t i = 0; i < ORR_COUNT(threads); i++)
        CHECK_INT(pthread_join(threads[i], NULL), 0);
    CHECK(!drained_wait(&d, 0));
    CHECK_INT(pthread_create(&threads[0], NULL, tell, &d), 0);
    CHECK(drained_wait(&d, 60000));
    CHECK_INT(pthread_join(threads[0], NULL), 0);
    drained_done(&d);
}

TEST(drained_does_not_wait_for_none)
{
    struct drained d;

    CHECK_OK(drained_init(&d));
    drained_expect(&d, 0);
    CHECK(drained_wait(&d, 0));
    drained_done(&d);
}
