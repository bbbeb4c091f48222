/* What the two grammars share. */
#pragma once
#include "alertmanager/ammatch.h"
#include "common/base/vec.h"

typedef VEC(struct ammatch) ammatch_vec;

struct err *ammatch_classic_one(struct arena *a, struct slice text, struct ammatch *ret);
/* Appends; what was appended stays the caller's also on failure. */
struct err *ammatch_classic_list(struct arena *a, struct slice text, ammatch_vec *ret);
struct err *ammatch_utf8_list(struct arena *a, struct slice text, ammatch_vec *ret);
/* White space or one of {}!=~,\"'` */
bool ammatch_is_reserved(uint32_t rune);
bool ammatch_is_space(uint32_t rune); /* as unicode.IsSpace */
