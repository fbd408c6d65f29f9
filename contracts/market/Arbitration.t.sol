// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {IAccessManaged} from "@openzeppelin/contracts/access/manager/IAccessManaged.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {Roles} from "../test/Roles.t.sol";
import {EscrowBase} from "./Escrow.t.sol";
import {IArbitration} from "./IArbitration.sol";
import {IEscrow, Status, WrongKey} from "./IEscrow.sol";
import {IMarketplace} from "./IMarketplace.sol";
import {IPayer} from "./IPayer.sol";

/// @dev Five organisations on the panel, none of them a party's.
abstract contract ArbitrationBase is EscrowBase {
    bytes32 internal constant SALT = keccak256("salt");
    address[] internal judges;

    function prepareCase() internal {
        prepare(3, 26);
        seatPanel(5);
        pass(1000);
        d.nonce = keccak256("after the panel");
        fund();
        serve(9);
        stake();
    }

    /// @dev Gives the buyer what a complaint costs, for the escrow to take.
    function stake() internal {
        uint256 amount = escrow.complaintBondOf(d);
        token.mint(buyer, amount);
        vm.prank(buyer);
        token.approve(address(escrow), amount);
    }

    function seatPanel(uint256 n) internal {
        for (uint256 i = 0; i < n; ++i) {
            judges.push(vm.addr(0x10D6E + i));
            directory.setOrganisation(judges[i], bytes32((i + 1) << 200));
        }
        arbitration.setPanel(judges);
    }

    function complain() internal {
        vm.prank(buyer);
        escrow.dispute(d, st, "the sensor stood in a cellar");
        st = status(5 | (st.state & 0x80), st.deliveryHash);
    }

    function commit(uint8 seat, uint16 perMille) internal {
        bytes32 id = hashDeal(d);
        bytes32 commitment = arbitration.commitmentOf(address(escrow), id, judges[seat], perMille, SALT);
        vm.prank(judges[seat]);
        arbitration.commit(address(escrow), id, seat, commitment);
    }

    function reveal(uint8 seat, uint16 perMille) internal {
        vm.prank(judges[seat]);
        arbitration.reveal(address(escrow), hashDeal(d), seat, perMille, SALT);
    }

    /// @dev All of these votes by the first seats, up to the ruling.
    function rule(uint16[] memory votes) internal {
        for (uint8 i = 0; i < votes.length; ++i) commit(i, votes[i]);
        pass(COMMIT_SECONDS + 1);
        for (uint8 i = 0; i < votes.length; ++i) reveal(i, votes[i]);
        pass(REVEAL_SECONDS);
    }

    function escrowWith(address other) internal {
        escrow = IEscrow(create("Escrow", abi.encode(manager, directory, registry, consent, other)));
        Roles.apply_(manager, Roles.table(), "Escrow", address(escrow));
        escrow.setToken(address(token), true);
        Payer payer = new Payer(address(escrow));
        market = IMarketplace(address(payer));
        directory.setModule("Marketplace", address(payer), 2);
    }

    function three(uint16 a, uint16 b_, uint16 c) internal pure returns (uint16[] memory votes) {
        votes = new uint16[](3);
        (votes[0], votes[1], votes[2]) = (a, b_, c);
    }
}

