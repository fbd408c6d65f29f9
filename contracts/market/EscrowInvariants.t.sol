// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

import {Deal, Epoch, Pack} from "../data/ProtocolTypes.sol";
import {Fixture} from "../test/Fixture.t.sol";
import {Merkle} from "../test/Merkle.t.sol";
import {IArbitration} from "./IArbitration.sol";
import {Delivery, IEscrow, KeyNode, Status, Unopenable, WrongKey} from "./IEscrow.sol";

/// @dev Random deals of one node among random deliverers, some of whom lie, buyers who complain, judges who vote or stay
/// away, pauses that last, and random time; a model of who is owed what. The first epoch has a pack that opens, the second
/// one that does not, so that a deal as of the second can be proved unopenable.
contract EscrowHandler is Fixture {
    Deal[] private _deals;
    Status[] private _statuses;
    bool[] private _lied;
    /// @dev Bits of the judges who committed, and of those who revealed.
    uint8[] private _committed;
    uint8[] private _revealed;
    address[] private _judges;
    KeyNode private _node;
    Pack private _pack;
    WrongKey private _claim;
    Unopenable private _opens;
    Unopenable private _broken;
    Delivery private _out;
    uint256 private _sx;
    bool private _paused;
    uint256 public minted;
    uint256 public paidOut;

    constructor() {
        deployAll();
        enrolDevice();
        for (uint256 i = 0; i < 4; ++i) {
            _judges.push(vm.addr(0x10D6E + i));
            directory.setOrganisation(_judges[i], bytes32((i + 1) << 200));
        }
        arbitration.setPanel(_judges);
        pass(1000);
        _node = nodes(1, 26)[0];
        Pack memory p = pack(nodeSecret(0), 26, F + 3);
        bytes memory content = contentOf(p, packKey(nodeSecret(0), 26, p), 20);
        p.contentDigest = sha256(content);
        _pack = p;
        _anchored(_opens, p, content);
        p = pack(nodeSecret(0), 26, F + 9);
        p.contentDigest = sha256("too short");
        _anchored(_broken, p, "too short");
        (uint256 x, uint256 y) = point(E_KEY);
        (_out.Ex, _out.vE) = (x, parity(y));
        uint256 sy;
        (_sx, sy) = point(mulmod(E_KEY, b(0), N));
        _claim.node = _node;
        (_claim.b, _claim.Sx, _claim.Sy) = (b(0), _sx, sy);
        _claim.pack = _pack;
        _claim.epoch = _opens.epoch;
    }

    function _anchored(Unopenable storage c, Pack memory p, bytes memory content) private {
        pass(1);
        c.epoch = anchorNext(hashPack(p), 1);
        c.node = _node;
        c.packKey = packKey(nodeSecret(0), 26, p);
        c.content = content;
        c.pack = p;
    }

    /* actions */

    function open(uint64 price, uint16 feePerMille, uint64 bond, bool withFallback, bool withBroken) external {
        if (_deals.length == 12) return;
        KeyNode[] memory list = new KeyNode[](1);
        list[0] = _node;
        Deal memory d = deal(list);
        d.price = uint128(bound(price, 0, 1e12));
        d.fee = (d.price * (feePerMille % 1001)) / 1000;
        d.bond = uint128(bound(bond, 0, 1e12));
        d.nonce = bytes32(_deals.length);
        d.erasures = consent.erasures(d.streamId);
        d.asOfEpoch = withBroken ? 2 : 1;
        if (!withFallback) d.fallbackDeliverer = address(0);
        if (_paused) {
            vm.prank(address(market));
            vm.expectRevert(Pausable.EnforcedPause.selector);
            escrow.open(d, stream(), list);
            return;
        }
        minted += d.price;
        _deals.push(d);
        _statuses.push(openDeal(d, list));
        _lied.push(false);
        _committed.push(0);
        _revealed.push(0);
    }

    function addBond(bool ofFallback, uint64 amount) external {
        amount = uint64(bound(amount, 0, 1e12));
        if (_paused) {
            vm.expectRevert(Pausable.EnforcedPause.selector);
            escrow.depositBond(address(token), amount);
            return;
        }
        minted += amount;
        depositBond(ofFallback ? fallbackDeliverer : deliverer, amount);
    }

    function takeBond(bool ofFallback, uint256 amount) external {
        address who = ofFallback ? fallbackDeliverer : deliverer;
        amount = bound(amount, 0, escrow.bondOf(who, address(token)));
        paidOut += amount;
        vm.prank(who);
        escrow.withdrawBond(address(token), amount);
    }

    function takeCredit(uint8 which) external {
        address who = _parties()[which % 8];
        uint256 owed = escrow.creditOf(who, address(token));
        if (owed == 0) return;
        paidOut += owed;
        vm.prank(who);
        escrow.withdraw(address(token));
    }

    function deliverAny(uint256 which, bool ofFallback, bool lie) external {
        (bool found, uint256 i) = _pick(which, 1);
        if (!found) return;
        Deal memory d = _deals[i];
        Status memory s = _statuses[i];
        address who = ofFallback ? d.fallbackDeliverer : d.deliverer;
        if (!_mayAct(d, s, ofFallback) || _closed(s, d.deliverSeconds)) return;
        if (consent.erasures(d.streamId) > d.erasures) {
            vm.prank(who);
            escrow.deliver(d, s, 0, 0, new bytes32[](0));
            _statuses[i].state = 4;
            return;
        }
        if (escrow.bondOf(who, address(token)) < d.bond) return;
        bytes32[] memory masked = _masked(d, lie);
        vm.prank(who);
        escrow.deliver(d, s, _out.Ex, _out.vE, masked);
        _statuses[i] = status(ofFallback ? 0x82 : 2, keccak256(abi.encode(_out.Ex, _out.vE, masked)));
        _lied[i] = lie;
    }

    function declineAny(uint256 which, bool ofFallback) external {
        (bool found, uint256 i) = _pick(which, 1);
        if (!found || !_mayAct(_deals[i], _statuses[i], ofFallback)) return;
        vm.prank(ofFallback ? fallbackDeliverer : deliverer);
        escrow.decline(_deals[i], _statuses[i]);
        bool ends = ofFallback || _deals[i].fallbackDeliverer == address(0);
        _statuses[i].state = ends ? 4 : 0x81;
    }

    function refundAny(uint256 which) external {
        (bool found, uint256 i) = _pick(which, 1);
        if (!found) return;
        bool closed = _closed(_statuses[i], _deals[i].deliverSeconds);
        if (!closed) vm.expectPartialRevert(IEscrow.Escrow_WindowOpen.selector);
        escrow.refund(_deals[i], _statuses[i]);
        if (closed) _statuses[i].state = 4;
    }

    function releaseAny(uint256 which) external {
        (bool found, uint256 i) = _pick(which, 2);
        if (!found) return;
        bool closed = _closed(_statuses[i], _deals[i].complainSeconds);
        if (!closed) vm.expectPartialRevert(IEscrow.Escrow_WindowOpen.selector);
        escrow.release(_deals[i], _statuses[i]);
        if (closed) _statuses[i].state = 3;
    }

    /// @dev A lie is always proved, the truth never.
    function proveAny(uint256 which) external {
        (bool found, uint256 i) = _pick(which, 2);
        if (!found) return;
        Delivery memory out = Delivery(_out.Ex, _out.vE, _masked(_deals[i], _lied[i]));
        if (!_lied[i]) vm.expectPartialRevert(IEscrow.Escrow_KeyIsRight.selector);
        escrow.proveWrongKey(_deals[i], _statuses[i], out, _claim);
        if (_lied[i]) _statuses[i].state = 4;
    }

    /// @dev A pack that does not open is proved in a deal that knew it, one that opens never.
    function proveUnopenableAny(uint256 which, bool ofBroken) external {
        (bool found, uint256 i) = _pick(which, 2);
        if (!found) return;
        bool known = _deals[i].asOfEpoch == 2;
        if (!ofBroken) vm.expectPartialRevert(IEscrow.Escrow_PackOpens.selector);
        else if (!known) vm.expectPartialRevert(IEscrow.Escrow_EpochTooLate.selector);
        escrow.proveUnopenable(_deals[i], _statuses[i], ofBroken ? _broken : _opens);
        if (ofBroken && known) _statuses[i].state = 4;
    }

    /// @dev The buyer complains, and up to four judges commit at once.
    function complainAny(uint256 which, uint8 voters) external {
        (bool found, uint256 i) = _pick(which, 2);
        if (!found || _closed(_statuses[i], _deals[i].complainSeconds)) return;
        uint256 stake = escrow.complaintBondOf(_deals[i]);
        minted += stake;
        token.mint(buyer, stake);
        vm.prank(buyer);
        token.approve(address(escrow), stake);
        vm.prank(buyer);
        escrow.dispute(_deals[i], _statuses[i], "complaint");
        _statuses[i] = status(5 | (_statuses[i].state & 0x80), _statuses[i].deliveryHash);
        _committed[i] = voters % 16;
        bytes32 id = hashDeal(_deals[i]);
        for (uint8 seat = 0; seat < 4; ++seat) {
            if ((_committed[i] >> seat) & 1 == 0) continue;
            bytes32 c = arbitration.commitmentOf(address(escrow), id, _judges[seat], _vote(i, seat), "salt");
            vm.prank(_judges[seat]);
            arbitration.commit(address(escrow), id, seat, c);
        }
    }

    function revealAny(uint256 which, uint8 seat) external {
        (bool found, uint256 i) = _pick(which, 5);
        seat %= 4;
        if (!found) return;
        bool fits = (_committed[i] >> seat) & 1 == 1 && (_revealed[i] >> seat) & 1 == 0;
        bool open_ = _closed(_statuses[i], COMMIT_SECONDS) && !_closed(_statuses[i], COMMIT_SECONDS + REVEAL_SECONDS);
        bytes32 id = hashDeal(_deals[i]);
        uint16 vote = _vote(i, seat);
        vm.prank(_judges[seat]);
        if (!open_) vm.expectPartialRevert(IArbitration.Arbitration_RevealClosed.selector);
        else if (!fits) vm.expectPartialRevert(IArbitration.Arbitration_WrongReveal.selector);
        arbitration.reveal(address(escrow), id, seat, vote, "salt");
        if (open_ && fits) _revealed[i] |= uint8(1) << seat;
    }

    function resolveAny(uint256 which) external {
        (bool found, uint256 i) = _pick(which, 5);
        if (!found) return;
        uint256 shown;
        for (uint8 seat = 0; seat < 4; ++seat) shown += (_revealed[i] >> seat) & 1;
        bool ruled = shown >= 3 && _closed(_statuses[i], COMMIT_SECONDS + REVEAL_SECONDS);
        bool ends = ruled || _closed(_statuses[i], escrow.rulingSeconds());
        if (!ends) vm.expectPartialRevert(IArbitration.Arbitration_NotRuled.selector);
        escrow.resolve(_deals[i], _statuses[i]);
        if (ends) _statuses[i].state = 6;
    }

    function erase() external {
        vm.prank(owner);
        consent.requestErasure(stream(), F, F);
    }

    /// @dev What is paused stays so for the actions that follow, and for the ways out that are tried at the end.
    function pauseOrNot(uint8 seldom) external {
        if (_paused) escrow.unpause();
        else if (seldom % 4 == 0) escrow.pause();
        else return;
        _paused = !_paused;
    }

    function passTime(uint16 secs, uint8 blocks) external {
        vm.warp(block.timestamp + (secs % 900));
        vm.roll(block.number + blocks);
    }

    /* checks */

    function checkMoney() external view {
        uint256 owed;
        address[8] memory who = _parties();
        for (uint256 i = 0; i < 8; ++i) {
            owed += escrow.bondOf(who[i], address(token)) + escrow.creditOf(who[i], address(token));
        }
        for (uint256 i = 0; i < _deals.length; ++i) {
            uint8 state = _statuses[i].state & 0x7f;
            if (state == 1 || state == 2 || state == 5) owed += _deals[i].price;
            if (state == 2 || state == 5) owed += _deals[i].bond;
            if (state == 5) owed += escrow.complaintBondOf(_deals[i]);
        }
        assertEq(token.balanceOf(address(escrow)), owed, "balance = bonds + credits + held");
        assertEq(minted - paidOut, owed, "money in = money out + money held");
    }

    /// @dev Whatever the state: enough time alone, and anyone, ends it; then everybody can take all of it.
    function checkExits() external {
        vm.warp(block.timestamp + 1201);
        vm.roll(block.number + 60);
        for (uint256 i = 0; i < _deals.length; ++i) {
            uint8 state = _statuses[i].state & 0x7f;
            vm.prank(stranger);
            if (state == 1) escrow.refund(_deals[i], _statuses[i]);
            else if (state == 2) escrow.release(_deals[i], _statuses[i]);
            else if (state == 5) escrow.resolve(_deals[i], _statuses[i]);
            else escrow.statusWord(0);
            assertTrue(escrow.statusWord(hashDeal(_deals[i])) != 0, "a word is never cleared");
        }
        address[8] memory who = _parties();
        for (uint256 i = 0; i < 8; ++i) {
            uint256 bond = escrow.bondOf(who[i], address(token));
            uint256 credit = escrow.creditOf(who[i], address(token));
            vm.startPrank(who[i]);
            escrow.withdrawBond(address(token), bond);
            if (credit != 0) escrow.withdraw(address(token));
            vm.stopPrank();
        }
        assertEq(token.balanceOf(address(escrow)), 0, "all of it");
    }

    /* private */

    function _masked(Deal memory d, bool lie) private view returns (bytes32[] memory masked) {
        masked = new bytes32[](1);
        masked[0] = (lie ? keccak256("a lie") : nodeSecret(0)) ^ mask(d, 0, _sx);
    }

    function _pick(uint256 which, uint8 state) private view returns (bool, uint256) {
        for (uint256 k = 0; k < _deals.length; ++k) {
            uint256 i = ((which % _deals.length) + k) % _deals.length;
            if (_statuses[i].state & 0x7f == state) return (true, i);
        }
        return (false, 0);
    }

    function _mayAct(Deal memory d, Status memory s, bool ofFallback) private view returns (bool) {
        if (!ofFallback) return s.state == 1;
        return d.fallbackDeliverer != address(0) && (s.state == 0x81 || _closed(s, d.deliverSeconds / 2));
    }

    function _closed(Status memory s, uint256 secs) private view returns (bool) {
        return nowMs() > s.at + secs * 1000 && (block.number - s.atBlock) * 20 >= secs;
    }

    function _vote(uint256 i, uint8 seat) private pure returns (uint16) {
        return uint16(uint256(keccak256(abi.encode(i, seat))) % 1001);
    }

    function _parties() private view returns (address[8] memory) {
        return [buyer, owner, deliverer, fallbackDeliverer, _judges[0], _judges[1], _judges[2], _judges[3]];
    }
}

