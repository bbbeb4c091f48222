/* Any text as a rule file of both languages; what is accepted is accepted again, as the same. */
#include <stdlib.h>

#include "common/base/log.h"
#include "ruler/rule_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void drop_line(void *arg, struct slice line)
{
    (void)arg;
    (void)line;
}

static void parse_twice(struct slice text, enum rule_lang lang)
{
    struct rule_file *f = NULL, *again = NULL;
    struct err *e = rule_file_parse("fuzz", text, lang, &f);

    if (e) {
        err_free(e);
        return;
    }
    e = rule_file_parse("fuzz", text, lang, &again);
    if (e || f->n_groups != again->n_groups)
        abort();
    for (size_t i = 0; i < f->n_groups; i++)
        if (f->groups[i].hash != again->groups[i].hash)
            abort();
    rule_file_unref(f);
    rule_file_unref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    log_set_sink(drop_line, NULL);
    parse_twice(slice_of(data, size), RULE_PROMQL);
    parse_twice(slice_of(data, size), RULE_LOGQL);
    return 0;
}