contract ComplaintTest is ArbitrationBase {
    function setUp() external {
        prepareCase();
    }

    function test_dispute_whenByTheBuyerInTime_itTakesTheBondAndOpensACase() external {
        bytes32 id = hashDeal(d);
        escrow.pause();
        vm.expectEmit(address(escrow));
        emit IEscrow.StatusChanged(id, status(5, st.deliveryHash));
        vm.expectEmit(address(escrow));
        emit IEscrow.Disputed(id, "the sensor stood in a cellar", d.price / 10);
        vm.expectEmit(address(arbitration));
        emit IArbitration.CaseOpened(address(escrow), id, 1, 0);
        complain();
        assertEq(token.balanceOf(buyer), 0, "bond");
        assertEq(escrow.statusWord(id), word(st), "word");
        assertEq(arbitration.caseOf(address(escrow), id).openedAt, nowMs(), "case");
    }

    function test_dispute_whenByAnyoneElseOrLateOrWithoutBond_itReverts() external {
        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_NotTheBuyer.selector, buyer, owner));
        escrow.dispute(d, st, 0);
        vm.startPrank(buyer);
        token.approve(address(escrow), d.price / 10 - 1);
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientAllowance.selector);
        escrow.dispute(d, st, 0);
        token.approve(address(escrow), d.price / 10);
        vm.stopPrank();
        pass(1201);
        vm.prank(buyer);
        vm.expectPartialRevert(IEscrow.Escrow_WindowClosed.selector);
        escrow.dispute(d, st, 0);
    }

    function test_dispute_whenNotDeliveredOrTwice_itReverts() external {
        complain();
        vm.prank(buyer);
        vm.expectPartialRevert(IEscrow.Escrow_WrongState.selector);
        escrow.dispute(d, st, 0);
        d.nonce = keccak256("another");
        Status memory s = openDeal(d, list);
        vm.prank(buyer);
        vm.expectPartialRevert(IEscrow.Escrow_WrongState.selector);
        escrow.dispute(d, s, 0);
    }

    function test_dispute_whenThePanelIsYoungerThanTheDeal_itIsOfTheOldOne() external {
        for (uint256 i = 0; i < 5; ++i) judges.pop();
        seatPanel(4);
        complain();
        assertEq(arbitration.caseOf(address(escrow), hashDeal(d)).panel, 1, "the panel that was there before");
    }

    function test_dispute_whenThereWasNoPanel_itRevertsAndTheSaleGoesOn() external {
        arbitration.setPanel(new address[](0));
        pass(1000);
        d.nonce = keccak256("without a panel");
        st = openDeal(d, list);
        depositBond(deliverer, d.bond);
        serve(9);
        address[4] memory parties = [buyer, owner, deliverer, fallbackDeliverer];
        assertEq(arbitration.judgesFor(parties, nowMs() - 600_000), 0, "who buys can see it");
        vm.prank(buyer);
        vm.expectRevert(abi.encodeWithSelector(IArbitration.Arbitration_TooFewJudges.selector, 0, 3));
        escrow.dispute(d, st, 0);
        pass(1201);
        escrow.release(d, st);
    }

    function test_dispute_thenProofsAndReleaseAreClosed() external {
        WrongKey memory c = claim(0, 0);
        complain();
        pass(1201);
        vm.expectPartialRevert(IEscrow.Escrow_WrongState.selector);
        escrow.release(d, st);
        vm.expectPartialRevert(IEscrow.Escrow_WrongState.selector);
        escrow.proveWrongKey(d, st, out, c);
        vm.expectPartialRevert(IEscrow.Escrow_WrongState.selector);
        escrow.refund(d, st);
    }

    function testFuzz_resolve_theMedianSharesTheSellersPart(uint16 a, uint16 b_, uint16 c) external {
        (a, b_, c) = (a % 1001, b_ % 1001, c % 1001);
        uint16 median = a > b_ ? (b_ > c ? b_ : (a > c ? c : a)) : (a > c ? a : (b_ > c ? c : b_));
        complain();
        escrow.pause();
        rule(three(a, b_, c));
        uint256 part = d.price - d.fee;
        uint256 toBuyer = (part * median) / 1000;
        uint256 share = uint256(d.price / 10) / 3;
        vm.expectEmit(address(escrow));
        emit IEscrow.Resolved(hashDeal(d), true, toBuyer, part - toBuyer);
        vm.prank(stranger);
        escrow.resolve(d, st);
        assertEq(escrow.creditOf(owner, address(token)), part - toBuyer, "seller");
        assertEq(escrow.creditOf(buyer, address(token)), toBuyer + d.price / 10 - 3 * share, "buyer, and the rest");
        for (uint256 i = 0; i < 3; ++i) assertEq(escrow.creditOf(judges[i], address(token)), share, "judge");
        assertEq(escrow.creditOf(judges[3], address(token)), 0, "who did not judge");
        assertEq(escrow.bondOf(deliverer, address(token)), uint256(d.bond) + d.fee, "deliverer");
        assertEq(escrow.statusWord(hashDeal(d)), word(status(6, st.deliveryHash)), "word");
        vm.expectPartialRevert(IEscrow.Escrow_WrongStatus.selector);
        escrow.resolve(d, st);
    }

    function test_resolve_whenTheFallbackDelivered_itIsPaid() external {
        d.nonce = keccak256("fallback");
        st = openDeal(d, list);
        stake();
        pass(301);
        out = delivery(d, secretsOf(3));
        st = deliver(fallbackDeliverer, d, st, out);
        complain();
        rule(three(0, 0, 0));
        escrow.resolve(d, st);
        assertEq(escrow.bondOf(fallbackDeliverer, address(token)), uint256(d.bond) + d.fee, "fallback");
        assertEq(escrow.statusWord(hashDeal(d)), word(status(0x86, st.deliveryHash)), "word");
    }

    function test_resolve_whenTheDelivererHasMoreAtStake_bothAreThere() external {
        token.mint(deliverer, 7);
        vm.startPrank(deliverer);
        token.approve(address(escrow), 7);
        escrow.depositBond(address(token), 7);
        vm.stopPrank();
        complain();
        rule(three(0, 0, 0));
        escrow.resolve(d, st);
        assertEq(escrow.bondOf(deliverer, address(token)), uint256(d.bond) + d.fee + 7, "both");
    }

    function test_resolve_whenUndecided_itWaitsAndThenTheSaleStands() external {
        complain();
        commit(0, 1000);
        commit(1, 1000);
        pass(COMMIT_SECONDS + 1);
        reveal(0, 1000);
        reveal(1, 1000);
        vm.expectPartialRevert(IArbitration.Arbitration_NotRuled.selector);
        escrow.resolve(d, st);
        pass(REVEAL_SECONDS);
        vm.expectRevert(abi.encodeWithSelector(IArbitration.Arbitration_NotRuled.selector, hashDeal(d), 2));
        escrow.resolve(d, st);
        assertEq(escrow.rulingSeconds(), 2 * (COMMIT_SECONDS + REVEAL_SECONDS), "time out");
        pass(COMMIT_SECONDS + REVEAL_SECONDS);
        vm.expectEmit(address(escrow));
        emit IEscrow.Resolved(hashDeal(d), false, 0, d.price - d.fee);
        vm.prank(stranger);
        escrow.resolve(d, st);
        assertEq(escrow.creditOf(buyer, address(token)), d.price / 10, "the complaint bond goes back");
        assertEq(escrow.creditOf(owner, address(token)), d.price - d.fee, "seller");
    }

    function test_resolve_whenNotDisputed_itReverts() external {
        pass(10_000);
        vm.expectPartialRevert(IEscrow.Escrow_WrongState.selector);
        escrow.resolve(d, st);
    }

    /* an arbitration that is broken or hostile */

    function test_resolve_whenTheArbitrationIsHostile_timeEndsIt() external {
        HostileArbitration hostile = new HostileArbitration();
        escrowWith(address(hostile));
        for (uint8 mode = 0; mode < 5; ++mode) {
            hostile.set(mode, escrow);
            pass(1);
            d.nonce = keccak256(abi.encode("hostile", mode));
            st = openDeal(d, list);
            depositBond(deliverer, d.bond);
            stake();
            serve(9);
            complain();
            (bool ok, ) = address(escrow).call{gas: 2_000_000}(abi.encodeCall(escrow.resolve, (d, st)));
            assertTrue(!ok, "no ruling is taken");
            uint256 before = escrow.creditOf(owner, address(token));
            pass(escrow.rulingSeconds() + 1);
            escrow.resolve(d, st);
            assertEq(escrow.creditOf(owner, address(token)), before + d.price - d.fee, "seller");
        }
    }

    function test_dispute_whenTheEscrowHasNoArbitration_itReverts() external {
        escrowWith(address(0));
        st = openDeal(d, list);
        depositBond(deliverer, d.bond);
        serve(9);
        assertEq(escrow.arbitration(), address(0), "who buys can see it");
        vm.prank(buyer);
        vm.expectRevert(IEscrow.Escrow_NoArbitration.selector);
        escrow.dispute(d, st, 0);
    }
}

