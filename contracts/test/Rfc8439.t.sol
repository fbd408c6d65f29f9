// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

/// @dev ChaCha20 and Poly1305 as RFC 8439 writes them down, word by word, so that the fast ones are checked against it.
library Rfc8439 {
    uint256 private constant P = (1 << 130) - 5;

    function tag(
        bytes32 key,
        bytes12 nonce,
        bytes memory aad,
        bytes memory ciphertext
    ) internal pure returns (bytes16) {
        bytes memory message = bytes.concat(
            _padded(aad),
            _padded(ciphertext),
            _le64(aad.length),
            _le64(ciphertext.length)
        );
        return poly1305(block_(key, 0, nonce), message);
    }

    /// @dev Section 2.3: the first 32 bytes of a block.
    function block_(bytes32 key, uint32 counter, bytes12 nonce) internal pure returns (bytes32 out) {
        uint32[16] memory initial;
        (initial[0], initial[1], initial[2], initial[3]) = (0x61707865, 0x3320646e, 0x79622d32, 0x6b206574);
        for (uint256 i = 0; i < 8; ++i) initial[4 + i] = _word(key, 4 * i);
        initial[12] = counter;
        for (uint256 i = 0; i < 3; ++i) initial[13 + i] = _word(nonce, 4 * i);
        uint32[16] memory x;
        for (uint256 i = 0; i < 16; ++i) x[i] = initial[i];
        for (uint256 round = 0; round < 10; ++round) {
            _quarter(x, 0, 4, 8, 12);
            _quarter(x, 1, 5, 9, 13);
            _quarter(x, 2, 6, 10, 14);
            _quarter(x, 3, 7, 11, 15);
            _quarter(x, 0, 5, 10, 15);
            _quarter(x, 1, 6, 11, 12);
            _quarter(x, 2, 7, 8, 13);
            _quarter(x, 3, 4, 9, 14);
        }
        unchecked {
            for (uint256 i = 0; i < 32; ++i) {
                uint32 word = x[i / 4] + initial[i / 4];
                out |= bytes32(bytes1(uint8(word >> (8 * (i % 4))))) >> (8 * i);
            }
        }
    }

    /// @dev Section 2.5, for a message of any length.
    function poly1305(bytes32 key, bytes memory message) internal pure returns (bytes16) {
        uint256 r = _number(bytes.concat(key), 0, 16) & 0x0ffffffc0ffffffc0ffffffc0fffffff;
        uint256 s = _number(bytes.concat(key), 16, 16);
        uint256 sum;
        for (uint256 i = 0; i < message.length; i += 16) {
            uint256 n = message.length - i < 16 ? message.length - i : 16;
            sum = mulmod(sum + _number(message, i, n) + (1 << (8 * n)), r, P);
        }
        bytes memory le = bytes.concat(_le64(uint64(sum + s)), _le64(uint64((sum + s) >> 64)));
        return bytes16(le);
    }

    function _quarter(uint32[16] memory x, uint256 a, uint256 b, uint256 c, uint256 d) private pure {
        unchecked {
            x[a] += x[b];
            x[d] = _left(x[d] ^ x[a], 16);
            x[c] += x[d];
            x[b] = _left(x[b] ^ x[c], 12);
            x[a] += x[b];
            x[d] = _left(x[d] ^ x[a], 8);
            x[c] += x[d];
            x[b] = _left(x[b] ^ x[c], 7);
        }
    }

    function _left(uint32 x, uint8 n) private pure returns (uint32) {
        return (x << n) | (x >> (32 - n));
    }

    function _word(bytes32 from, uint256 at_) private pure returns (uint32 word) {
        for (uint256 i = 0; i < 4; ++i) word |= uint32(uint8(from[at_ + i])) << uint32(8 * i);
    }

    function _number(bytes memory from, uint256 at_, uint256 n) private pure returns (uint256 number) {
        for (uint256 i = 0; i < n; ++i) number |= uint256(uint8(from[at_ + i])) << (8 * i);
    }

    function _le64(uint256 number) private pure returns (bytes memory out) {
        out = new bytes(8);
        for (uint256 i = 0; i < 8; ++i) out[i] = bytes1(uint8(number >> (8 * i)));
    }

    function _padded(bytes memory from) private pure returns (bytes memory) {
        return bytes.concat(from, new bytes((16 - (from.length % 16)) % 16));
    }
}
