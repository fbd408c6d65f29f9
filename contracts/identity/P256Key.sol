// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title P-256 public keys in their one DER form
/// @dev SubjectPublicKeyInfo of RFC 5480 with an uncompressed point: 26 bytes of header, 0x04, x, y; 91 bytes in all.
library P256Key {
    bytes27 private constant SPKI_PREFIX = hex"3059301306072a8648ce3d020106082a8648ce3d03010703420004";

    /// @return The DER SubjectPublicKeyInfo of the point; that it is on the curve is not checked here.
    function spki(bytes32 x, bytes32 y) internal pure returns (bytes memory) {
        return abi.encodePacked(SPKI_PREFIX, x, y);
    }

    /// @return `keyHash` of the protocol: SHA-256 of the DER SubjectPublicKeyInfo.
    function keyHash(bytes32 x, bytes32 y) internal pure returns (bytes32) {
        return sha256(spki(x, y));
    }
}