/// @dev Rulings at the edges of what the escrow takes from its arbitration.
contract RulingTest is ArbitrationBase {
    ScriptedArbitration private _court;

    function setUp() external {
        prepare(3, 26);
        _court = new ScriptedArbitration();
        escrowWith(address(_court));
        _case("first");
    }

    function test_resolve_whenTheRulingIsAtTheLimits_itIsTaken() external {
        _court.rule(1000, _judges(64));
        escrow.resolve(d, st);
        uint256 share = d.price / 10 / 64;
        assertEq(_credit(vm.addr(64)), share, "the last of 64 judges");
        assertEq(
            _credit(buyer),
            d.price - d.fee + d.price / 10 - 64 * share,
            "the seller's part and what is left over"
        );
        assertEq(_credit(owner), 0, "seller");
    }

    function test_resolve_whenTheRulingIsBeyondTheLimits_itReverts() external {
        _court.rule(1001, _judges(3));
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_RulingMalformed.selector, uint16(1001), 3));
        escrow.resolve(d, st);
        _court.rule(1000, _judges(65));
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_RulingMalformed.selector, uint16(1000), 65));
        escrow.resolve(d, st);
    }

    function test_resolve_whenOneJudgeOrNone_theBondIsItsOrTheBuyers() external {
        _court.rule(0, _judges(1));
        escrow.resolve(d, st);
        assertEq(_credit(vm.addr(1)), d.price / 10, "all of the bond");
        _case("nobody judged");
        _court.rule(0, _judges(0));
        escrow.resolve(d, st);
        assertEq(_credit(buyer), d.price / 10, "back to the buyer");
    }

    function test_resolve_ofSeveralDeals_addsUp() external {
        _court.rule(500, _judges(3));
        escrow.resolve(d, st);
        (uint256 ofBuyer, uint256 ofJudge) = (_credit(buyer), _credit(vm.addr(3)));
        _case("second");
        escrow.resolve(d, st);
        assertEq(_credit(buyer), 2 * ofBuyer, "buyer");
        assertEq(_credit(vm.addr(3)), 2 * ofJudge, "judge");
        assertEq(_credit(owner), d.price - d.fee, "seller, twice the half");
    }

    function test_dispute_asksForThePanelThatWasKnownBeforeTheDeal() external {
        assertEq(_court.asOfMs(), st.at - uint64(d.deliverSeconds) * 1000, "the time to deliver before the delivery");
        d.deliverSeconds = type(uint32).max;
        _case("longer than the clock runs");
        assertEq(_court.asOfMs(), 0, "from the beginning");
    }

    function _case(string memory nonce) private {
        d.nonce = keccak256(bytes(nonce));
        st = openDeal(d, list);
        depositBond(deliverer, d.bond);
        stake();
        serve(9);
        complain();
    }

    function _judges(uint256 n) private pure returns (address[] memory list_) {
        list_ = new address[](n);
        for (uint256 i = 0; i < n; ++i) list_[i] = vm.addr(i + 1);
    }

    function _credit(address who) private view returns (uint256) {
        return escrow.creditOf(who, address(token));
    }
}

