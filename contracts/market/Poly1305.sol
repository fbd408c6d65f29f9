// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Poly1305 over whole blocks (RFC 8439, section 2.5)
library Poly1305 {
    /// @dev 2^130 − 5
    uint256 private constant P = 0x3fffffffffffffffffffffffffffffffb;

    /// @notice Goes on with a sum over `length` bytes of memory.
    /// @param sum 0 at first; below P.
    /// @param r Multiplier, clamped.
    /// @param pointer Where the bytes start.
    /// @param length A multiple of 16. Up to 16 bytes after the end are read and not used.
    function absorb(uint256 sum, uint256 r, uint256 pointer, uint256 length) internal pure returns (uint256) {
        assembly ("memory-safe") {
            let end := add(pointer, and(length, not(31)))
            for {} lt(pointer, end) {
                pointer := add(pointer, 32)
            } {
                let pair := mload(pointer)
                // Reverses the bytes of each half: the first block becomes the high half, little-endian.
                pair := or(
                    shl(8, and(pair, 0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff)),
                    and(shr(8, pair), 0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff)
                )
                pair := or(
                    shl(16, and(pair, 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff)),
                    and(shr(16, pair), 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff)
                )
                pair := or(
                    shl(32, and(pair, 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff)),
                    and(shr(32, pair), 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff)
                )
                pair := or(
                    shl(64, and(pair, 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff)),
                    and(shr(64, pair), 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff)
                )
                sum := mulmod(add(sum, or(shr(128, pair), shl(128, 1))), r, P)
                sum := mulmod(add(sum, or(and(pair, sub(shl(128, 1), 1)), shl(128, 1))), r, P)
            }
        }
        if (length & 16 == 0) return sum;
        bytes16 last;
        assembly ("memory-safe") {
            last := and(mload(pointer), not(sub(shl(128, 1), 1)))
        }
        return absorb(sum, r, littleEndian(last));
    }

    /// @notice Goes on with a sum over one block, given as its little-endian number.
    function absorb(uint256 sum, uint256 r, uint256 block_) internal pure returns (uint256) {
        return mulmod(sum + (block_ | (1 << 128)), r, P);
    }

    /// @return The tag as its little-endian number.
    function tag(uint256 sum, uint256 s) internal pure returns (uint256) {
        return uint128(sum + s);
    }

    /// @return number Of 16 bytes in little-endian order.
    function littleEndian(bytes16 bytes_) internal pure returns (uint256 number) {
        number = uint128(bytes_);
        number =
            ((number & 0x00ff00ff00ff00ff00ff00ff00ff00ff) << 8) | ((number >> 8) & 0x00ff00ff00ff00ff00ff00ff00ff00ff);
        number =
            ((number & 0x0000ffff0000ffff0000ffff0000ffff) << 16) |
            ((number >> 16) & 0x0000ffff0000ffff0000ffff0000ffff);
        number =
            ((number & 0x00000000ffffffff00000000ffffffff) << 32) |
            ((number >> 32) & 0x00000000ffffffff00000000ffffffff);
        number = uint128(number << 64) | (number >> 64);
    }
}
