#include <unistd.h>

#include "common/net/net_addr.h"
#include "tests/unit/test.h"

TEST(net_addr_reads_and_writes)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"127.0.0.1:80", "127.0.0.1:80"},
        {":9009", "0.0.0.0:9009"},
        {"[::1]:0", "[::1]:0"},
        {"0.0.0.0:65535", "0.0.0.0:65535"},
    };
    char text[NET_ADDR_TEXT_BYTES];
    struct net_addr a;

    for (size_t i = 0; i < ORR_COUNT(cases); i++) {
        CHECK_OK(net_addr_resolve(cases[i].in, &a));
        CHECK_STR(net_addr_text(&a, text), cases[i].out);
    }
}

TEST(net_addr_refuses)
{
    static const char *const bad[] = {
        "", "a", "1.2.3.4", "1.2.3.4:", "1.2.3.4:x", "1.2.3.4:65536", "::1:80", "a:-1"};
    struct net_addr a;

    for (size_t i = 0; i < ORR_COUNT(bad); i++)
        CHECK_ERR(net_addr_resolve(bad[i], &a), ERR_INVALID, "address");
}

TEST(net_addr_tells_a_port_where_somebody_listens)
{
    struct net_addr a;
    int fd;

    CHECK_OK(net_addr_resolve("127.0.0.1:0", &a));
    CHECK_OK(net_addr_check_free(&a));
    CHECK_OK(net_addr_listen(&a, 8, &fd));
    CHECK_ERR(net_addr_check_free(&a), ERR_NET, "bind");
    (void)close(fd);
    CHECK_OK(net_addr_check_free(&a));
}

TEST(net_addr_listeners_share_a_port)
{
    struct net_addr a;
    int one, two;

    CHECK_OK(net_addr_resolve("127.0.0.1:0", &a));
    CHECK_OK(net_addr_listen(&a, 8, &one));
    CHECK(net_addr_port(&a) != 0);
    CHECK_OK(net_addr_listen(&a, 8, &two));
    close(one);
    close(two);
    fault_arm_point("net.bind", 98);
    CHECK_ERR(net_addr_listen(&a, 8, &one), ERR_NET, "bind");
    fault_arm_point("net.bind", 0);
}
