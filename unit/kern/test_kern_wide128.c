/* SPDX-License-Identifier: Apache-2.0 */
/* The 128-bit kernels against references that divide, bit by bit. Operands are replayable from
 * the printed seed. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kern_wide128.h"
#include "random.h"
#include "replay.h"

enum { N = 512 };

static const uint64_t q1 = 0x3ffffffffc001, q2 = 0x3fffffffcc001, q3 = 0x3ffffffef4001;
static kern_u128 q;
static struct kern_wide_join join;
static struct replay_rng replay;

static kern_u128 power(unsigned bits)
{
    return (kern_u128)1 << bits;
}

static uint64_t inverse_mod(uint64_t a, uint64_t prime)
{
    uint64_t result = 1, base = a % prime;
    for (uint64_t e = prime - 2; e > 0; e /= 2) {
        if (e % 2) {
            result = (uint64_t)((kern_u128)result * base % prime);
        }
        base = (uint64_t)((kern_u128)base * base % prime);
    }
    return result;
}

static uint64_t companion(uint64_t w, uint64_t prime)
{
    return (uint64_t)(((kern_u128)w << 64) / prime);
}

static int setup(void **state)
{
    (void)state;
    uint64_t seed;
    if (random_from_system(&seed, sizeof seed) != 0) {
        return -1;
    }
    printf("seed %#llx\n", (unsigned long long)seed);
    replay_init(&replay, "wide kernel test", seed, 0, 0);
    q = (kern_u128)q1 * q2;
    join.two = (struct kern_crt){.q1 = q1, .q2 = q2, .inverse = inverse_mod(q1, q2)};
    join.two.inverse_shoup = companion(join.two.inverse, q2);
    join.q3 = q3;
    join.q1_mod_q3 = q1 % q3;
    join.q1_mod_q3_shoup = companion(q1 % q3, q3);
    join.inverse3 = inverse_mod((uint64_t)(q % q3), q3);
    join.inverse3_shoup = companion(join.inverse3, q3);
    return 0;
}

static kern_u128 any128(void)
{
    kern_u128 x = 0;
    for (int i = 0; i < 4; i++) {
        x = x << 32 | replay_below(&replay, UINT32_MAX);
    }
    return x;
}

/* Below `end`, with both ends, the middle and their neighbours in it */
static kern_u128 draw(kern_u128 end)
{
    switch (replay_below(&replay, 8)) {
    case 0:
        return 0;
    case 1:
        return end - 1;
    case 2:
        return end / 2;
    case 3:
        return (end - 1) / 2;
    default:
        return any128() % end;
    }
}

/* floor(x 2^bits / q) and the remainder, one bit at a time */
static kern_u128 long_division(kern_u128 x, unsigned bits, kern_u128 *rest)
{
    kern_u128 quotient = 0;
    for (unsigned i = 0; i < bits; i++) {
        x *= 2;
        quotient *= 2;
        if (x >= q) {
            x -= q;
            quotient++;
        }
    }
    *rest = x;
    return quotient;
}

static const unsigned widths[] = {1, 2, 20, 49, 50, 63, 64, 65, 91, 99, 100};
enum { WIDTHS = sizeof widths / sizeof widths[0] };

static void test_kern_wide128__switch(void **state)
{
    (void)state;
    static kern_u128 a[N], before[N];
    for (size_t w = 0; w < WIDTHS; w++) {
        struct kern_wide_switch s;
        kern_wide_switch_init(&s, &join, widths[w]);
        for (size_t i = 0; i < N; i++) {
            a[i] = before[i] = draw(q);
        }
        kern_wide_switch(a, N, &s);
        for (size_t i = 0; i < N; i++) {
            kern_u128 rest, expected = long_division(before[i], widths[w], &rest);
            expected += rest > q / 2;
            assert_true(a[i] == expected % power(widths[w]));
        }
    }
}

static void test_kern_wide128__lift_field(void **state)
{
    (void)state;
    static kern_u128 in[N];
    static _Alignas(64) uint64_t out[N];
    struct kern_modulus m;
    assert_true(kern_modulus_init(&m, q3));
    for (size_t w = 0; w < WIDTHS; w++) {
        for (size_t i = 0; i < N; i++) {
            in[i] = draw(power(widths[w]));
        }
        kern_wide_lift_field(out, in, widths[w], N, &m);
        for (size_t i = 0; i < N; i++) {
            uint64_t expected = (uint64_t)(in[i] % q3);
            if (in[i] >= power(widths[w]) / 2) {
                uint64_t below = (uint64_t)((power(widths[w]) - in[i]) % q3);
                expected = below == 0 ? 0 : q3 - below;
            }
            assert_int_equal(out[i], expected);
        }
    }
}

