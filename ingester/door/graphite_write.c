#include "ingester/door/graphite_write.h"

#include <stdio.h>

#include "ingester/door/graphite_line.h"

static struct err *add(struct push_builder *b, struct graphite_line *p)
{
    struct sample s = {p->has_time ? p->t_ms : push_builder_now_ms(b), p->value};

    p->tags[0] = (struct label){SLICE(LABEL_NAME), p->path};
    return push_builder_add(
        b, &(struct push_in){
               .labels = p->tags, .n_labels = p->n_tags + 1, .samples = &s, .n_samples = 1});
}

static void refuse(struct push_builder *b, const struct graphite_line *p)
{
    char detail[128];

    (void)snprintf(detail, sizeof(detail), "line %zu: %s", p->line, p->error);
    push_builder_reject_with(b, DOOR_BAD_LINE, 1, SLICE_EMPTY, detail);
}

struct err *graphite_write_decode(struct push_builder *b, const void *arg)
{
    struct graphite_line p;
    enum graphite_item item;
    struct err *e = NULL;

    (void)arg;
    graphite_line_init(&p, push_builder_body(b));
    while (!e && (item = graphite_line_next(&p)) != GRAPHITE_END)
        if (item == GRAPHITE_POINT)
            e = add(b, &p);
        else
            refuse(b, &p);
    return e;
}
