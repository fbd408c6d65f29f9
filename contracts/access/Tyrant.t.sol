// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {Config, Deal, Epoch, Stream} from "../data/ProtocolTypes.sol";
import {EscrowBase} from "../market/Escrow.t.sol";
import {IEscrow, KeyNode, Status} from "../market/IEscrow.sol";
import {IPayer} from "../market/IPayer.sol";
import {IDeviceRegistry} from "../identity/IDeviceRegistry.sol";

/// @dev A "Marketplace" that opens deals for whoever once trusted the real one.
contract Taker {
    function take(IEscrow escrow, Deal calldata deal, Stream calldata stream, KeyNode[] calldata nodes) external {
        escrow.open(deal, stream, nodes);
    }

    function pay(IERC20 token, address from, uint256 amount) external {
        // solhint-disable-next-line no-empty-blocks
        try token.transferFrom(from, msg.sender, amount) {} catch {}
    }
}

/// @dev One account holds every role and the administration of the manager, and uses all of it against the users.
contract TyrantTest is EscrowBase {
    address private constant TYRANT = address(0x7777);
    uint256 private constant WALLET = 1e9;

    Taker private _taker;
    Deal private _delivered;
    Status private _deliveredStatus;
    Status private _funded;

    function setUp() external {
        prepare(2, 26);
        _delivered = d;
        _deliveredStatus = openDeal(_delivered, list);
        depositBond(deliverer, 2 * uint256(d.bond));
        if (nowMs() < d.endMs) pass(d.endMs / 1000 + 1 - block.timestamp);
        _deliveredStatus = deliver(deliverer, d, _deliveredStatus, delivery(d, secretsOf(2)));
        d.nonce = keccak256("another");
        _funded = openDeal(d, list);
        token.mint(buyer, WALLET);
        vm.startPrank(buyer);
        token.approve(address(market), type(uint256).max);
        token.approve(address(escrow), type(uint256).max);
        vm.stopPrank();

        for (uint64 role = 0; role <= 5; ++role) manager.grantRole(role, TYRANT, 0);
        _taker = new Taker();
        vm.warp(block.timestamp + 1);
    }

    /// @param acts One bit for each thing that a role can do.
    function testFuzz_everyRole_cannotTakeAUsersMoney(uint256 acts) external {
        bytes32 anchored = anchor.epochHash(1);
        vm.startPrank(TYRANT);
        if (acts & 1 != 0) escrow.pause();
        if (acts & 2 != 0) registry.pause();
        if (acts & 4 != 0) escrow.setToken(address(token), false);
        if (acts & 8 != 0) directory.setModule("Marketplace", address(_taker), 2);
        if (acts & 16 != 0) directory.setModule("DataAnchor", address(_taker), 2);
        if (acts & 32 != 0) registry.setStatus(deviceId, IDeviceRegistry.Status.Retired);
        if (acts & 64 != 0) directory.setOrganisation(buyer, "tyranny");
        if (acts & 128 != 0) directory.setOrganisation(deliverer, 0);
        if (acts & 256 != 0) arbitration.setPanel(_panel());
        if (acts & 512 != 0) registry.setThreshold(1);
        if (acts & 1024 != 0) manager.updateAuthority(address(escrow), address(_taker));
        if (acts & 2048 != 0) token.mint(TYRANT, 1e6);
        vm.stopPrank();
        _steal();

        assertEq(token.balanceOf(buyer), WALLET, "the buyer's wallet");
        assertEq(anchor.epochHash(1), anchored, "what was anchored");
        assertTrue(nowMs() < _deliveredStatus.at + 600_000, "all of it within the windows");
        pass(uint256(d.complainSeconds) + 1);
        escrow.refund(d, _funded);
        escrow.release(_delivered, _deliveredStatus);
        vm.prank(buyer);
        assertEq(escrow.withdraw(address(token)), d.price, "the price of what was not delivered");
        vm.prank(owner);
        assertEq(escrow.withdraw(address(token)), d.price - d.fee, "the price of what was");
        vm.prank(deliverer);
        escrow.withdrawBond(address(token), 2 * uint256(d.bond) + d.fee);
        assertEq(token.balanceOf(address(escrow)), 0, "nothing is left behind");
    }

    /// @dev A committee of its own anchors what comes; what was sold is judged by what was there before.
    function test_everyRole_cannotRewriteWhatWasAnchored() external {
        uint256[] memory keys = _sortedKeys(4, 0x7700);
        Config memory own = config(keys, 2);
        vm.startPrank(TYRANT);
        for (uint256 i = 0; i < 4; ++i) directory.setOrganisation(vm.addr(keys[i]), own.organisations[i]);
        committee.setConfig(own);
        vm.stopPrank();
        bytes32 before = anchor.epochHash(1);
        memberKeys = keys;
        anchorNext("lies", 1);
        assertEq(anchor.epochHash(1), before, "the past");
        Epoch memory again = epoch;
        again.root = "lies";
        bytes memory s = committeeSignatures(again);
        vm.expectRevert();
        anchor.anchor(again, s);
    }

    function _steal() private {
        Deal memory forged = d;
        (forged.nonce, forged.seller, forged.price, forged.fee) = ("forged", TYRANT, uint128(WALLET), 0);
        vm.startPrank(TYRANT);
        vm.expectRevert();
        _taker.take(escrow, forged, stream(), list);
        vm.expectRevert();
        IPayer(address(market)).pay(IERC20(address(token)), buyer, WALLET);
        bytes memory transfer = abi.encodeCall(IERC20.transferFrom, (buyer, TYRANT, WALLET));
        bytes4[] memory selectors = new bytes4[](1);
        selectors[0] = IERC20.transferFrom.selector;
        manager.setTargetFunctionRole(address(token), selectors, 1);
        vm.expectRevert();
        manager.execute(address(token), transfer);
        vm.expectRevert();
        escrow.withdrawBond(address(token), 1);
        vm.expectRevert();
        escrow.withdraw(address(token));
        vm.stopPrank();
    }

    function _panel() private view returns (address[] memory panel) {
        panel = new address[](3);
        for (uint256 i = 0; i < 3; ++i) {
            panel[i] = vm.addr(memberKeys[i]);
            for (uint256 j = i; j > 0 && _organisationOf(panel[j]) < _organisationOf(panel[j - 1]); --j) {
                (panel[j], panel[j - 1]) = (panel[j - 1], panel[j]);
            }
        }
    }

    function _organisationOf(address account) private view returns (bytes32) {
        return directory.organisationOf(account);
    }
}
