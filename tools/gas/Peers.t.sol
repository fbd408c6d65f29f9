// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
import {VestingWallet} from "@openzeppelin/contracts/finance/VestingWallet.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {ERC2771Context} from "@openzeppelin/contracts/metatx/ERC2771Context.sol";
import {ERC2771Forwarder} from "@openzeppelin/contracts/metatx/ERC2771Forwarder.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {Fixture} from "../test/Fixture.t.sol";

/* What the peers' packages publish, as far as it is called here. */

struct AttestationRequestData {
    address recipient;
    uint64 expirationTime;
    bool revocable;
    bytes32 refUID;
    bytes data;
    uint256 value;
}

struct AttestationRequest {
    bytes32 schema;
    AttestationRequestData data;
}

struct Signature {
    uint8 v;
    bytes32 r;
    bytes32 s;
}

struct DelegatedAttestationRequest {
    bytes32 schema;
    AttestationRequestData data;
    Signature signature;
    address attester;
    uint64 deadline;
}

struct RevocationRequestData {
    bytes32 uid;
    uint256 value;
}

struct RevocationRequest {
    bytes32 schema;
    RevocationRequestData data;
}

struct MultiRevocationRequest {
    bytes32 schema;
    RevocationRequestData[] data;
}

interface IEAS {
    function attest(AttestationRequest calldata request) external payable returns (bytes32);
    function attestByDelegation(DelegatedAttestationRequest calldata request) external payable returns (bytes32);
    function revoke(RevocationRequest calldata request) external payable;
    function multiRevoke(MultiRevocationRequest[] calldata requests) external payable;
    function timestamp(bytes32 data) external returns (uint64);
    function getNonce(address account) external view returns (uint256);
    function getAttestTypeHash() external pure returns (bytes32);
    function getDomainSeparator() external view returns (bytes32);
}

interface ISchemaRegistry {
    function register(string calldata schema, address resolver, bool revocable) external returns (bytes32);
}

struct ProviderFee {
    address providerFeeAddress;
    address providerFeeToken;
    uint256 providerFeeAmount;
    uint8 v;
    bytes32 r;
    bytes32 s;
    uint256 validUntil;
    bytes providerData;
}

struct ConsumeMarketFee {
    address consumeMarketFeeAddress;
    address consumeMarketFeeToken;
    uint256 consumeMarketFeeAmount;
}

struct OrderParams {
    address consumer;
    uint256 serviceIndex;
    ProviderFee providerFee;
    ConsumeMarketFee consumeMarketFee;
}

struct FreParams {
    address exchangeContract;
    bytes32 exchangeId;
    uint256 maxBaseTokenAmount;
    uint256 swapMarketFee;
    address marketFeeAddress;
}

interface IOceanRouter {
    function addFactory(address factory) external;
    function addFixedRateContract(address exchange) external;
}

interface IOceanFactory {
    function deployERC721Contract(
        string memory name,
        string memory symbol,
        uint256 templateIndex,
        address additionalERC20Deployer,
        address additionalMetaDataUpdater,
        string memory tokenURI,
        bool transferable,
        address owner
    ) external returns (address);
}

interface IOceanNft {
    function createERC20(
        uint256 templateIndex,
        string[] calldata strings,
        address[] calldata addresses,
        uint256[] calldata uints,
        bytes[] calldata bytess
    ) external returns (address);
}

interface IOceanDatatoken {
    function createFixedRate(
        address exchange,
        address[] calldata addresses,
        uint256[] calldata uints
    ) external returns (bytes32);
    function buyFromFreAndOrder(OrderParams calldata order, FreParams calldata fre) external;
}

interface IOceanEscrow {
    function deposit(address token, uint256 amount) external;
    function authorize(address token, address payee, uint256 most, uint256 mostSeconds, uint256 mostLocks) external;
    function createLock(uint256 jobId, address token, address payer, uint256 amount, uint256 expiry) external;
    function claimLockAndWithdraw(
        uint256 jobId,
        address token,
        address payer,
        uint256 amount,
        bytes calldata proof
    ) external;
}

