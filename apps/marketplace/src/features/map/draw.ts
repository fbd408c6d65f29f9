import type { MultiPolygon } from "geojson";
import { type Spot } from "./clusters.ts";
import { type Box } from "./types.ts";
import { boxOf, gridStep, metresPerPixel, pixelOf, type Size, type Transform } from "./view.ts";

/** The city's land, and the box that it was cut out of: beyond it nothing is known of land and water. */
export type Land = MultiPolygon & { bbox: Box };

/** Colours of the theme, by what they are of. */
export const INKS = {
  unknown: "--raised",
  water: "--water",
  land: "--land",
  coast: "--coast",
  grid: "--line",
  spot: "--accent-ground",
  onSpot: "--on-accent",
  rim: "--surface",
  focus: "--focus",
} as const;
export type Inks = Record<keyof typeof INKS, string>;

export interface Scene {
  transform: Transform;
  size: Size;
  inks: Inks;
  land: Land | undefined;
  spots: readonly Spot[];
  /** What the list is narrowed to. */
  chosen: Box | undefined;
  hovered: Spot | undefined;
}

const SPOT_RADIUS = 8;

/** Radius of a spot in pixels: grows with what it stands for, slowly. */
export const radiusOf = ({ streams }: Spot) =>
  streams === 1 ? SPOT_RADIUS : Math.min(26, 11 + 2.4 * Math.log2(streams));

export function draw(context: CanvasRenderingContext2D, scene: Scene): void {
  const { transform, size, inks, land, chosen } = scene;
  context.fillStyle = land ? inks.unknown : inks.water;
  context.fillRect(0, 0, size.width, size.height);
  if (land) {
    const box = rectangle(transform, land.bbox);
    context.save();
    context.beginPath();
    context.rect(...box);
    context.clip();
    context.fillStyle = inks.water;
    context.fillRect(...box);
    context.beginPath();
    for (const ring of land.coordinates.flat()) {
      for (const [n, at] of ring.entries()) {
        const [x, y] = pixelOf(transform, at[0] as number, at[1] as number);
        if (n === 0) context.moveTo(x, y);
        else context.lineTo(x, y);
      }
      context.closePath();
    }
    context.fillStyle = inks.land;
    context.fill("evenodd");
    context.strokeStyle = inks.coast;
    context.lineWidth = 1.25;
    context.stroke();
    context.restore();
  }
  const [west, south, east, north] = boxOf(transform, size);
  const step = gridStep([west, south, east, north]);
  context.beginPath();
  for (let i = Math.ceil(west / step); i * step <= east; i++) {
    const [x] = pixelOf(transform, i * step, 0);
    context.moveTo(x, 0);
    context.lineTo(x, size.height);
  }
  for (let i = Math.ceil(south / step); i * step <= north; i++) {
    const [, y] = pixelOf(transform, 0, i * step);
    context.moveTo(0, y);
    context.lineTo(size.width, y);
  }
  context.strokeStyle = inks.grid;
  context.lineWidth = 0.6;
  context.stroke();
  if (chosen) {
    const [x, y, width, height] = rectangle(transform, chosen);
    context.strokeStyle = inks.focus;
    context.lineWidth = 2;
    context.setLineDash([6, 4]);
    context.strokeRect(x - 14, y - 14, width + 28, height + 28);
    context.setLineDash([]);
  }
  for (const spot of scene.spots) drawSpot(context, scene, spot);
}

function rectangle(transform: Transform, [west, south, east, north]: Box): [number, number, number, number] {
  const [x0, y0] = pixelOf(transform, west, north);
  const [x1, y1] = pixelOf(transform, east, south);
  return [x0, y0, x1 - x0, y1 - y0];
}

function drawSpot(context: CanvasRenderingContext2D, { transform, inks, hovered }: Scene, spot: Spot): void {
  const [x, y] = pixelOf(transform, spot.longitude, spot.latitude);
  const radius = radiusOf(spot);
  const within = (spot.place?.accuracy ?? 0) / metresPerPixel(transform, spot.latitude);
  if (within > radius) {
    context.beginPath();
    context.arc(x, y, within, 0, 2 * Math.PI);
    context.globalAlpha = 0.16;
    context.fillStyle = inks.spot;
    context.fill();
    context.globalAlpha = 1;
  }
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = inks.spot;
  context.fill();
  context.lineWidth = hovered === spot ? 4 : 2;
  context.strokeStyle = hovered === spot ? inks.focus : inks.rim;
  context.stroke();
  if (spot.streams === 1) return;
  context.fillStyle = inks.onSpot;
  context.font = "600 13px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(spot.streams > 999 ? "999+" : String(spot.streams), x, y + 0.5);
}
