/* The device's signing key: an ECDSA P-256 key in a TPM 2.0, by its persistent handle. */
#ifndef MSEC_SIGNER_H
#define MSEC_SIGNER_H

#include <stdint.h>

typedef struct signer signer;

/* `tcti`: how tpm2-tss reaches the TPM, for example "device:/dev/tpmrm0" or "swtpm:host=127.0.0.1,port=2321".
 * NULL with a sentence in *wrong where the TPM can't be reached or the handle holds no such key. */
signer *signer_open(const char *tcti, uint32_t handle, const char **wrong);

/* SHA-256 of the key's SPKI in DER (RFC 5480): the key id of the headers. */
void signer_key_hash(const signer *s, uint8_t hash[32]);

/* r ‖ s over a SHA-256 digest, with s in the lower half of the order. NULL, or what is wrong. */
const char *signer_sign(signer *s, const uint8_t digest[32], uint8_t signature[64]);

void signer_close(signer *s);

#endif
