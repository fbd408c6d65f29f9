import { type Place, placeFrom } from "@msec/core";
import { type Description } from "./device.ts";
import { Problem } from "./problem.ts";

export interface DescribeFlags {
  at?: string;
  altitude?: string;
  accuracy?: string;
  place?: string;
  nowhere: boolean;
  precise: boolean;
  model?: string;
  calibrated?: string;
  note?: string;
  /** `FROM/TO`; false takes it back. */
  sample?: string | false;
}

/** What the options of `msec device describe` say. */
export function descriptionFrom(given: DescribeFlags): Description {
  const { at, nowhere, precise, model, calibrated, note, sample } = given;
  const placed = placeOf(given);
  if (nowhere && placed) throw new Problem("--nowhere takes the place back: leave out --at", 2);
  if (note !== undefined && calibrated === undefined) throw new Problem("--note needs --calibrated DATE", 2);
  if (!nowhere && [at, model, calibrated, sample].every((said) => said === undefined))
    throw new Problem(
      "say something of the device: --at LAT,LON, --model, --calibrated, --sample FROM/TO, --nowhere or --no-sample",
      2,
    );
  return {
    precise,
    ...(nowhere ? { place: null } : placed ? { place: placed } : {}),
    ...(model ? { model } : {}),
    ...(sample === undefined ? {} : { sample: sample === false ? null : periodFrom(sample) }),
    ...(calibrated ? { calibration: { date: calibrated, ...(note ? { note } : {}) } } : {}),
  };
}

function periodFrom(text: string): [from: string, to: string] {
  const [from, to, ...more] = text.split("/");
  if (!from || !to || more.length > 0)
    throw new Problem(`${text} is no period: write --sample 2004-03-10T18:00/2004-03-11T18:00 (UTC)`, 2);
  return [from, to];
}

function placeOf({ at, altitude, accuracy, place: name }: DescribeFlags): Place | undefined {
  if (at === undefined) {
    if (altitude ?? accuracy ?? name) throw new Problem("--altitude, --accuracy and --place need --at LAT,LON", 2);
    return undefined;
  }
  const place = placeFrom(at);
  if (!place)
    throw new Problem(`${at} is no place: write latitude and longitude in degrees, such as 43.4728,-3.8002`, 2);
  return {
    ...place,
    ...metres("altitude", altitude),
    ...metres("accuracy", accuracy),
    ...(name ? { name } : {}),
  };
}

function metres(field: "altitude" | "accuracy", text: string | undefined): { altitude?: number; accuracy?: number } {
  if (text === undefined) return {};
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value))
    throw new Problem(`--${field} takes a number of metres, not ${text}`, 2);
  return { [field]: value };
}
