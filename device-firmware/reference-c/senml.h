/* One resolved SenML record in CBOR (RFC 8428): a name, at most a unit, one value, a time. */
#ifndef MSEC_SENML_H
#define MSEC_SENML_H

#include "cbor.h"

typedef enum { VALUE_NUMBER, VALUE_TEXT, VALUE_BOOL, VALUE_BYTES } value_kind;

typedef struct {
    const char *name;
    const char *unit; /* NULL: none */
    uint64_t time_ms; /* Unix milliseconds, from 2^28 s on and below 2^53 */
    value_kind kind;
    const char *text; /* VALUE_NUMBER: decimal text, so that no digit is lost; VALUE_TEXT: UTF-8 */
    bool truth;
    const uint8_t *bytes;
    size_t length;
} reading;

/* Appends the record. NULL, or a sentence that says what is wrong with the reading. */
const char *senml_record(buffer *b, const reading *r);

#endif