interface IOceanAccessList {
    function initialize(
        address owner,
        string calldata name,
        string calldata symbol,
        bool transferable,
        address[] calldata users,
        string[] calldata uris
    ) external returns (bool);
    function mint(address user, string calldata uri) external;
    function burn(uint256 tokenId) external;
}

interface ISablierFlow {
    function createAndDeposit(
        address sender,
        address recipient,
        uint128 ratePerSecond,
        uint40 startTime,
        IERC20 token,
        bool transferable,
        uint128 amount
    ) external payable returns (uint256);
    function withdrawMax(uint256 streamId, address to) external payable returns (uint128);
}

/// @dev The same jobs with other people's contracts, measured as this project's own are. Each is at work already: first
/// times (an account's first token, a schema's first use) are over before the measured transaction.
abstract contract Peer is Fixture {
    function published(string memory name, bytes memory arguments) internal returns (address made) {
        string memory json = vm.readFile(string.concat("contracts/peers/", name, ".json"));
        bytes memory code = bytes.concat(vm.parseJsonBytes(json, ".bytecode"), arguments);
        assembly ("memory-safe") {
            made := create(0, add(code, 32), mload(code))
        }
        assertTrue(made != address(0), name);
    }

    function measured(string memory job, string memory peer, address by, address target, bytes memory data) internal {
        vm.prank(by);
        vm.snapshotValue("Peers", string.concat(job, "|", peer), transactionGas(target, data));
    }
}

contract EasTest is Peer {
    IEAS private _eas;
    bytes32 private _schema;
    bytes32[] private _grants;

    function setUp() external {
        deployAll();
        address schemas = published("SchemaRegistry", "");
        _eas = IEAS(published("EAS", abi.encode(schemas)));
        _schema = ISchemaRegistry(schemas).register("bytes content", address(0), true);
        for (uint256 i = 0; i < 11; ++i) {
            vm.prank(owner);
            _grants.push(_eas.attest(_request(buyer, 0, abi.encode("stream", "purpose", i))));
        }
        _eas.attestByDelegation(_signed(11));
        vm.warp(block.timestamp + 1);
    }

    function test_gas_timestamp() external {
        measured(
            "anchorEpoch",
            "EAS timestamp (one word)",
            stranger,
            address(_eas),
            abi.encodeCall(_eas.timestamp, ("x"))
        );
    }

    function test_gas_epoch() external {
        bytes memory data = abi.encodeCall(_eas.attestByDelegation, (_signed(11)));
        measured("anchorEpoch", "EAS attestByDelegation (an epoch, 1 signature)", stranger, address(_eas), data);
    }

    function test_gas_enrolment() external {
        bytes memory data = abi.encodeCall(_eas.attestByDelegation, (_signed(11)));
        measured("enrolDevice", "EAS attestByDelegation (an enrolment, 1 signature)", stranger, address(_eas), data);
    }

    function test_gas_delivery() external {
        bytes memory content = _words(2 + 7);
        bytes memory data = abi.encodeCall(_eas.attest, (_request(buyer, 0, content)));
        measured("deliverHour", "EAS attest (point and 7 masked keys)", deliverer, address(_eas), data);
    }

    function test_gas_rating() external {
        bytes memory content = abi.encode(keccak256("deal"), 100, 80, 90);
        bytes memory data = abi.encodeCall(_eas.attest, (_request(deliverer, 0, content)));
        measured("rate", "EAS attest (deal and 3 marks)", buyer, address(_eas), data);
    }

    function test_gas_grant() external {
        bytes memory content = abi.encode(keccak256("stream"), keccak256("purpose"));
        uint64 until = uint64(block.timestamp + 365 days);
        bytes memory data = abi.encodeCall(_eas.attest, (_request(buyer, until, content)));
        measured("grantConsent", "EAS attest (stream and purpose, expiring)", owner, address(_eas), data);
    }

    function test_gas_revokeOne() external {
        RevocationRequest memory one = RevocationRequest(_schema, RevocationRequestData(_grants[0], 0));
        measured("revokeAll", "EAS revoke (of 1 grant)", owner, address(_eas), abi.encodeCall(_eas.revoke, (one)));
    }

    function test_gas_revokeTen() external {
        MultiRevocationRequest[] memory all = new MultiRevocationRequest[](1);
        all[0] = MultiRevocationRequest(_schema, new RevocationRequestData[](10));
        for (uint256 i = 0; i < 10; ++i) all[0].data[i] = RevocationRequestData(_grants[1 + i], 0);
        bytes memory data = abi.encodeCall(_eas.multiRevoke, (all));
        measured("revokeAll", "EAS multiRevoke (of 10 grants)", owner, address(_eas), data);
    }

    function _words(uint256 n) private pure returns (bytes memory content) {
        for (uint256 i = 0; i < n; ++i) content = bytes.concat(content, keccak256(abi.encode(i)));
    }

    function _request(address to, uint64 until, bytes memory content) private view returns (AttestationRequest memory) {
        return AttestationRequest(_schema, AttestationRequestData(to, until, true, 0, content, 0));
    }

    function _signed(uint256 words) private view returns (DelegatedAttestationRequest memory request) {
        AttestationRequestData memory data = AttestationRequestData(address(0), 0, true, 0, _words(words), 0);
        bytes32 hash = keccak256(
            abi.encode(
                _eas.getAttestTypeHash(),
                owner,
                _schema,
                data.recipient,
                data.expirationTime,
                data.revocable,
                data.refUID,
                keccak256(data.data),
                data.value,
                _eas.getNonce(owner),
                uint64(block.timestamp + 1 days)
            )
        );
        request = DelegatedAttestationRequest(
            _schema,
            data,
            Signature(0, 0, 0),
            owner,
            uint64(block.timestamp + 1 days)
        );
        (request.signature.v, request.signature.r, request.signature.s) = vm.sign(
            OWNER_KEY,
            keccak256(abi.encodePacked(hex"1901", _eas.getDomainSeparator(), hash))
        );
    }
}

