import { type Box } from "./types.ts";

// The map as Web Mercator has it: at zoom z the Earth is 256 · 2^z pixels wide. d3-zoom's k is that width.

const TILE = 256;
const EARTH_METRES = 40_075_017;
const LEAST_ZOOM = 1;
const MOST_ZOOM = 18;
export const EXTENT: [number, number] = [TILE * 2 ** LEAST_ZOOM, TILE * 2 ** MOST_ZOOM];
/** A place alone is shown with its surroundings. */
const NEAREST = TILE * 2 ** 15;
/** Around what is fitted, of the shorter side: so much of the surroundings is shown, and nothing lies under a button. */
const ROOM = 0.18;

/** As d3-zoom keeps it: pixels = k · (a place on an Earth of width 1) + (x, y). */
export interface Transform {
  k: number;
  x: number;
  y: number;
}
export interface Size {
  width: number;
  height: number;
}

export const zoomOf = ({ k }: Transform) => Math.log2(k / TILE);

/** Where Web Mercator's square ends. */
const MOST_LATITUDE = 85.051_128_78;

/** A place on an Earth of width 1. */
function unitOf(longitude: number, latitude: number): [number, number] {
  const phi = (Math.max(-MOST_LATITUDE, Math.min(MOST_LATITUDE, latitude)) * Math.PI) / 180;
  return [(longitude + 180) / 360, 0.5 - Math.log(Math.tan(Math.PI / 4 + phi / 2)) / (2 * Math.PI)];
}

/** A place in pixels. */
export function pixelOf({ k, x, y }: Transform, longitude: number, latitude: number): [number, number] {
  const [u, v] = unitOf(longitude, latitude);
  return [k * u + x, k * v + y];
}

/** What lies at a pixel: longitude and latitude. */
export function placeOf({ k, x, y }: Transform, px: number, py: number): [number, number] {
  const longitude = (360 * (px - x)) / k - 180;
  const latitude = (360 / Math.PI) * Math.atan(Math.exp(2 * Math.PI * (0.5 - (py - y) / k))) - 90;
  return [Math.max(-180, Math.min(180, longitude)), latitude];
}

/** The box that is seen. */
export function boxOf(transform: Transform, { width, height }: Size): Box {
  const [west, north] = placeOf(transform, 0, 0);
  const [east, south] = placeOf(transform, width, height);
  return [west, south, east, north];
}

/** The whole of a box in the middle, with room around it. */
export function fit([west, south, east, north]: Box, { width, height }: Size): Transform {
  const room = ROOM * Math.min(width, height);
  const [x0, y0] = unitOf(west, north);
  const [x1, y1] = unitOf(east, south);
  const wanted = Math.min(
    Math.max(1, width - 2 * room) / Math.max(1e-12, x1 - x0),
    Math.max(1, height - 2 * room) / Math.max(1e-12, y1 - y0),
  );
  const k = Math.max(EXTENT[0], Math.min(NEAREST, wanted));
  return { k, x: width / 2 - (k * (x0 + x1)) / 2, y: height / 2 - (k * (y0 + y1)) / 2 };
}

/** Metres that a pixel covers at a latitude. */
export const metresPerPixel = ({ k }: Transform, latitude: number) =>
  (EARTH_METRES * Math.cos((latitude * Math.PI) / 180)) / k;

/** The longest round length (1, 2 or 5 of a power of ten) of at most so many pixels. */
export function scaleBar(metres: number, mostPixels: number): { metres: number; pixels: number } {
  const most = metres * mostPixels;
  const power = 10 ** Math.floor(Math.log10(most));
  const length = ([5, 2, 1].find((n) => n * power <= most) ?? 1) * power;
  return { metres: length, pixels: length / metres };
}

/** Degrees between two lines of the grid, so that a few of them are seen. */
export function gridStep([west, , east]: Box): number {
  const steps = [30, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001];
  return steps.find((step) => (east - west) / step >= 3) ?? 0.001;
}
