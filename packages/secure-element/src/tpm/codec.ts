import { TpmError } from "./errors.ts";

/** Writes the TPM's wire form (Part 1, annex "Structure marshaling"): integers big-endian, TPM2B with a uint16 size. */
export class Writer {
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;

  bytes(value: Uint8Array): this {
    const at = this.#take(value.length);
    this.#bytes.set(value, at);
    return this;
  }
  u8(value: number): this {
    const at = this.#take(1);
    this.#view.setUint8(at, value);
    return this;
  }
  u16(value: number): this {
    demandUint(value, 16);
    const at = this.#take(2);
    this.#view.setUint16(at, value);
    return this;
  }
  u32(value: number): this {
    demandUint(value, 32);
    const at = this.#take(4);
    this.#view.setUint32(at, value);
    return this;
  }
  u64(value: bigint): this {
    const at = this.#take(8);
    this.#view.setBigUint64(at, value);
    return this;
  }
  /** A TPM2B: size(uint16) ‖ bytes. */
  sized(value: Uint8Array): this {
    if (value.length > 0xffff) throw new TpmError("malformed", "a TPM2B holds at most 65,535 bytes", value.length);
    return this.u16(value.length).bytes(value);
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#at);
  }

  /** Makes room for `length` bytes and returns where they go. */
  #take(length: number): number {
    const at = this.#at;
    this.#at += length;
    if (this.#at > this.#bytes.length) {
      const before = this.#bytes;
      this.#bytes = new Uint8Array(2 * this.#at);
      this.#bytes.set(before);
      this.#view = new DataView(this.#bytes.buffer);
    }
    return at;
  }
}

function demandUint(value: number, bits: 16 | 32): void {
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** bits)
    throw new TpmError("malformed", `expected a uint${bits}`, value);
}

/** Reads the TPM's wire form. Every read beyond the end, and bytes left over at {@link end}, throw `malformed`. */
export class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  bytes(length: number): Uint8Array {
    return this.#bytes.slice(this.#take(length), this.#at);
  }
  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }
  u16(): number {
    return this.#view.getUint16(this.#take(2));
  }
  u32(): number {
    return this.#view.getUint32(this.#take(4));
  }
  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8));
  }
  /** A TPM2B of at most `most` bytes. */
  sized(most = 0xffff): Uint8Array {
    const length = this.u16();
    if (length > most) throw new TpmError("malformed", `expected at most ${most} bytes in a sized buffer`, length);
    return this.bytes(length);
  }
  rest(): Uint8Array {
    return this.bytes(this.left);
  }
  end(): void {
    if (this.left !== 0) throw new TpmError("malformed", "there are bytes behind the end of the structure", this.left);
  }

  #take(length: number): number {
    if (length > this.left)
      throw new TpmError("malformed", `the structure ends too early: ${length} more bytes wanted`, this.left);
    const at = this.#at;
    this.#at += length;
    return at;
  }
}

/** Reads one structure that must fill `bytes`. */
export function decode<T>(bytes: Uint8Array, read: (reader: Reader) => T): T {
  const reader = new Reader(bytes);
  const value = read(reader);
  reader.end();
  return value;
}

export function encode(write: (writer: Writer) => unknown): Uint8Array {
  const writer = new Writer();
  write(writer);
  return writer.finish();
}
