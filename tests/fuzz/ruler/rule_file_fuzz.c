/* Any text as a rule file of both languages; what is accepted is accepted again, as the same, also as rule_yaml.h writes it. */
#include <stdlib.h>

#include "common/base/log.h"
#include "ruler/rule_yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void drop_line(void *arg, struct slice line)
{
    (void)arg;
    (void)line;
}

static struct err *parse_written(const struct rule_file *f, enum rule_lang lang,
                                 struct rule_file **ret)
{
    struct buf out = {0};
    struct err *e;

    buf_str(&out, f->n_groups ? "groups:\n" : "groups: []\n");
    for (size_t i = 0; i < f->n_groups; i++) {
        buf_str(&out, "  - ");
        rule_yaml_group(&out, &f->groups[i], 4);
    }
    e = rule_file_parse("written", buf_slice(&out), lang, ret);
    buf_done(&out);
    return e;
}

static void check_same(const struct rule_file *f, const struct rule_file *again)
{
    if (f->n_groups != again->n_groups)
        abort();
    for (size_t i = 0; i < f->n_groups; i++)
        if (f->groups[i].hash != again->groups[i].hash)
            abort();
}

static void parse_twice(struct slice text, enum rule_lang lang)
{
    struct rule_file *f = NULL, *again = NULL;
    struct err *e = rule_file_parse("fuzz", text, lang, &f);

    if (e) {
        err_free(e);
        return;
    }
    if (rule_file_parse("fuzz", text, lang, &again))
        abort();
    check_same(f, again);
    rule_file_unref(again);
    again = NULL;
    e = parse_written(f, lang, &again);
    if (e && !err_is(e, ERR_LIMIT)) /* escapes take room */
        abort();
    if (!e)
        check_same(f, again);
    err_free(e);
    rule_file_unref(again);
    rule_file_unref(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    log_set_sink(drop_line, NULL);
    parse_twice(slice_of(data, size), RULE_PROMQL);
    parse_twice(slice_of(data, size), RULE_LOGQL);
    return 0;
}
