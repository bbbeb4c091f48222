/* Input: layout, newline, text. What parses must format. */
#include "common/base/gotime.h"
#include "common/base/promdur.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_of(data, size), layout;
    struct gozone *zone;
    struct buf b = {0};
    struct gotime t;
    int64_t v;
    struct err *e = gozone_load(SLICE("Europe/Berlin"), &zone);

    if (e) {
        err_free(e);
        zone = gozone_fixed(SLICE("CET"), 3600);
    }
    if (slice_split(&rest, '\n', &layout) && rest.ptr) {
        if (!(e = gotime_parse(layout, rest, zone, &t)))
            gotime_format(&b, &t, layout);
        err_free(e);
        if (rest.len >= 8) {
            memcpy(&t.unix_s, rest.ptr, 8);
            t = (struct gotime){.unix_s = t.unix_s, .zone = zone};
            gotime_format(&b, &t, layout);
        }
        err_free(gotime_parse_api(rest, &v));
        err_free(promdur_parse_go(rest, &v));
        if (!(e = promdur_parse(rest, &v)))
            promdur_print(&b, v);
        err_free(e);
    }
    buf_done(&b);
    gozone_free(zone);
    return 0;
}
