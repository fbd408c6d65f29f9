// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @dev What a seller signs: it sells up to `amount` units of the stream, in any windows inside its own, on these terms.
struct Offer {
    address seller;
    bytes32 streamId;
    /// First and last slot that may be bought, inclusive. Both 0 for a data set.
    uint32 fromSlot;
    uint32 toSlot;
    address deliverer;
    /// Zero: none.
    address fallbackDeliverer;
    address token;
    /// For one reading (modes open and dataset) or one pack (sealed), in the token's base units. This is what is paid.
    uint128 unitPrice;
    /// Part of the price that goes to whoever delivers, in thousandths: fee = ⌊price · feePerMille / 1000⌋.
    uint16 feePerMille;
    uint128 bond;
    uint32 deliverSeconds;
    uint32 complainSeconds;
    /// Hash of the exact text of the licence.
    bytes32 terms;
    /// Units that all offers of this seller under `salt` may fill in all.
    uint64 amount;
    bytes32 salt;
    /// The seller's counter when it signed.
    uint64 counter;
    /// Unix milliseconds, inclusive.
    uint64 deadline;
}

/// @dev What a buyer signs: it takes exactly this window with these keys of its own, on terms no worse than these.
/// Requests under one `nonce` are alternatives: at most one of them is ever filled.
struct Request {
    address buyer;
    address anchor;
    bytes32 streamId;
    uint32 fromSlot;
    uint32 toSlot;
    bytes32 holesHash;
    uint64 asOfEpoch;
    uint32 packs;
    uint64 readings;
    uint64 erasures;
    uint16 nodes;
    bytes32 keysRoot;
    bytes32 purpose;
    address deliverer;
    address fallbackDeliverer;
    address token;
    uint128 maxPrice;
    uint128 minBond;
    uint32 maxDeliverSeconds;
    uint32 minComplainSeconds;
    bytes32 terms;
    /// Becomes the deal's nonce. Those that differ in the last byte alone share a word of storage.
    bytes32 nonce;
    /// The buyer's counter when it signed.
    uint64 counter;
    /// Unix milliseconds, inclusive.
    uint64 deadline;
}

/// @title EIP-712 `hashStruct` of orders
/// @dev Hashed where they lie in calldata, as in {ProtocolTypes}.
library Orders {
    bytes32 internal constant OFFER_TYPEHASH = keccak256(
        "Offer(address seller,bytes32 streamId,uint32 fromSlot,uint32 toSlot,address deliverer,address fallbackDeliverer,address token,uint128 unitPrice,uint16 feePerMille,uint128 bond,uint32 deliverSeconds,uint32 complainSeconds,bytes32 terms,uint64 amount,bytes32 salt,uint64 counter,uint64 deadline)"
    );
    bytes32 internal constant REQUEST_TYPEHASH = keccak256(
        "Request(address buyer,address anchor,bytes32 streamId,uint32 fromSlot,uint32 toSlot,bytes32 holesHash,uint64 asOfEpoch,uint32 packs,uint64 readings,uint64 erasures,uint16 nodes,bytes32 keysRoot,bytes32 purpose,address deliverer,address fallbackDeliverer,address token,uint128 maxPrice,uint128 minBond,uint32 maxDeliverSeconds,uint32 minComplainSeconds,bytes32 terms,bytes32 nonce,uint64 counter,uint64 deadline)"
    );

    function hashOffer(Offer calldata offer) internal pure returns (bytes32 hash) {
        bytes32 typeHash = OFFER_TYPEHASH;
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, typeHash)
            calldatacopy(add(p, 32), offer, 544)
            hash := keccak256(p, 576)
        }
    }

    function hashRequest(Request calldata request) internal pure returns (bytes32 hash) {
        bytes32 typeHash = REQUEST_TYPEHASH;
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, typeHash)
            calldatacopy(add(p, 32), request, 768)
            hash := keccak256(p, 800)
        }
    }
}