/// @dev Rules what it is told, and remembers what it was asked.
contract ScriptedArbitration {
    uint64 public asOfMs;
    uint16 private _perMille;
    address[] private _judges;

    function rule(uint16 perMille, address[] calldata judges) external {
        (_perMille, _judges) = (perMille, judges);
    }

    function open(bytes32, address[4] calldata, uint64 asOfMs_) external {
        asOfMs = asOfMs_;
    }

    function caseSeconds() external pure returns (uint32) {
        return 100;
    }

    function ruling(address, bytes32) external view returns (uint16, address[] memory) {
        return (_perMille, _judges);
    }
}

/// @dev Pays whatever an escrow asks for, out of what its buyers allow it.
contract Payer is IPayer {
    address private immutable _escrow;

    constructor(address escrow) {
        _escrow = escrow;
    }

    function pay(IERC20 token, address from, uint256 amount) external {
        // solhint-disable-next-line gas-custom-errors
        require(msg.sender == _escrow && token.transferFrom(from, msg.sender, amount), "pay");
    }
}

/// @dev Takes every case and then reverts, burns all gas, returns nonsense or too many judges.
contract HostileArbitration {
    uint8 private _mode;
    IEscrow private _escrow;

    function set(uint8 mode, IEscrow escrow) external {
        (_mode, _escrow) = (mode, escrow);
    }

    function caseSeconds() external pure returns (uint32) {
        return 100;
    }

    function open(bytes32, address[4] calldata, uint64) external {}

    function ruling(address, bytes32) external view returns (uint256, address[] memory) {
        if (_mode == 0) revert();
        if (_mode == 1) while (true) {}
        if (_mode == 2) return (1001, new address[](3));
        if (_mode == 3) return (1000, new address[](65));
        return (type(uint256).max, new address[](3));
    }
}

