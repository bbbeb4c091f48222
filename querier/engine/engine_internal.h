/* What the files of the engine share of it. */
#pragma once
#include "querier/engine/engine.h"

struct engine {
    struct engine_opts opts;
};
