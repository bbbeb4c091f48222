/* The querier: see querier/README.md. */
#pragma once
#include "common/process/process.h"

extern const struct process_role querier_role;
