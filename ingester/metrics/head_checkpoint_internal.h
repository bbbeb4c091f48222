/* What the checkpoint's writer and loader share; see head_checkpoint.h. */
#pragma once
#include "ingester/metrics/head_checkpoint.h"

enum head_checkpoint_kind {
    HEAD_CKPT_TENANT = 1,
    HEAD_CKPT_NAMES,
    HEAD_CKPT_PAIRS,
    HEAD_CKPT_SERIES,
    HEAD_CKPT_EXEMPLARS,
    HEAD_CKPT_METADATA,
    HEAD_CKPT_CUTS,
    HEAD_CKPT_FILES,
    HEAD_CKPT_END,
    HEAD_CKPT_WINDOWS,
};
#define HEAD_CHECKPOINT_HEADER 24
#define HEAD_CHECKPOINT_MAX_BLOCK (256u << 20)
extern const uint8_t head_checkpoint_magic[8];