static void test_kern_wide128__joins(void **state)
{
    (void)state;
    static _Alignas(64) uint64_t r[3][N];
    static kern_u128 x[N], out[N];
    for (size_t i = 0; i < N; i++) {
        x[i] = draw(q);
        r[0][i] = (uint64_t)(x[i] % q1);
        r[1][i] = (uint64_t)(x[i] % q2);
    }
    kern_wide_join2(out, r[0], r[1], N, &join);
    assert_memory_equal(out, x, sizeof x);
    for (size_t i = 0; i < N; i++) {
        kern_u128 magnitude = draw(power(126));
        bool negative = i % 2;
        x[i] = negative ? 0 - magnitude : magnitude;
        const uint64_t primes[3] = {q1, q2, q3};
        for (int p = 0; p < 3; p++) {
            uint64_t m = (uint64_t)(magnitude % primes[p]);
            r[p][i] = negative && m != 0 ? primes[p] - m : m;
        }
    }
    kern_wide_join3(out, r[0], r[1], r[2], N, &join);
    assert_memory_equal(out, x, sizeof x);
}

/* ---- fields ---- */

static unsigned bit_at(const uint8_t *bytes, size_t at)
{
    return bytes[at / 8] >> at % 8 & 1;
}

static void test_kern_wide128__fields_of_every_width(void **state)
{
    (void)state;
    static const size_t counts[] = {8, 16, 24, 72, 128};
    for (unsigned bits = 1; bits <= 128; bits++) {
        for (size_t c = 0; c < 5; c++) {
            size_t count = counts[c], size = count / 8 * bits;
            kern_u128 a[128], b[128], sum[128], mask = ~(kern_u128)0 >> (128 - bits);
            uint8_t *x = malloc(size), *y = malloc(size); /* the sanitizer sees a byte beyond */
            for (size_t i = 0; i < count; i++) {
                a[i] = i % 3 == 0 ? mask : any128() & mask;
                /* 1 more than all ones: a carry through whole words */
                b[i] = i % 4 == 0 ? mask : i % 3 == 0 ? 1 : any128() & mask;
                sum[i] = (a[i] + b[i]) & mask;
            }
            kern_wide_pack(x, a, count, bits);
            kern_wide_pack(y, b, count, bits);
            for (size_t at = 0; at < 8 * size; at++) {
                assert_int_equal(bit_at(x, at), (unsigned)(a[at / bits] >> at % bits) & 1);
            }
            kern_wide_add_packed(x, y, size, bits);
            kern_wide_unpack(a, x, count, bits);
            assert_memory_equal(a, sum, count * sizeof *a);
            free(x);
            free(y);
        }
    }
}

/* Up to 64 bits they are the slots of kern.h. */
static void test_kern_wide128__narrow_fields_are_the_slots(void **state)
{
    (void)state;
    for (unsigned bits = 1; bits <= 64; bits++) {
        _Alignas(64) uint64_t words[64], back[64];
        kern_u128 wide[64];
        uint8_t x[8 * 64], y[8 * 64];
        for (size_t i = 0; i < 64; i++) {
            words[i] = (uint64_t)any128() & kern_mask_bits(bits);
            wide[i] = words[i];
        }
        memset(x, 0, sizeof x);
        memset(y, 0, sizeof y);
        kern_get()->pack_bits(x, words, 64, bits);
        kern_wide_pack(y, wide, 64, bits);
        assert_memory_equal(x, y, sizeof x);
        kern_get()->add_packed(x, y, 8 * bits, bits);
        kern_wide_add_packed(y, y, 8 * bits, bits);
        assert_memory_equal(x, y, sizeof x);
        kern_get()->unpack_bits(back, x, 64, bits);
        kern_wide_unpack(wide, x, 64, bits);
        for (size_t i = 0; i < 64; i++) {
            assert_true(wide[i] == back[i]);
        }
    }
}

/* ---- lanes ---- */

