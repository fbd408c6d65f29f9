import "server-only";
import { type Hex } from "@msec/core";
import { Operators, type StreamInfo } from "@msec/trade";
import { config } from "./city.ts";

/** What the operators say of a stream while a page is made; undefined while none answers. */
export const streamInfo = (id: Hex): Promise<StreamInfo | undefined> =>
  new Operators(config().operators.map(({ url }) => url)).stream(id).catch(() => undefined);
