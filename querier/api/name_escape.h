/*
 * Names of metrics and labels for readers that do not know UTF-8 ones, as Prometheus 3 negotiates it:
 *
 *   Accept: …; escaping=allow-utf-8   as they are, quoted where the text format needs it
 *                       underscores   what is not [a-zA-Z0-9_:] becomes _ (when nothing is said)
 *                       dots          _ becomes __, a dot _dot_, anything else __
 *                       values        U__ in front; _ becomes __, anything else _<hex>_
 *
 * Any thread.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/buf.h"

#define NAME_ESCAPES(X)                                                                            \
    X(NAME_ESCAPE_UNDERSCORES, "underscores")                                                      \
    X(NAME_ESCAPE_DOTS, "dots")                                                                    \
    X(NAME_ESCAPE_VALUES, "values")                                                                \
    X(NAME_ESCAPE_NONE, "allow-utf-8")
enum name_escape {
#define X(sym, name) sym,
    NAME_ESCAPES(X)
#undef X
};

/* What an Accept header asks for; unknown ones and none: underscores. accept.ptr may be NULL. */
enum name_escape name_escape_of_accept(struct slice accept);
/* The name as the reader is to see it; borrowed when nothing changes, else in a. */
struct slice name_escape(struct arena *a, enum name_escape how, struct slice name);
