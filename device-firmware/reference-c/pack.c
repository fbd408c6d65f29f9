#include "pack.h"

#include <sodium.h>
#include <string.h>

#include "keccak.h"

enum { NONCE = 12, TAG = 16, TREE = 2 * MAX_RECORDS - 1 };

static void hash2(uint8_t out[32], const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length) {
    keccak256_state k;
    keccak256_init(&k);
    keccak256_update(&k, a, a_length);
    keccak256_update(&k, b, b_length);
    keccak256_final(&k, out);
}

bool slot_key(const key_node *node, uint32_t slot, uint8_t leaf[32]) {
    if (node->depth > 32) return false;
    uint64_t size = (uint64_t)1 << (32 - node->depth);
    if (node->first_slot % size != 0 || slot < node->first_slot || slot - (uint64_t)node->first_slot >= size)
        return false;
    memcpy(leaf, node->key, 32);
    for (unsigned depth = node->depth; depth < 32; depth++) {
        uint8_t bit = slot >> (31 - depth) & 1;
        uint8_t next[32];
        hash2(next, &bit, 1, leaf, 32);
        memcpy(leaf, next, 32);
        sodium_memzero(next, sizeof next);
    }
    return true;
}

/* salt_i = H(H("msec.salt") ‖ salt ‖ i); leaf_i = H(H("msec.reading") ‖ salt_i ‖ i ‖ record_i). */
static void reading_leaf(uint8_t leaf[32], const uint8_t salt[32], uint32_t i, const uint8_t *record, size_t length) {
    const uint8_t index[4] = {(uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
    uint8_t tag[32], own[32];
    keccak256_state k;
    keccak256(tag, (const uint8_t *)"msec.salt", 9);
    keccak256_init(&k);
    keccak256_update(&k, tag, 32);
    keccak256_update(&k, salt, 32);
    keccak256_update(&k, index, 4);
    keccak256_final(&k, own);
    keccak256(tag, (const uint8_t *)"msec.reading", 12);
    keccak256_init(&k);
    keccak256_update(&k, tag, 32);
    keccak256_update(&k, own, 32);
    keccak256_update(&k, index, 4);
    keccak256_update(&k, record, length);
    keccak256_final(&k, leaf);
}

/* tree[2n−2−i] = leaf i, an inner node is H of its sorted children. */
static void merkle_root(uint8_t root[32], const pack_input *in, const unsigned_pack *p) {
    static uint8_t tree[TREE][32];
    size_t n = p->record_count;
    for (size_t i = 0; i < n; i++)
        reading_leaf(tree[2 * n - 2 - i], in->salt, (uint32_t)i, p->record_bytes + p->record_at[i],
                     p->record_at[i + 1] - p->record_at[i]);
    for (size_t i = n - 1; i-- > 0;) {
        bool sorted = memcmp(tree[2 * i + 1], tree[2 * i + 2], 32) < 0;
        hash2(tree[i], tree[2 * i + (sorted ? 1 : 2)], 32, tree[2 * i + (sorted ? 2 : 1)], 32);
    }
    memcpy(root, tree[0], 32);
}

static const char *check_schema(const pack_input *in, const reading *r) {
    for (size_t i = 0; i < in->quantity_count; i++)
        if (strcmp(in->quantities[i].name, r->name) == 0)
            return strcmp(in->quantities[i].unit, r->unit == NULL ? "" : r->unit) == 0
                       ? NULL
                       : "a reading's unit is not the schema's";
    return "a reading's name is not in the stream's schema";
}

static const char *put_records(const pack_input *in, unsigned_pack *p) {
    buffer records = {p->record_bytes, 0, sizeof p->record_bytes, false};
    bool sealed = in->mode == MODE_SEALED;
    size_t count = sealed ? in->pad_count : in->reading_count;
    if (in->reading_count > count) return "a slot has more readings than padCount: choose a larger padCount";
    if (count == 0) return "a pack holds at least one reading";
    if (count > MAX_RECORDS) return "a pack holds at most 1,024 readings here";
    p->record_count = count;
    for (size_t i = 0; i < count; i++) {
        p->record_at[i] = records.length;
        if (i >= in->reading_count) continue; /* an empty record fills up a sealed pack */
        const char *wrong = check_schema(in, &in->readings[i]);
        if (wrong == NULL) wrong = senml_record(&records, &in->readings[i]);
        if (wrong != NULL) return wrong;
    }
    p->record_at[count] = records.length;
    return records.overflow ? "a pack's content has at most 48 KiB" : NULL;
}

static const char *seal(const pack_input *in, unsigned_pack *p) {
    static uint8_t plaintext[MAX_CONTENT];
    buffer plain = {plaintext, 0, MAX_CONTENT - NONCE - TAG, false};
    cbor_array(&plain, 2);
    cbor_bytes(&plain, in->salt, 32);
    cbor_array(&plain, p->record_count);
    for (size_t i = 0; i < p->record_count; i++)
        cbor_bytes(&plain, p->record_bytes + p->record_at[i], p->record_at[i + 1] - p->record_at[i]);
    if (in->mode == MODE_SEALED) {
        if (in->pad_bytes > plain.room) return "padBytes is more than a content holds";
        if (plain.length > in->pad_bytes) return "the slot's rows take more than padBytes: choose a larger padBytes";
        memset(plaintext + plain.length, 0, in->pad_bytes - plain.length);
        plain.length = in->pad_bytes;
    }
    if (plain.overflow) return "a pack's content has at most 48 KiB";
    memcpy(p->content, in->nonce, NONCE);
    unsigned long long sealed;
    crypto_aead_chacha20poly1305_ietf_encrypt(p->content + NONCE, &sealed, plaintext, plain.length, p->aad,
                                              sizeof p->aad, NULL, in->nonce, p->pack_key);
    p->content_length = NONCE + (size_t)sealed;
    sodium_memzero(plaintext, sizeof plaintext);
    return NULL;
}

static const char *span_of(const pack_input *in, uint64_t *from, uint64_t *to, uint32_t *slot) {
    uint64_t length = 1000 * (uint64_t)in->slot_seconds;
    if ((in->mode == MODE_DATASET) != (length == 0)) return "a data set has slots of 0 seconds, other streams have not";
    if (in->mode == MODE_SEALED) {
        *slot = in->slot;
        *from = in->slot * length;
        *to = *from + length - 1;
    } else {
        *from = UINT64_MAX;
        *to = 0;
        for (size_t i = 0; i < in->reading_count; i++) {
            if (in->readings[i].time_ms < *from) *from = in->readings[i].time_ms;
            if (in->readings[i].time_ms > *to) *to = in->readings[i].time_ms;
        }
        if (length != 0 && *from / length != *to / length) return "a pack lies in one slot";
        *slot = length == 0 ? 0 : (uint32_t)(*from / length);
    }
    for (size_t i = 0; i < in->reading_count; i++)
        if (in->readings[i].time_ms < *from || in->readings[i].time_ms > *to)
            return "a reading lies outside its pack's slot";
    return NULL;
}

const char *pack_prepare(const pack_input *in, const key_node *node, unsigned_pack *p) {
    if (in->seq == 0) return "the first seq is 1";
    if (in->flags > 7) return "flags are break 1, recorded 2, end 4";
    if (in->mode > MODE_DATASET) return "mode is 0 open, 1 sealed or 2 dataset";
    const char *wrong = put_records(in, p);
    if (wrong != NULL) return wrong;
    uint64_t from, to;
    uint32_t slot;
    wrong = span_of(in, &from, &to, &slot);
    if (wrong != NULL) return wrong;
    if (!slot_key(node, slot, p->leaf)) return "the key node does not cover the pack's slot";

    buffer aad = {p->aad, 0, sizeof p->aad, false};
    put(&aad, in->stream_id, 32);
    put_uint(&aad, in->key_epoch, 4);
    put_uint(&aad, in->seq, 8);
    uint8_t preimage[1 + 32 + 44] = {0x02};
    memcpy(preimage + 1, p->leaf, 32);
    memcpy(preimage + 33, p->aad, 44);
    keccak256(p->pack_key, preimage, sizeof preimage);
    sodium_memzero(preimage, sizeof preimage);
    const uint8_t three = 0x03;
    hash2(p->key_commitment, &three, 1, p->pack_key, 32);
    wrong = seal(in, p);
    if (wrong != NULL) return wrong;
    merkle_root(p->root, in, p);

    uint8_t content_digest[32];
    crypto_hash_sha256(content_digest, p->content, p->content_length);
    buffer header = {p->header, 0, sizeof p->header, false};
    cbor_array(&header, 15);
    cbor_uint(&header, 1);
    cbor_bytes(&header, in->stream_id, 32);
    cbor_uint(&header, in->key_epoch);
    cbor_uint(&header, in->boot_epoch);
    cbor_uint(&header, in->seq);
    cbor_uint(&header, in->flags);
    cbor_bytes(&header, in->previous, 32);
    cbor_uint(&header, from);
    cbor_uint(&header, to);
    cbor_uint(&header, p->record_count);
    cbor_bytes(&header, p->root, 32);
    cbor_bytes(&header, p->key_commitment, 32);
    cbor_bytes(&header, content_digest, 32);
    cbor_bytes(&header, in->attestation, 32);
    cbor_array(&header, 2);
    cbor_uint(&header, in->beacon_number);
    cbor_bytes(&header, in->beacon_digest, 32);
    p->header_length = header.length;

    /* COSE (RFC 9052): protected {1 alg: −7 ES256, 4 kid: keyHash}, Sig_structure without external data */
    buffer protected_header = {p->protected_header, 0, sizeof p->protected_header, false};
    cbor_map(&protected_header, 2);
    cbor_uint(&protected_header, 1);
    cbor_negative(&protected_header, 6);
    cbor_uint(&protected_header, 4);
    cbor_bytes(&protected_header, in->key_hash, 32);
    p->protected_length = protected_header.length;
    buffer tbs = {p->to_be_signed, 0, sizeof p->to_be_signed, false};
    cbor_array(&tbs, 4);
    cbor_text(&tbs, "Signature1");
    cbor_bytes(&tbs, p->protected_header, p->protected_length);
    cbor_bytes(&tbs, NULL, 0);
    cbor_bytes(&tbs, p->header, p->header_length);
    p->to_be_signed_length = tbs.length;
    crypto_hash_sha256(p->digest, p->to_be_signed, p->to_be_signed_length);
    return header.overflow || protected_header.overflow || tbs.overflow ? "the header does not fit" : NULL;
}

const char *pack_message(const unsigned_pack *p, const uint8_t signature[64], buffer *message) {
    uint8_t cose_bytes[MAX_HEADER + 256];
    buffer cose = {cose_bytes, 0, sizeof cose_bytes, false};
    cbor_array(&cose, 4);
    cbor_bytes(&cose, p->protected_header, p->protected_length);
    cbor_map(&cose, 0);
    cbor_bytes(&cose, p->header, p->header_length);
    cbor_bytes(&cose, signature, 64);
    cbor_array(message, 2);
    cbor_bytes(message, cose_bytes, cose.length);
    cbor_bytes(message, p->content, p->content_length);
    return cose.overflow || message->overflow ? "the message does not fit" : NULL;
}