contract OceanTest is Peer {
    uint256 private constant PROVIDER_KEY = 0xfee;

    address private _exchange;
    IOceanDatatoken private _datatoken;
    bytes32 private _exchangeId;
    IOceanFactory private _factory;
    IOceanEscrow private _escrow;
    IOceanAccessList private _list;

    function setUp() external {
        deployAll();
        address collector = address(0xc0);
        address router = published(
            "FactoryRouter",
            abi.encode(address(this), address(token), address(1), collector, new address[](0))
        );
        _factory = IOceanFactory(
            published(
                "ERC721Factory",
                abi.encode(published("ERC721Template", ""), published("ERC20TemplateEnterprise", ""), router)
            )
        );
        IOceanRouter(router).addFactory(address(_factory));
        _exchange = published("FixedRateExchange", abi.encode(router));
        IOceanRouter(router).addFixedRateContract(_exchange);

        IOceanNft nft = IOceanNft(_publish());
        string[] memory names = new string[](2);
        (names[0], names[1]) = ("Data", "DT");
        address[] memory roles = new address[](4);
        (roles[0], roles[1]) = (owner, owner);
        uint256[] memory cap = new uint256[](2);
        cap[0] = 1e24;
        vm.prank(owner);
        _datatoken = IOceanDatatoken(nft.createERC20(1, names, roles, cap, new bytes[](0)));
        address[] memory parties = new address[](4);
        (parties[0], parties[1]) = (address(token), owner);
        uint256[] memory rate = new uint256[](5);
        (rate[0], rate[1], rate[2], rate[4]) = (18, 18, 1e12, 1);
        vm.prank(owner);
        _exchangeId = _datatoken.createFixedRate(_exchange, parties, rate);

        token.mint(buyer, 1e17);
        _escrow = IOceanEscrow(published("OceanEscrow", abi.encode(router, collector)));
        vm.startPrank(buyer);
        token.approve(address(_datatoken), type(uint256).max);
        token.approve(address(_escrow), type(uint256).max);
        _datatoken.buyFromFreAndOrder(_order(), _price());
        _escrow.deposit(address(token), 1e15);
        _escrow.authorize(address(token), deliverer, 1e15, 1 days, 10);
        vm.stopPrank();
        for (uint256 i = 1; i <= 2; ++i) {
            vm.prank(deliverer);
            _escrow.createLock(i, address(token), buyer, 1e12, 3600);
        }
        vm.prank(deliverer);
        _escrow.claimLockAndWithdraw(1, address(token), buyer, 1e12, "proof");

        _list = IOceanAccessList(published("AccessList", ""));
        address[] memory none = new address[](0);
        _list.initialize(owner, "Grants", "G", false, none, new string[](0));
        vm.startPrank(owner);
        _list.mint(stranger, "purpose");
        _list.mint(deliverer, "purpose");
        vm.stopPrank();
        vm.warp(block.timestamp + 1);
    }

    function test_gas_publish() external {
        bytes memory data = abi.encodeCall(
            _factory.deployERC721Contract,
            ("Device", "D", 1, address(0), address(0), "evidence", true, owner)
        );
        measured("enrolDevice", "Ocean deployERC721Contract (data NFT)", owner, address(_factory), data);
    }

    function test_gas_buy() external {
        bytes memory data = abi.encodeCall(_datatoken.buyFromFreAndOrder, (_order(), _price()));
        string memory what = "Ocean buyFromFreAndOrder (approved before)";
        measured("buyWithPermit", what, buyer, address(_datatoken), data);
    }

    function test_gas_claim() external {
        bytes memory data = abi.encodeCall(_escrow.claimLockAndWithdraw, (2, address(token), buyer, 1e12, "proof"));
        measured("release", "Ocean Escrow claimLockAndWithdraw", deliverer, address(_escrow), data);
    }

    function test_gas_grant() external {
        bytes memory data = abi.encodeCall(_list.mint, (buyer, "purpose"));
        measured("grantConsent", "Ocean AccessList mint", owner, address(_list), data);
    }

    function test_gas_revoke() external {
        bytes memory data = abi.encodeCall(_list.burn, (1));
        measured("revokeAll", "Ocean AccessList burn (of 1 grant)", owner, address(_list), data);
    }

    function _publish() private returns (address) {
        vm.prank(owner);
        return _factory.deployERC721Contract("Device", "D", 1, address(0), address(0), "evidence", true, owner);
    }

    function _order() private pure returns (OrderParams memory order) {
        order.consumer = vm.addr(BUYER_KEY);
        address provider = vm.addr(PROVIDER_KEY);
        bytes32 hash = keccak256(abi.encodePacked(bytes("data"), provider, address(0), uint256(0), uint256(0)));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(
            PROVIDER_KEY,
            keccak256(abi.encodePacked("\x19Ethereum Signed Message:\n32", hash))
        );
        order.providerFee = ProviderFee(provider, address(0), 0, v, r, s, 0, "data");
    }

    function _price() private view returns (FreParams memory) {
        return FreParams(_exchange, _exchangeId, 2e12, 0, address(0));
    }
}

