/*
 * What can be said of a regular expression from its text, without compiling it. Any thread.
 */
#pragma once
#include "common/base/buf.h"

/* Whether the expression does no more than look for texts: literals, alternations of them, and .*
 * or .+ around them. Loki prints such label filters differently from others. */
bool logql_re_is_simple(struct slice regex);
