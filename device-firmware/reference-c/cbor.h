/* Writes the protocol's one CBOR form (RFC 8949, section 4.2.1): shortest heads, definite lengths, shortest exact floats.
 * Map keys are written in the order of the calls: the caller keeps them ascending. */
#ifndef MSEC_CBOR_H
#define MSEC_CBOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes with a fixed room. What does not fit is dropped and remembered in `overflow`, so it is enough to ask once. */
typedef struct {
    uint8_t *bytes;
    size_t length;
    size_t room;
    bool overflow;
} buffer;

void put(buffer *b, const void *bytes, size_t length);
void put_uint(buffer *b, uint64_t value, unsigned width); /* big-endian, `width` bytes */

void cbor_uint(buffer *b, uint64_t value);
void cbor_negative(buffer *b, uint64_t n); /* −1 − n */
void cbor_bytes(buffer *b, const uint8_t *bytes, size_t length);
void cbor_text(buffer *b, const char *text);
void cbor_array(buffer *b, uint64_t items);
void cbor_map(buffer *b, uint64_t pairs);
void cbor_tag(buffer *b, uint64_t tag);
void cbor_bool(buffer *b, bool value);
/* A finite double: an integer where it is integral and below 2^53 in size, else the shortest float that is exact. */
void cbor_number(buffer *b, double value);

#endif
