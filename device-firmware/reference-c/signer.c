#include "signer.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_rc.h>
#include <tss2/tss2_tctildr.h>

struct signer {
    TSS2_TCTI_CONTEXT *tcti;
    ESYS_CONTEXT *esys;
    ESYS_TR key;
    uint8_t key_hash[32];
};

/* SubjectPublicKeyInfo {id-ecPublicKey, prime256v1} up to the uncompressed point. */
static const uint8_t SPKI[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
                               0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04};

static const uint8_t ORDER[32] = {0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff,
                                  0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17,
                                  0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};

/* A TPM's number without its leading zeros, into 32 bytes. */
static int put32(uint8_t to[32], const TPM2B_ECC_PARAMETER *from) {
    if (from->size > 32) return 0;
    memset(to, 0, 32);
    memcpy(to + 32 - from->size, from->buffer, from->size);
    return 1;
}

static void subtract(uint8_t out[32], const uint8_t a[32], const uint8_t b[32]) {
    int borrow = 0;
    for (int i = 31; i >= 0; i--) {
        int d = a[i] - b[i] - borrow;
        borrow = d < 0;
        out[i] = (uint8_t)d;
    }
}

static const char *read_key(signer *s) {
    TPM2B_PUBLIC *public = NULL;
    TSS2_RC rc = Esys_ReadPublic(s->esys, s->key, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &public, NULL, NULL);
    if (rc != TSS2_RC_SUCCESS) return Tss2_RC_Decode(rc);
    const TPMT_PUBLIC *area = &public->publicArea;
    const char *wrong = NULL;
    uint8_t spki[sizeof SPKI + 64];
    memcpy(spki, SPKI, sizeof SPKI);
    if (area->type != TPM2_ALG_ECC || area->parameters.eccDetail.curveID != TPM2_ECC_NIST_P256 ||
        !(area->objectAttributes & TPMA_OBJECT_SIGN_ENCRYPT) || area->objectAttributes & TPMA_OBJECT_RESTRICTED)
        wrong = "the handle holds no unrestricted P-256 signing key";
    else if (!put32(spki + sizeof SPKI, &area->unique.ecc.x) || !put32(spki + sizeof SPKI + 32, &area->unique.ecc.y))
        wrong = "the key's point does not have 32 bytes a coordinate";
    else crypto_hash_sha256(s->key_hash, spki, sizeof spki);
    Esys_Free(public);
    return wrong;
}

signer *signer_open(const char *tcti, uint32_t handle, const char **wrong) {
    setenv("TSS2_LOG", "all+NONE", 0); /* one sentence of ours says it; a value that is set already stands */
    signer *s = calloc(1, sizeof *s);
    TSS2_RC rc = s == NULL ? TSS2_ESYS_RC_MEMORY : Tss2_TctiLdr_Initialize(tcti, &s->tcti);
    if (rc == TSS2_RC_SUCCESS) rc = Esys_Initialize(&s->esys, s->tcti, NULL);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_TR_FromTPMPublic(s->esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &s->key);
    *wrong = rc == TSS2_RC_SUCCESS ? read_key(s) : Tss2_RC_Decode(rc);
    if (*wrong == NULL) return s;
    signer_close(s);
    return NULL;
}

void signer_key_hash(const signer *s, uint8_t hash[32]) { memcpy(hash, s->key_hash, 32); }

const char *signer_sign(signer *s, const uint8_t digest[32], uint8_t signature[64]) {
    TPM2B_DIGEST wanted = {.size = 32};
    memcpy(wanted.buffer, digest, 32);
    const TPMT_SIG_SCHEME scheme = {.scheme = TPM2_ALG_ECDSA, .details.ecdsa.hashAlg = TPM2_ALG_SHA256};
    /* The digest was hashed outside: an unrestricted key signs it without a ticket. */
    const TPMT_TK_HASHCHECK ticket = {.tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL};
    TPMT_SIGNATURE *made = NULL;
    TSS2_RC rc = Esys_Sign(s->esys, s->key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &wanted, &scheme, &ticket,
                           &made);
    if (rc != TSS2_RC_SUCCESS) return Tss2_RC_Decode(rc);
    int fits = put32(signature, &made->signature.ecdsa.signatureR) &&
               put32(signature + 32, &made->signature.ecdsa.signatureS);
    Esys_Free(made);
    if (!fits) return "the TPM's signature does not have 32 bytes a half";
    uint8_t other[32];
    subtract(other, ORDER, signature + 32);
    if (memcmp(other, signature + 32, 32) < 0) memcpy(signature + 32, other, 32);
    return NULL;
}

void signer_close(signer *s) {
    if (s == NULL) return;
    if (s->esys != NULL) Esys_Finalize(&s->esys);
    if (s->tcti != NULL) Tss2_TctiLdr_Finalize(&s->tcti);
    free(s);
}
