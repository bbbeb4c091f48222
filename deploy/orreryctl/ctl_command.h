/*
 * The commands: what each is called, takes and does. From the one table (ctl_commands.c) come the command line (ctl.c) and all that tells of it
 * (ctl_help.c): help, a manual page, and what shells complete.
 *
 * One thread.
 */
#pragma once
#include <stdio.h>

#include "deploy/orreryctl/ctl.h"

struct ctl_command {
    const char *group, *name,
        *arguments; /* name NULL: the group is the command; it may be two words */
    size_t min_args, max_args;
    uint64_t options; /* CTL_BIT() */
    /* an object store; the same, but when its argument is a directory; none */
    enum { CTL_NEEDS_STORE, CTL_LOCAL, CTL_REMOTE } kind;
    ctl_command_fn *run;
    const char *help;
};
const struct ctl_command *ctl_commands(size_t *ret_n);

struct ctl_option_row {
    const char *flag, *help;
    bool takes_value;
};
const struct ctl_option_row *ctl_option_rows(size_t *ret_n); /* by enum ctl_option */

/* ctl_help.c */
void ctl_help_usage(FILE *out, const struct ctl_command *k);
void ctl_help_command(FILE *out, const struct ctl_command *k);
void ctl_help_all(FILE *out, const char *group); /* NULL: of all groups */
