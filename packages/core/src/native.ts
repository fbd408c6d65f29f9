/** The hash functions of the protocol: keccak-256 (not SHA3-256) and SHA-256. */
export { keccak256, sha256 } from "#native";
