/* Bytes as halves of edges: they wait, are paired and expire, within their bounds. */
#include "common/base/arena.h"
#include "ingester/generator/servicegraph.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char yaml[] =
        "{processors: [service-graphs], processor: {service_graphs: {dimensions: [a, b], "
        "max_items: 8, "
        "enable_client_server_prefix: true, enable_messaging_system_latency_histogram: true}}}";
    struct arena *a = arena_new(0);
    struct yaml_node *root = NULL;
    struct generator_rules rules = {0};
    struct servicegraph g;
    struct gentable t;
    struct err *e = yaml_load("fuzz", slice_cstr(yaml), a, &root);

    ORR_ASSERT(!e && !(e = generator_rules_parse("fuzz", root, a, &rules)));
    servicegraph_init(&g, &rules, a);
    gentable_init(&t, &(struct gentable_opts){40, true, true});
    err_free(servicegraph_take(&g, &t, slice_of(data, size), 1000));
    ORR_ASSERT(g.waiting.len <= 8 && t.series <= 40);
    err_free(servicegraph_take(&g, &t, slice_of(data, size), 2000)); /* sent twice */
    servicegraph_expire(&g, &t, 3000, true);
    ORR_ASSERT(!g.waiting.len && !g.oldest && !g.newest && t.series <= 40);
    servicegraph_done(&g);
    gentable_done(&t);
    generator_rules_done(&rules);
    arena_free(a);
    return 0;
}
