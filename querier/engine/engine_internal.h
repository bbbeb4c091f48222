/* What the files of the engine share of it. */
#pragma once
#include "querier/engine/engine.h"
#include "querier/engine/turns.h"

struct engine {
    struct engine_opts opts;
    struct turns *turns; /* of its own: an engine is const to its queries */
};
