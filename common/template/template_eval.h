/* The state of one execution, and the evaluation of pipelines in it (template_eval.c) for the
 * walk over the tree (template_exec.c). Whoever calls checks x->e afterwards. */
#pragma once
#include "common/template/template_html.h"
#include "common/template/template_internal.h"

struct template_var {
    struct slice name;
    struct value value;
};

enum template_jump { JUMP_NONE, JUMP_BREAK, JUMP_CONTINUE };

struct template_exec {
    const struct template_set *set;
    const struct template_def *def; /* being executed */
    const struct template_run *run;
    struct arena *arena;
    struct buf out;
    struct template_html html; /* where in a page out ends */
    VEC(struct template_var) vars;
    size_t vars_floor; /* where those of this template begin */
    uint64_t steps, max_steps;
    unsigned depth, max_depth;
    size_t max_bytes;
    size_t at, end; /* what is being evaluated, for errors */
    enum template_jump jump;
    struct err *e; /* the first; nothing runs any more */
};

void template_eval_fail(struct template_exec *x, const char *fmt, ...) ORR_PRINTF(2, 3);
/* Takes e, which a function or a limit gave. */
void template_eval_fail_with(struct template_exec *x, struct err *e);
void template_eval_limit(struct template_exec *x, const char *fmt, ...) ORR_PRINTF(2, 3);
/* One more step and level. False if a limit is reached or the run has failed. */
bool template_eval_step(struct template_exec *x);
bool template_eval_enter(struct template_exec *x);
/* pipe NULL: no value. Declares or sets the pipeline's variables. */
struct value template_eval_pipe(struct template_exec *x, const struct value *dot,
                                const struct template_pipe *pipe);
void template_eval_set(struct template_exec *x, struct slice name, const struct value *v);
