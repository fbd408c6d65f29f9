// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @dev A self-certifying stream: its id is {ProtocolTypes-hashStream}.
struct Stream {
    bytes32 deviceId;
    uint32 ownerEpoch;
    bytes32 nameHash;
    bytes32 schemaHash;
    /// Seconds in one slot; 0 in mode 2.
    uint32 slotSeconds;
    /// 0 open, 1 sealed, 2 dataset.
    uint8 mode;
    bytes32 salt;
}

/// @dev One signed pack of readings; a leaf of an epoch is {ProtocolTypes-hashPack}.
struct Pack {
    bytes32 streamId;
    uint32 keyEpoch;
    uint64 seq;
    bytes32 headerDigest;
    bytes32 root;
    uint32 count;
    uint64 fromMs;
    uint64 toMs;
    uint32 slot;
    bytes32 keyCommitment;
    bytes32 contentDigest;
}

/// @dev What the oracles sign once a second; stored, chained and used as beacon as {ProtocolTypes-hashEpoch}.
struct Epoch {
    uint64 number;
    bytes32 prev;
    bytes32 root;
    uint32 packs;
    uint64 readings;
    uint64 fromMs;
    uint64 toMs;
    uint64 closedAt;
    uint64 stateBlock;
    bytes32 manifest;
    bytes32 configDigest;
}

/// @dev A committee from an epoch on; members ascending, organisations in the order of members.
struct Config {
    uint16 q;
    address[] members;
    bytes32[] organisations;
    uint64 fromEpoch;
}

/// @dev Everything that a sale depends on, pinned when it is paid; its id is {ProtocolTypes-hashDeal}.
struct Deal {
    address anchor;
    bytes32 streamId;
    address buyer;
    address seller;
    address deliverer;
    address fallbackDeliverer;
    address token;
    uint128 price;
    uint128 fee;
    uint128 bond;
    uint64 asOfEpoch;
    uint32 packs;
    uint64 readings;
    uint64 endMs;
    uint32 fromSlot;
    uint32 toSlot;
    bytes32 holesHash;
    uint16 nodes;
    bytes32 keysRoot;
    bytes32 purpose;
    uint64 erasures;
    uint32 deliverSeconds;
    uint32 complainSeconds;
    bytes32 nonce;
}

/// @dev What owner, registrars and the new key sign when a device enters.
struct Enrol {
    bytes32 deviceId;
    bytes32 ekHash;
    bytes32 akName;
    uint8 keyAlg;
    bytes32 keyHash;
    address owner;
    bytes32 organisation;
    bytes32 policyId;
    bytes32 evidenceDigest;
    uint256 nonce;
    uint64 deadline;
}

/// @dev What the committee saw of a provider in a range of epochs, counts of this range alone.
struct Facts {
    bytes32 provider;
    /// 1, 2, 3 … of this provider.
    uint32 number;
    uint64 fromEpoch;
    uint64 toEpoch;
    uint32 gaps;
    uint32 late;
    uint32 equivocations;
    /// Attestations that failed.
    uint32 attestations;
    /// Alerts of intrusion.
    uint32 intrusions;
    /// Disputes that were lost.
    uint32 disputes;
    /// Probes of availability that failed.
    uint32 probes;
    bytes32 configDigest;
}

