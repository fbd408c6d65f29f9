import { type Hex } from "@msec/core";

/** What somebody is asked to sign with the key in this browser. */
export interface SignatureRequest {
  address: Hex;
  kind: "message" | "typed" | "transaction";
  /** The text, the EIP-712 object, or the transaction. */
  content: unknown;
  /** The person agrees, having unlocked the key. */
  approve: (key: Hex) => void;
  reject: () => void;
}

let current: SignatureRequest | undefined;
const waiting: SignatureRequest[] = [];
const listeners = new Set<() => void>();
const tell = () => listeners.forEach((listener) => listener());

export const signatures = {
  subscribe(listener: () => void) {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
  current: () => current,
  /** Asks; one question at a time. */
  ask(request: Omit<SignatureRequest, "approve" | "reject">): Promise<Hex> {
    return new Promise((resolve, reject) => {
      const next = () => {
        current = waiting.shift();
        tell();
      };
      const question: SignatureRequest = {
        ...request,
        approve: (key) => {
          resolve(key);
          next();
        },
        reject: () => {
          reject(new UserRejected());
          next();
        },
      };
      if (current) waiting.push(question);
      else {
        current = question;
        tell();
      }
    });
  },
};

/** EIP-1193: the person said no. */
export class UserRejected extends Error {
  readonly code = 4001;
  constructor() {
    super("User rejected the request.");
  }
}
