// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {IArbitration} from "../market/IArbitration.sol";
import {ArbitrationBase} from "../market/Arbitration.t.sol";
import {IEscrow} from "../market/IEscrow.sol";
import {EscrowModel, EscrowShares} from "./EscrowModel.t.sol";

/// @dev What Escrow does, EscrowModel can do too, with the same sums; and each party gets what EscrowShares says.
contract EscrowModelTest is ArbitrationBase {
    EscrowModel private _model;
    EscrowShares private _shares;
    bool private _rules;
    uint256 private _seen;
    /// @dev Credit of buyer, seller and all judges, free bond of deliverer and fallback.
    uint256[5] private _expected;

    function setUp() external {
        prepare(1, 26);
        seatPanel(4);
        pass(1000);
        _model = new EscrowModel();
        _shares = new EscrowShares();
        st.state = 4;
        d.price = 0;
    }

    /* THE STEPS */

    function testFuzz_escrow_everyStepIsOneOfTheModel(uint256[32] calldata seeds) external {
        for (uint256 i = 0; i < seeds.length; ++i) {
            // a deal is opened as soon as there is none, and half of the other steps move it
            uint256 seed = seeds[i] >> 8;
            if (!_live()) _open(uint64(seed), uint16(seed >> 64), uint32(seed >> 80), seed & 1 == 0);
            _step(seeds[i] & 0xff, seed);
            _compare();
        }
    }

    /// @dev So that the comparison can't pass on nothing.
    function test_everyStateIsComparedOnce() external {
        _depositBond(false, 1e9);
        _depositBond(true, 1e9);
        uint8[6][5] memory lines = [
            [1, 13, 4, 12, 11, 0], // delivered, released
            [2, 13, 3, 12, 11, 0], // declined, refunded by time
            [101, 5, 12, 11, 10, 0], // delivered wrong, proved
            [1, 6, 7, 8, 11, 11], // delivered, disputed, ruled
            [1, 6, 13, 8, 11, 10] // delivered, disputed, never ruled
        ];
        for (uint256 i = 0; i < lines.length; ++i) {
            _open(uint64(1e6 + i * 777), uint16(50 * i), uint32(5000 * i), i != 3);
            for (uint256 k = 0; k < 6; ++k) {
                _step(lines[i][k], (i * 6 + k) * 0x10001);
                _compare();
            }
            assertTrue(!_live(), "ended");
        }
        assertEq(_seen, 0x7e, "states 1 to 6");
    }

    function _step(uint256 kind, uint256 seed) private {
        bool second = seed & 1 == 1;
        bool wrong = kind > 100;
        kind %= 100;
        if (kind > 13) kind = kind % 9;
        if (kind == 1) _deliver(second, wrong);
        else if (kind == 2) _decline(second);
        else if (kind == 3) _refund();
        else if (kind == 4) _release();
        else if (kind == 5) _prove();
        else if (kind == 6) _dispute();
        else if (kind == 7) _rule(uint16(seed % 1001));
        else if (kind == 8) _resolve();
        else if (kind == 9) _depositBond(second, uint32(seed >> 1));
        else if (kind == 10) _withdrawBond(second, uint32(seed >> 1));
        else if (kind == 11) _withdraw(seed % 3);
        else if (kind == 12) pass(100 + (seed % 700));
        else if (kind == 13) pass(1300);
        else _depositBond(second, 1e6);
    }

    function _open(uint64 price, uint16 perMille, uint32 bond, bool withFallback) private {
        d.price = uint128(price % 1e12);
        d.fee = (d.price * (perMille % 1001)) / 1000;
        d.bond = bond;
        d.fallbackDeliverer = withFallback ? fallbackDeliverer : address(0);
        d.nonce = bytes32(uint256(d.nonce) + 1);
        d.erasures = consent.erasures(d.streamId);
        st = openDeal(d, list);
        _model.open(d.price);
        _rules = false;
        _compare();
    }

    function _deliver(bool byFallback, bool wrong) private {
        if (st.state & 0x7f != 1) return;
        bytes32[] memory secrets = secretsOf(1);
        if (wrong) secrets[0] = "not this one";
        out = delivery(d, secrets);
        bytes memory data = abi.encodeCall(escrow.deliver, (d, st, out.Ex, out.vE, out.masked));
        if (!_call(byFallback ? fallbackDeliverer : deliverer, data)) return;
        st = status(byFallback ? 0x82 : 2, deliveryHash(out));
        _model.deliver(d.bond);
        _expected[byFallback ? 4 : 3] -= d.bond;
    }

    function _decline(bool byFallback) private {
        if (!_call(byFallback ? fallbackDeliverer : deliverer, abi.encodeCall(escrow.decline, (d, st)))) return;
        if (byFallback || d.fallbackDeliverer == address(0)) _refunded(false);
        else st.state = 0x81;
    }

    function _refund() private {
        if (_call(stranger, abi.encodeCall(escrow.refund, (d, st)))) _refunded(false);
    }

    function _prove() private {
        bytes memory data = abi.encodeCall(escrow.proveWrongKey, (d, st, out, claim(0, 0)));
        if (_call(stranger, data)) _refunded(true);
    }

    function _refunded(bool proved) private {
        _expected[0] += _shares.refunded(d.price, d.bond, proved);
        st = status(4 | (st.state & 0x80), st.deliveryHash);
        _model.refund();
    }

    function _release() private {
        if (!_call(stranger, abi.encodeCall(escrow.release, (d, st)))) return;
        (uint256 toSeller, uint256 toDeliverer) = _shares.released(d.price, d.fee, d.bond);
        _expected[1] += toSeller;
        _expected[st.state & 0x80 == 0 ? 3 : 4] += toDeliverer;
        st = status(3 | (st.state & 0x80), st.deliveryHash);
        _model.release(toSeller);
    }

    function _dispute() private {
        stake();
        if (!_call(buyer, abi.encodeCall(escrow.dispute, (d, st, "complaint")))) return;
        st = status(5 | (st.state & 0x80), st.deliveryHash);
        _model.dispute(_shares.stakeOf(d.price));
    }

    /// @dev Three or four judges, who differ.
    function _rule(uint16 perMille) private {
        if (st.state & 0x7f != 5 || _rules || nowMs() != st.at) return;
        _rules = true;
        uint16[] memory votes = new uint16[](3 + (perMille % 2));
        for (uint16 i = 0; i < votes.length; ++i) votes[i] = (perMille + 7 * i) % 1001;
        rule(votes);
    }

    function _resolve() private {
        bool late = nowMs() > st.at + escrow.rulingSeconds() * 1000;
        (bool ruled, bytes memory ruling) = address(arbitration).staticcall(
            abi.encodeCall(IArbitration.ruling, (address(escrow), hashDeal(d)))
        );
        if (!_call(stranger, abi.encodeCall(escrow.resolve, (d, st)))) return;
        uint256 back;
        uint256 shared;
        if (!late) {
            assertTrue(ruled, "a ruling");
            (uint16 perMille, address[] memory who) = abi.decode(ruling, (uint16, address[]));
            back = _shares.partOf(d.price - d.fee, perMille);
            shared = _shares.shareOf(d.price, who.length) * who.length;
        }
        _resolved(back, shared);
    }

    function _resolved(uint256 back, uint256 shared) private {
        (uint256 toBuyer, uint256 toSeller, uint256 toDeliverer) = _shares.resolved(
            d.price,
            d.fee,
            d.bond,
            back,
            shared
        );
        _expected[0] += toBuyer;
        _expected[1] += toSeller;
        _expected[2] += shared;
        _expected[st.state & 0x80 == 0 ? 3 : 4] += toDeliverer;
        st = status(6 | (st.state & 0x80), st.deliveryHash);
        _model.resolve(toBuyer + toSeller + shared);
    }

    function _depositBond(bool ofFallback, uint256 amount) private {
        depositBond(ofFallback ? fallbackDeliverer : deliverer, amount);
        _expected[ofFallback ? 4 : 3] += amount;
        _model.depositBond(amount);
    }

    function _withdrawBond(bool ofFallback, uint256 amount) private {
        bytes memory data = abi.encodeCall(escrow.withdrawBond, (address(token), amount));
        if (!_call(ofFallback ? fallbackDeliverer : deliverer, data)) return;
        _expected[ofFallback ? 4 : 3] -= amount;
        _model.withdrawBond(amount);
    }

    /// @param who Buyer, seller, or all judges.
    function _withdraw(uint256 who) private {
        uint256 amount = _expected[who];
        if (amount == 0) return;
        bytes memory data = abi.encodeCall(escrow.withdraw, (address(token)));
        if (who < 2) assertTrue(_call(who == 0 ? buyer : owner, data), "what is owed is paid");
        else for (uint256 i = 0; i < 4; ++i) _call(judges[i], data);
        _expected[who] = 0;
        _model.withdraw(amount);
    }

    /* THE COMPARISON */

    function _compare() private {
        _seen |= 1 << (st.state & 0x7f);
        uint256[5] memory actual = [
            escrow.creditOf(buyer, address(token)),
            escrow.creditOf(owner, address(token)),
            0,
            escrow.bondOf(deliverer, address(token)),
            escrow.bondOf(fallbackDeliverer, address(token))
        ];
        for (uint256 i = 0; i < 4; ++i) actual[2] += escrow.creditOf(judges[i], address(token));
        for (uint256 i = 0; i < 5; ++i) assertEq(actual[i], _expected[i], "each party has what it is due");
        assertEq(escrow.statusWord(hashDeal(d)), word(st), "status");
        assertEq(token.balanceOf(address(escrow)), _model.balance(), "balance");
        assertEq(actual[0] + actual[1] + actual[2], _model.credits(), "credits");
        assertEq(actual[3] + actual[4], _model.bonds(), "bonds");
        assertEq(st.state & 0x7f, _model.state(), "state");
    }

    function _live() private view returns (bool) {
        uint8 state = st.state & 0x7f;
        return state == 1 || state == 2 || state == 5;
    }

    /// @return ok Whether the escrow took it.
    function _call(address by, bytes memory data) private returns (bool ok) {
        vm.prank(by);
        (ok, ) = address(escrow).call(data);
    }
}
