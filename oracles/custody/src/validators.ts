import { sealedHeader, type ChainProvider } from "@msec/chain";
import { checkSeals, type Hex } from "@msec/core";

/** Every validator proposes in its turn: one that sealed nothing for this many turns of all is missing. */
const TURNS = 8;

export interface ValidatorSeen {
  address: Hex;
  /** Newest block that it proposed or sealed; null while none was seen. */
  lastBlock: number | null;
}

/** The validators of a chain that seals its blocks, and when each was last at work. */
export class Validators {
  readonly #provider: ChainProvider;
  readonly #last = new Map<Hex, number>();
  #validators: Hex[] | null = null;
  #firstBlock = 0;
  #block = 0;
  #sealed = true;

  constructor(provider: ChainProvider) {
    this.#provider = provider;
  }

  /** Looks at the newest block. */
  async tick(): Promise<void> {
    if (!this.#sealed) return;
    const header = await sealedHeader(this.#provider, "latest");
    this.#sealed = header !== undefined;
    if (!header || header.number === 0 || header.number === this.#block) return;
    this.#block = header.number;
    this.#firstBlock ||= header.number;
    this.#validators = header.validators;
    for (const address of [header.proposer, ...checkSeals(header, header.validators)])
      this.#last.set(address, header.number);
  }

  /** Null where blocks carry no seals, or none was seen yet. */
  get seen(): ValidatorSeen[] | null {
    return this.#validators?.map((address) => ({ address, lastBlock: this.#last.get(address) ?? null })) ?? null;
  }

  /** Those that have been away for several turns of all. */
  get missing(): Hex[] {
    const oldest = this.#block - TURNS * (this.#validators?.length ?? 0);
    return (this.seen ?? []).flatMap(({ address, lastBlock }) =>
      (lastBlock ?? this.#firstBlock) < oldest ? [address] : [],
    );
  }
}
