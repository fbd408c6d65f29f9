#include "senml.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LABEL_NAME = 0, LABEL_UNIT = 1, LABEL_V = 2, LABEL_VS = 3, LABEL_VB = 4, LABEL_T = 6, LABEL_VD = 8 };
enum { MAX_DIGITS = 64, TAG_BIGNUM = 2, TAG_NEGATIVE_BIGNUM = 3, TAG_DECIMAL = 4 };

/* ±digits · 10^exponent without leading or trailing zeros; no digits at all for 0. */
typedef struct {
    bool negative;
    char digits[MAX_DIGITS + 1];
    size_t length;
    long exponent;
} decimal;

static bool read_decimal(const char *text, decimal *d) {
    memset(d, 0, sizeof *d);
    if (*text == '+' || *text == '-') d->negative = *text++ == '-';
    bool any = false, fraction = false;
    for (;; text++) {
        if (*text == '.' && !fraction) {
            fraction = true;
            continue;
        }
        if (!isdigit((unsigned char)*text)) break;
        any = true;
        if (fraction) d->exponent--;
        if (d->length == 0 && *text == '0') continue;
        if (d->length == MAX_DIGITS) return false;
        d->digits[d->length++] = *text;
    }
    if (!any) return false;
    if (*text == 'e' || *text == 'E') {
        char *end;
        long exponent = strtol(text + 1, &end, 10);
        if (end == text + 1 || isspace((unsigned char)text[1]) || labs(exponent) > 1000000) return false;
        d->exponent += exponent;
        text = end;
    }
    if (*text != '\0') return false;
    while (d->length > 0 && d->digits[d->length - 1] == '0') {
        d->length--;
        d->exponent++;
    }
    d->digits[d->length] = '\0';
    if (d->length == 0) *d = (decimal){0};
    return labs(d->exponent) <= 1000000;
}

static bool same(const decimal *a, const decimal *b) {
    return a->negative == b->negative && a->exponent == b->exponent && strcmp(a->digits, b->digits) == 0;
}

/* One more in the last digit of "d.ddde±dd". False where that would take one digit more. */
static bool bump(char *text) {
    for (char *at = strchr(text, 'e'); at-- > text;) {
        if (!isdigit((unsigned char)*at)) continue;
        if (*at != '9') {
            ++*at;
            return true;
        }
        *at = '0';
    }
    return false;
}

/* The shortest text that reads back to this double. Below a power of two doubles lie closer than above it, so that of two
 * equally near texts only the larger may read back; printf gives the even one. */
static void shortest(double value, decimal *d) {
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*e", digits - 1, value);
        if (strtod(text, NULL) == value || (bump(text) && strtod(text, NULL) == value)) break;
    }
    read_decimal(text, d);
}

static void put_mantissa(buffer *b, const decimal *d) {
    uint8_t magnitude[32] = {0}; /* big-endian; 64 digits are below 2^213 */
    for (size_t i = 0; i < d->length; i++) {
        unsigned carry = (unsigned)(d->digits[i] - '0');
        for (size_t j = sizeof magnitude; j-- > 0;) {
            carry += magnitude[j] * 10u;
            magnitude[j] = (uint8_t)carry;
            carry >>= 8;
        }
    }
    if (d->negative) /* −1 − n: one less */
        for (size_t j = sizeof magnitude; j-- > 0 && magnitude[j]-- == 0;) continue;
    size_t first = 0;
    while (first < sizeof magnitude && magnitude[first] == 0) first++;
    size_t length = sizeof magnitude - first;
    if (length > 8) {
        cbor_tag(b, d->negative ? TAG_NEGATIVE_BIGNUM : TAG_BIGNUM);
        cbor_bytes(b, magnitude + first, length);
        return;
    }
    uint64_t n = 0;
    for (size_t j = first; j < sizeof magnitude; j++) n = n << 8 | magnitude[j];
    if (d->negative) cbor_negative(b, n);
    else cbor_uint(b, n);
}

static const char *put_number(buffer *b, const char *text) {
    decimal wanted, nearest;
    if (!read_decimal(text, &wanted)) return "a value is a decimal number of at most 64 digits";
    if (wanted.length == 0) {
        cbor_uint(b, 0);
        return NULL;
    }
    double value = strtod(text, NULL);
    if (isfinite(value)) {
        shortest(value, &nearest);
        if (same(&wanted, &nearest)) {
            cbor_number(b, value);
            return NULL;
        }
    }
    cbor_tag(b, TAG_DECIMAL);
    cbor_array(b, 2);
    if (wanted.exponent < 0) cbor_negative(b, (uint64_t)(-1 - wanted.exponent));
    else cbor_uint(b, (uint64_t)wanted.exponent);
    put_mantissa(b, &wanted);
    return NULL;
}

/* RFC 8428, section 4.5.1. */
static bool is_name(const char *name) {
    if (!isalnum((unsigned char)*name)) return false;
    for (; *name != '\0'; name++) {
        if ((unsigned char)*name > 0x7f) return false;
        if (!isalnum((unsigned char)*name) && strchr("-:./_", *name) == NULL) return false;
    }
    return true;
}

const char *senml_record(buffer *b, const reading *r) {
    if (!is_name(r->name)) return "a name has letters, digits and -:./_ and begins with a letter or digit";
    if (r->unit != NULL && *r->unit == '\0') return "a unit is left out or not empty";
    if (r->time_ms < 268435456000u || r->time_ms >= 9007199254740992u)
        return "a time is in Unix milliseconds, from 2^28 s on";
    cbor_map(b, r->unit == NULL ? 3 : 4);
    cbor_uint(b, LABEL_NAME);
    cbor_text(b, r->name);
    if (r->unit != NULL) {
        cbor_uint(b, LABEL_UNIT);
        cbor_text(b, r->unit);
    }
    const char *wrong = NULL;
    switch (r->kind) {
    case VALUE_NUMBER:
        cbor_uint(b, LABEL_V);
        wrong = put_number(b, r->text);
        break;
    case VALUE_TEXT:
        cbor_uint(b, LABEL_VS);
        cbor_text(b, r->text);
        break;
    case VALUE_BOOL:
        cbor_uint(b, LABEL_VB);
        cbor_bool(b, r->truth);
        break;
    case VALUE_BYTES:
        break;
    }
    cbor_uint(b, LABEL_T);
    cbor_number(b, (double)r->time_ms / 1000);
    if (r->kind == VALUE_BYTES) {
        cbor_uint(b, LABEL_VD);
        cbor_bytes(b, r->bytes, r->length);
    }
    return wrong;
}
