// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title The tree of a stream's keys
/// @dev Depth 32, one leaf a slot. left = H(0x00 ‖ node), right = H(0x01 ‖ node); the step from depth d takes bit 31−d of
/// the slot, 0 is left.
library KeyTree {
    /// @dev Walks from a node at `depth` above `slot` down to the slot's leaf. The caller checks that it is above.
    function leafOf(bytes32 node, uint8 depth, uint32 slot) internal pure returns (bytes32) {
        for (uint256 d = depth; d < 32; ++d) {
            uint256 bit = (slot >> (31 - d)) & 1;
            // keccak256(abi.encodePacked(uint8(bit), node)) in the scratch space
            assembly ("memory-safe") {
                mstore8(0x00, bit)
                mstore(0x01, node)
                node := keccak256(0x00, 0x21)
            }
        }
        return node;
    }

    /// @dev H(0x02 ‖ leaf ‖ aad), aad = streamId ‖ uint32 keyEpoch ‖ uint64 seq.
    function packKey(bytes32 leaf, bytes32 streamId, uint32 keyEpoch, uint64 seq) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(uint8(2), leaf, streamId, keyEpoch, seq));
    }

    /// @dev H(0x03 ‖ packKey), the field of the Pack.
    function commitment(bytes32 packKey_) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(uint8(3), packKey_));
    }
}
