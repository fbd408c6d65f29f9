// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {SubscriptionOffer, SubscriptionTerms} from "./ISubscription.sol";

/// @title EIP-712 `hashStruct` of offers of and terms of subscriptions
/// @dev Hashed where they lie in calldata, as {ProtocolTypes} does. Terms begin with the fields of their offer.
library SubscriptionTypes {
    bytes32 internal constant OFFER_TYPEHASH = keccak256(
        "SubscriptionOffer(bytes32 streamId,address seller,address deliverer,address fallbackDeliverer,address token,uint128 slotPrice,uint16 feePerMille,uint128 bond,uint8 depth,uint32 slotSeconds,uint32 deliverSeconds,uint32 complainSeconds,uint32 silenceSeconds,bytes32 licence)"
    );
    bytes32 internal constant TERMS_TYPEHASH = keccak256(
        "SubscriptionTerms(bytes32 streamId,address seller,address deliverer,address fallbackDeliverer,address token,uint128 slotPrice,uint16 feePerMille,uint128 bond,uint8 depth,uint32 slotSeconds,uint32 deliverSeconds,uint32 complainSeconds,uint32 silenceSeconds,bytes32 licence,address anchor,address buyer,uint256 keyX,uint8 keyV,uint32 fromBatch,bytes32 purpose,uint64 erasures,bytes32 nonce)"
    );

    function hashOffer(SubscriptionOffer calldata offer) internal pure returns (bytes32 hash) {
        bytes32 typeHash = OFFER_TYPEHASH;
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, typeHash)
            calldatacopy(add(p, 32), offer, 448)
            hash := keccak256(p, 480)
        }
    }

    /// @dev The hash of the offer that these terms take.
    function hashOfferOf(SubscriptionTerms calldata terms) internal pure returns (bytes32 hash) {
        bytes32 typeHash = OFFER_TYPEHASH;
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, typeHash)
            calldatacopy(add(p, 32), terms, 448)
            hash := keccak256(p, 480)
        }
    }

    function hashTerms(SubscriptionTerms calldata terms) internal pure returns (bytes32 hash) {
        bytes32 typeHash = TERMS_TYPEHASH;
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, typeHash)
            calldatacopy(add(p, 32), terms, 704)
            hash := keccak256(p, 736)
        }
    }
}