static void test_kern_wide128__lanes(void **state)
{
    (void)state;
    static const struct {
        unsigned lanes;
        uint64_t radix;
    } sets[] = {{1, 3}, {62, 3}, {7, 3811}, {2, 167772141001}, {4, 983011}, {1, 167772141001}};
    enum { STRIDE = 64 };
    for (size_t k = 0; k < sizeof sets / sizeof sets[0]; k++) {
        struct kern_wide_lanes lanes;
        assert_true(kern_wide_lanes_init(&lanes, sets[k].lanes, sets[k].radix));
        const size_t most = (size_t)STRIDE * sets[k].lanes;
        uint64_t half = (sets[k].radix - 1) / 2;
        int32_t limit = half > INT32_MAX ? INT32_MAX : (int32_t)half;
        int32_t *values = calloc(most, sizeof *values);
        int64_t *back = calloc(most, sizeof *back);
        static kern_u128 m[STRIDE];
        for (size_t count = most; count + 5 > most; count--) {
            for (size_t i = 0; i < count; i++) {
                int64_t v = (int64_t)(any128() % (2 * (uint64_t)limit + 1)) - limit;
                values[i] = i % 3 == 0 ? limit : i % 3 == 1 ? -limit : (int32_t)v;
            }
            kern_wide_lanes_pack(m, STRIDE, values, count, &lanes);
            assert_int_equal(kern_wide_lanes_unpack(back, count, m, STRIDE, &lanes,
                                                    (uint64_t)limit), 0);
            for (size_t i = 0; i < count; i++) {
                assert_int_equal(back[i], values[i]);
            }
            assert_true(limit == 1 || kern_wide_lanes_unpack(back, count, m, STRIDE, &lanes,
                                                             (uint64_t)limit - 1) == UINT64_MAX);
            if (count < most) { /* something where nothing may be */
                m[STRIDE - 1] += 2 * lanes.half / lanes.radix + 1; /* r^(L-1) */
                uint64_t bad =
                    kern_wide_lanes_unpack(back, count, m, STRIDE, &lanes, (uint64_t)limit);
                assert_true(bad == UINT64_MAX);
            }
        }
        m[3] = lanes.half + 1;
        assert_true(kern_wide_lanes_unpack(back, most, m, STRIDE, &lanes, half) == UINT64_MAX);
        m[3] = 0 - lanes.half - 1;
        assert_true(kern_wide_lanes_unpack(back, most, m, STRIDE, &lanes, half) == UINT64_MAX);
        free(values);
        free(back);
    }
    struct kern_wide_lanes unused;
    assert_false(kern_wide_lanes_init(&unused, 63, 3)); /* 3^63 > 2^99 */
    assert_false(kern_wide_lanes_init(&unused, 0, 3));
    assert_false(kern_wide_lanes_init(&unused, 1, 4));
    assert_false(kern_wide_lanes_init(&unused, 65, 3));
}

/* ---- opening ---- */

/* A step that leaves messages of +-most, and a message in that range. */
struct opening {
    struct kern_wide_step step;
    kern_u128 most;
};

static struct opening opening_of(unsigned bits, uint64_t step, uint64_t limit)
{
    struct opening o;
    kern_wide_step_init(&o.step, &join, bits, step, limit);
    o.most = (power(bits) / step - 1) / 2;
    return o;
}

static kern_u128 draw_message(const struct opening *o)
{
    return draw(2 * o->most + 1) - o->most;
}

static const struct {
    unsigned bits;
    uint64_t step;
} steps[] = {{100, 1 << 20}, {100, UINT64_C(1) << 40}, {88, 60007}, {45, 9}, {65, 1000003},
             {64, 4095}};
enum { STEPS = sizeof steps / sizeof steps[0] };

/* sum = D m + e - floor(product 2^K / q): what is opened lies e and a fraction from D m. */
static void test_kern_wide128__open_step(void **state)
{
    (void)state;
    static kern_u128 product[N], sum[N], message[N], expected[N];
    for (size_t k = 0; k < STEPS; k++) {
        const unsigned bits = steps[k].bits;
        const uint64_t reach = (steps[k].step - 1) / 2;
        const uint64_t limit = reach << KERN_FRACTION_BITS;
        struct opening o = opening_of(bits, steps[k].step, limit + (1 << KERN_FRACTION_BITS) - 1);
        for (size_t i = 0; i < N; i++) {
            kern_u128 rest, e = draw(2 * reach + 1) - reach;
            product[i] = draw(q);
            expected[i] = draw_message(&o);
            kern_u128 whole = long_division(product[i], bits, &rest);
            e -= e == reach ? 1 : 0; /* with the fraction it must stay below D/2 */
            sum[i] = (steps[k].step * expected[i] + e - whole) & (power(bits) - 1);
        }
        assert_int_equal(kern_wide_open_step(message, sum, product, N, &o.step), 0);
        assert_memory_equal(message, expected, sizeof message);

        /* the limit is exact: product 0 and a distance of `reach` pass, one unit less does not */
        memset(product, 0, sizeof product);
        memset(sum, 0, sizeof sum);
        for (int sign = 0; sign < 2; sign++) {
            sum[5] = (sign ? 0 - (kern_u128)reach : reach) & (power(bits) - 1);
            o.step.limit = limit;
            assert_int_equal(kern_wide_open_step(message, sum, product, N, &o.step), 0);
            o.step.limit = limit - 1;
            assert_true(kern_wide_open_step(message, sum, product, N, &o.step) == UINT64_MAX);
        }
    }
}

