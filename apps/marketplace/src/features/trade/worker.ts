import {
  holesOf,
  decodeBundle,
  encodeBundle,
  ProtocolError,
  verify,
  type Hex,
  type SlotRange,
  type WindowBundle,
  type WindowReport,
} from "@msec/core";
import {
  type Batch,
  type BatchFault,
  certify,
  type Deployed,
  downloadWindow,
  exportWindow,
  faultOfBatch,
  type Format,
  type KeptDeal,
  type KeptSubscription,
  keysOfBatch,
  openBatch,
  openDelivery,
  openSample,
  Operators,
  TradeError,
  verifyWindow,
} from "@msec/trade";
import { type Delivery } from "@msec/core";

// Downloads, opens and verifies beside the page, so that the page stays quick.

/** What a page may ask, each with its answer. */
export interface Work {
  download: (input: {
    operators: string[];
    deployed: Deployed;
    streamId: Hex;
    fromSlot: number;
    toSlot: number;
    erasures: SlotRange[];
    asOfEpoch?: number;
  }) => Promise<{ bundle: WindowBundle; before: WindowReport }>;
  open: (input: {
    operators: string[];
    deployed: Deployed;
    kept: KeptDeal;
    draft: WindowBundle;
    delivery: Delivery;
    validators: Hex[] | null;
  }) => Promise<Opened>;
  batch: (input: {
    operators: string[];
    deployed: Deployed;
    kept: KeptSubscription;
    batch: Batch;
  }) => Promise<BatchOpened>;
  sample: (input: {
    operators: string[];
    deployed: Deployed;
    streamId: Hex;
    erasures: SlotRange[];
  }) => Promise<{ bundle: WindowBundle; report: WindowReport }>;
  verify: (input: { text: string; committee?: Hex; validators?: Hex[] }) => Promise<ReturnType<typeof verify>>;
  save: (input: { bundle: WindowBundle }) => Promise<Blob>;
  export: (input: { format: Format; mediaType: string; bundle: WindowBundle }) => Promise<Blob>;
}

/** What a delivery holds: what is wrong with it, or the readings with their proof. */
export type Opened =
  | { fault: NonNullable<Awaited<ReturnType<typeof openDelivery>>["fault"]> }
  | { fault?: undefined; bundle: WindowBundle; report: WindowReport; milliseconds: number };

/** What a batch of a subscription holds: what is wrong with it and its proof, the readings, or why they can't be shown yet. */
export type BatchOpened =
  | { wrong: BatchFault }
  | { wrong?: undefined; bundle: WindowBundle; report: WindowReport }
  | { wrong?: undefined; bundle?: undefined; notYet: string };

type Name = keyof Work;
export type Request = { id: number; name: Name; input: never };
export type Answer =
  | { id: number; progress: [done: number, of: number] }
  | { id: number; result: unknown }
  | { id: number; error: { name: string; code?: string; message: string } };

const tell = (answer: Answer) => self.postMessage(answer);

const work: {
  [N in Name]: (input: Parameters<Work[N]>[0], progress: (done: number, of: number) => void) => ReturnType<Work[N]>;
} = {
  async download({ operators: urls, deployed, streamId, fromSlot, toSlot, erasures, asOfEpoch }, progress) {
    const operators = new Operators(urls);
    const info = await operators.stream(streamId);
    const holes = holesOf(erasures, fromSlot, toSlot);
    const window = { fromSlot, toSlot, holes, ...(asOfEpoch === undefined ? {} : { asOfEpoch }) };
    const bundle = await downloadWindow(operators, deployed, info, window, progress);
    return { bundle, before: await verifyWindow(bundle, { withoutKeys: true }, progress) };
  },
  async open({ operators, deployed, kept, draft, delivery, validators }, progress) {
    const opened = await openDelivery(deployed, kept, draft, delivery, progress);
    if (opened.fault) return { fault: opened.fault };
    const { bundle } = opened;
    const started = performance.now();
    const report = await verifyWindow(bundle, {}, progress);
    const milliseconds = performance.now() - started;
    // Seals that do not hold are an alarm; a certificate that is not there yet is none.
    const notYet = (error: Error) => {
      if (error instanceof ProtocolError) throw error;
      return null;
    };
    const certified = await certify(new Operators(operators), bundle, report.claims, validators ?? undefined).catch(
      notYet,
    );
    if (certified) {
      bundle.certificate = certified.certificate;
      report.certified = certified.certified;
    }
    return { bundle, report, milliseconds };
  },
  async batch({ operators: urls, deployed, kept, batch }, progress) {
    const operators = new Operators(urls);
    const info = await operators.stream(kept.terms.streamId);
    const keys = keysOfBatch(deployed, kept, batch);
    const wrong = await faultOfBatch(operators, kept, batch, info, keys);
    if (wrong) return { wrong };
    try {
      return await openBatch(operators, deployed, kept, batch, info, keys, progress);
    } catch (error) {
      if (error instanceof TradeError) return { notYet: error.message };
      throw error;
    }
  },
  async sample({ operators: urls, deployed, streamId, erasures }, progress) {
    const operators = new Operators(urls);
    return openSample(operators, deployed, await operators.stream(streamId), erasures, progress);
  },
  async verify({ text, committee, validators }, progress) {
    const bundle = decodeBundle(text);
    const options = {
      ...(committee ? { committee } : {}),
      ...(validators && bundle.certificate ? { validators } : {}),
    };
    return bundle.format === "msec.window/1" ? verifyWindow(bundle, options, progress) : verify(bundle, options);
  },
  save: async ({ bundle }) => new Blob([encodeBundle(bundle)], { type: "application/json" }),
  async export({ format, mediaType, bundle }, progress) {
    const report = await verifyWindow(bundle, {}, progress);
    return new Blob([...exportWindow(format, bundle.stream, report)], { type: mediaType });
  },
};

self.addEventListener("message", ({ data }: MessageEvent<Request>) => {
  const { id, name, input } = data;
  void (work[name] as (input: never, progress: (done: number, of: number) => void) => Promise<unknown>)(
    input,
    (done, of) => tell({ id, progress: [done, of] }),
  ).then(
    (result) => tell({ id, result }),
    (error: Error & { code?: string }) =>
      tell({ id, error: { name: error.name, message: error.message, ...(error.code ? { code: error.code } : {}) } }),
  );
});
