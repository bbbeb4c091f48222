/* The configuration sections that every process has. */
#pragma once
#include "common/process/process.h"

extern const struct conf_section process_server_section, process_ring_section,
    process_storage_section;