/* The fraction of the product counts, to 20 bits: floor(2^20 rest / q). */
static void test_kern_wide128__open_step_sees_the_fraction(void **state)
{
    (void)state;
    struct opening o = opening_of(50, 1001, 0);
    for (int i = 0; i < 200; i++) {
        kern_u128 rest, left, sum[8] = {0}, product[8] = {0}, message[8];
        product[2] = draw(q);
        kern_u128 whole = long_division(product[2], 50, &rest);
        sum[2] = (0 - whole) & (power(50) - 1);
        uint64_t fraction = (uint64_t)long_division(rest, KERN_FRACTION_BITS, &left);
        o.step.limit = fraction;
        assert_int_equal(kern_wide_open_step(message, sum, product, 8, &o.step), 0);
        if (fraction > 0) {
            o.step.limit = fraction - 1;
            assert_true(kern_wide_open_step(message, sum, product, 8, &o.step) == UINT64_MAX);
        }
    }
}

/* c0 = D m + e - (what the product adds), in units of 2^-K0 with rounding towards e. */
static void test_kern_wide128__open_torus(void **state)
{
    (void)state;
    static const unsigned widths1[] = {30, 65, 96, 100};
    static kern_u128 product[N], c0[N], message[N], expected[N];
    for (size_t k = 0; k < STEPS; k++) {
        for (size_t w = 0; w < 4; w++) {
            const unsigned bits = steps[k].bits, bits1 = widths1[w];
            const uint64_t reach = (steps[k].step - 1) / 2 - 1;
            struct opening o =
                opening_of(bits, steps[k].step, (reach + 1) << KERN_FRACTION_BITS);
            for (size_t i = 0; i < N; i++) {
                kern_u128 e = draw(2 * reach + 1) - reach;
                product[i] = draw(power(111)) - power(110);
                expected[i] = draw_message(&o);
                kern_u128 turned = (product[i] << (128 - bits1)) >> (128 - bits);
                c0[i] = (steps[k].step * expected[i] + e - turned) & (power(bits) - 1);
            }
            assert_int_equal(kern_wide_open_torus(message, c0, product, bits1, N, &o.step), 0);
            assert_memory_equal(message, expected, sizeof message);
            /* a distance of `reach`: nothing less than that limit will do */
            memset(product, 0, sizeof product);
            memset(c0, 0, sizeof c0);
            c0[7] = reach;
            o.step.limit = reach << KERN_FRACTION_BITS;
            assert_int_equal(kern_wide_open_torus(message, c0, product, bits1, N, &o.step), 0);
            o.step.limit--;
            assert_true(kern_wide_open_torus(message, c0, product, bits1, N, &o.step) ==
                        UINT64_MAX);
        }
    }
}

static void test_kern_wide128__add_step(void **state)
{
    (void)state;
    static kern_u128 a[N], before[N], message[N];
    struct opening o = opening_of(91, 77777, 0);
    for (size_t i = 0; i < N; i++) {
        a[i] = before[i] = draw(power(91));
        message[i] = draw_message(&o);
    }
    kern_wide_add_step(a, message, N, &o.step);
    for (size_t i = 0; i < N; i++) {
        assert_true(a[i] == ((before[i] + 77777 * message[i]) & (power(91) - 1)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kern_wide128__switch),
        cmocka_unit_test(test_kern_wide128__lift_field),
        cmocka_unit_test(test_kern_wide128__joins),
        cmocka_unit_test(test_kern_wide128__fields_of_every_width),
        cmocka_unit_test(test_kern_wide128__narrow_fields_are_the_slots),
        cmocka_unit_test(test_kern_wide128__lanes),
        cmocka_unit_test(test_kern_wide128__open_step),
        cmocka_unit_test(test_kern_wide128__open_step_sees_the_fraction),
        cmocka_unit_test(test_kern_wide128__open_torus),
        cmocka_unit_test(test_kern_wide128__add_step),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
