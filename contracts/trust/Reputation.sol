// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {ERC20Burnable} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Burnable.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {IDirectory} from "../access/IDirectory.sol";
import {IDataAnchor} from "../data/IDataAnchor.sol";
import {Deal, Facts, ProtocolTypes} from "../data/ProtocolTypes.sol";
import {DealState, IEscrow, Status} from "../market/IEscrow.sol";
import {IOracleCommittee} from "../oracle/IOracleCommittee.sol";
import {Given} from "./Given.sol";
import {Facet, IReputation, Score, Tally} from "./IReputation.sol";
import {Standing} from "./Standing.sol";
import {TrustGraph} from "./TrustGraph.sol";
import {TrustMath} from "./TrustMath.sol";

/// @title Reputation
/// @dev No guard against re-entrance: nothing is held here, and the one call that moves tokens is the last of its function
/// and burns the caller's own.
contract Reputation is IReputation, TrustGraph, EIP712 {
    using Standing for uint256;

    struct Ledger {
        uint64 toEpoch;
        uint64 atMs;
        uint64 faults;
        uint32 proofs;
    }

    uint8 private constant FALLBACK = 0x80;
    uint8 private constant RELEASED = uint8(DealState.Released);
    uint8 private constant REFUNDED = uint8(DealState.Refunded);
    uint8 private constant RESOLVED = uint8(DealState.Resolved);
    bytes32 private constant ANCHOR = "DataAnchor";
    uint8 private constant NO_OPINION = 255;

    /// @dev Weights of facts, Q16: what the provider can only do on purpose or by carelessness weighs more.
    uint256 private constant GAP = TrustMath.ONE / 16;
    uint256 private constant LATE = TrustMath.ONE / 256;
    uint256 private constant EQUIVOCATION = 8 * TrustMath.ONE;
    uint256 private constant ATTESTATION = 4 * TrustMath.ONE;
    uint256 private constant INTRUSION = 2 * TrustMath.ONE;
    uint256 private constant DISPUTE = 4 * TrustMath.ONE;
    uint256 private constant PROBE = TrustMath.ONE / 2;
    uint256 private constant PROOF = 8 * TrustMath.ONE;

    IDirectory private immutable _directory;
    IEscrow private immutable _escrow;
    IOracleCommittee private immutable _committee;
    ERC20Burnable private immutable _token;

    mapping(bytes32 provider => uint256) private _standings;
    mapping(bytes32 rater => mapping(bytes32 provider => uint256)) private _given;
    mapping(bytes32 provider => Tally) private _tallies;
    mapping(bytes32 provider => Ledger) private _ledgers;
    mapping(bytes32 dealId => bool) private _faults;

    /// @param directory Organisations of accounts, and which anchor is current.
    /// @param escrow Whose deals may be rated.
    /// @param committee Whose reports count.
    /// @param token What raters burn: the city's own, without hooks.
    /// @param founders One to 64 organisations that the graph score starts from.
    constructor(
        IDirectory directory,
        IEscrow escrow,
        IOracleCommittee committee,
        ERC20Burnable token,
        bytes32[] memory founders
    ) TrustGraph(founders) EIP712("Reputation", "1") {
        _directory = directory;
        _escrow = escrow;
        _committee = committee;
        _token = token;
    }

    /// @inheritdoc IReputation
    function rate(Deal calldata deal, Status calldata status, bytes3 values, uint64 fee) external {
        if (msg.sender != deal.buyer) revert Reputation_NotBuyer(deal.buyer, msg.sender);
        bytes32 dealId = _finished(deal, status);
        (bytes32 rater, bool citizen) = providerOf(msg.sender);
        (bytes32 provider, ) = providerOf(deal.seller);
        if (rater == provider) revert Reputation_OwnProvider(provider);
        uint256 weight = _weight(rater, fee);
        if (weight == 0) revert Reputation_FeeTooSmall(fee);

        uint256 nowMs = ProtocolTypes.nowMs();
        uint256 standing = _standings[provider].decayed(nowMs);
        uint256 given = _given[rater][provider];
        (uint256 inFavour, uint256 against) = Given.decayed(given, nowMs);
        uint256 room = _room(inFavour + against, standing, citizen);
        if (weight > room) revert Reputation_CapReached(room, weight);
        uint112 cursor = Given.cursorOf(status.at, dealId);
        if (cursor <= Given.cursor(given)) revert Reputation_OutOfOrder(dealId, Given.cursor(given));

        uint256 good;
        (standing, good) = _addOpinions(standing, values, weight);
        _standings[provider] = standing.counted(citizen ? weight : 0);
        _given[rater][provider] = Given.pack(inFavour + good, against + weight - good, nowMs, cursor);
        emit Rated(provider, rater, dealId, values, fee, weight);
        _token.burnFrom(msg.sender, fee);
    }

    /// @inheritdoc IReputation
    function report(Facts calldata facts, bytes calldata signatures) external {
        Tally memory tally = _tallies[facts.provider];
        Ledger memory ledger = _ledgers[facts.provider];
        if (facts.number != tally.number + 1) revert Reputation_WrongNumber(tally.number + 1, facts.number);
        (uint64 latest, , , ) = IDataAnchor(_directory.addressOf(ANCHOR)).latest();
        uint64 from = tally.number == 0 ? facts.fromEpoch : ledger.toEpoch + 1;
        if (facts.fromEpoch != from || facts.toEpoch < from || facts.toEpoch > latest) {
            revert Reputation_WrongEpochs(from, latest, facts.fromEpoch, facts.toEpoch);
        }
        _committee.verify(latest, facts.configDigest, _hashTypedDataV4(ProtocolTypes.hashFacts(facts)), signatures);

        ledger.toEpoch = facts.toEpoch;
        _addFaults(ledger, _faultsOf(facts));
        _ledgers[facts.provider] = ledger;
        _tallies[facts.provider] = Tally({
            number: facts.number,
            gaps: _plus(tally.gaps, facts.gaps),
            late: _plus(tally.late, facts.late),
            equivocations: _plus(tally.equivocations, facts.equivocations),
            attestations: _plus(tally.attestations, facts.attestations),
            intrusions: _plus(tally.intrusions, facts.intrusions),
            disputes: _plus(tally.disputes, facts.disputes),
            probes: _plus(tally.probes, facts.probes)
        });
        emit FactsReported(facts.provider, facts.number, facts);
    }

    /// @inheritdoc IReputation
    function countFault(Deal calldata deal, Status calldata status) external {
        bytes32 dealId = _finished(deal, status);
        if (status.state & ~FALLBACK != REFUNDED) revert Reputation_NoFault(dealId, status.state);
        if (_faults[dealId]) revert Reputation_FaultKnown(dealId);
        _faults[dealId] = true;
        (bytes32 provider, ) = providerOf(status.state & FALLBACK == 0 ? deal.deliverer : deal.fallbackDeliverer);
        Ledger memory ledger = _ledgers[provider];
        _addFaults(ledger, PROOF);
        ledger.proofs = _plus(ledger.proofs, 1);
        _ledgers[provider] = ledger;
        emit FaultCounted(provider, dealId);
    }

    /// @inheritdoc IReputation
    function scoreOf(bytes32 provider, Facet facet) external view returns (Score memory) {
        uint64 last = _standings[provider].lastMs();
        uint256 standing = _standingOf(provider);
        (uint256 inFavour, uint256 against) = standing.evidence(uint256(facet));
        return
            Score({
                mean: uint32(TrustMath.meanOf(inFavour, against)),
                lower: uint32(TrustMath.lowerOf(inFavour, against)),
                ageMs: last == 0 ? 0 : ProtocolTypes.nowMs() - last,
                count: standing.count()
            });
    }

    /// @inheritdoc IReputation
    function objectiveOf(bytes32 provider) external view returns (uint32 score, Tally memory tally, uint32 proofs) {
        Ledger memory ledger = _ledgers[provider];
        _addFaults(ledger, 0);
        return (uint32(TrustMath.objectiveOf(ledger.faults)), _tallies[provider], ledger.proofs);
    }

    /// @inheritdoc IReputation
    function roomOf(address rater, bytes32 provider) external view returns (uint256) {
        (bytes32 id, bool citizen) = providerOf(rater);
        (uint256 inFavour, uint256 against) = Given.decayed(_given[id][provider], ProtocolTypes.nowMs());
        return _room(inFavour + against, _standingOf(provider), citizen);
    }

    /// @inheritdoc IReputation
    function weightOf(address rater, uint64 fee) external view returns (uint256) {
        (bytes32 id, ) = providerOf(rater);
        return _weight(id, fee);
    }

    /// @inheritdoc IReputation
    function boundOf(uint256 organisations_) external pure returns (uint32) {
        return uint32(TrustMath.boundOf(organisations_));
    }

    /// @inheritdoc IReputation
    function providerOf(address account) public view returns (bytes32 id, bool citizen) {
        id = _directory.organisationOf(account);
        citizen = id == 0;
        if (citizen) id = keccak256(abi.encode("msec.citizen", account));
    }

    function _organisationOf(address account) internal view override returns (bytes32) {
        return _directory.organisationOf(account);
    }

    function _netRating(bytes32 from, bytes32 to) internal view override returns (uint256) {
        (uint256 inFavour, uint256 against) = Given.decayed(_given[from][to], ProtocolTypes.nowMs());
        return inFavour > against ? inFavour - against : 0;
    }

    /// @dev A deal that was delivered and has ended; a word is never cleared, so this holds for ever.
    function _finished(Deal calldata deal, Status calldata status) private view returns (bytes32 dealId) {
        dealId = ProtocolTypes.hashDeal(deal);
        bytes32 word = _escrow.statusWord(dealId);
        if (word != keccak256(abi.encode(status))) revert Reputation_WrongStatus(dealId, word);
        uint8 state = status.state & ~FALLBACK;
        if ((state != RELEASED && state != REFUNDED && state != RESOLVED) || status.deliveryHash == 0) {
            revert Reputation_NotDelivered(dealId, status.state);
        }
    }

    function _weight(bytes32 rater, uint256 fee) private view returns (uint256) {
        (uint256 inFavour, uint256 against) = _standings[rater].evidenceAt(
            uint256(Facet.Conduct),
            ProtocolTypes.nowMs()
        );
        return TrustMath.weightOf(fee, TrustMath.lowerOf(inFavour, against));
    }

    function _standingOf(bytes32 provider) private view returns (uint256) {
        return _standings[provider].decayed(ProtocolTypes.nowMs());
    }

    function _room(uint256 used, uint256 standing, bool citizen) private pure returns (uint256) {
        uint256 cap = citizen ? TrustMath.ACCOUNT_CAP : TrustMath.PAIR_CAP;
        uint256 room = used > cap ? 0 : cap - used;
        if (!citizen) return room;
        uint256 pool = standing.citizens();
        return pool > TrustMath.PAIR_CAP ? 0 : Math.min(room, TrustMath.PAIR_CAP - pool);
    }

    /// @return The standing with this rating's evidence in each facet with an opinion.
    /// @return good The part of the weight that was in favour, on average.
    function _addOpinions(
        uint256 standing,
        bytes3 values,
        uint256 weight
    ) private pure returns (uint256, uint256 good) {
        uint256 opinions;
        for (uint256 facet = 0; facet < Standing.FACETS; ++facet) {
            uint8 value = uint8(values[facet]);
            if (value == NO_OPINION) continue;
            if (value > 100) revert Reputation_WrongValue(value);
            // weights are at most one unit
            unchecked {
                uint256 inFavour = (weight * value) / 100;
                standing = standing.add(facet, inFavour, weight - inFavour);
                good += inFavour;
                ++opinions;
            }
        }
        if (opinions == 0) revert Reputation_NoOpinion();
        return (standing, good / opinions);
    }

    function _faultsOf(Facts calldata facts) private pure returns (uint256) {
        return
            facts.gaps * GAP +
            facts.late * LATE +
            facts.equivocations * EQUIVOCATION +
            facts.attestations * ATTESTATION +
            facts.intrusions * INTRUSION +
            facts.disputes * DISPUTE +
            facts.probes * PROBE;
    }

    /// @dev Brings the ledger to now and adds.
    function _addFaults(Ledger memory ledger, uint256 faults) private view {
        uint64 nowMs = ProtocolTypes.nowMs();
        if (ledger.atMs != nowMs) {
            faults += TrustMath.decayUp(ledger.faults, TrustMath.decayFactor(nowMs - ledger.atMs));
        } else {
            faults += ledger.faults;
        }
        ledger.faults = uint64(Math.min(faults, type(uint64).max));
        ledger.atMs = nowMs;
    }

    function _plus(uint32 a, uint32 b) private pure returns (uint32) {
        return uint32(Math.min(uint256(a) + b, type(uint32).max));
    }
}