contract SablierTest is Peer {
    ISablierFlow private _flow;
    uint256 private _stream;

    function setUp() external {
        deployAll();
        address comptroller = published("SablierComptroller", abi.encode(address(this)));
        _flow = ISablierFlow(published("SablierFlow", abi.encode(comptroller, address(1))));
        token.mint(buyer, 1e17);
        vm.startPrank(buyer);
        token.approve(address(_flow), type(uint256).max);
        _stream = _flow.createAndDeposit(buyer, owner, 1e9, 0, IERC20(address(token)), false, 1e15);
        vm.stopPrank();
        vm.warp(block.timestamp + 3600);
        vm.prank(owner);
        _flow.withdrawMax(_stream, owner);
        vm.warp(block.timestamp + 3600);
    }

    function test_gas_pay() external {
        bytes memory data = abi.encodeCall(
            _flow.createAndDeposit,
            (buyer, owner, 1e9, 0, IERC20(address(token)), false, 1e15)
        );
        measured("buyWithPermit", "Sablier Flow createAndDeposit (approved before)", buyer, address(_flow), data);
    }

    function test_gas_withdraw() external {
        bytes memory data = abi.encodeCall(_flow.withdrawMax, (_stream, owner));
        measured("release", "Sablier Flow withdrawMax", owner, address(_flow), data);
    }
}

