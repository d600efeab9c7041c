/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATA_RESIZE_H
#define DATA_RESIZE_H

#include <stddef.h>
#include <stdint.h>

/**
 * Scale an image of bytes to side x side by area averaging: each new pixel is the mean of what lies
 * under it, border pixels weighted by the part that does. Integers only, rounded to the nearest, so
 * every machine gets the same bytes. An image that is not square is squeezed.
 * @param in   (height, width), both < 2^32
 * @param out  (side, side), side < 2^16
 */
void resize_image(const uint8_t *in, size_t height, size_t width, uint8_t *out, size_t side);

#endif
