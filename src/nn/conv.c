/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A convolution without padding. One row of the batch at a time, the windows of its image become the
 * columns of a matrix (im2col), and then it is a matrix product: weight (channels out, window) times
 * patches (window, positions). Images are channel by channel, row by row.
 */
#include "layer.h"

#include <string.h>

#include <cblas.h>

static size_t positions(const struct layer_shape *s)
{
    return s->to.height * s->to.width;
}

/* Row (channel, y, x) of patches holds, for every position of the window, the pixel at (y, x) in it.
 * The pixels for one row of positions lie side by side, so runs are moved and not pixels. */
static void make_patches(const struct layer_shape *s, const float *image, float *patches)
{
    for (size_t c = 0; c < s->from.channels; c++) {
        const float *channel = image + c * s->from.height * s->from.width;
        for (size_t y = 0; y < s->window; y++) {
            for (size_t x = 0; x < s->window; x++) {
                for (size_t row = 0; row < s->to.height; row++) {
                    memcpy(patches, channel + (row + y) * s->from.width + x,
                           s->to.width * sizeof *patches);
                    patches += s->to.width;
                }
            }
        }
    }
}

/* The way back: every pixel gets the sum of what it was copied to. */
static void add_patches(const struct layer_shape *s, const float *patches, float *image)
{
    memset(image, 0, s->in * sizeof *image);
    for (size_t c = 0; c < s->from.channels; c++) {
        float *channel = image + c * s->from.height * s->from.width;
        for (size_t y = 0; y < s->window; y++) {
            for (size_t x = 0; x < s->window; x++) {
                for (size_t row = 0; row < s->to.height; row++) {
                    float *pixel = channel + (row + y) * s->from.width + x;
                    for (size_t i = 0; i < s->to.width; i++) {
                        pixel[i] += patches[i];
                    }
                    patches += s->to.width;
                }
            }
        }
    }
}

static void add_bias(const struct layer *layer, float *image) /* (channels out, positions) */
{
    const size_t n = positions(&layer->shape);

    for (size_t c = 0; c < layer->shape.to.channels; c++, image += n) {
        for (size_t i = 0; i < n; i++) {
            const float sum = image[i] + layer->bias[c];
            image[i] = layer->shape.relu ? layer_relu(sum) : sum;
        }
    }
}

static void conv_forward(const struct layer *layer, size_t n)
{
    const struct layer_shape *s = &layer->shape;
    const int channels = (int)s->to.channels, window = (int)s->fan_in, places = (int)positions(s);

    for (size_t row = 0; row < n; row++) {
        float *output = layer->output + row * s->out; /* (channels, places) */

        make_patches(s, layer->input + row * s->in, layer->scratch);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, channels, places, window, 1.0f,
                    layer->weight, window, layer->scratch, places, 0.0f, output, places);
        add_bias(layer, output);
    }
}

static void add_bias_gradient(const struct layer *layer, const float *delta)
{
    const size_t n = positions(&layer->shape);

    for (size_t c = 0; c < layer->shape.to.channels; c++, delta += n) {
        float sum = 0.0f;
        for (size_t i = 0; i < n; i++) {
            sum += delta[i];
        }
        layer->bias_velocity[c] += sum;
    }
}

/* weight_velocity (channels, window) = momentum * itself + sum over the rows of
 * delta (channels, places) * patches^T (places, window) */
static void conv_gradient(const struct layer *layer, size_t n, float momentum)
{
    const struct layer_shape *s = &layer->shape;
    const int channels = (int)s->to.channels, window = (int)s->fan_in, places = (int)positions(s);

    for (size_t c = 0; c < s->to.channels; c++) {
        layer->bias_velocity[c] *= momentum;
    }
    for (size_t row = 0; row < n; row++) {
        const float *delta = layer->delta + row * s->out;

        make_patches(s, layer->input + row * s->in, layer->scratch);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, channels, window, places, 1.0f, delta,
                    places, layer->scratch, places, row == 0 ? momentum : 1.0f,
                    layer->weight_velocity, window);
        add_bias_gradient(layer, delta);
    }
}

/* patches (window, places) = weight^T (window, channels) * delta (channels, places) */
static void conv_pass_back(const struct layer *layer, size_t n, float *before)
{
    const struct layer_shape *s = &layer->shape;
    const int channels = (int)s->to.channels, window = (int)s->fan_in, places = (int)positions(s);

    for (size_t row = 0; row < n; row++) {
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, window, places, channels, 1.0f,
                    layer->weight, window, layer->delta + row * s->out, places, 0.0f,
                    layer->scratch, places);
        add_patches(s, layer->scratch, before + row * s->in);
    }
}

const struct layer_kind layer_conv = {conv_forward, conv_gradient, conv_pass_back};