/// @title EIP-712 `hashStruct` of the protocol's types
/// @notice Ids are these hashes without a domain; what is signed carries the domain of the contract that reads it.
/// @dev A struct of static fields lies in calldata as EIP-712 wants it encoded, one padded word a field, in order; so it
/// is hashed where it lies. A word with bits outside its field's type hashes to something that nobody has signed or
/// stored, and reverts when the field is read.
library ProtocolTypes {
    bytes32 internal constant STREAM_TYPEHASH = keccak256(
        "Stream(bytes32 deviceId,uint32 ownerEpoch,bytes32 nameHash,bytes32 schemaHash,uint32 slotSeconds,uint8 mode,bytes32 salt)"
    );
    bytes32 internal constant PACK_TYPEHASH = keccak256(
        "Pack(bytes32 streamId,uint32 keyEpoch,uint64 seq,bytes32 headerDigest,bytes32 root,uint32 count,uint64 fromMs,uint64 toMs,uint32 slot,bytes32 keyCommitment,bytes32 contentDigest)"
    );
    bytes32 internal constant EPOCH_TYPEHASH = keccak256(
        "Epoch(uint64 number,bytes32 prev,bytes32 root,uint32 packs,uint64 readings,uint64 fromMs,uint64 toMs,uint64 closedAt,uint64 stateBlock,bytes32 manifest,bytes32 configDigest)"
    );
    bytes32 internal constant CONFIG_TYPEHASH = keccak256(
        "Config(uint16 q,address[] members,bytes32[] organisations,uint64 fromEpoch)"
    );
    bytes32 internal constant DEAL_TYPEHASH = keccak256(
        "Deal(address anchor,bytes32 streamId,address buyer,address seller,address deliverer,address fallbackDeliverer,address token,uint128 price,uint128 fee,uint128 bond,uint64 asOfEpoch,uint32 packs,uint64 readings,uint64 endMs,uint32 fromSlot,uint32 toSlot,bytes32 holesHash,uint16 nodes,bytes32 keysRoot,bytes32 purpose,uint64 erasures,uint32 deliverSeconds,uint32 complainSeconds,bytes32 nonce)"
    );
    bytes32 internal constant ENROL_TYPEHASH = keccak256(
        "Enrol(bytes32 deviceId,bytes32 ekHash,bytes32 akName,uint8 keyAlg,bytes32 keyHash,address owner,bytes32 organisation,bytes32 policyId,bytes32 evidenceDigest,uint256 nonce,uint64 deadline)"
    );
    bytes32 internal constant FACTS_TYPEHASH = keccak256(
        "Facts(bytes32 provider,uint32 number,uint64 fromEpoch,uint64 toEpoch,uint32 gaps,uint32 late,uint32 equivocations,uint32 attestations,uint32 intrusions,uint32 disputes,uint32 probes,bytes32 configDigest)"
    );

    /// @dev `Stream.mode` of personal data, whose packs open only to the owner's seed holders.
    uint8 internal constant MODE_SEALED = 1;
    /// @dev `Stream.mode` of a data set: no slots, sold only once it has ended.
    uint8 internal constant MODE_DATASET = 2;

    function hashStream(Stream calldata stream) internal pure returns (bytes32 hash) {
        bytes32 typeHash = STREAM_TYPEHASH;
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, typeHash)
            calldatacopy(add(p, 32), stream, 224)
            hash := keccak256(p, 256)
        }
    }

    function hashPack(Pack calldata pack) internal pure returns (bytes32 hash) {
        bytes32 typeHash = PACK_TYPEHASH;
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, typeHash)
            calldatacopy(add(p, 32), pack, 352)
            hash := keccak256(p, 384)
        }
    }

    function hashEpoch(Epoch calldata epoch) internal pure returns (bytes32 hash) {
        bytes32 typeHash = EPOCH_TYPEHASH;
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, typeHash)
            calldatacopy(add(p, 32), epoch, 352)
            hash := keccak256(p, 384)
        }
    }

    function hashDeal(Deal calldata deal) internal pure returns (bytes32 hash) {
        bytes32 typeHash = DEAL_TYPEHASH;
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, typeHash)
            calldatacopy(add(p, 32), deal, 768)
            hash := keccak256(p, 800)
        }
    }

    function hashEnrol(Enrol calldata enrolment) internal pure returns (bytes32 hash) {
        bytes32 typeHash = ENROL_TYPEHASH;
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, typeHash)
            calldatacopy(add(p, 32), enrolment, 352)
            hash := keccak256(p, 384)
        }
    }

    function hashFacts(Facts calldata facts) internal pure returns (bytes32 hash) {
        bytes32 typeHash = FACTS_TYPEHASH;
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, typeHash)
            calldatacopy(add(p, 32), facts, 384)
            hash := keccak256(p, 416)
        }
    }

    /// @dev Arrays enter as the hash of their padded elements, which is what `abi.encodePacked` of an array gives.
    function hashConfig(Config memory config) internal pure returns (bytes32) {
        return
            keccak256(
                abi.encode(
                    CONFIG_TYPEHASH,
                    config.q,
                    keccak256(abi.encodePacked(config.members)),
                    keccak256(abi.encodePacked(config.organisations)),
                    config.fromEpoch
                )
            );
    }

    /// @dev Unix milliseconds of a window's end: the last of its last slot; 0 for a data set, which has ended when sold.
    function endMs(Stream calldata stream, uint32 toSlot) internal pure returns (uint256) {
        if (stream.mode == MODE_DATASET) return 0;
        return 1000 * uint256(stream.slotSeconds) * (uint256(toSlot) + 1) - 1;
    }

    /// @dev The block's time in the protocol's unit, Unix milliseconds.
    function nowMs() internal view returns (uint64) {
        return uint64(block.timestamp) * 1000;
    }
}
