// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {IAccessManager} from "@openzeppelin/contracts/access/manager/IAccessManager.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {IDirectory} from "../access/IDirectory.sol";
import {IConsentRegistry} from "../data/IConsentRegistry.sol";
import {IDataAnchor} from "../data/IDataAnchor.sol";
import {Config, Deal, Enrol, Epoch, Pack, ProtocolTypes, Stream} from "../data/ProtocolTypes.sol";
import {IBootPolicy} from "../identity/IBootPolicy.sol";
import {IDeviceRegistry} from "../identity/IDeviceRegistry.sol";
import {IArbitration} from "../market/IArbitration.sol";
import {Delivery, IEscrow, KeyNode, Status} from "../market/IEscrow.sol";
import {IMarketplace, OfferTerms, Permit} from "../market/IMarketplace.sol";
import {IMSecToken} from "../market/IMSecToken.sol";
import {Offer, Orders, Request} from "../market/Orders.sol";
import {IOracleCommittee} from "../oracle/IOracleCommittee.sol";
import {Base} from "./Base.t.sol";
import {Curve} from "./Curve.t.sol";
import {Merkle} from "./Merkle.t.sol";
import {Rfc8439} from "./Rfc8439.t.sol";
import {Roles} from "./Roles.t.sol";

/// @dev A small city: every contract deployed and wired by access/roles.json, three registrars, four operators, one
/// device with an open stream of one-minute slots, and builders for everything that is signed or sold.
abstract contract Fixture is Base {
    uint64 internal constant GOVERNOR = 1;
    uint64 internal constant OFFICER = 2;
    uint64 internal constant GUARDIAN = 3;
    uint64 internal constant MEMBERSHIP = 4;
    uint64 internal constant MINTER = 5;

    uint32 internal constant COMMIT_SECONDS = 400;
    uint32 internal constant REVEAL_SECONDS = 200;

    uint256 internal constant N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    /// @dev Slot of 2027-01-15T08:00Z in minutes, aligned to 64 slots.
    uint32 internal constant F = 30_000_000;
    uint256 internal constant START = uint256(F) * 60;
    bytes32 internal constant BINDING = keccak256("Binding(bytes32 streamId,address subject,uint64 deadline)");
    bytes32 internal constant PURPOSE = keccak256("research");

    uint256 internal constant OWNER_KEY = 0xA11CE;
    uint256 internal constant BUYER_KEY = 0xB0B;
    uint256 internal constant DEVICE_KEY = 0xDE71CE;
    uint256 internal constant E_KEY = 0xE0E0E0;

    address internal owner = vm.addr(OWNER_KEY);
    address internal buyer = vm.addr(BUYER_KEY);
    address internal deliverer = vm.addr(0xDE11);
    address internal fallbackDeliverer = vm.addr(0xFA11);
    address internal stranger = vm.addr(0x5742);

    IAccessManager internal manager;
    IDirectory internal directory;
    IBootPolicy internal policy;
    IDeviceRegistry internal registry;
    IOracleCommittee internal committee;
    IDataAnchor internal anchor;
    IConsentRegistry internal consent;
    IMSecToken internal token;
    IArbitration internal arbitration;
    IEscrow internal escrow;
    IMarketplace internal market;

    uint256[] internal registrarKeys;
    uint256[] internal memberKeys;
    bytes32 internal deviceId;
    Epoch internal lastEpoch;

    function deployAll() internal {
        vm.warp(START + 100_000);
        vm.roll(10_000);
        manager = IAccessManager(create("AccessManager", abi.encode(address(this))));
        directory = IDirectory(create("Directory", abi.encode(manager)));
        policy = IBootPolicy(create("BootPolicy", abi.encode(manager)));
        registry = IDeviceRegistry(create("DeviceRegistry", abi.encode(manager, directory, policy)));
        committee = IOracleCommittee(create("OracleCommittee", abi.encode(manager, directory)));
        anchor = IDataAnchor(create("DataAnchor", abi.encode(committee, address(0))));
        consent = IConsentRegistry(create("ConsentRegistry", abi.encode(registry)));
        token = IMSecToken(create("MSecToken", abi.encode(manager, uint256(1e18))));
        arbitration = IArbitration(
            create("Arbitration", abi.encode(manager, directory, COMMIT_SECONDS, REVEAL_SECONDS))
        );
        escrow = IEscrow(create("Escrow", abi.encode(manager, directory, registry, consent, arbitration)));
        market = IMarketplace(create("Marketplace", abi.encode(escrow, registry)));

        Roles.Row[] memory rows = Roles.table();
        Roles.apply_(manager, rows, "Directory", address(directory));
        Roles.apply_(manager, rows, "BootPolicy", address(policy));
        Roles.apply_(manager, rows, "DeviceRegistry", address(registry));
        Roles.apply_(manager, rows, "OracleCommittee", address(committee));
        Roles.apply_(manager, rows, "MSecToken", address(token));
        Roles.apply_(manager, rows, "Arbitration", address(arbitration));
        Roles.apply_(manager, rows, "Escrow", address(escrow));
        for (uint64 role = GOVERNOR; role <= MINTER; ++role) manager.grantRole(role, address(this), 0);

        directory.setModule("DataAnchor", address(anchor), 1);
        directory.setModule("Marketplace", address(market), 1);
        escrow.setToken(address(token), true);
        registrarKeys = _sortedKeys(3, 0x4E600);
        memberKeys = _sortedKeys(4, 0x0AC1E);
        for (uint256 i = 0; i < 3; ++i) {
            directory.setOrganisation(vm.addr(registrarKeys[i]), organisation(i));
            registry.setRegistrar(vm.addr(registrarKeys[i]), true);
        }
        registry.setThreshold(2);
        committee.setConfig(config(memberKeys, 1));
    }

    /// @dev From the artifact: `new` would have every test contract compile everything that it deploys once more.
    function create(string memory name, bytes memory arguments) internal returns (address made) {
        bytes memory code = bytes.concat(vm.getCode(string.concat(name, ".sol:", name)), arguments);
        assembly ("memory-safe") {
            made := create(0, add(code, 32), mload(code))
        }
        assertTrue(made != address(0), name);
    }

    /* IDENTITY */

    function organisation(uint256 i) internal pure returns (bytes32) {
        return keccak256(abi.encode("organisation", i));
    }

    /// @dev A device with a TPM, enrolled for `owner`.
    function enrolDevice() internal {
        Enrol memory e = enrolment("board", DEVICE_KEY);
        deviceId = e.deviceId;
        enrol(e, DEVICE_KEY);
        grantToAnyone(stream());
    }

    /// @dev The owner's consent to sales for the purpose of {deal}; of a sealed stream, as the person measured too.
    function grantToAnyone(Stream memory s) internal {
        if (s.mode == ProtocolTypes.MODE_SEALED) bindSubject(s, OWNER_KEY);
        vm.prank(owner);
        consent.grant(s, PURPOSE, address(0), 0, type(uint64).max);
    }

    function bindSubject(Stream memory s, uint256 subjectKey) internal {
        IConsentRegistry.Binding memory x = IConsentRegistry.Binding(hashStream(s), vm.addr(subjectKey), nowMs());
        bytes32 digest = typed("ConsentRegistry", address(consent), keccak256(abi.encode(BINDING, x)));
        consent.bindSubject(s, x, sign(OWNER_KEY, digest), sign(subjectKey, digest));
    }

    function enrolment(string memory ek, uint256 key) internal view returns (Enrol memory e) {
        e.deviceId = keccak256(abi.encodePacked("msec.device", sha256(bytes(ek))));
        e.ekHash = keccak256(bytes(ek));
        e.akName = keccak256(abi.encode("ak", ek));
        e.keyAlg = 1;
        e.keyHash = keyHash(key);
        e.owner = owner;
        e.organisation = organisation(0);
        e.policyId = keccak256("policy");
        e.evidenceDigest = keccak256("evidence");
        e.deadline = nowMs() + 60_000;
    }

    function enrol(Enrol memory e, uint256 key) internal {
        bytes32 digest = enrolDigest(e);
        registry.enrol(e, spki(key), sign(OWNER_KEY, digest), registrars(digest, 2));
    }

    function enrolDigest(Enrol memory e) internal view returns (bytes32) {
        return typed("DeviceRegistry", address(registry), keccak256(abi.encode(ProtocolTypes.ENROL_TYPEHASH, e)));
    }

    function registrars(bytes32 digest, uint256 k) internal view returns (bytes[] memory signatures) {
        signatures = new bytes[](k);
        for (uint256 i = 0; i < k; ++i) signatures[i] = sign(registrarKeys[i], digest);
    }

    /// @dev DER SubjectPublicKeyInfo of a P-256 key.
    function spki(uint256 key) internal pure returns (bytes memory) {
        (uint256 x, uint256 y) = vm.publicKeyP256(key);
        return abi.encodePacked(hex"3059301306072a8648ce3d020106082a8648ce3d030107034200", uint8(4), x, y);
    }

    function keyHash(uint256 key) internal pure returns (bytes32) {
        return sha256(spki(key));
    }

    /* EPOCHS */

    function config(uint256[] memory keys, uint64 fromEpoch) internal returns (Config memory c) {
        uint256 n = keys.length;
        c.q = uint16(n - (n - 1) / 3);
        c.members = new address[](n);
        c.organisations = new bytes32[](n);
        c.fromEpoch = fromEpoch;
        for (uint256 i = 0; i < n; ++i) {
            c.members[i] = vm.addr(keys[i]);
            c.organisations[i] = organisation(100 + i);
            directory.setOrganisation(c.members[i], c.organisations[i]);
        }
    }

    /// @dev The next epoch of the line, over these leaves.
    function nextEpoch(bytes32 root, uint32 packs) internal view returns (Epoch memory e) {
        (uint64 number, , , bytes32 prev) = anchor.latest();
        e.number = number + 1;
        e.prev = prev;
        e.root = root;
        e.packs = packs;
        e.readings = uint64(packs) * 100;
        e.fromMs = nowMs() - 1000;
        e.toMs = nowMs();
        e.closedAt = nowMs() + number;
        e.stateBlock = uint64(block.number) - 1;
        e.manifest = keccak256("manifest");
        e.configDigest = committee.configDigestAt(number + 1);
    }

    function epochDigest(Epoch memory e) internal view returns (bytes32) {
        return typed("DataAnchor", address(anchor), hashEpoch(e));
    }

    function committeeSignatures(Epoch memory e) internal view returns (bytes memory) {
        uint256 n = memberKeys.length;
        return membersSignatures(epochDigest(e), n - (n - 1) / 3);
    }

    /// @return signatures Of the first k members, in a row.
    function membersSignatures(bytes32 digest, uint256 k) internal view returns (bytes memory signatures) {
        for (uint256 i = 0; i < k; ++i) signatures = bytes.concat(signatures, sign(memberKeys[i], digest));
    }

    function anchorNext(bytes32 root, uint32 packs) internal returns (Epoch memory e) {
        e = nextEpoch(root, packs);
        anchor.anchor(e, committeeSignatures(e));
        lastEpoch = e;
    }

    function hashEpoch(Epoch memory e) internal pure returns (bytes32) {
        return keccak256(abi.encode(ProtocolTypes.EPOCH_TYPEHASH, e));
    }

    function hashPack(Pack memory p) internal pure returns (bytes32) {
        return keccak256(abi.encode(ProtocolTypes.PACK_TYPEHASH, p));
    }

    function hashStream(Stream memory s) internal pure returns (bytes32) {
        return keccak256(abi.encode(ProtocolTypes.STREAM_TYPEHASH, s));
    }

    function hashDeal(Deal memory d) internal pure returns (bytes32) {
        return keccak256(abi.encode(ProtocolTypes.DEAL_TYPEHASH, d));
    }

    /* STREAM AND KEYS */

    function stream() internal view returns (Stream memory s) {
        s.deviceId = deviceId;
        s.ownerEpoch = 1;
        s.nameHash = keccak256("air");
        s.schemaHash = keccak256("schema");
        s.slotSeconds = 60;
        s.mode = 0;
        s.salt = keccak256("salt");
    }

    /// @dev Node i of the sale covers 2^(32−depth) slots from F + i·2^(32−depth); its secret is made up.
    function nodeSecret(uint256 i) internal pure returns (bytes32) {
        return keccak256(abi.encode("node", i));
    }

    function b(uint256 i) internal pure returns (uint256) {
        return (uint256(keccak256(abi.encode("msec.b", i))) % (N - 1)) + 1;
    }

    function nodes(uint256 n, uint8 depth) internal view returns (KeyNode[] memory list) {
        list = new KeyNode[](n);
        uint32 size = uint32(1) << (32 - depth);
        for (uint256 i = 0; i < n; ++i) {
            (uint256 x, uint256 y) = point(b(i));
            list[i] = KeyNode(depth, F + uint32(i) * size, x, parity(y));
        }
    }

    function nodeLeaves(KeyNode[] memory list) internal pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](list.length);
        for (uint256 i = 0; i < list.length; ++i) {
            KeyNode memory k = list[i];
            leaves[i] = keccak256(abi.encode(uint16(i), k.depth, k.firstSlot, k.x, k.v));
        }
    }

    function point(uint256 scalar) internal view returns (uint256, uint256) {
        return Curve.multiply(scalar, Curve.GX, Curve.GY);
    }

    function parity(uint256 y) internal pure returns (uint8) {
        return y % 2 == 0 ? 27 : 28;
    }

    /// @dev From the node at `depth` to the slot, bit by bit from the top, as PROTOCOL says it.
    function slotKey(bytes32 node, uint8 depth, uint32 slot) internal pure returns (bytes32) {
        for (uint8 d = depth; d < 32; ++d) {
            bool right = (uint256(slot) / 2 ** (31 - d)) % 2 == 1;
            node = keccak256(bytes.concat(right ? bytes1(0x01) : bytes1(0x00), node));
        }
        return node;
    }

    /// @dev A pack of the stream in `slot`, whose key comes from `node`.
    function pack(bytes32 node, uint8 depth, uint32 slot) internal view returns (Pack memory p) {
        p.streamId = hashStream(stream());
        p.keyEpoch = 1;
        p.seq = slot - F + 1;
        p.headerDigest = keccak256(abi.encode("header", slot));
        p.root = keccak256(abi.encode("readings", slot));
        p.count = 100;
        p.fromMs = uint64(slot) * 60_000;
        p.toMs = p.fromMs + 59_999;
        p.slot = slot;
        p.keyCommitment = commitmentTo(packKey(node, depth, p));
        p.contentDigest = keccak256(abi.encode("content", slot));
    }

    function aadOf(Pack memory p) internal pure returns (bytes memory) {
        return bytes.concat(p.streamId, bytes4(p.keyEpoch), bytes8(p.seq));
    }

    function packKey(bytes32 node, uint8 depth, Pack memory p) internal pure returns (bytes32) {
        return keccak256(bytes.concat(bytes1(0x02), slotKey(node, depth, p.slot), aadOf(p)));
    }

    function commitmentTo(bytes32 key) internal pure returns (bytes32) {
        return keccak256(bytes.concat(bytes1(0x03), key));
    }

    /// @dev What a device sends for a plaintext of `length` bytes: any ciphertext, the right tag.
    function contentOf(Pack memory p, bytes32 key, uint256 length) internal pure returns (bytes memory) {
        bytes12 nonce = bytes12(keccak256(abi.encode("nonce", p.slot)));
        bytes memory text = new bytes(length);
        for (uint256 i = 0; i < length; ++i) text[i] = bytes1(uint8(i * 31 + 1));
        return bytes.concat(nonce, text, Rfc8439.tag(key, nonce, aadOf(p), text));
    }

    /* DEALS */

    function deal(KeyNode[] memory list) internal view returns (Deal memory d) {
        (uint64 number, , , ) = anchor.latest();
        uint32 size = uint32(1) << (32 - list[0].depth);
        d.anchor = address(anchor);
        d.streamId = hashStream(stream());
        d.buyer = buyer;
        d.seller = owner;
        d.deliverer = deliverer;
        d.fallbackDeliverer = fallbackDeliverer;
        d.token = address(token);
        d.readings = 400;
        d.packs = 4;
        d.price = 400 * 1000;
        d.fee = d.price / 20;
        d.bond = 50_000;
        d.asOfEpoch = number;
        d.fromSlot = F;
        d.toSlot = F + size * uint32(list.length) - 1;
        d.endMs = 60_000 * (uint64(d.toSlot) + 1) - 1;
        d.holesHash = keccak256("");
        d.nodes = uint16(list.length);
        d.keysRoot = Merkle.root(nodeLeaves(list));
        d.purpose = PURPOSE;
        d.deliverSeconds = 600;
        d.complainSeconds = 1200;
        d.nonce = keccak256("nonce");
    }

    function terms() internal view returns (OfferTerms memory t) {
        t.deliverer = deliverer;
        t.fallbackDeliverer = fallbackDeliverer;
        t.token = address(token);
        t.unitPrice = 1000;
        t.feePerMille = 50;
        t.bond = 50_000;
        t.deliverSeconds = 600;
        t.complainSeconds = 1200;
        t.fromSlot = F - 1000;
        t.toSlot = F + 1_000_000;
        t.terms = keccak256("licence");
    }

    /// @dev An offer and a request that make this deal: the offer is of the fixture's terms, the request takes no worse.
    function orders(Deal memory d) internal view returns (Offer memory o, Request memory r) {
        OfferTerms memory t = terms();
        (o.seller, o.streamId) = (d.seller, d.streamId);
        (o.fromSlot, o.toSlot) = (t.fromSlot, t.toSlot);
        (o.deliverer, o.fallbackDeliverer, o.token) = (t.deliverer, t.fallbackDeliverer, t.token);
        (o.unitPrice, o.feePerMille, o.bond) = (t.unitPrice, t.feePerMille, t.bond);
        (o.deliverSeconds, o.complainSeconds, o.terms) = (t.deliverSeconds, t.complainSeconds, t.terms);
        (o.amount, o.salt, o.deadline) = (1000, keccak256("offer"), nowMs() + 60_000);

        (r.buyer, r.anchor, r.streamId) = (d.buyer, d.anchor, d.streamId);
        (r.fromSlot, r.toSlot, r.holesHash) = (d.fromSlot, d.toSlot, d.holesHash);
        (r.asOfEpoch, r.packs, r.readings, r.erasures) = (d.asOfEpoch, d.packs, d.readings, d.erasures);
        (r.nodes, r.keysRoot, r.purpose) = (d.nodes, d.keysRoot, d.purpose);
        (r.deliverer, r.fallbackDeliverer, r.token) = (t.deliverer, t.fallbackDeliverer, t.token);
        (r.maxPrice, r.minBond) = (d.price, t.bond);
        (r.maxDeliverSeconds, r.minComplainSeconds) = (t.deliverSeconds, t.complainSeconds);
        (r.terms, r.nonce, r.deadline) = (t.terms, d.nonce, nowMs() + 60_000);
    }

    function hashOffer(Offer memory o) internal pure returns (bytes32) {
        return keccak256(abi.encode(Orders.OFFER_TYPEHASH, o));
    }

    function hashRequest(Request memory r) internal pure returns (bytes32) {
        return keccak256(abi.encode(Orders.REQUEST_TYPEHASH, r));
    }

    function noPermit() internal pure returns (Permit memory p) {}

    /// @dev Opens the deal as the marketplace would, with the buyer's money.
    function openDeal(Deal memory d, KeyNode[] memory list) internal returns (Status memory) {
        allow(d.buyer, d.price);
        vm.prank(address(market));
        escrow.open(d, stream(), list);
        return status(1, 0);
    }

    /// @dev Gives an account tokens that the marketplace may move.
    function allow(address account, uint256 amount) internal {
        token.mint(account, amount);
        vm.prank(account);
        token.approve(address(market), amount);
    }

    function depositBond(address account, uint256 amount) internal {
        token.mint(account, amount);
        vm.startPrank(account);
        token.approve(address(escrow), amount);
        escrow.depositBond(address(token), amount);
        vm.stopPrank();
    }

    /// @dev What `deliver` publishes for these node secrets, honestly masked.
    function delivery(Deal memory d, bytes32[] memory secrets) internal view returns (Delivery memory out) {
        (uint256 ex, uint256 ey) = point(E_KEY);
        out = Delivery(ex, parity(ey), new bytes32[](secrets.length));
        for (uint256 i = 0; i < secrets.length; ++i) {
            (uint256 sx, ) = point(mulmod(E_KEY, b(i), N));
            out.masked[i] = secrets[i] ^ mask(d, uint16(i), sx);
        }
    }

    function mask(Deal memory d, uint16 i, uint256 sx) internal view returns (bytes32) {
        return maskOf(block.chainid, address(escrow), hashDeal(d), i, sx);
    }

    function maskOf(uint256 chainId, address by, bytes32 id, uint16 i, uint256 sx) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked("msec.kd", chainId, by, id, i, sx));
    }

    function secretsOf(uint256 n) internal pure returns (bytes32[] memory secrets) {
        secrets = new bytes32[](n);
        for (uint256 i = 0; i < n; ++i) secrets[i] = nodeSecret(i);
    }

    function deliver(address by, Deal memory d, Status memory s, Delivery memory out) internal returns (Status memory) {
        vm.prank(by);
        escrow.deliver(d, s, out.Ex, out.vE, out.masked);
        return status(by == d.deliverer ? 2 : 0x82, deliveryHash(out));
    }

    function deliveryHash(Delivery memory out) internal pure returns (bytes32) {
        return keccak256(abi.encode(out.Ex, out.vE, out.masked));
    }

    /// @dev The status that a change of this block leads to.
    function status(uint8 state, bytes32 hash) internal view returns (Status memory) {
        return Status(state, nowMs(), uint64(block.number), hash);
    }

    function word(Status memory s) internal pure returns (bytes32) {
        return keccak256(abi.encode(s.state, s.at, s.atBlock, s.deliveryHash));
    }

    /* SIGNATURES AND TIME */

    function typed(string memory name, address verifying, bytes32 structHash) internal view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256(bytes(name)),
                keccak256("1"),
                block.chainid,
                verifying
            )
        );
        return MessageHashUtils.toTypedDataHash(domain, structHash);
    }

    function sign(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function nowMs() internal view returns (uint64) {
        return uint64(block.timestamp) * 1000;
    }

    /// @dev Lets seconds and one block a second pass.
    function pass(uint256 secs) internal {
        vm.warp(block.timestamp + secs);
        vm.roll(block.number + secs);
    }

    function _sortedKeys(uint256 n, uint256 seed) internal pure returns (uint256[] memory keys) {
        keys = new uint256[](n);
        for (uint256 i = 0; i < n; ++i) keys[i] = seed + i;
        for (uint256 i = 1; i < n; ++i) {
            for (uint256 j = i; j > 0 && vm.addr(keys[j]) < vm.addr(keys[j - 1]); --j) {
                (keys[j], keys[j - 1]) = (keys[j - 1], keys[j]);
            }
        }
    }
}
