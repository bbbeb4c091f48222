/*
 * Numbers of Prometheus' TSDB block format that writer and reader share. Within common/block, and common/logblock.
 * All fixed-size integers of the format are big endian.
 */
#pragma once

#define BLOCK_INDEX_FILE "index"
#define BLOCK_TOMBSTONES_FILE "tombstones"
#define BLOCK_CHUNKS_DIR "chunks"
#define BLOCK_CHUNKS_FORMAT BLOCK_CHUNKS_DIR "/%06u" /* numbered from 1 */

#define BLOCK_INDEX_MAGIC 0xbaaad700u
#define BLOCK_INDEX_VERSION 2
#define BLOCK_INDEX_HEADER 5
#define BLOCK_SERIES_ALIGN 16
#define BLOCK_TOC_BYTES 52 /* six offsets and a CRC, at the very end */

#define BLOCK_CHUNKS_MAGIC 0x85bd40ddu
#define BLOCK_CHUNKS_VERSION 1
#define BLOCK_CHUNKS_HEADER 8
#define BLOCK_CHUNKS_MAX_FILES 999999
#define BLOCK_CHUNKS_MAX_BYTES (512ull << 20) /* of one file */

#define BLOCK_TOMBSTONES_MAGIC 0x0130ba30u
#define BLOCK_TOMBSTONES_VERSION 1
#define BLOCK_TOMBSTONES_EMPTY 9 /* bytes of a file without an entry */

#define BLOCK_MAX_LABELS 4096 /* of one series */
