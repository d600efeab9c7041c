/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Area averaging in integers. Measured in 1/side of an old pixel, old pixel y covers
 * [y * side, (y+1) * side) and new pixel v covers [v * height, (v+1) * height): whole numbers, so
 * nothing is rounded until the end.
 */
#include "resize.h"

/* How much of new pixel v (size `large`) lies on old pixel y (size `small`). */
static uint64_t overlap(size_t v, size_t large, size_t y, size_t small)
{
    size_t begin = v * large > y * small ? v * large : y * small;
    size_t end = (v + 1) * large < (y + 1) * small ? (v + 1) * large : (y + 1) * small;

    return end - begin;
}

/* The new pixel in row v and column u. */
static uint8_t mean_under(const uint8_t *in, size_t height, size_t width, size_t side, size_t v,
                          size_t u)
{
    const uint64_t area = (uint64_t)height * width;
    uint64_t sum = 0;

    for (size_t y = v * height / side; y * side < (v + 1) * height; y++) {
        uint64_t row = 0;
        for (size_t x = u * width / side; x * side < (u + 1) * width; x++) {
            row += overlap(u, width, x, side) * in[y * width + x];
        }
        sum += overlap(v, height, y, side) * row;
    }
    return (uint8_t)((sum + area / 2) / area);
}

void resize_image(const uint8_t *in, size_t height, size_t width, uint8_t *out, size_t side)
{
    for (size_t v = 0; v < side; v++) {
        for (size_t u = 0; u < side; u++) {
            out[v * side + u] = mean_under(in, height, width, side, v, u);
        }
    }
}