/// @dev The least that a signed order must do: say once how much of it is filled.
contract Filled is ERC2771Context {
    mapping(address account => uint256) private _filled;

    constructor(address forwarder) ERC2771Context(forwarder) {}

    function fill(uint256 units) external {
        _filled[_msgSender()] += units;
    }
}

contract OpenZeppelinTest is Peer {
    TimelockController private _timelock;
    VestingWallet private _vesting;
    AccessManager private _manager;
    ERC2771Forwarder private _forwarder;
    Filled private _orders;

    function setUp() external {
        deployAll();
        address[] memory proposers = new address[](1);
        proposers[0] = owner;
        _timelock = new TimelockController(1, proposers, proposers, address(0));
        _manager = new AccessManager(owner);
        vm.prank(owner);
        _manager.grantRole(7, deliverer, 0);
        _vesting = new VestingWallet(owner, uint64(block.timestamp), 1 days);
        token.mint(address(_vesting), 1e15);
        token.mint(buyer, 1e17);
        token.mint(owner, 1e17);
        _forwarder = new ERC2771Forwarder("Forwarder");
        _orders = new Filled(address(_forwarder));
        vm.warp(block.timestamp + 3600);
        _vesting.release(address(token));
        _forwarder.executeBatch(_both(), payable(address(0)));
        vm.warp(block.timestamp + 3600);
    }

    function test_gas_schedule() external {
        bytes memory data = abi.encodeCall(_timelock.schedule, (address(token), 0, "", 0, keccak256("epoch"), 1));
        measured("anchorEpoch", "OpenZeppelin TimelockController schedule", owner, address(_timelock), data);
    }

    function test_gas_release() external {
        bytes memory data = abi.encodeWithSignature("release(address)", address(token));
        measured("release", "OpenZeppelin VestingWallet release", stranger, address(_vesting), data);
    }

    function test_gas_grant() external {
        bytes memory data = abi.encodeCall(_manager.grantRole, (7, buyer, 0));
        measured("grantConsent", "OpenZeppelin AccessManager grantRole", owner, address(_manager), data);
    }

    function test_gas_revoke() external {
        bytes memory data = abi.encodeCall(_manager.revokeRole, (7, deliverer));
        measured("revokeAll", "OpenZeppelin AccessManager revokeRole (of 1 grant)", owner, address(_manager), data);
    }

    function test_gas_twoSignedRequests() external {
        bytes memory data = abi.encodeCall(_forwarder.executeBatch, (_both(), payable(address(0))));
        string memory what = "OpenZeppelin ERC2771Forwarder executeBatch (2 signed requests)";
        measured("settleMatch", what, stranger, address(_forwarder), data);
    }

    function _both() private view returns (ERC2771Forwarder.ForwardRequestData[] memory both) {
        both = new ERC2771Forwarder.ForwardRequestData[](2);
        (both[0], both[1]) = (_request(BUYER_KEY), _request(OWNER_KEY));
    }

    function _request(uint256 key) private view returns (ERC2771Forwarder.ForwardRequestData memory r) {
        (r.from, r.to, r.gas) = (vm.addr(key), address(_orders), 50_000);
        (r.deadline, r.data) = (uint48(block.timestamp + 1 days), abi.encodeCall(_orders.fill, (1)));
        bytes32 hash = keccak256(
            abi.encode(
                keccak256(
                    "ForwardRequest(address from,address to,uint256 value,uint256 gas,uint256 nonce,uint48 deadline,bytes data)"
                ),
                r.from,
                r.to,
                0,
                r.gas,
                _forwarder.nonces(r.from),
                r.deadline,
                keccak256(r.data)
            )
        );
        r.signature = sign(key, typed("Forwarder", address(_forwarder), hash));
    }
}
