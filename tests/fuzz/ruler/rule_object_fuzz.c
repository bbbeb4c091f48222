/* Any bytes as a namespace in the bucket, as the key of one, and as the body of a request that sets a group: what is accepted
 * is written as the same. */
#include <stdlib.h>

#include "common/base/hash.h"
#include "common/base/log.h"
#include "ruler/rule_object.h"
#include "ruler/rule_yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void drop_line(void *arg, struct slice line)
{
    (void)arg;
    (void)line;
}

static void object(struct arena *a, struct slice body)
{
    struct buf bytes = {0};
    struct rule_object o = {.n = 0}, again = {.n = 0};
    struct buf out = {0};
    struct slice in;
    struct err *e;

    buf_slice_append(&bytes, body); /* its checksum is put right: that is not what is to be found */
    buf_u32le(&bytes, hash_crc32c(body));
    in = arena_dup(a, buf_slice(&bytes));
    buf_done(&bytes);
    e = rule_object_parse(a, in, &o);

    if (!e) {
        err_free(rule_object_write(
            &out, &o)); /* lengths may have been written longer than they need be */
        if (rule_object_parse(a, buf_slice(&out), &again) || again.n != o.n ||
            !slice_eq(again.ns, o.ns))
            abort();
        for (size_t i = 0; i < o.n; i++)
            if (rule_object_find(&o, o.groups[i].name) != &o.groups[i] ||
                !slice_eq(o.groups[i].yaml, again.groups[i].yaml))
                abort();
    }
    buf_done(&out);
    err_free(e);
}

static void key(struct arena *a, struct slice in)
{
    struct slice tenant, ns;
    enum rule_lang lang;
    struct err *e;

    if (rule_object_key_read(a, in, &tenant, &lang, &ns) &&
        !slice_eq(rule_object_key(a, tenant, lang, ns), in))
        abort();
    e = rule_object_check_ns(in); /* as a name: its key says it again */
    if (!e && (!rule_object_key_read(a, rule_object_key(a, SLICE("t"), RULE_LOGQL, in), &tenant,
                                     &lang, &ns) ||
               !slice_eq(ns, in)))
        abort();
    err_free(e);
}

static void group(struct slice in, enum rule_lang lang)
{
    struct rule_file *f = NULL, *again = NULL;
    struct err *e = rule_file_parse_group("fuzz", in, lang, &f), *e2;
    struct buf yaml = {0};

    if (!e) {
        rule_yaml_group(&yaml, &f->groups[0], 0);
        e2 = rule_file_parse_group("written", buf_slice(&yaml), lang, &again);
        if (e2 && !err_is(e2, ERR_LIMIT)) /* escapes take room */
            abort();
        if (!e2 && again->groups[0].hash != f->groups[0].hash)
            abort();
        err_free(e2);
    }
    buf_done(&yaml);
    rule_file_unref(f);
    rule_file_unref(again);
    err_free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data + 1, size ? size - 1 : 0);
    struct arena *a;

    if (!size)
        return 0;
    log_set_sink(drop_line, NULL);
    a = arena_new(0);
    switch (data[0] % 4) {
    case 0:
        object(a, in);
        break;
    case 1:
        key(a, in);
        break;
    default:
        group(in, data[0] % 4 == 2 ? RULE_PROMQL : RULE_LOGQL);
    }
    arena_free(a);
    return 0;
}