contract EscrowInvariants is Fixture {
    EscrowHandler private _handler;
    bytes4[] private _actions;

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function setUp() external {
        _handler = new EscrowHandler();
        targetContract(address(_handler));
        _actions = [
            EscrowHandler.open.selector,
            EscrowHandler.addBond.selector,
            EscrowHandler.takeBond.selector,
            EscrowHandler.takeCredit.selector,
            EscrowHandler.deliverAny.selector,
            EscrowHandler.declineAny.selector,
            EscrowHandler.refundAny.selector,
            EscrowHandler.releaseAny.selector,
            EscrowHandler.proveAny.selector,
            EscrowHandler.proveUnopenableAny.selector,
            EscrowHandler.complainAny.selector,
            EscrowHandler.revealAny.selector,
            EscrowHandler.resolveAny.selector,
            EscrowHandler.erase.selector,
            EscrowHandler.pauseOrNot.selector,
            EscrowHandler.passTime.selector
        ];
    }

    function targetSelectors() external view returns (FuzzSelector[] memory selectors) {
        selectors = new FuzzSelector[](1);
        selectors[0] = FuzzSelector(address(_handler), _actions);
    }

    function invariant_moneyInIsMoneyOutPlusMoneyHeld() external view {
        _handler.checkMoney();
    }

    function invariant_everyStateHasAnExitByTime() external {
        _handler.checkExits();
    }
}
