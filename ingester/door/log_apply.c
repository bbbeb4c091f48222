#include "ingester/door/log_apply.h"

void log_tally_add(struct log_tally *t, size_t bytes)
{
    t->lines++;
    t->bytes += bytes;
}

/* The values of the line's metadata; a copy, if anything is found. */
static bool scrub_metadata(const struct log_rule *rule, struct arena *a, struct log_in *io)
{
    struct label *copy = NULL;

    for (size_t i = 0; i < io->n_metadata; i++) {
        struct buf out = {0};

        if (!log_rule_scrub(rule, io->metadata[i].value, &out))
            continue;
        if (!copy) {
            copy = arena_array(a, struct label, io->n_metadata);
            memcpy(copy, io->metadata, io->n_metadata * sizeof(*copy));
        }
        copy[i].value = arena_dup(a, buf_slice(&out));
        buf_done(&out);
    }
    if (copy)
        io->metadata = copy;
    return copy != NULL;
}

static bool scrub(const struct log_rule *rule, struct arena *a, struct log_in *io)
{
    struct buf out = {0};
    bool any = log_rule_scrub(rule, io->line, &out);

    if (any)
        io->line = arena_dup(a, buf_slice(&out));
    buf_done(&out);
    return scrub_metadata(rule, a, io) || any;
}

bool log_apply_rules(const struct log_rules *rules, uint64_t bits, struct arena *a,
                     struct log_tally *tally, struct log_in *io)
{
    for (; bits; bits &= bits - 1) {
        size_t i = (size_t)__builtin_ctzll(bits), bytes = io->line.len;
        const struct log_rule *rule = &rules->ptr[i];
        bool drops;

        if (!log_rule_takes(rule, io->line))
            continue;
        drops = rule->action == LOG_RULE_DROP ||
                (rule->action == LOG_RULE_SAMPLE && !log_rule_keeps(rule, io->line, io->t_ns));
        if (drops || (rule->action == LOG_RULE_SCRUB && scrub(rule, a, io)))
            log_tally_add(&tally[i], bytes);
        if (drops)
            return false;
    }
    return true;
}
