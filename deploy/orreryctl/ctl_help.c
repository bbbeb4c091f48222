/* What tells of the commands: help, the manual page, completion. */
#include <string.h>

#include "deploy/orreryctl/ctl_command.h"

#define STATUS "0 all is well, 1 something is wrong or was not done, 2 bad usage."

/* ---- help ---- */

void ctl_help_usage(FILE *out, const struct ctl_command *k)
{
    fprintf(out, "  orreryctl %s", k->group);
    if (k->name)
        fprintf(out, " %s", k->name);
    if (k->arguments[0])
        fprintf(out, " %s", k->arguments);
    fputc('\n', out);
}

void ctl_help_command(FILE *out, const struct ctl_command *k)
{
    size_t n;
    const struct ctl_option_row *rows = ctl_option_rows(&n);

    fprintf(out, "Usage:\n");
    ctl_help_usage(out, k);
    fprintf(out, "\n%s\n\n", k->help);
    for (size_t i = 0; i < n; i++)
        if (k->options >> i & 1)
            fprintf(out, "  --%s%s\n      %s\n", rows[i].flag, rows[i].takes_value ? "=VALUE" : "",
                    rows[i].help);
    if (k->kind != CTL_REMOTE)
        fprintf(out, "  --config=FILE, --storage.…, --s3.…\n"
                     "      the object store, as for the roles (orreryctl --help-config)\n");
    fprintf(out, "\nStatus: " STATUS "\n");
}

void ctl_help_all(FILE *out, const char *group)
{
    size_t n;
    const struct ctl_command *all = ctl_commands(&n);

    fprintf(out, "orreryctl: an Orrery bucket by hand, and a running Orrery asked: its data, rules "
                 "and alerts.\n\nUsage:\n");
    for (size_t i = 0; i < n; i++)
        if (!group || strcmp(group, all[i].group) == 0)
            ctl_help_usage(out, &all[i]);
    fprintf(out, "\n  orreryctl GROUP COMMAND --help   what a command does, and its options\n"
                 "  orreryctl --help-config          the settings of the object store\n"
                 "  orreryctl --version\n\n"
                 "Status: " STATUS "\n");
}

/* ---- the manual page ---- */

/* Text of troff: no request, no escape, dashes that can be typed. */
static void put_troff(const char *text)
{
    if (*text == '.' || *text == '\'')
        fputs("\\&", stdout);
    for (; *text; text++)
        if (*text == '-' || *text == '\\')
            printf("\\%s", *text == '-' ? "-" : "e");
        else
            putchar(*text);
}

static void man_command(const struct ctl_command *k)
{
    size_t n;
    const struct ctl_option_row *rows = ctl_option_rows(&n);

    printf(".SS ");
    put_troff(k->group);
    if (k->name) {
        putchar(' ');
        put_troff(k->name);
    }
    putchar(' ');
    put_troff(k->arguments);
    putchar('\n');
    put_troff(k->help);
    putchar('\n');
    for (size_t i = 0; i < n; i++)
        if (k->options >> i & 1) {
            printf(".TP\n\\fB");
            put_troff("--");
            put_troff(rows[i].flag);
            printf("\\fR%s\n", rows[i].takes_value ? "=\\fIVALUE\\fR" : "");
            put_troff(rows[i].help);
            putchar('\n');
        }
}

struct err *ctl_man(struct ctl *c)
{
    size_t n;
    const struct ctl_command *all = ctl_commands(&n);

    (void)c;
    printf(".TH ORRERYCTL 1 \"\" \"Orrery " ORR_VERSION "\" \"User Commands\"\n"
           ".SH NAME\norreryctl \\- an Orrery bucket by hand, and a running Orrery asked\n"
           ".SH SYNOPSIS\n\\fBorreryctl\\fR \\fIGROUP COMMAND\\fR [\\fIARGUMENT\\fR…] "
           "[\\fIOPTION\\fR…]\n"
           ".SH DESCRIPTION\nCommands on the bucket need no running process, and take the "
           "configuration of the roles (\\fB\\-\\-config\\fR, \\fB\\-\\-help\\-config\\fR); the "
           "others ask one.\n"
           ".SH COMMANDS\n");
    for (size_t i = 0; i < n; i++)
        man_command(&all[i]);
    printf(".SH EXIT STATUS\n" STATUS "\n");
    return NULL;
}

/* ---- completion ---- */

/* Lines "GROUP[ NAME]|--option --option…" of all commands, which both scripts look up. */
static void put_words(void)
{
    size_t n, n_rows;
    const struct ctl_command *all = ctl_commands(&n);
    const struct ctl_option_row *rows = ctl_option_rows(&n_rows);

    for (size_t i = 0; i < n; i++) {
        printf("%s%s%s|--help", all[i].group, all[i].name ? " " : "",
               all[i].name ? all[i].name : "");
        for (size_t k = 0; k < n_rows; k++)
            if (all[i].options >> k & 1)
                printf(" --%s%s", rows[k].flag, rows[k].takes_value ? "=" : "");
        if (all[i].kind != CTL_REMOTE)
            printf(" --config=");
        putchar('\n');
    }
}

/* Of the words typed so far, those of a command come first; the next word of each command that begins with them, or the options of the one that
 * is whole. */
static const char match_script[] =
    "_orreryctl_words() {\n"
    "    local typed=\"$1\" line names rest\n"
    "    while IFS= read -r line; do\n"
    "        names=${line%%'|'*}\n"
    "        rest=\"$names \"\n"
    "        case \"$rest\" in \"$typed\"?*) rest=${rest#\"$typed\"}; echo \"${rest%% *}\" ;; "
    "esac\n"
    "        case \"$typed\" in \"$names \"*) echo \"${line#*'|'}\" ;; esac\n"
    "    done <<'END'\n";

struct err *ctl_completion(struct ctl *c)
{
    bool is_zsh = strcmp(c->args[0], "zsh") == 0;

    if (!is_zsh && strcmp(c->args[0], "bash") != 0)
        return ctl_usage(c, "completion is for bash or zsh");
    if (is_zsh)
        printf("#compdef orreryctl\n");
    fputs(match_script, stdout);
    put_words();
    printf("END\n}\n");
    if (is_zsh)
        printf("_orreryctl() {\n"
               "    local typed=\"${words[2,CURRENT-1]:+${(j: :)words[2,CURRENT-1]} }\"\n"
               "    local -a found=($(_orreryctl_words \"$typed\"))\n"
               "    (( $#found )) && compadd -S '' -- $found || _files\n"
               "}\n"
               "compdef _orreryctl orreryctl\n");
    else
        printf("_orreryctl() {\n"
               "    local cur=${COMP_WORDS[COMP_CWORD]} typed= i\n"
               "    for ((i = 1; i < COMP_CWORD; i++)); do typed+=\"${COMP_WORDS[i]} \"; done\n"
               "    COMPREPLY=($(compgen -W \"$(_orreryctl_words \"$typed\")\" -- \"$cur\"))\n"
               "    [[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace\n"
               "    return 0\n"
               "}\n"
               "complete -o default -F _orreryctl orreryctl\n");
    return NULL;
}
