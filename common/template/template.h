/*
 * Go's text/template: parses a text with {{actions}} and executes it on a value.
 *
 *     struct template_set *set = template_new(&funcs);
 *     if (!(e = template_parse(set, SLICE("t"), text)))
 *         e = template_execute(set, SLICE("t"), dot, &(struct template_run){.arena = a}, &out);
 *     template_free(set);
 *
 * The whole language: pipelines, variables, if/else if/with/range/break/continue/define/template/
 * block, trim markers, comments, parentheses, field chains, methods, all constants (complex ones
 * too), and Go's functions (and or not len index slice print printf println html js urlquery call
 * eq ne lt le gt ge). Errors are worded and placed as Go's: template: NAME:LINE:COL: executing
 * "NAME" at <.X>: …
 *
 * Templates come from users, so all is bounded: text TEMPLATE_MAX_TEXT bytes, nesting
 * TEMPLATE_MAX_NESTING in the text, and what struct template_run limits; ERR_LIMIT names the limit.
 *
 * Parsed templates are immutable: after the last template_parse() any number of threads may
 * execute a set at once, each with its own arena and buffer.
 */
#pragma once
#include "common/template/value.h"

#define TEMPLATE_MAX_TEXT (1u << 20)
#define TEMPLATE_MAX_NESTING 100

struct template_set;

/* Functions beside Go's own: tables, later ones win. Borrowed; they outlive the set. */
struct template_funcs {
    const struct value_func *ptr;
    size_t n;
    const struct template_funcs *next; /* looked up after this one; may be NULL */
};

/* funcs may be NULL. */
struct template_set *template_new(const struct template_funcs *funcs);
/* A set that finds in base what it has not itself, for a text of a moment: with base's functions and delimiters. base
 * outlives it and is not added to meanwhile. */
struct template_set *template_new_over(const struct template_set *base);
void template_free(struct template_set *set);
/* Other delimiters than {{ and }}, for the parses that follow; copies. */
void template_delims(struct template_set *set, struct slice left, struct slice right);
/* Adds a template and those it defines. One that was there is replaced, unless the new one is
 * empty, as Go has it. After a failure the set holds what it held before. ERR_INVALID. */
ORR_CHECKED struct err *template_parse(struct template_set *set, struct slice name,
                                       struct slice text);
bool template_has(const struct template_set *set, struct slice name);
/* Every name that the set's templates look up in something: .a.b $x.c (f).d, in their order, maybe twice. */
typedef void template_field_fn(void *arg, struct slice name);
void template_fields(const struct template_set *set, template_field_fn *fn, void *arg);

enum template_missing {
    TEMPLATE_MISSING_DEFAULT, /* no value: prints <no value> */
    TEMPLATE_MISSING_ZERO,    /* the zero value of the map's elements */
    TEMPLATE_MISSING_ERROR,
};

struct template_run {
    struct arena *arena; /* all that the run computes; past its budget the run fails */
    void *ctx;           /* what functions get as call->ctx */
    enum template_missing missing;
    size_t max_output_bytes; /* 0: 1 MiB; also of each text on the way */
    uint64_t max_steps;      /* 0: 1,000,000; nodes walked and commands evaluated */
    unsigned max_depth;      /* 0: 500; pipelines, controls and templates inside one another */
    bool is_html;            /* values are escaped for where they stand in HTML (template_html.h) */
    uint64_t *ret_steps;     /* the steps taken are added; may be NULL */
};
/* Appends to out; after a failure out holds what was written before it. ERR_EXEC, ERR_LIMIT, or
 * the code a function failed with. */
ORR_CHECKED struct err *template_execute(const struct template_set *set, struct slice name,
                                         struct value dot, const struct template_run *run,
                                         struct buf *out);
