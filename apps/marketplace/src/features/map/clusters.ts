import { isPlace } from "@msec/core/place";
import Supercluster from "supercluster";
import { type Box, type IndexedPlace } from "./types.ts";

/** Streams nearer to each other than this, in pixels, are shown as one. */
const RADIUS = 58;
const MOST_ZOOM = 18;
/** Around a single place, in degrees: about 20 m. */
const PAD = 0.0002;

/** What stands at one spot of the map: a stream, or several that lie too close to be told apart. */
export interface Spot {
  longitude: number;
  latitude: number;
  streams: number;
  offers: number;
  /** The stream, where it is one. */
  place?: IndexedPlace;
  /** Of a cluster, as the index numbers it. */
  cluster?: number;
}

type Index = Supercluster<{ place: IndexedPlace }, { offers: number }>;

/** Those that can be drawn. Whatever else came with them is left out, and breaks nothing. */
export const drawable = (places: readonly IndexedPlace[]): IndexedPlace[] => places.filter(isPlace);

export class Clusters {
  readonly #index: Index = new Supercluster({
    radius: RADIUS,
    extent: 256,
    maxZoom: MOST_ZOOM,
    map: ({ place }) => ({ offers: place.offers }),
    reduce: (sum, { offers }) => void (sum.offers += offers),
  });

  constructor(places: readonly IndexedPlace[]) {
    this.#index.load(
      drawable(places).map((place) => ({
        type: "Feature",
        properties: { place },
        geometry: { type: "Point", coordinates: [place.longitude, place.latitude] },
      })),
    );
  }

  /** What is to be drawn in a box at a zoom level (256 · 2^zoom pixels around the Earth). */
  spots([west, south, east, north]: Box, zoom: number): Spot[] {
    return this.#index.getClusters([west, south, east, north], Math.floor(zoom)).map(({ geometry, properties }) => {
      const [longitude, latitude] = geometry.coordinates as [number, number];
      if ("cluster" in properties)
        return {
          ...{ longitude, latitude, streams: properties.point_count, offers: properties.offers },
          cluster: properties.cluster_id,
        };
      const { place } = properties;
      return { longitude, latitude, streams: 1, offers: place.offers, place };
    });
  }

  /** The box around everything that a spot stands for. */
  boxOf({ cluster, place, longitude, latitude }: Spot): Box {
    if (cluster === undefined) return boxAround([place ?? { longitude, latitude }]);
    return boxAround(this.#index.getLeaves(cluster, Infinity).map((leaf) => leaf.properties.place));
  }
}

/** The smallest box around places, with a little room. */
export function boxAround(places: readonly { longitude: number; latitude: number }[]): Box {
  const box: Box = [180, 90, -180, -90];
  for (const { longitude, latitude } of places) {
    box[0] = Math.min(box[0], longitude - PAD);
    box[1] = Math.min(box[1], latitude - PAD);
    box[2] = Math.max(box[2], longitude + PAD);
    box[3] = Math.max(box[3], latitude + PAD);
  }
  return [Math.max(-180, box[0]), Math.max(-90, box[1]), Math.min(180, box[2]), Math.min(90, box[3])];
}
