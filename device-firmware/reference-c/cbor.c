#include "cbor.h"

#include <math.h>
#include <string.h>

void put(buffer *b, const void *bytes, size_t length) {
    if (length > b->room - b->length) {
        b->overflow = true;
        return;
    }
    if (length > 0) memcpy(b->bytes + b->length, bytes, length);
    b->length += length;
}

void put_uint(buffer *b, uint64_t value, unsigned width) {
    for (unsigned i = width; i-- > 0;) {
        uint8_t byte = (uint8_t)(value >> 8 * i);
        put(b, &byte, 1);
    }
}

static void head(buffer *b, unsigned major, uint64_t value) {
    if (value < 24) {
        put_uint(b, major << 5 | value, 1);
        return;
    }
    unsigned power = value <= UINT8_MAX ? 0 : value <= UINT16_MAX ? 1 : value <= UINT32_MAX ? 2 : 3;
    put_uint(b, major << 5 | (24 + power), 1);
    put_uint(b, value, 1u << power);
}

void cbor_uint(buffer *b, uint64_t value) { head(b, 0, value); }
void cbor_negative(buffer *b, uint64_t n) { head(b, 1, n); }
void cbor_array(buffer *b, uint64_t items) { head(b, 4, items); }
void cbor_map(buffer *b, uint64_t pairs) { head(b, 5, pairs); }
void cbor_tag(buffer *b, uint64_t tag) { head(b, 6, tag); }
void cbor_bool(buffer *b, bool value) { head(b, 7, value ? 21 : 20); }

void cbor_bytes(buffer *b, const uint8_t *bytes, size_t length) {
    head(b, 2, length);
    put(b, bytes, length);
}

void cbor_text(buffer *b, const char *text) {
    head(b, 3, strlen(text));
    put(b, text, strlen(text));
}

/* The half float that is exactly this single float, if there is one. */
static bool half_of(float value, uint16_t *half) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    int exponent;
    float fraction = frexpf(fabsf(value), &exponent); /* value = fraction · 2^exponent, ½ ≤ fraction < 1 */
    if (value == 0) {
        *half = sign;
        return true;
    }
    if (exponent > 16 || exponent < -23) return false;
    /* 11 significant bits, fewer for what is below 2^−14 */
    int significant = exponent >= -13 ? 11 : exponent + 24;
    float scaled = ldexpf(fraction, significant);
    if (scaled != floorf(scaled)) return false;
    uint16_t mantissa = (uint16_t)scaled;
    *half = (uint16_t)(sign | (exponent >= -13 ? (uint16_t)((exponent + 14) << 10 | (mantissa & 0x3ff)) : mantissa));
    return true;
}

void cbor_number(buffer *b, double value) {
    if (value == floor(value) && fabs(value) < 9007199254740992.0) {
        if (value < 0) cbor_negative(b, (uint64_t)(-1 - value));
        else cbor_uint(b, (uint64_t)value);
        return;
    }
    float single = (float)value;
    uint16_t half;
    if (isinf(single) || (double)single != value) {
        uint64_t bits;
        memcpy(&bits, &value, 8);
        put_uint(b, 7 << 5 | 27, 1);
        put_uint(b, bits, 8);
    } else if (half_of(single, &half)) {
        put_uint(b, 7 << 5 | 25, 1);
        put_uint(b, half, 2);
    } else {
        uint32_t bits;
        memcpy(&bits, &single, 4);
        put_uint(b, 7 << 5 | 26, 1);
        put_uint(b, bits, 4);
    }
}
