// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {TrustMath} from "./TrustMath.sol";

/// @title What one rater gave one provider, in one word
/// @dev From the lowest bit: 24 bits of evidence for it, 24 against it, 48 of the time of the last rating (Unix
/// milliseconds), 112 of the cursor: when the deal that was rated last had finished, and the first 64 bits of its id.
library Given {
    uint256 private constant MASK = type(uint24).max;
    uint256 private constant TIME = 48;
    uint256 private constant CURSOR = 96;

    function pack(uint256 inFavour, uint256 against, uint256 nowMs, uint256 cursor_) internal pure returns (uint256) {
        return inFavour | (against << 24) | (nowMs << TIME) | (cursor_ << CURSOR);
    }

    /// @notice The evidence as it is worth now, both rounded up, so that it never exceeds a cap unseen.
    function decayed(uint256 word, uint256 nowMs) internal pure returns (uint256 inFavour, uint256 against) {
        (inFavour, against) = (word & MASK, (word >> 24) & MASK);
        uint256 since = uint48(word >> TIME);
        if (since == 0 || since == nowMs) return (inFavour, against);
        uint256 factor = TrustMath.decayFactor(nowMs - since);
        return (TrustMath.decayUp(inFavour, factor), TrustMath.decayUp(against, factor));
    }

    function cursor(uint256 word) internal pure returns (uint112) {
        return uint112(word >> CURSOR);
    }

    function cursorOf(uint64 finishedMs, bytes32 dealId) internal pure returns (uint112) {
        return (uint112(uint48(finishedMs)) << 64) | uint64(uint256(dealId) >> 192);
    }
}
