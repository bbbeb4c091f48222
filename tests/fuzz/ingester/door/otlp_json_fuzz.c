/* Text as an export request of OpenTelemetry metrics in JSON, the whole way into a push, under
 * settings that the text chooses. Values as JSON inside it are walked, too. */
#include "common/base/mem.h"
#include "ingester/door/otlp_json.h"
#include "tests/fuzz/ingester/door/otlp_whole_way.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(0);
    struct jsonval_doc *doc = NULL;
    struct otlp_metrics m;
    struct err *e = otlp_json_decode(a, slice_of(data, size), &doc, &m);

    if (!e)
        otlp_whole_way(&m, a, (unsigned)size * 37);
    err_free(e);
    jsonval_free(doc);
    arena_free(a);
    return 0;
}
