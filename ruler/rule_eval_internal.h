/* What rule_eval.c (evaluations) and rule_eval_restore.c (what outlives a state) share. */
#pragma once
#include "ruler/rule_eval.h"

void rule_alert_free(struct rule_alert *a); /* NULL is allowed */
