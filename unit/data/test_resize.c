/* SPDX-License-Identifier: Apache-2.0 */
/* Area averaging, against means worked out by hand and against an enlarged image. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "replay.h"
#include "resize.h"

static void test_resize__same_size_is_identity(void **state)
{
    uint8_t in[28 * 28], out[28 * 28];

    (void)state;
    for (size_t i = 0; i < sizeof in; i++) {
        in[i] = (uint8_t)(i * 7);
    }
    resize_image(in, 28, 28, out, 28);
    assert_memory_equal(in, out, sizeof in);
}

static void test_resize__whole_blocks(void **state)
{
    static const uint8_t in[4 * 4] = {0, 10, 100, 100, 20, 31, 100, 101,
                                      1, 1,  255, 255, 1,  1,  255, 255};
    static const uint8_t expected[4] = {15, 100, 1, 255}; /* 61/4 = 15.25, 401/4 = 100.25 */
    uint8_t out[4];

    (void)state;
    resize_image(in, 4, 4, out, 2);
    assert_memory_equal(out, expected, sizeof expected);
}

/* 3 x 3 to 2 x 2: a new pixel is 1.5 wide, so it takes all of a corner (weight 4 of 9), half of
 * two sides (2 of 9 each) and a quarter of the middle (1 of 9). */
static void test_resize__parts_of_pixels(void **state)
{
    static const uint8_t in[9] = {90, 0, 0, 0, 9, 0, 18, 0, 255};
    static const uint8_t expected[4] = {41, 1, 9, 114}; /* 41, 1, 9, 1029/9 = 114.33 */
    uint8_t out[4];

    (void)state;
    resize_image(in, 3, 3, out, 2);
    assert_memory_equal(out, expected, sizeof expected);
}

/*
 * Property: enlarge every pixel to side x side equal ones, and the mean over height x width whole
 * blocks of those is the answer by definition.
 */
static void test_resize__against_enlarged_image(void **state)
{
    enum { HEIGHT = 7, WIDTH = 5, SIDE = 3 };
    struct replay_rng rng;
    uint8_t in[HEIGHT * WIDTH], out[SIDE * SIDE];

    (void)state;
    print_message("seed 4\n");
    replay_init(&rng, "test", 4, 0, 0);
    for (int repeat = 0; repeat < 50; repeat++) {
        for (size_t i = 0; i < sizeof in; i++) {
            in[i] = (uint8_t)replay_below(&rng, 256);
        }
        resize_image(in, HEIGHT, WIDTH, out, SIDE);
        for (size_t v = 0; v < SIDE; v++) {
            for (size_t u = 0; u < SIDE; u++) {
                unsigned sum = 0;
                for (size_t y = v * HEIGHT; y < (v + 1) * HEIGHT; y++) {
                    for (size_t x = u * WIDTH; x < (u + 1) * WIDTH; x++) {
                        sum += in[y / SIDE * WIDTH + x / SIDE];
                    }
                }
                assert_int_equal(out[v * SIDE + u],
                                 (sum + HEIGHT * WIDTH / 2) / (HEIGHT * WIDTH));
            }
        }
    }
}

static void test_resize__flat_image_stays_flat(void **state)
{
    uint8_t in[28 * 28], out[40 * 40];

    (void)state;
    for (unsigned value = 0; value < 256; value += 51) {
        memset(in, (int)value, sizeof in);
        for (size_t side = 1; side <= 40; side++) { /* smaller and larger */
            resize_image(in, 28, 28, out, side);
            for (size_t i = 0; i < side * side; i++) {
                assert_int_equal(out[i], value);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resize__same_size_is_identity),
        cmocka_unit_test(test_resize__whole_blocks),
        cmocka_unit_test(test_resize__parts_of_pixels),
        cmocka_unit_test(test_resize__against_enlarged_image),
        cmocka_unit_test(test_resize__flat_image_stays_flat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
