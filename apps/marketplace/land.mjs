// Cuts a city's land out of GSHHG's coastlines: what public/map/land.json is made with (see public/map/README.md).
// usage: node apps/marketplace/land.mjs FOLDER WEST SOUTH EAST NORTH
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { geoArea } from "d3-geo";

const LAND = "1";
const DIGITS = 5;

const [folder, ...box] = process.argv.slice(2);
const [west, south, east, north] = box.map(Number);
if (!folder || box.length !== 4 || ![west, south, east, north].every(Number.isFinite)) {
  process.stderr.write("usage: node apps/marketplace/land.mjs FOLDER WEST SOUTH EAST NORTH\n");
  process.exit(2);
}

/** The part of a ring on one side of an edge of the box (Sutherland and Hodgman). */
const cut = (ring, axis, limit, sign) => {
  const inside = (point) => sign * (point[axis] - limit) >= 0;
  return ring.flatMap((point, i) => {
    const before = ring[(i + ring.length - 1) % ring.length];
    const share = (limit - before[axis]) / (point[axis] - before[axis]);
    const crossing = before.map((value, k) => value + share * (point[k] - value));
    if (inside(point)) return inside(before) ? [point] : [crossing, point];
    return inside(before) ? [crossing] : [];
  });
};

/** A ring within the box, rounded and closed; undefined where nothing is left of it. */
const clip = (ring) => {
  let left = ring;
  for (const [axis, limit, sign] of [
    [0, west, 1],
    [0, east, -1],
    [1, south, 1],
    [1, north, -1],
  ])
    left = cut(left, axis, limit, sign);
  const rounded = left.map((point) => point.map((value) => Number(value.toFixed(DIGITS))));
  const distinct = rounded.filter((p, i) => i === 0 || p[0] !== rounded[i - 1][0] || p[1] !== rounded[i - 1][1]);
  return distinct.length < 3 ? undefined : [...distinct, distinct[0]];
};

const points = readFileSync(join(folder, "gshhs_f.dat"));
/** Degrees east of Greenwich, from -180 to 180, as little-endian floats: longitude, latitude, and so on. */
const ringAt = (start, length) =>
  Array.from({ length: length / 8 }, (_, i) => {
    const longitude = points.readFloatLE(start + 8 * i);
    return [longitude > 180 ? longitude - 360 : longitude, points.readFloatLE(start + 8 * i + 4)];
  });

const coordinates = [];
for (const line of readFileSync(join(folder, "gshhsmeta_f.dat"), "utf8").trim().split("\n")) {
  const [level, , , southmost, northmost, start, length] = line.trim().split(/\s+/);
  if (level !== LAND || Number(southmost) > north || Number(northmost) < south) continue;
  const ring = clip(ringAt(Number(start), Number(length)));
  if (!ring) continue;
  // d3-geo takes one side of a ring for its inside: the smaller one is meant.
  const inverted = geoArea({ type: "Polygon", coordinates: [ring] }) > 2 * Math.PI;
  coordinates.push([inverted ? ring.reverse() : ring]);
}
const land = { type: "MultiPolygon", bbox: [west, south, east, north], coordinates };
writeFileSync(new URL("./public/map/land.json", import.meta.url), `${JSON.stringify(land)}\n`);
process.stdout.write(`${coordinates.length} polygons, ${coordinates.flat(2).length} points\n`);
