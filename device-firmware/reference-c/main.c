/* msec-pack: reads one pack as lines "word value…" and writes the message as hex. README.md lists the words. */
#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pack.h"
#include "signer.h"

enum { LINE = 1 << 16, MAX_QUANTITIES = 64 };

typedef struct {
    pack_input pack;
    key_node node;
    reading readings[MAX_RECORDS];
    quantity quantities[MAX_QUANTITIES];
    bool has_stream, has_node, has_salt, has_nonce, has_key_hash, has_signature;
    uint8_t signature[64];
} job;

static unsigned long line_number;

static void fail(const char *why) {
    if (line_number > 0) fprintf(stderr, "msec-pack: line %lu: %s\n", line_number, why);
    else fprintf(stderr, "msec-pack: %s\n", why);
    exit(1);
}

static void hex_exact(const char *text, uint8_t *out, size_t length) {
    size_t found;
    const char *end;
    if (text != NULL && strncmp(text, "0x", 2) == 0) text += 2;
    if (text == NULL || strlen(text) != 2 * length ||
        sodium_hex2bin(out, length, text, 2 * length, NULL, &found, &end) != 0 || found != length || *end != '\0') {
        static char why[64];
        snprintf(why, sizeof why, "expected %zu bytes as hex", length);
        fail(why);
    }
}

static uint64_t whole(const char *text, uint64_t most) {
    char *end;
    errno = 0;
    uint64_t value = text == NULL || *text < '0' || *text > '9' ? UINT64_MAX : strtoull(text, &end, 10);
    if (text == NULL || *text < '0' || *text > '9' || *end != '\0' || errno != 0 || value > most)
        fail("expected a whole number in its range");
    return value;
}

static char *copy(const char *text) {
    char *made = strdup(text == NULL ? "" : text);
    if (made == NULL) fail("out of memory");
    return made;
}

/* The rest of the line after a word, which may hold spaces. */
static char *rest(char **at) {
    char *text = *at;
    *at = NULL;
    return text;
}

static void add_reading(job *j, char *at) {
    if (j->pack.reading_count == MAX_RECORDS) fail("a pack holds at most 1,024 readings here");
    reading *r = &j->readings[j->pack.reading_count++];
    r->time_ms = whole(strsep(&at, " "), UINT64_MAX);
    r->name = copy(strsep(&at, " "));
    const char *unit = strsep(&at, " ");
    r->unit = unit == NULL || strcmp(unit, "-") == 0 ? NULL : copy(unit);
    const char *kind = strsep(&at, " ");
    if (kind == NULL) fail("expected: reading TIME NAME UNIT|- number|text|bool|bytes VALUE");
    if (strcmp(kind, "number") == 0) {
        r->kind = VALUE_NUMBER;
        r->text = copy(rest(&at));
    } else if (strcmp(kind, "text") == 0) {
        r->kind = VALUE_TEXT;
        r->text = copy(rest(&at));
    } else if (strcmp(kind, "bool") == 0) {
        const char *truth = rest(&at);
        if (truth == NULL || (strcmp(truth, "true") != 0 && strcmp(truth, "false") != 0)) fail("expected true or false");
        r->kind = VALUE_BOOL;
        r->truth = *truth == 't';
    } else if (strcmp(kind, "bytes") == 0) {
        const char *text = rest(&at);
        r->kind = VALUE_BYTES;
        r->length = text == NULL ? 0 : strlen(text) / 2;
        uint8_t *bytes = malloc(r->length + 1);
        if (bytes == NULL) fail("out of memory");
        hex_exact(text == NULL ? "" : text, bytes, r->length);
        r->bytes = bytes;
    } else fail("a value is a number, text, bool or bytes");
}

