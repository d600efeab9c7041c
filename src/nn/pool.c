/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The largest value of every window, windows side by side. A row or column that fills no window is
 * left out. Where the largest value stood is worked out again on the way back, which costs less than
 * keeping it.
 */
#include "layer.h"

#include <math.h>
#include <string.h>

/* @return where in the channel; the first of equals, and NaN before everything */
static size_t largest_in(const struct layer_shape *s, const float *channel, size_t row,
                         size_t column)
{
    const size_t first = row * s->window * s->from.width + column * s->window;
    size_t best = first;

    for (size_t y = 0; y < s->window; y++) {
        for (size_t x = 0; x < s->window; x++) {
            const size_t at = first + y * s->from.width + x;
            if (channel[at] > channel[best] || isnan(channel[at])) {
                best = at;
            }
        }
    }
    return best;
}

static void pool_forward(const struct layer *layer, size_t n)
{
    const struct layer_shape *s = &layer->shape;
    const float *channel = layer->input;
    float *out = layer->output;

    for (size_t c = 0; c < n * s->from.channels; c++) {
        for (size_t row = 0; row < s->to.height; row++) {
            for (size_t column = 0; column < s->to.width; column++) {
                *out++ = channel[largest_in(s, channel, row, column)];
            }
        }
        channel += s->from.height * s->from.width;
    }
}

/* Only the pixel that was handed on has a say in the loss. */
static void pool_pass_back(const struct layer *layer, size_t n, float *before)
{
    const struct layer_shape *s = &layer->shape;
    const size_t pixels = s->from.height * s->from.width;
    const float *channel = layer->input;
    const float *delta = layer->delta;

    memset(before, 0, n * s->in * sizeof *before);
    for (size_t c = 0; c < n * s->from.channels; c++) {
        for (size_t row = 0; row < s->to.height; row++) {
            for (size_t column = 0; column < s->to.width; column++) {
                before[largest_in(s, channel, row, column)] = *delta++;
            }
        }
        channel += pixels;
        before += pixels;
    }
}

const struct layer_kind layer_pool = {pool_forward, NULL, pool_pass_back};
