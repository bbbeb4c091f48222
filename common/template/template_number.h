/* Numeric constants of templates: 17, 0x1f, 1_000, 1e3, 'a', 2i, 1+2i. */
#pragma once
#include "common/template/template_internal.h"

/* NULL, or what is wrong with text. kind is that of the token. */
const char *template_number_parse(struct slice text, enum template_token_kind kind,
                                  struct template_number *ret);