static void read_line(job *j, char *at) {
    pack_input *p = &j->pack;
    const char *word = strsep(&at, " ");
    if (strcmp(word, "stream") == 0) hex_exact(rest(&at), p->stream_id, 32), j->has_stream = true;
    else if (strcmp(word, "mode") == 0) p->mode = (uint8_t)whole(rest(&at), 2);
    else if (strcmp(word, "slot-seconds") == 0) p->slot_seconds = (uint32_t)whole(rest(&at), 86400);
    else if (strcmp(word, "pad-count") == 0) p->pad_count = (uint32_t)whole(rest(&at), MAX_RECORDS);
    else if (strcmp(word, "pad-bytes") == 0) p->pad_bytes = (uint32_t)whole(rest(&at), MAX_CONTENT);
    else if (strcmp(word, "key-epoch") == 0) p->key_epoch = (uint32_t)whole(rest(&at), UINT32_MAX);
    else if (strcmp(word, "boot-epoch") == 0) p->boot_epoch = (uint32_t)whole(rest(&at), UINT32_MAX);
    else if (strcmp(word, "seq") == 0) p->seq = whole(rest(&at), UINT64_MAX);
    else if (strcmp(word, "flags") == 0) p->flags = (uint8_t)whole(rest(&at), 7);
    else if (strcmp(word, "previous") == 0) hex_exact(rest(&at), p->previous, 32);
    else if (strcmp(word, "attestation") == 0) hex_exact(rest(&at), p->attestation, 32);
    else if (strcmp(word, "slot") == 0) p->slot = (uint32_t)whole(rest(&at), UINT32_MAX);
    else if (strcmp(word, "beacon") == 0) {
        p->beacon_number = whole(strsep(&at, " "), UINT64_MAX);
        hex_exact(rest(&at), p->beacon_digest, 32);
    } else if (strcmp(word, "node") == 0) {
        j->node.depth = (uint8_t)whole(strsep(&at, " "), 32);
        j->node.first_slot = (uint32_t)whole(strsep(&at, " "), UINT32_MAX);
        hex_exact(rest(&at), j->node.key, 32);
        j->has_node = true;
    } else if (strcmp(word, "quantity") == 0) {
        if (p->quantity_count == MAX_QUANTITIES) fail("a stream has at most 64 quantities here");
        quantity *q = &j->quantities[p->quantity_count++];
        q->name = copy(strsep(&at, " "));
        q->unit = copy(rest(&at));
    } else if (strcmp(word, "reading") == 0) add_reading(j, at);
    else if (strcmp(word, "salt") == 0) hex_exact(rest(&at), p->salt, 32), j->has_salt = true;
    else if (strcmp(word, "nonce") == 0) hex_exact(rest(&at), p->nonce, 12), j->has_nonce = true;
    else if (strcmp(word, "key-hash") == 0) hex_exact(rest(&at), p->key_hash, 32), j->has_key_hash = true;
    else if (strcmp(word, "signature") == 0) hex_exact(rest(&at), j->signature, 64), j->has_signature = true;
    else fail("no such word");
}

static void show(const char *what, const uint8_t *bytes, size_t length) {
    printf("%s ", what);
    for (size_t i = 0; i < length; i++) printf("%02x", bytes[i]);
    printf("\n");
}

static void explain(const unsigned_pack *p) {
    for (size_t i = 0; i < p->record_count; i++)
        show("record", p->record_bytes + p->record_at[i], p->record_at[i + 1] - p->record_at[i]);
    show("leaf-node", p->leaf, 32);
    show("aad", p->aad, sizeof p->aad);
    show("pack-key", p->pack_key, 32);
    show("key-commitment", p->key_commitment, 32);
    show("root", p->root, 32);
    show("content", p->content, p->content_length);
    show("header", p->header, p->header_length);
    show("protected-header", p->protected_header, p->protected_length);
    show("to-be-signed", p->to_be_signed, p->to_be_signed_length);
    show("header-digest", p->digest, 32);
}

int main(int argc, char **argv) {
    static job j;
    static unsigned_pack pack;
    static char line[LINE];
    const char *tcti = NULL, *wrong;
    uint32_t handle = 0;
    bool all = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--tpm") == 0 && i + 2 < argc) {
            tcti = argv[++i];
            handle = (uint32_t)strtoul(argv[++i], NULL, 16);
        } else if (strcmp(argv[i], "--explain") == 0) all = true;
        else {
            fprintf(stderr, "usage: msec-pack [--tpm TCTI HANDLE] [--explain] < PACK\n");
            return 2;
        }
    }
    if (sodium_init() < 0) fail("no source of randomness");
    j.pack.readings = j.readings;
    j.pack.quantities = j.quantities;
    while (fgets(line, sizeof line, stdin) != NULL) {
        line_number++;
        size_t length = strlen(line);
        if (length == 0 || line[length - 1] != '\n') fail("a line is too long or does not end");
        line[length - 1] = '\0';
        if (length > 1) read_line(&j, line);
    }
    line_number = 0;
    if (!j.has_stream || !j.has_node) fail("a pack needs at least the words stream and node");
    if (!j.has_salt) randombytes_buf(j.pack.salt, sizeof j.pack.salt);
    if (!j.has_nonce) randombytes_buf(j.pack.nonce, sizeof j.pack.nonce);
    signer *key = NULL;
    if (tcti != NULL) {
        key = signer_open(tcti, handle, &wrong);
        if (key == NULL) fail(wrong);
        signer_key_hash(key, j.pack.key_hash);
    } else if (!j.has_key_hash || !j.has_signature) fail("without --tpm the words key-hash and signature are needed");

    wrong = pack_prepare(&j.pack, &j.node, &pack);
    if (wrong == NULL && key != NULL) wrong = signer_sign(key, pack.digest, j.signature);
    static uint8_t bytes[MAX_MESSAGE];
    buffer message = {bytes, 0, sizeof bytes, false};
    if (wrong == NULL) wrong = pack_message(&pack, j.signature, &message);
    signer_close(key);
    sodium_memzero(&j.node, sizeof j.node);
    if (wrong != NULL) fail(wrong);
    if (all) explain(&pack);
    show("message", bytes, message.length);
    sodium_memzero(&pack, sizeof pack);
    return 0;
}
