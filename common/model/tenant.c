#include "common/model/tenant.h"

static bool is_tenant_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("!-_.*'()", c));
}

struct err *tenant_check(struct slice id)
{
    if (id.len == 0)
        return err_new(ERR_INVALID, "tenant id is empty");
    if (id.len > TENANT_MAX_BYTES)
        return err_new(ERR_INVALID, "tenant id is %zu bytes long, the limit is %d", id.len,
                       TENANT_MAX_BYTES);
    for (size_t i = 0; i < id.len; i++)
        if (!is_tenant_char(id.ptr[i]))
            return err_new(ERR_INVALID,
                           "tenant id has the unsupported byte 0x%02x at offset %zu; allowed are "
                           "letters, digits and !-_.*'()",
                           id.ptr[i], i);
    /* They become a folder in the bucket. */
    if (slice_eq_cstr(id, ".") || slice_eq_cstr(id, ".."))
        return err_new(ERR_INVALID, "tenant id must not be '.' or '..'");
    return NULL;
}
