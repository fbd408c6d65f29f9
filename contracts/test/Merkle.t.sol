// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

/// @dev OpenZeppelin's array form, written from PROTOCOL: tree[2n−2−i] = leaf i, inner nodes the hash of the sorted pair.
library Merkle {
    function tree(bytes32[] memory leaves) internal pure returns (bytes32[] memory nodes) {
        uint256 n = leaves.length;
        nodes = new bytes32[](2 * n - 1);
        for (uint256 i = 0; i < n; ++i) nodes[2 * n - 2 - i] = leaves[i];
        for (uint256 j = n - 1; j > 0; --j) {
            (bytes32 a, bytes32 b) = (nodes[2 * j - 1], nodes[2 * j]);
            nodes[j - 1] = keccak256(a < b ? abi.encode(a, b) : abi.encode(b, a));
        }
    }

    function root(bytes32[] memory leaves) internal pure returns (bytes32) {
        return tree(leaves)[0];
    }

    function proof(bytes32[] memory leaves, uint256 index) internal pure returns (bytes32[] memory path) {
        bytes32[] memory nodes = tree(leaves);
        uint256 at_ = 2 * leaves.length - 2 - index;
        uint256 length;
        for (uint256 k = at_; k > 0; k = (k - 1) / 2) ++length;
        path = new bytes32[](length);
        for (uint256 i = 0; i < length; ++i) {
            path[i] = nodes[at_ % 2 == 1 ? at_ + 1 : at_ - 1];
            at_ = (at_ - 1) / 2;
        }
    }
}
