import { describe, expect, test } from "vitest";
import { boxAround, Clusters, drawable } from "./clusters.ts";
import { type Box, type IndexedPlace } from "./types.ts";
import { boxOf, fit, gridStep, metresPerPixel, pixelOf, placeOf, scaleBar, zoomOf } from "./view.ts";

const SIZE = { width: 800, height: 600 };
const SANTANDER: Box = [-3.88, 43.42, -3.76, 43.5];

const place = (longitude: unknown, latitude: unknown, offers = 1) =>
  ({
    streamId: "0x1",
    name: "x",
    longitude,
    latitude,
    accuracy: null,
    place: null,
    mode: 0,
    offers,
    leastPrice: "1",
  }) as IndexedPlace;

describe("the view", () => {
  test("that fits a box shows all of it, in the middle", () => {
    const transform = fit(SANTANDER, SIZE);
    const [x0, y0] = pixelOf(transform, SANTANDER[0], SANTANDER[3]);
    const [x1, y1] = pixelOf(transform, SANTANDER[2], SANTANDER[1]);
    for (const [value, most] of [
      [x0, 800],
      [x1, 800],
      [y0, 600],
      [y1, 600],
    ] as const) {
      expect(value).toBeGreaterThan(40);
      expect(value).toBeLessThan(most - 40);
    }
    expect((x0 + x1) / 2).toBeCloseTo(400, 6);
    const [west, south, east, north] = boxOf(transform, SIZE);
    expect(west < SANTANDER[0] && south < SANTANDER[1] && east > SANTANDER[2] && north > SANTANDER[3]).toBe(true);
  });

  test("goes from place to pixel and back", () => {
    const transform = fit(SANTANDER, SIZE);
    const [x, y] = pixelOf(transform, -3.8002, 43.4728);
    const [longitude, latitude] = placeOf(transform, x, y);
    expect(longitude).toBeCloseTo(-3.8002, 9);
    expect(latitude).toBeCloseTo(43.4728, 9);
  });

  test("of one place alone keeps its surroundings", () => {
    expect(zoomOf(fit(boxAround([{ longitude: -3.8, latitude: 43.4 }]), SIZE))).toBeCloseTo(15, 6);
  });

  test("has a scale of a round length, and a grid of a few lines", () => {
    expect(metresPerPixel({ k: 256, x: 0, y: 0 }, 0)).toBeCloseTo(156_543, 0);
    for (const metres of [0.3, 1, 7, 48, 1234]) {
      const bar = scaleBar(metres, 120);
      expect(String(bar.metres)).toMatch(/^(0\.0*)?[125]0*$/);
      expect(bar.pixels).toBeLessThanOrEqual(120);
      expect(bar.pixels).toBeGreaterThan(40);
    }
    expect(gridStep([-180, -60, 180, 60])).toBe(30);
    expect(gridStep(SANTANDER)).toBe(0.02);
  });
});

describe("what is drawn", () => {
  const bad = [
    place(NaN, 43),
    place(-3.8, 91),
    place("-3.8", 43),
    place(null, null),
    place(-3.8, Infinity),
    place(181, 0),
  ];

  test("are the places on Earth: one bad coordinate hurts nothing", () => {
    const good = [place(-3.8, 43.4), place(-3.81, 43.41)];
    expect(drawable([...bad, ...good])).toEqual(good);
    const spots = new Clusters([...bad, ...good]).spots([-180, -85, 180, 85], 18);
    expect(spots.map(({ place: at }) => at)).toEqual(expect.arrayContaining(good));
    expect(new Clusters(bad).spots([-180, -85, 180, 85], 3)).toEqual([]);
  });

  test("stands together where it is too close to be told apart, with all its streams and offers", () => {
    const places = Array.from({ length: 100 }, (_, i) => place(-3.8 + i * 1e-4, 43.4, 3));
    const clusters = new Clusters([...places, place(-3.5, 43.4)]);
    const [together, ...more] = clusters.spots([-5, 42, -3.6, 45], 9);
    expect(more).toEqual([]);
    expect(together).toMatchObject({ streams: 100, offers: 300 });
    const [west, , east] = clusters.boxOf(together as never);
    expect(west).toBeLessThan(-3.8);
    expect(east).toBeGreaterThan(-3.8 + 99e-4);
    expect(east).toBeLessThan(-3.5);
  });

  test("at one and the same place is told apart by no zoom, and chosen as one", () => {
    const clusters = new Clusters([place(-3.8, 43.4), place(-3.8, 43.4)]);
    const [spot] = clusters.spots([-4, 43, -3, 44], 18);
    expect(spot?.streams).toBe(2);
    expect(clusters.boxOf(spot as never)).toEqual(boxAround([{ longitude: -3.8, latitude: 43.4 }]));
  });
});
