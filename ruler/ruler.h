/* The ruler: see ruler/README.md. */
#pragma once
#include "common/process/process.h"

extern const struct process_role ruler_role;
