/* A pack: readings encrypted under the key of their slot, and the header that a device signs. docs/protocol.md, "Pack". */
#ifndef MSEC_PACK_H
#define MSEC_PACK_H

#include "senml.h"

enum {
    MODE_OPEN = 0,
    MODE_SEALED = 1,
    MODE_DATASET = 2,
    MAX_RECORDS = 1024,
    MAX_CONTENT = 48 * 1024,
    MAX_MESSAGE = MAX_CONTENT + 1024 + 16,
    MAX_HEADER = 512,
};

/* A node of the stream's key tree: what a device keeps of it. */
typedef struct {
    uint8_t depth; /* 0 the root, 32 a slot */
    uint32_t first_slot;
    uint8_t key[32];
} key_node;

typedef struct {
    const char *name;
    const char *unit; /* "" for none */
} quantity;

typedef struct {
    uint8_t stream_id[32];
    uint8_t mode;
    uint32_t slot_seconds; /* 0 for a data set */
    uint32_t pad_count;    /* sealed only */
    uint32_t pad_bytes;    /* sealed only */
    const quantity *quantities;
    size_t quantity_count;
    uint32_t key_epoch;
    uint32_t boot_epoch;
    uint64_t seq;
    uint8_t flags; /* 1 break, 2 recorded, 4 end */
    uint8_t previous[32];
    uint8_t attestation[32];
    uint64_t beacon_number;
    uint8_t beacon_digest[32];
    uint32_t slot; /* sealed only: others take it from their readings */
    const reading *readings;
    size_t reading_count;
    uint8_t salt[32];     /* random */
    uint8_t nonce[12];    /* random */
    uint8_t key_hash[32]; /* SHA-256 of the signing key's SPKI in DER */
} pack_input;

/* Everything on the way from readings to what is signed. */
typedef struct {
    uint8_t leaf[32];
    uint8_t aad[44];
    uint8_t pack_key[32];
    uint8_t key_commitment[32];
    uint8_t root[32];
    uint8_t record_bytes[MAX_CONTENT];
    size_t record_at[MAX_RECORDS + 1];
    size_t record_count;
    uint8_t content[MAX_CONTENT];
    size_t content_length;
    uint8_t header[MAX_HEADER];
    size_t header_length;
    uint8_t protected_header[48];
    size_t protected_length;
    uint8_t to_be_signed[2 * MAX_HEADER];
    size_t to_be_signed_length;
    uint8_t digest[32]; /* SHA-256 of to_be_signed: the headerDigest */
} unsigned_pack;

/* H of the node at `slot`, from a node that covers it. False if it does not cover it. */
bool slot_key(const key_node *node, uint32_t slot, uint8_t leaf[32]);

/* Encrypts the readings and builds the header. NULL, or a sentence that says what is wrong. */
const char *pack_prepare(const pack_input *in, const key_node *node, unsigned_pack *out);

/* CBOR[bstr cose, bstr content] with the signature r ‖ s, s in the lower half. NULL, or what is wrong. */
const char *pack_message(const unsigned_pack *pack, const uint8_t signature[64], buffer *message);

#endif
