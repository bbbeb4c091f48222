/* The ingester: see ingester/README.md. */
#pragma once
#include "common/process/process.h"

extern const struct process_role ingester_role;
