// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";

import {IDeviceRegistry} from "../identity/IDeviceRegistry.sol";
import {Fixture} from "../test/Fixture.t.sol";
import {IConsentRegistry} from "./IConsentRegistry.sol";
import {Stream} from "./ProtocolTypes.sol";

contract ConsentRegistryTest is Fixture {
    bytes32 private constant REQUEST = keccak256(
        "ErasureRequest(bytes32 streamId,uint32 fromSlot,uint32 toSlot,uint256 nonce,uint64 deadline)"
    );

    bytes32 private _id;

    function setUp() external {
        deployAll();
        enrolDevice();
        _id = hashStream(stream());
    }

    function test_requestErasure_whenByTheOwner_itIsCounted() external {
        vm.startPrank(owner);
        vm.expectEmit(address(consent));
        emit IConsentRegistry.ErasureRequested(_id, 1, 5, 9, nowMs());
        assertEq(consent.requestErasure(stream(), 5, 9), 1, "first");
        pass(1);
        assertEq(consent.requestErasure(stream(), 9, 9), 2, "second");
        vm.stopPrank();
        assertEq(consent.erasures(_id), 2, "count");
        IConsentRegistry.Erasure memory e = consent.erasureAt(_id, 1);
        assertEq(e.fromSlot, 5, "from");
        assertEq(e.toSlot, 9, "to");
        assertEq(e.at, nowMs() - 1000, "at");
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_NoErasure.selector);
        consent.erasureAt(_id, 0);
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_NoErasure.selector);
        consent.erasureAt(_id, 3);
    }

    function test_requestErasure_whenByAnyoneElse_itReverts() external {
        vm.prank(stranger);
        vm.expectRevert(
            abi.encodeWithSelector(IConsentRegistry.ConsentRegistry_NotOwner.selector, _id, owner, stranger)
        );
        consent.requestErasure(stream(), 5, 9);
        vm.prank(owner);
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_EmptyWindow.selector);
        consent.requestErasure(stream(), 6, 5);
    }

    function test_requestErasure_whenTheDeviceWasSold_eachOwnerHasItsOwn() external {
        IDeviceRegistry.Transfer memory t = IDeviceRegistry.Transfer(deviceId, buyer, 1, nowMs());
        bytes32 digest = typed(
            "DeviceRegistry",
            address(registry),
            keccak256(
                abi.encode(keccak256("Transfer(bytes32 deviceId,address newOwner,uint256 nonce,uint64 deadline)"), t)
            )
        );
        registry.transferOwnership(t, sign(OWNER_KEY, digest), sign(BUYER_KEY, digest));
        Stream memory later = stream();
        later.ownerEpoch = 2;
        vm.prank(owner);
        consent.requestErasure(stream(), 1, 1);
        vm.prank(buyer);
        consent.requestErasure(later, 1, 1);
        vm.prank(buyer);
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_NotOwner.selector);
        consent.requestErasure(stream(), 1, 1);
        vm.prank(owner);
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_NotOwner.selector);
        consent.requestErasure(later, 1, 1);
    }

    function test_bySignature_itWorksOnce() external {
        IConsentRegistry.ErasureRequest memory r = IConsentRegistry.ErasureRequest(_id, 5, 9, 0, nowMs());
        bytes memory s = _sign(OWNER_KEY, r);
        vm.prank(stranger);
        consent.requestErasureBySignature(stream(), r, s);
        assertEq(consent.erasures(_id), 1, "count");
        vm.expectRevert(abi.encodeWithSelector(Nonces.InvalidAccountNonce.selector, owner, 1));
        consent.requestErasureBySignature(stream(), r, s);
    }

    function test_bySignature_whenWrong_itReverts() external {
        IConsentRegistry.ErasureRequest memory r = IConsentRegistry.ErasureRequest(_id, 5, 9, 0, nowMs());
        bytes memory s = _sign(BUYER_KEY, r);
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_WrongSignature.selector);
        consent.requestErasureBySignature(stream(), r, s);
        s = _sign(OWNER_KEY, r);
        r.toSlot = 10;
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_WrongSignature.selector);
        consent.requestErasureBySignature(stream(), r, s);
        r.deadline -= 1;
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_Expired.selector);
        consent.requestErasureBySignature(stream(), r, s);
        r = IConsentRegistry.ErasureRequest("x", 5, 9, 0, nowMs());
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_WrongStream.selector);
        consent.requestErasureBySignature(stream(), r, s);
    }

    function testFuzz_erasures_onlyRise(uint8 n, bytes32 purpose, address who) external {
        for (uint32 i = 1; i <= n % 16; ++i) {
            vm.prank(owner);
            assertEq(consent.requestErasure(stream(), i, i), i, "number");
        }
        assertTrue(consent.authorised(_id, purpose, who), "until grants exist");
    }

    function _sign(uint256 key, IConsentRegistry.ErasureRequest memory r) private view returns (bytes memory) {
        return sign(key, typed("ConsentRegistry", address(consent), keccak256(abi.encode(REQUEST, r))));
    }
}
