/* Keccak-256 as Ethereum uses it: the Keccak submission with padding 0x01, not SHA3-256 (FIPS 202 pads with 0x06). */
#ifndef MSEC_KECCAK_H
#define MSEC_KECCAK_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t state[25];
    size_t at;
} keccak256_state;

void keccak256_init(keccak256_state *k);
void keccak256_update(keccak256_state *k, const uint8_t *data, size_t length);
void keccak256_final(keccak256_state *k, uint8_t out[32]);

/* H of one piece. */
void keccak256(uint8_t out[32], const uint8_t *data, size_t length);

#endif