contract ArbitrationTest is ArbitrationBase {
    bytes32 private _id;

    function setUp() external {
        prepareCase();
        complain();
        _id = hashDeal(d);
    }

    function test_constructor_whenADurationIsZero_itReverts() external {
        uint32[2][2] memory durations = [[uint32(0), REVEAL_SECONDS], [COMMIT_SECONDS, uint32(0)]];
        for (uint256 i = 0; i < 2; ++i) {
            bytes memory code = bytes.concat(
                vm.getCode("Arbitration.sol:Arbitration"),
                abi.encode(manager, directory, durations[i][0], durations[i][1])
            );
            address made;
            assembly ("memory-safe") {
                made := create(0, add(code, 32), mload(code))
            }
            assertEq(made, address(0), "no time to commit or to reveal");
        }
        assertEq(arbitration.commitSeconds(), COMMIT_SECONDS, "to commit");
        assertEq(arbitration.caseSeconds(), COMMIT_SECONDS + REVEAL_SECONDS, "in all");
    }

    function test_setPanel_whenByAStranger_itReverts() external {
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, stranger));
        arbitration.setPanel(judges);
    }

    function test_setPanel_whenNotOneMemberAnOrganisation_itReverts() external {
        (judges[0], judges[1]) = (judges[1], judges[0]);
        vm.expectPartialRevert(IArbitration.Arbitration_NotAscending.selector);
        arbitration.setPanel(judges);
        judges[0] = judges[1];
        vm.expectPartialRevert(IArbitration.Arbitration_NotAscending.selector);
        arbitration.setPanel(judges);
        judges[0] = stranger;
        vm.expectRevert(abi.encodeWithSelector(IArbitration.Arbitration_NoOrganisation.selector, stranger));
        arbitration.setPanel(judges);
        vm.expectRevert(abi.encodeWithSelector(IArbitration.Arbitration_TooManyMembers.selector, 65, 64));
        arbitration.setPanel(new address[](65));
    }

    function test_panelAt_isWhatWasSet() external view {
        assertEq(arbitration.panelCount(), 1, "count");
        (address[] memory members, bytes32[] memory organisations) = arbitration.panelAt(1);
        assertEq(keccak256(abi.encode(members)), keccak256(abi.encode(judges)), "members");
        assertEq(organisations[4], bytes32(uint256(5) << 200), "organisations");
    }

    function test_open_whenAPartyIsOfAPanelOrganisation_itDoesNotJudge() external {
        directory.setOrganisation(owner, bytes32(uint256(2) << 200));
        address[4] memory parties = [buyer, owner, judges[3], address(0)];
        assertEq(arbitration.judgesFor(parties, nowMs()), 3, "three of five are left");
        arbitration.open("mine", parties, nowMs());
        assertEq(arbitration.caseOf(address(this), "mine").excluded, 2 + 8, "seats 1 and 3");
        bytes32 c = keccak256("c");
        vm.prank(judges[1]);
        vm.expectRevert(abi.encodeWithSelector(IArbitration.Arbitration_NotYourSeat.selector, 1, judges[1]));
        arbitration.commit(address(this), "mine", 1, c);
        vm.prank(judges[0]);
        arbitration.commit(address(this), "mine", 0, c);
        parties[0] = judges[4];
        vm.expectRevert(abi.encodeWithSelector(IArbitration.Arbitration_TooFewJudges.selector, 2, 3));
        arbitration.open("yours", parties, nowMs());
        assertEq(arbitration.judgesFor(parties, 1), 0, "before any panel");
    }

    function test_open_whenKnown_itReverts() external {
        address[4] memory parties;
        arbitration.open(_id, parties, nowMs());
        vm.expectRevert(abi.encodeWithSelector(IArbitration.Arbitration_CaseKnown.selector, _id));
        arbitration.open(_id, parties, nowMs());
    }

    function test_commit_isOnceByItsSeatInTime() external {
        vm.prank(judges[0]);
        vm.expectPartialRevert(IArbitration.Arbitration_NotYourSeat.selector);
        arbitration.commit(address(escrow), _id, 1, "c");
        vm.prank(judges[0]);
        vm.expectPartialRevert(IArbitration.Arbitration_NotYourSeat.selector);
        arbitration.commit(address(escrow), _id, 5, "c");
        vm.prank(judges[0]);
        vm.expectRevert(IArbitration.Arbitration_CommitmentZero.selector);
        arbitration.commit(address(escrow), _id, 0, 0);
        vm.prank(judges[0]);
        vm.expectRevert(abi.encodeWithSelector(IArbitration.Arbitration_NoCase.selector, bytes32("none")));
        arbitration.commit(address(escrow), "none", 0, "c");
        commit(0, 7);
        vm.prank(judges[0]);
        vm.expectRevert(abi.encodeWithSelector(IArbitration.Arbitration_AlreadyCommitted.selector, 0));
        arbitration.commit(address(escrow), _id, 0, "c");
        pass(COMMIT_SECONDS);
        commit(1, 7);
        pass(1);
        vm.prank(judges[2]);
        vm.expectRevert(abi.encodeWithSelector(IArbitration.Arbitration_CommitClosed.selector, _id));
        arbitration.commit(address(escrow), _id, 2, "c");
    }

    function test_reveal_isOnceOfWhatWasCommittedInTime() external {
        commit(0, 7);
        _revealRefused(0, 7, SALT, IArbitration.Arbitration_RevealClosed.selector);
        pass(COMMIT_SECONDS + 1);
        _revealRefused(0, 8, SALT, IArbitration.Arbitration_WrongReveal.selector);
        _revealRefused(0, 7, 0, IArbitration.Arbitration_WrongReveal.selector);
        _revealRefused(1, 7, SALT, IArbitration.Arbitration_WrongReveal.selector);
        _revealRefused(0, 1001, SALT, IArbitration.Arbitration_VoteTooLarge.selector);
        vm.expectEmit(address(arbitration));
        emit IArbitration.Revealed(address(escrow), _id, 0, 7);
        reveal(0, 7);
        _revealRefused(0, 7, SALT, IArbitration.Arbitration_WrongReveal.selector);
        assertEq(arbitration.caseOf(address(escrow), _id).revealed, 1, "counted once");
    }

    function test_reveal_whenTheTimeIsOver_itReverts() external {
        commit(0, 7);
        pass(COMMIT_SECONDS + REVEAL_SECONDS + 1);
        _revealRefused(0, 7, SALT, IArbitration.Arbitration_RevealClosed.selector);
    }

    function test_reveal_whenACommitmentWasCopied_itCantBeShown() external {
        bytes32 commitment = arbitration.commitmentOf(address(escrow), _id, judges[0], 7, SALT);
        commit(0, 7);
        vm.prank(judges[1]);
        arbitration.commit(address(escrow), _id, 1, commitment);
        pass(COMMIT_SECONDS + 1);
        _revealRefused(1, 7, SALT, IArbitration.Arbitration_WrongReveal.selector);
    }

    function test_commit_whenTheChainStoodStill_theWindowStaysOpen() external {
        vm.warp(block.timestamp + 1 days);
        vm.roll(block.number + COMMIT_SECONDS / 20 - 1);
        commit(0, 7);
    }

    function testFuzz_ruling_isTheLowerMedianOfWhoRevealed(uint16[5] memory votes, uint8 absent) external {
        uint256 n;
        uint16[] memory sorted = new uint16[](5);
        for (uint8 i = 0; i < 5; ++i) commit(i, votes[i] %= 1001);
        pass(COMMIT_SECONDS + 1);
        for (uint8 i = 0; i < 5; ++i) {
            if ((absent >> i) & 1 == 1) continue;
            reveal(i, votes[i]);
            sorted[n++] = votes[i];
        }
        vm.expectRevert(abi.encodeWithSelector(IArbitration.Arbitration_NotRuled.selector, _id, n));
        arbitration.ruling(address(escrow), _id);
        pass(REVEAL_SECONDS);
        for (uint256 i = 1; i < n; ++i) {
            for (uint256 j = i; j > 0 && sorted[j] < sorted[j - 1]; --j) {
                (sorted[j], sorted[j - 1]) = (sorted[j - 1], sorted[j]);
            }
        }
        if (n < 3) vm.expectRevert(abi.encodeWithSelector(IArbitration.Arbitration_NotRuled.selector, _id, n));
        (uint16 perMille, address[] memory who) = arbitration.ruling(address(escrow), _id);
        if (n < 3) return;
        assertEq(perMille, sorted[(n - 1) / 2], "median");
        assertEq(who.length, n, "judges");
    }

    function _revealRefused(uint8 seat, uint16 perMille, bytes32 salt, bytes4 selector) private {
        vm.prank(judges[seat]);
        vm.expectPartialRevert(selector);
        arbitration.reveal(address(escrow), _id, seat, perMille, salt);
    }
}
