/* Puts the checksums of a frame of log lines right as far as its lengths make sense, since no fuzzer guesses a CRC. */
#pragma once
#include "common/logblock/logframe.h"

static inline uint32_t framefix_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline void framefix_crc(uint8_t *at, const uint8_t *p, size_t n)
{
    uint32_t crc = hash_crc32c(slice_of(p, n));

    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(crc >> (8 * i));
}

/* Of its pages, with their filters. */
static inline void framefix_pages(uint8_t *p, size_t head, size_t size)
{
    uint64_t at = LOGFRAME_HEADER_BYTES + (uint64_t)framefix_u32(p + 32) +
                  (uint64_t)framefix_u32(p + 36) * LOGFRAME_STREAM_BYTES;

    for (uint32_t i = framefix_u32(p + 40); i > 0 && at + LOGFRAME_PAGE_BYTES <= head; i--) {
        uint64_t from = framefix_u32(p + at), n = framefix_u32(p + at + 8);

        n += framefix_u32(p + at + 32);
        if (from + n <= size)
            framefix_crc(p + at + 40, p + from, n);
        at += LOGFRAME_PAGE_BYTES;
    }
}

/* Of the frame at p. */
static inline void framefix(uint8_t *p, size_t size)
{
    size_t head, front;

    if (size < LOGFRAME_HEADER_BYTES)
        return;
    head = framefix_u32(p + 24);
    front = LOGFRAME_HEADER_BYTES + (size_t)framefix_u32(p + 32);
    if (head > size || front > head)
        return;
    if (p[7] == 3)
        framefix_pages(p, head, size);
    framefix_crc(p + 12, p + front, head - front);
    framefix_crc(p + 8, p + 12, front - 12);
}

/* Of frames back to back. */
static inline void framefix_all(uint8_t *p, size_t size)
{
    while (size >= LOGFRAME_HEADER_BYTES) {
        size_t bytes = framefix_u32(p + 16);

        framefix(p, size);
        if (bytes < LOGFRAME_HEADER_BYTES || bytes > size)
            return;
        p += bytes;
        size -= bytes;
    }
}
