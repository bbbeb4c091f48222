/*
 * The YAML loader and configuration: any text is refused with a message, or taken; and what was
 * taken prints as text that is taken again and prints the same.
 */
#include "common/base/conf.h"
#include "common/base/mem.h"

struct fuzz_config {
    int64_t age_ns, size_bytes, count;
    double ratio;
    bool is_on;
    char *text;
    int mode;
    struct conf_list list;
};

static const struct conf_field fields[] = {
    CONF_DURATION(struct fuzz_config, age_ns, "age", "1s", "0s", "100y", CONF_RELOAD, "Age."),
    CONF_BYTES(struct fuzz_config, size_bytes, "size", "0", NULL, NULL, CONF_RELOAD, "Size."),
    CONF_INT(struct fuzz_config, count, "count", "0", NULL, NULL, CONF_RELOAD, "Count."),
    CONF_FLOAT(struct fuzz_config, ratio, "ratio", "0", NULL, NULL, CONF_RELOAD, "Ratio."),
    CONF_BOOL(struct fuzz_config, is_on, "on", "no", CONF_RELOAD, "On."),
    CONF_STRING(struct fuzz_config, text, "text", "", CONF_RELOAD, "Text."),
    CONF_ENUM(struct fuzz_config, mode, "mode", "a", "a|b|c", CONF_RELOAD, "Mode."),
    CONF_LIST(struct fuzz_config, list, "some-list", "", CONF_RELOAD, "List."),
};
static const struct conf_section section = {"s", "Section.", sizeof(struct fuzz_config), fields,
                                            ORR_COUNT(fields)};
static const struct conf_section *const sections[] = {&section};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct conf *load(struct slice text)
{
    struct conf_source src = {.sections = sections, .section_count = 1};
    struct conf *c = NULL;
    struct err *e = conf_load_text(&src, "fuzz", text, &c);

    if (e)
        ORR_ASSERT(err_msg(e)[0] && err_code(e) != ERR_INTERNAL);
    err_free(e);
    return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct conf *c = load(slice_of(data, size));
    struct buf first = {0}, second = {0};

    if (!c)
        return 0;
    conf_print(c, &first);
    struct conf *again = load(buf_slice(&first));

    ORR_ASSERT(again);
    ORR_ASSERT(!conf_check_reload(c, again));
    conf_print(again, &second);
    ORR_ASSERT(slice_eq(buf_slice(&first), buf_slice(&second)));
    conf_unref(c);
    conf_unref(again);
    buf_done(&first);
    buf_done(&second);
    return 0;
}
