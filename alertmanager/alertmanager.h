/* The alertmanager: see alertmanager/README.md. */
#pragma once
#include "common/process/process.h"

extern const struct process_role alertmanager_role;
