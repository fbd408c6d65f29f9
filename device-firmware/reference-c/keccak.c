#include "keccak.h"

#include <string.h>

enum { RATE = 136 };

static uint64_t rotate(uint64_t x, unsigned n) { return n == 0 ? x : x << n | x >> (64 - n); }

/* Bit t of the round constants: an LFSR with x^8 + x^6 + x^5 + x^4 + 1 (Keccak reference, section 1.2). */
static int round_bit(unsigned t) {
    uint8_t r = 1;
    for (unsigned i = 0; i < t % 255; i++) r = (uint8_t)(r << 1 ^ (r & 0x80 ? 0x71 : 0));
    return r & 1;
}

static uint64_t constant_of(unsigned round) {
    static uint64_t constants[24];
    if (constants[0] == 0)
        for (unsigned i = 0; i < 24; i++)
            for (unsigned j = 0; j < 7; j++) constants[i] |= (uint64_t)round_bit(j + 7 * i) << ((1u << j) - 1);
    return constants[round];
}

static void permute(uint64_t a[25]) {
    for (unsigned round = 0; round < 24; round++) {
        uint64_t c[5], b[25];
        for (unsigned x = 0; x < 5; x++) c[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
        for (unsigned i = 0; i < 25; i++) a[i] ^= c[(i + 4) % 5] ^ rotate(c[(i + 1) % 5], 1);
        /* rho and pi: along the orbit of (1, 0), rotated by the triangular numbers */
        b[0] = a[0];
        for (unsigned x = 1, y = 0, t = 0; t < 24; t++) {
            unsigned to = (2 * x + 3 * y) % 5;
            b[y + 5 * to] = rotate(a[x + 5 * y], (t + 1) * (t + 2) / 2 % 64);
            x = y;
            y = to;
        }
        for (unsigned i = 0; i < 25; i++) {
            unsigned row = i - i % 5;
            a[i] = b[i] ^ (~b[row + (i + 1) % 5] & b[row + (i + 2) % 5]);
        }
        a[0] ^= constant_of(round);
    }
}

static void absorb(keccak256_state *k, uint8_t byte) {
    k->state[k->at / 8] ^= (uint64_t)byte << 8 * (k->at % 8);
    if (++k->at == RATE) {
        permute(k->state);
        k->at = 0;
    }
}

void keccak256_init(keccak256_state *k) { memset(k, 0, sizeof *k); }

void keccak256_update(keccak256_state *k, const uint8_t *data, size_t length) {
    for (size_t i = 0; i < length; i++) absorb(k, data[i]);
}

void keccak256_final(keccak256_state *k, uint8_t out[32]) {
    k->state[k->at / 8] ^= (uint64_t)0x01 << 8 * (k->at % 8);
    k->state[(RATE - 1) / 8] ^= (uint64_t)0x80 << 56;
    permute(k->state);
    for (unsigned i = 0; i < 32; i++) out[i] = (uint8_t)(k->state[i / 8] >> 8 * (i % 8));
}

void keccak256(uint8_t out[32], const uint8_t *data, size_t length) {
    keccak256_state k;
    keccak256_init(&k);
    keccak256_update(&k, data, length);
    keccak256_final(&k, out);
}
