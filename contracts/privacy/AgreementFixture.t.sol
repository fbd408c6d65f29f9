// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {Fixture} from "../test/Fixture.t.sol";
import {Agreement} from "./Agreement.sol";
import {IAgreementDigests} from "./IAgreementDigests.sol";
import {IPrivateAgreement, Proposal} from "./IPrivateAgreement.sol";

/// @dev Four accounts that may become parties (two of them found the agreement), an auditor, and an outsider.
abstract contract AgreementFixture is Fixture {
    string internal constant TYPE =
        "Agreement(address agreement,uint64 version,bytes32 termsHash,address[] parties,address[] auditors,uint64 endMs,uint64 noticeMs,uint64 deadline,bytes32 salt)";

    IPrivateAgreement internal agreement;
    IAgreementDigests internal digests;
    uint256[] internal keys;
    address internal auditor = vm.addr(0xAD17);

    function deployAgreement() internal {
        vm.warp(START);
        vm.roll(10);
        keys = _sortedKeys(4, 0xA62EE);
        digests = IAgreementDigests(create("AgreementDigests", ""));
        agreement = IPrivateAgreement(create("PrivateAgreement", abi.encode(digests, parties(2))));
    }

    function party(uint256 i) internal view returns (address) {
        return vm.addr(keys[i]);
    }

    function parties(uint256 n) internal view returns (address[] memory list) {
        list = new address[](n);
        for (uint256 i = 0; i < n; ++i) list[i] = party(i);
    }

    function proposal(uint256 n) internal view returns (Proposal memory p) {
        p.terms = "price per reading 5, until further notice";
        p.parties = parties(n);
        p.auditors = new address[](1);
        p.auditors[0] = auditor;
        p.deadline = nowMs() + 3_600_000;
        p.endMs = nowMs() + 30 * 86_400_000;
        p.noticeMs = 7 * 86_400_000;
        p.salt = keccak256("salt");
    }

    function signatureOf(uint256 i, uint64 version) internal view returns (bytes memory) {
        return sign(keys[i], agreement.digestOf(version));
    }

    /// @dev By the test runner's own EIP-712.
    function expectedDigest(Agreement memory a) internal view returns (bytes32) {
        return typed("AgreementDigests", address(digests), vm.eip712HashStruct(TYPE, abi.encode(a)));
    }

    function signAll(uint64 version, uint256 n) internal {
        for (uint256 i = 0; i < n; ++i) {
            bytes memory signature = signatureOf(i, version);
            vm.prank(party(0));
            agreement.sign(version, signature);
        }
    }

    function propose(uint256 by, Proposal memory p) internal returns (uint64 version) {
        vm.prank(party(by));
        return agreement.propose(p);
    }
}
