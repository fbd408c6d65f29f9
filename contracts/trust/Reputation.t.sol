// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {Deal, Facts, ProtocolTypes} from "../data/ProtocolTypes.sol";
import {KeyNode, Status} from "../market/IEscrow.sol";
import {IOracleCommittee} from "../oracle/IOracleCommittee.sol";
import {Facet, IReputation, Score, Tally} from "./IReputation.sol";
import {TrustFixture} from "./TrustFixture.t.sol";
import {TrustMath} from "./TrustMath.sol";

/// @dev A token that comes back while it burns.
contract ReenteringToken {
    IReputation public reputation;
    bytes public call;
    bool public entered;

    function set(IReputation reputation_, bytes calldata call_) external {
        (reputation, call) = (reputation_, call_);
    }

    function burnFrom(address, uint256) external {
        (entered, ) = address(reputation).call(call);
    }
}

/// @dev What the graph takes from the ratings.
contract ReputationGraphTest is TrustFixture {
    function test_graph_whenAFounderIsContent_itsTrustGoesToWhomItRated() external {
        deployTrust();
        (address founder, address praised, address blamed) = (member(0), member(11), member(12));
        reputation.enter(praised);
        reputation.enter(blamed);
        rate(founder, praised, all(100), 1e6);
        rate(founder, blamed, all(0), 1e6);
        vm.warp(block.timestamp + 1 days);
        reputation.begin();
        reputation.compute(20);
        (uint32 ofPraised, ) = reputation.graphScoreOf(organisation(11));
        (uint32 ofBlamed, ) = reputation.graphScoreOf(organisation(12));
        assertTrue(ofPraised > 0, "rated well by a founder");
        assertEq(ofBlamed, 0, "a bad rating is no trust");
    }
}

