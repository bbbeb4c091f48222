#include "common/model/tenant.h"
#include "tests/unit/test.h"

TEST(tenant_ids_are_checked)
{
    char long_id[TENANT_MAX_BYTES + 2];

    memset(long_id, 'a', sizeof(long_id));
    CHECK_OK(tenant_check(SLICE("anonymous")));
    CHECK_OK(tenant_check(SLICE("Team-1_x.y!*'()")));
    CHECK_OK(tenant_check(slice_of(long_id, TENANT_MAX_BYTES)));
    CHECK_ERR(tenant_check(slice_of(long_id, TENANT_MAX_BYTES + 1)), ERR_INVALID, "151");
    CHECK_ERR(tenant_check(SLICE("")), ERR_INVALID, "empty");
    CHECK_ERR(tenant_check(SLICE(".")), ERR_INVALID, "'.'");
    CHECK_ERR(tenant_check(SLICE("..")), ERR_INVALID, "'.'");
    CHECK_ERR(tenant_check(SLICE("a/b")), ERR_INVALID, "0x2f");
    CHECK_ERR(tenant_check(SLICE("a|b")), ERR_INVALID, "0x7c");
    CHECK_ERR(tenant_check(slice_of("a\0b", 3)), ERR_INVALID, "0x00");
}
