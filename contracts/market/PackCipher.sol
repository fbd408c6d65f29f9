// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Pack} from "../data/ProtocolTypes.sol";
import {ChaCha20} from "./ChaCha20.sol";
import {Poly1305} from "./Poly1305.sol";

/// @title Whether a pack's content opens under its key
/// @dev content = nonce12 ‖ ciphertext ‖ tag16 of ChaCha20-Poly1305 (RFC 8439), aad = streamId ‖ uint32 keyEpoch ‖
/// uint64 seq. Nothing is decrypted: the tag alone decides.
library PackCipher {
    uint256 private constant NONCE = 12;
    uint256 private constant TAG = 16;
    /// @dev A content longer than this is refused by every reader.
    uint256 private constant MAX_CONTENT = 48 * 1024;
    uint256 private constant AAD = 44;
    uint256 private constant AAD_PADDED = 48;

    function opens(bytes32 packKey, Pack calldata pack, bytes calldata content) internal pure returns (bool) {
        uint256 length = content.length;
        if (length < NONCE + TAG || length > MAX_CONTENT) return false;
        (uint256 r, uint256 s) = ChaCha20.polyKey(packKey, bytes12(content[:NONCE]));
        bytes calldata ciphertext = content[NONCE:length - TAG];
        uint256 message = _message(pack, ciphertext);
        uint256 padded = AAD_PADDED + ((ciphertext.length + 15) & ~uint256(15));
        uint256 sum = Poly1305.absorb(0, r, message, padded);
        sum = Poly1305.absorb(sum, r, AAD | (ciphertext.length << 64));
        return Poly1305.tag(sum, s) == Poly1305.littleEndian(bytes16(content[length - TAG:]));
    }

    /// @dev aad and ciphertext, each filled with zeros up to a multiple of 16, in free memory.
    function _message(Pack calldata pack, bytes calldata ciphertext) private pure returns (uint256 message) {
        bytes32 streamId = pack.streamId;
        uint256 numbers = (uint256(pack.keyEpoch) << 224) | (uint256(pack.seq) << 160);
        assembly ("memory-safe") {
            message := mload(0x40)
            mstore(message, streamId)
            mstore(add(message, 32), numbers)
            let start := add(message, AAD_PADDED)
            calldatacopy(start, ciphertext.offset, ciphertext.length)
            mstore(add(start, ciphertext.length), 0)
            mstore(0x40, and(add(add(start, ciphertext.length), 63), not(31)))
        }
    }
}