contract ReputationTest is TrustFixture {
    address private _buyer;
    address private _seller;
    bytes32 private _provider;

    function setUp() external {
        deployTrust();
        _buyer = member(11);
        _seller = member(12);
        _provider = organisation(12);
    }

    /* RATE */

    function test_rate_whenGood_scoreRisesAndTheFeeIsBurnt() external {
        (Deal memory d, Status memory s) = finished(_buyer, _seller, 3, "a");
        uint256 supply = token.totalSupply();
        vm.expectEmit(address(reputation));
        emit IReputation.Rated(_provider, organisation(11), hashDeal(d), values(100, 50, NONE), 400_000, 6553);
        vm.prank(_buyer);
        reputation.rate(d, s, values(100, 50, NONE), 400_000);
        assertEq(supply - token.totalSupply(), 400_000, "burnt");
        assertTrue(_mean(Facet.Delivery) > _base() && _mean(Facet.Quality) > _base(), "good");
        assertTrue(_mean(Facet.Delivery) > _mean(Facet.Quality), "better");
        assertEq(_mean(Facet.Conduct), _base(), "no opinion");
        Score memory score = reputation.scoreOf(_provider, Facet.Delivery);
        assertEq(score.count, 1, "count");
        pass(10);
        assertEq(reputation.scoreOf(_provider, Facet.Delivery).ageMs, 10_000, "age");
    }

    function test_rate_whenBad_scoreFalls() external {
        rate(_buyer, _seller, all(0), 4e6);
        assertTrue(_mean(Facet.Delivery) < _base(), "below base");
        assertEq(reputation.scoreOf(_provider, Facet.Delivery).lower, 0, "lower");
    }

    function test_rate_whenNotTheBuyer_itReverts() external {
        (Deal memory d, Status memory s) = finished(_buyer, _seller, 3, "a");
        vm.expectRevert(abi.encodeWithSelector(IReputation.Reputation_NotBuyer.selector, _buyer, _seller));
        vm.prank(_seller);
        reputation.rate(d, s, all(100), 1e6);
    }

    function testFuzz_rate_whenTheDealIsNotDeliveredAndFinished_itReverts(uint8 state, bool delivered) external {
        Deal memory d;
        Status memory s;
        (d, s) = finished(_buyer, _seller, state, "a");
        if (!delivered) s.deliveryHash = 0;
        words.set(hashDeal(d), word(s));
        bool good = delivered && (state & 0x7f == 3 || state & 0x7f == 4 || state & 0x7f == 6);
        if (!good) {
            vm.expectRevert(abi.encodeWithSelector(IReputation.Reputation_NotDelivered.selector, hashDeal(d), state));
        }
        vm.prank(_buyer);
        reputation.rate(d, s, all(100), 1e6);
    }

    function testFuzz_rate_whenTheStatusIsMadeUp_itReverts(bool known, uint64 at, bytes32 hash) external {
        (Deal memory d, Status memory s) = finished(_buyer, _seller, 3, "a");
        if (!known) d.nonce = "unknown";
        else vm.assume(at != s.at || hash != s.deliveryHash);
        (s.at, s.deliveryHash) = (at, hash);
        vm.expectPartialRevert(IReputation.Reputation_WrongStatus.selector);
        vm.prank(_buyer);
        reputation.rate(d, s, all(100), 1e6);
    }

    function test_rate_whenTwice_itReverts() external {
        (Deal memory d, Status memory s) = finished(_buyer, _seller, 3, "a");
        vm.startPrank(_buyer);
        reputation.rate(d, s, values(100, NONE, NONE), 1e5);
        vm.expectPartialRevert(IReputation.Reputation_OutOfOrder.selector);
        reputation.rate(d, s, values(NONE, 100, NONE), 1e5);
    }

    function test_rate_whenALaterDealWasRated_theEarlierIsClosed() external {
        (Deal memory first, Status memory s1) = finished(_buyer, _seller, 3, "a");
        pass(1);
        (Deal memory second, Status memory s2) = finished(_buyer, _seller, 4, "b");
        (Deal memory other, Status memory s3) = finished(_buyer, member(13), 3, "c");
        vm.startPrank(_buyer);
        reputation.rate(second, s2, all(0), 1e5);
        reputation.rate(other, s3, all(50), 1e5);
        vm.expectPartialRevert(IReputation.Reputation_OutOfOrder.selector);
        reputation.rate(first, s1, all(100), 1e5);
    }

    function testFuzz_rate_whenDealsFinishedInOneBlock_eachCountsOnce(bytes32 a, bytes32 b) external {
        vm.assume(a != b);
        (Deal memory one, Status memory s1) = finished(_buyer, _seller, 3, a);
        (Deal memory two, Status memory s2) = finished(_buyer, _seller, 3, b);
        if (hashDeal(one) > hashDeal(two)) (one, two, s1, s2) = (two, one, s2, s1);
        vm.startPrank(_buyer);
        reputation.rate(one, s1, all(100), 1e5);
        reputation.rate(two, s2, all(100), 1e5);
        vm.expectPartialRevert(IReputation.Reputation_OutOfOrder.selector);
        reputation.rate(one, s1, all(100), 1e5);
    }

    function test_rate_whenItIsOnesOwn_itReverts() external {
        address colleague = member(14);
        directory.setOrganisation(colleague, organisation(12));
        (Deal memory d, Status memory s) = finished(colleague, _seller, 3, "a");
        vm.expectRevert(abi.encodeWithSelector(IReputation.Reputation_OwnProvider.selector, _provider));
        vm.prank(colleague);
        reputation.rate(d, s, all(100), 1e6);
    }

    function test_rate_whenValuesOrFeeAreWrong_itReverts() external {
        (Deal memory d, Status memory s) = finished(_buyer, _seller, 3, "a");
        vm.startPrank(_buyer);
        vm.expectRevert(IReputation.Reputation_NoOpinion.selector);
        reputation.rate(d, s, all(NONE), 1e6);
        vm.expectRevert(abi.encodeWithSelector(IReputation.Reputation_WrongValue.selector, 101));
        reputation.rate(d, s, values(NONE, 101, 3), 1e6);
        vm.expectRevert(abi.encodeWithSelector(IReputation.Reputation_FeeTooSmall.selector, uint64(61)));
        reputation.rate(d, s, all(1), 61);
        vm.expectRevert(abi.encodeWithSelector(IReputation.Reputation_CapReached.selector, 65_536, 65_536 + 16));
        reputation.rate(d, s, all(1), 4e6 + 1000);
        token.approve(address(reputation), 1);
        vm.expectRevert();
        reputation.rate(d, s, all(1), 1e6);
    }

    function test_rate_whenTheTokenReenters_itCountsOnce() external {
        ReenteringToken hostile = new ReenteringToken();
        bytes32[] memory founders = new bytes32[](1);
        founders[0] = "f";
        reputation = IReputation(create("Reputation", abi.encode(directory, words, committee, hostile, founders)));
        (Deal memory d, Status memory s) = finished(address(hostile), _seller, 3, "a");
        directory.setOrganisation(address(hostile), organisation(20));
        hostile.set(reputation, abi.encodeCall(IReputation.rate, (d, s, all(100), 1e5)));
        vm.prank(address(hostile));
        reputation.rate(d, s, all(100), 1e5);
        assertTrue(!hostile.entered(), "refused inside");
        assertEq(reputation.scoreOf(_provider, Facet.Quality).count, 1, "once");
    }

    /* CAPS */

    function test_cap_onePairHasOneUnit() external {
        rate(_buyer, _seller, all(100), 4e6);
        assertEq(reputation.roomOf(_buyer, _provider), 0, "full");
        address colleague = member(14);
        directory.setOrganisation(colleague, organisation(11));
        assertEq(reputation.roomOf(colleague, _provider), 0, "the organisation's, not the account's");
        assertEq(reputation.roomOf(member(15), _provider), 65_536, "another's is whole");
        pass(90 days);
        assertEq(reputation.roomOf(_buyer, _provider), 32_768, "half after a half-life");
    }

    function test_cap_oneCitizenCannotExhaustTheCitizens() external {
        address one = citizen(30);
        rate(one, _seller, all(0), 250_000);
        assertEq(reputation.roomOf(one, _provider), 0, "its own");
        address two = citizen(31);
        assertEq(reputation.roomOf(two, _provider), 4096, "another's is whole");
        for (uint256 i = 1; i < 16; ++i) rate(citizen(30 + i), _seller, all(100), 250_000);
        assertTrue(reputation.roomOf(citizen(60), _provider) < 8, "all citizens together weigh as one organisation");
        assertEq(reputation.roomOf(_buyer, _provider), 65_536, "organisations have their own");
    }

    function testFuzz_cap_whateverTheOrder_thePairStaysUnderIt(
        uint64[12] memory fees,
        uint32[12] memory gaps
    ) external {
        uint256 given; // exact, Q16.64
        for (uint256 i = 0; i < 12; ++i) {
            uint256 gap = gaps[i] % 40 days;
            vm.warp(block.timestamp + gap);
            given = (given * TrustMath.decayFactor(gap * 1000)) >> 64;
            uint64 fee = uint64(bound(fees[i], 62, 5e6));
            vm.warp(block.timestamp + 1);
            (Deal memory d, Status memory s) = finished(_buyer, _seller, 3, bytes32(i));
            uint256 weight = reputation.weightOf(_buyer, fee);
            bool fits = weight <= reputation.roomOf(_buyer, _provider);
            if (!fits) vm.expectPartialRevert(IReputation.Reputation_CapReached.selector);
            vm.prank(_buyer);
            reputation.rate(d, s, all(100), fee);
            if (fits) given += weight << 48;
            assertTrue(given >> 48 <= TrustMath.PAIR_CAP, "the cap holds");
        }
    }

    /* WEIGHT */

    function testFuzz_weight_isLinearInTheFeeAndRisesWithTheRatersConduct(uint32 a, uint32 b) external {
        uint256 before = reputation.weightOf(_buyer, a);
        uint256 sum = before + reputation.weightOf(_buyer, b);
        uint256 whole = reputation.weightOf(_buyer, uint64(a) + b);
        assertTrue(whole == sum || whole == sum + 1, "splitting wins nothing");
        for (uint256 i = 20; i < 24; ++i) rate(member(i), _buyer, values(NONE, NONE, 100), 4e6);
        uint256 after_ = reputation.weightOf(_buyer, a);
        assertTrue(a < 1000 || after_ > before, "conduct");
        assertTrue(after_ <= (uint256(a) * 65_536) / 1e6, "never more than a unit a token");
    }

    /* PROVIDERS */

    function test_provider_aChangeOfKeysKeepsTheScores() external {
        rate(_buyer, _seller, all(100), 4e6);
        address next = member(16);
        directory.setOrganisation(next, organisation(12));
        directory.setOrganisation(_seller, 0);
        (bytes32 id, bool isCitizen) = reputation.providerOf(next);
        assertEq(id, _provider, "the organisation");
        assertTrue(!isCitizen && reputation.scoreOf(id, Facet.Quality).lower > 0, "scores");
        (id, isCitizen) = reputation.providerOf(_seller);
        assertTrue(isCitizen && id == keccak256(abi.encode("msec.citizen", _seller)), "a citizen stands for itself");
    }

    function testFuzz_provider_aNewOneStandsAtTheBase(bytes32 id) external view {
        for (uint8 f = 0; f < 3; ++f) {
            Score memory score = reputation.scoreOf(id, Facet(f));
            assertEq(score.mean, _base(), "mean");
            assertEq(score.lower + score.ageMs + score.count, 0, "nothing is below it, so a new name wins nothing");
        }
    }

    /* FACTS */

    function test_report_whenSigned_itIsCountedAndTheScoreFalls() external {
        anchorNext("a", 1);
        Facts memory f = _facts(1, 1, 1);
        (uint32 before, , ) = reputation.objectiveOf(_provider);
        assertEq(before, type(uint32).max, "spotless");
        vm.expectEmit(address(reputation));
        emit IReputation.FactsReported(_provider, 1, f);
        vm.prank(stranger);
        reputation.report(f, _sign(f));
        (uint32 score, Tally memory t, uint32 proofs) = reputation.objectiveOf(_provider);
        assertEq(keccak256(abi.encode(t)), keccak256(abi.encode(Tally(1, 1, 2, 3, 4, 5, 6, 7))), "each in its place");
        // 1/16 + 2/256 + 24 + 16 + 10 + 24 + 3.5 faults, of which 8 would halve it
        uint256 faults = 65_536 / 16 + 2 * 256 + 65_536 * (24 + 16 + 10 + 24) + 7 * 32_768;
        assertEq(score, TrustMath.objectiveOf(faults), "weighted");
        assertEq(proofs, 0, "proofs");
        pass(90 days);
        (score, , ) = reputation.objectiveOf(_provider);
        assertEq(score, TrustMath.objectiveOf((faults + 1) / 2), "faults halve");
    }

    function test_report_whenOutOfOrder_itReverts() external {
        for (uint256 i = 0; i < 5; ++i) anchorNext(bytes32(i), 1);
        Facts memory f = _facts(2, 1, 1);
        _refused(f, IReputation.Reputation_WrongNumber.selector);
        f = _facts(1, 2, 3);
        bytes memory s = _sign(f);
        reputation.report(f, s);
        vm.expectPartialRevert(IReputation.Reputation_WrongNumber.selector);
        reputation.report(f, s);
        _refused(_facts(2, 3, 4), IReputation.Reputation_WrongEpochs.selector);
        _refused(_facts(2, 5, 5), IReputation.Reputation_WrongEpochs.selector);
        _refused(_facts(2, 4, 3), IReputation.Reputation_WrongEpochs.selector);
        _refused(_facts(2, 4, 6), IReputation.Reputation_WrongEpochs.selector);
        f = _facts(2, 4, 5);
        reputation.report(f, _sign(f));
    }

    function test_report_whenOfAnotherContractChainOrCommittee_itReverts() external {
        anchorNext("a", 1);
        Facts memory f = _facts(1, 1, 1);
        IReputation first = reputation;
        bytes memory s = _sign(f);
        reputation = deployReputation(address(words));
        vm.expectRevert();
        reputation.report(f, s);
        reputation = first;
        bytes32 old = f.configDigest;
        committee.setConfig(config(_sortedKeys(4, 0x7000), 2));
        memberKeys = _sortedKeys(4, 0x7000);
        reputation.report(f, s);
        anchorNext("b", 1);
        f = _facts(2, 2, 2);
        f.configDigest = old;
        vm.expectPartialRevert(IOracleCommittee.OracleCommittee_NotInForce.selector);
        reputation.report(f, s);
    }

    function testFuzz_report_anyBitMatters(uint256 bit) external {
        anchorNext("a", 1);
        Facts memory f = _facts(1, 1, 1);
        bytes memory s = _sign(f);
        bytes memory raw = abi.encode(f);
        // any bit of the counts: words 4 to 10, their low 32 bits
        bit = bound(bit, 0, 7 * 32 - 1);
        uint256 at = 32 * (4 + bit / 32) + 31 - (bit % 32) / 8;
        raw[at] = bytes1(uint8(raw[at]) ^ uint8(1 << (bit % 8)));
        vm.expectRevert();
        reputation.report(abi.decode(raw, (Facts)), s);
    }

    function testFuzz_report_countsNeverOverflow(uint32 count) external {
        for (uint256 i = 0; i < 2; ++i) anchorNext(bytes32(i), 1);
        for (uint32 i = 1; i < 3; ++i) {
            Facts memory f = _facts(i, i, i);
            f.gaps = i == 1 ? count : type(uint32).max;
            f.equivocations = type(uint32).max;
            reputation.report(f, _sign(f));
        }
        (uint32 score, Tally memory t, ) = reputation.objectiveOf(_provider);
        assertEq(t.gaps, type(uint32).max, "stops at the top");
        assertTrue(score < 16, "score");
    }

    function test_countFault_whenRefundedAfterDelivery_itCountsOnceAgainstTheDeliverer() external {
        directory.setOrganisation(deliverer, organisation(17));
        (Deal memory d, Status memory s) = finished(_buyer, _seller, 4, "a");
        vm.prank(stranger);
        reputation.countFault(d, s);
        (uint32 score, , uint32 proofs) = reputation.objectiveOf(organisation(17));
        assertEq(proofs, 1, "counted");
        assertEq(score, type(uint32).max / 2, "eight faults");
        vm.expectRevert(abi.encodeWithSelector(IReputation.Reputation_FaultKnown.selector, hashDeal(d)));
        reputation.countFault(d, s);
        (d, s) = finished(_buyer, _seller, 0x84, "b");
        reputation.countFault(d, s);
        (bytes32 id, ) = reputation.providerOf(fallbackDeliverer);
        (, , proofs) = reputation.objectiveOf(id);
        assertEq(proofs, 1, "the fallback's own");
        (d, s) = finished(_buyer, _seller, 3, "c");
        vm.expectRevert(abi.encodeWithSelector(IReputation.Reputation_NoFault.selector, hashDeal(d), 3));
        reputation.countFault(d, s);
    }

    /* PROPERTIES OF RATINGS */

    function testFuzz_rate_positiveNeverLowersNegativeNeverRaises(uint24[4] memory fees, bool[4] memory good) external {
        for (uint256 i = 0; i < 4; ++i) {
            address rater = member(20 + i);
            uint64 fee = uint64(bound(fees[i], 62, 4e6));
            pass(i * 11 days);
            (Deal memory d, Status memory s) = finished(rater, _seller, 3, bytes32(i));
            Score memory before = reputation.scoreOf(_provider, Facet.Quality);
            vm.prank(rater);
            reputation.rate(d, s, all(good[i] ? 100 : 0), fee);
            Score memory now_ = reputation.scoreOf(_provider, Facet.Quality);
            if (good[i]) assertTrue(now_.lower >= before.lower && now_.mean >= before.mean, "never lower");
            else assertTrue(now_.lower <= before.lower && now_.mean <= before.mean, "never higher");
        }
    }

    function testFuzz_rate_insideABlockTheOrderIsNone(uint8[3] memory opinions, uint24[3] memory fees) external {
        bytes32 two = organisation(13);
        address other = member(13);
        for (uint256 i = 0; i < 3; ++i) {
            _rateNow(20 + i, _seller, opinions[i], fees[i]);
            _rateNow(22 - i, other, opinions[2 - i], fees[2 - i]);
        }
        pass(5 days);
        for (uint8 f = 0; f < 3; ++f) {
            assertEq(
                keccak256(abi.encode(reputation.scoreOf(_provider, Facet(f)))),
                keccak256(abi.encode(reputation.scoreOf(two, Facet(f)))),
                "the same"
            );
        }
    }

    /* THE WHOLE WAY */

    function test_rate_afterARealDeal() external {
        reputation = deployReputation(address(escrow));
        (Deal memory d, Status memory s) = _soldAndReleased();
        directory.setOrganisation(owner, _provider);
        directory.setOrganisation(buyer, organisation(11));
        token.mint(buyer, 4e6);
        vm.startPrank(buyer);
        token.approve(address(reputation), type(uint256).max);
        reputation.rate(d, s, values(100, 80, NONE), 4e6);
        assertTrue(_mean(Facet.Delivery) > _base(), "rated");
    }

    function _soldAndReleased() private returns (Deal memory d, Status memory s) {
        enrolDevice();
        anchorNext("r", 1);
        depositBond(deliverer, 50_000);
        return _released("only");
    }

    function _released(bytes32 nonce) private returns (Deal memory d, Status memory s) {
        KeyNode[] memory list = nodes(1, 26);
        d = deal(list);
        d.nonce = nonce;
        s = openDeal(d, list);
        if (nowMs() < d.endMs) pass(d.endMs / 1000 + 1 - block.timestamp);
        d.deliverSeconds = 600;
        s = deliver(deliverer, d, s, delivery(d, secretsOf(1)));
        pass(1201);
        escrow.release(d, s);
        s = status(3, s.deliveryHash);
    }

    function _rateNow(uint256 i, address seller_, uint8 value, uint24 fee) private {
        address rater = member(i);
        (Deal memory d, Status memory s) = finished(rater, seller_, 3, bytes32(i));
        vm.prank(rater);
        reputation.rate(d, s, all(value % 101), uint64(bound(fee, 62, 4e6)));
    }

    function _mean(Facet facet) private view returns (uint256) {
        return reputation.scoreOf(_provider, facet).mean;
    }

    function _base() private pure returns (uint256) {
        return TrustMath.meanOf(0, 0);
    }

    function _facts(uint32 number, uint64 from, uint64 to) private view returns (Facts memory f) {
        (uint64 latest, , , ) = anchor.latest();
        f = Facts(_provider, number, from, to, 1, 2, 3, 4, 5, 6, 7, committee.configDigestAt(latest));
    }

    function _sign(Facts memory f) private view returns (bytes memory) {
        bytes32 hash = keccak256(abi.encode(ProtocolTypes.FACTS_TYPEHASH, f));
        return membersSignatures(typed("Reputation", address(reputation), hash), 3);
    }

    function _refused(Facts memory f, bytes4 selector) private {
        bytes memory s = _sign(f);
        vm.expectPartialRevert(selector);
        reputation.report(f, s);
    }
}
