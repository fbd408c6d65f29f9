// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {P256} from "@openzeppelin/contracts/utils/cryptography/P256.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @title Signing keys of devices in their one DER form
/// @dev A key is its SubjectPublicKeyInfo: an uncompressed point of P-256 (RFC 5480, 91 bytes) or an RSA modulus of 2048
/// bits with the exponent 65537 (RFC 3279, 294 bytes). DER leaves no other way to write either, so a key has one hash.
library SigningKey {
    /// @dev `keyAlg` of ECDSA on P-256 with SHA-256: signatures are r ‖ s with s in the lower half (COSE algorithm −7).
    uint8 internal constant ES256 = 1;
    /// @dev `keyAlg` of RSASSA-PKCS1-v1_5 with SHA-256: signatures have 256 bytes (COSE algorithm −257).
    uint8 internal constant RS256 = 2;

    bytes27 private constant P256_PREFIX = hex"3059301306072a8648ce3d020106082a8648ce3d03010703420004";
    bytes32 private constant RSA_PREFIX = hex"30820122300d06092a864886f70d01010105000382010f003082010a02820101";
    bytes5 private constant RSA_SUFFIX = hex"0203010001";
    bytes19 private constant SHA256_INFO = hex"3031300d060960864801650304020105000420";
    uint256 private constant MODULUS = 33;

    /// @return ES256, RS256, or 0 for anything else: another form, a point off the curve, a modulus that is even or
    /// shorter than 2048 bits, another exponent.
    function algorithmOf(bytes calldata spki) internal pure returns (uint8) {
        if (spki.length == 91 && bytes27(spki[:27]) == P256_PREFIX) {
            return P256.isValidPublicKey(bytes32(spki[27:59]), bytes32(spki[59:])) ? ES256 : 0;
        }
        bool rsa =
            spki.length == 294 &&
                bytes32(spki[:32]) == RSA_PREFIX &&
                spki[32] == 0 &&
                uint8(spki[MODULUS]) >= 0x80 &&
                uint8(spki[288]) & 1 == 1 &&
                bytes5(spki[289:]) == RSA_SUFFIX;
        return rsa ? RS256 : 0;
    }

    /// @return `keyHash` of the protocol.
    function keyHash(bytes calldata spki) internal pure returns (bytes32) {
        return sha256(spki);
    }

    /// @param digest SHA-256 of what was signed.
    /// @return Whether the signature is the key's. Each algorithm takes one form of it: no high s, no value at or above
    /// the modulus, no padding or DigestInfo but the one of RFC 8017 §9.2 (with its NULL).
    function verify(bytes calldata spki, bytes32 digest, bytes calldata signature) internal view returns (bool) {
        uint8 algorithm = algorithmOf(spki);
        if (algorithm == ES256) {
            return
                signature.length == 64 &&
                P256.verify(
                    digest,
                    bytes32(signature[:32]),
                    bytes32(signature[32:]),
                    bytes32(spki[27:59]),
                    bytes32(spki[59:])
                );
        }
        return algorithm == RS256 && signature.length == 256 && _verifyRsa(spki[MODULUS:289], digest, signature);
    }

    function _verifyRsa(bytes calldata modulus, bytes32 digest, bytes calldata signature) private view returns (bool) {
        if (!_below(signature, modulus)) return false;
        // 00 01, 202 bytes ff, 00, DigestInfo
        bytes memory expected = abi.encodePacked(
            hex"0001",
            type(uint256).max,
            type(uint256).max,
            type(uint256).max,
            type(uint256).max,
            type(uint256).max,
            type(uint256).max,
            type(uint80).max,
            hex"00",
            SHA256_INFO,
            digest
        );
        return keccak256(Math.modExp(signature, hex"010001", modulus)) == keccak256(expected);
    }

    /// @dev Both have 256 bytes.
    function _below(bytes calldata a, bytes calldata b) private pure returns (bool) {
        for (uint256 i = 0; i < 256; i += 32) {
            (bytes32 x, bytes32 y) = (bytes32(a[i:i + 32]), bytes32(b[i:i + 32]));
            if (x != y) return x < y;
        }
        return false;
    }
}
