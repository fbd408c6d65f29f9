// What an edge offers of its node, and what each request counts against a connection's quota.

/** Shows nothing but the public chain, on any node. */
const PUBLIC: Record<string, number> = {
  eth_blockNumber: 1,
  eth_chainId: 1,
  eth_gasPrice: 1,
  eth_getBalance: 1,
  eth_getBlockByHash: 2,
  eth_getBlockByNumber: 2,
  eth_getTransactionByHash: 1,
  eth_getTransactionCount: 1,
  eth_sendRawTransaction: 1,
  eth_syncing: 1,
  net_version: 1,
  web3_clientVersion: 1,
};

/** Reads state as its node has it: with a privacy manager that is its organisation's private contracts as well. */
const STATE: Record<string, number> = {
  eth_call: 5,
  eth_estimateGas: 5,
  eth_getCode: 1,
  eth_getLogs: 10,
  eth_getProof: 5,
  eth_getStorageAt: 1,
  eth_getTransactionReceipt: 1,
};

/** Cost of a request by its method; undefined where the edge does not offer it. */
export function costOf(method: string, holdsPrivateState: boolean): number | undefined {
  if (Object.hasOwn(PUBLIC, method)) return PUBLIC[method];
  return !holdsPrivateState && Object.hasOwn(STATE, method) ? STATE[method] : undefined;
}

/** Whether it is offered by edges of nodes without private state only. */
export const readsState = (method: string): boolean => Object.hasOwn(STATE, method);
