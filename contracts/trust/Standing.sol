// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {TrustMath} from "./TrustMath.sol";

/// @title A provider's evidence in one word
/// @dev From the lowest bit: for each of three facets 24 bits for it and 24 against it, 24 bits that citizens gave in all,
/// 48 bits of the time of the last rating (Unix milliseconds), 32 bits of how many ratings there were.
library Standing {
    uint256 internal constant FACETS = 3;

    uint256 private constant MASK = type(uint24).max;
    uint256 private constant CITIZENS = 144;
    uint256 private constant TIME = 168;
    uint256 private constant COUNT = 216;

    /// @notice The evidence as it is worth now.
    function decayed(uint256 word, uint256 nowMs) internal pure returns (uint256 result) {
        uint256 since = lastMs(word);
        if (since >= nowMs) return word;
        uint256 factor = TrustMath.decayFactor(nowMs - since);
        // shift stays below 144
        unchecked {
            for (uint256 shift = 0; shift < CITIZENS; shift += 48) {
                result |= TrustMath.decayDown((word >> shift) & MASK, factor) << shift;
                result |= TrustMath.decayUp((word >> (shift + 24)) & MASK, factor) << (shift + 24);
            }
        }
        result |= TrustMath.decayUp(citizens(word), factor) << CITIZENS;
        result |= (nowMs << TIME) | (uint256(count(word)) << COUNT);
    }

    /// @notice Adds evidence to a facet of a word whose time is now; what would not fit is cut off.
    function add(uint256 word, uint256 facet, uint256 inFavour, uint256 against) internal pure returns (uint256) {
        // amounts of one rating are at most one unit, those kept below 2^24
        unchecked {
            uint256 shift = 48 * facet;
            inFavour += (word >> shift) & MASK;
            against += (word >> (shift + 24)) & MASK;
            if (inFavour > MASK) inFavour = MASK;
            if (against > MASK) against = MASK;
            return (word & ~(uint256(type(uint48).max) << shift)) | (inFavour << shift) | (against << (shift + 24));
        }
    }

    /// @notice Counts one rating, `weight` of it by a citizen.
    function counted(uint256 word, uint256 weight) internal pure returns (uint256) {
        // the caller keeps citizens' evidence at or below one unit
        unchecked {
            word += weight << CITIZENS;
            return count(word) == type(uint32).max ? word : word + (1 << COUNT);
        }
    }

    function evidence(uint256 word, uint256 facet) internal pure returns (uint256 inFavour, uint256 against) {
        inFavour = (word >> (48 * facet)) & MASK;
        against = (word >> (48 * facet + 24)) & MASK;
    }

    /// @notice One facet's evidence as it is worth now.
    function evidenceAt(
        uint256 word,
        uint256 facet,
        uint256 nowMs
    ) internal pure returns (uint256 inFavour, uint256 against) {
        (inFavour, against) = evidence(word, facet);
        uint256 since = lastMs(word);
        if (since >= nowMs) return (inFavour, against);
        uint256 factor = TrustMath.decayFactor(nowMs - since);
        return (TrustMath.decayDown(inFavour, factor), TrustMath.decayUp(against, factor));
    }

    function citizens(uint256 word) internal pure returns (uint256) {
        return (word >> CITIZENS) & MASK;
    }

    function lastMs(uint256 word) internal pure returns (uint64) {
        return uint48(word >> TIME);
    }

    function count(uint256 word) internal pure returns (uint32) {
        return uint32(word >> COUNT);
    }
}
