/* The compactor: see compactor/README.md. */
#pragma once
#include "common/process/process.h"

extern const struct process_role compactor_role;
