// Places on Earth. Imports nothing: a map that is shown first needs no more of the protocol.

/** A place of personal data is rounded to hundredths of a degree: 1.1 km to the north, less to the east. */
const ROUNDING_DEGREES = 0.01;
const ROUNDED_METRES = 1000;

/** Names are those of the W3C's Geolocation API: degrees of WGS 84, metres. */
export interface Place {
  latitude: number;
  longitude: number;
  altitude?: number;
  /** Radius, in metres, in which it is. */
  accuracy?: number;
  /** What people call it. */
  name?: string;
}

/** Whether it is a number between two others; NaN is not. */
export const isIn = (value: unknown, least: number, most: number): value is number =>
  typeof value === "number" && value >= least && value <= most;

/** Whether these are coordinates on Earth. */
export const isPlace = (value: unknown): value is Pick<Place, "latitude" | "longitude"> => {
  const { latitude, longitude } = (value ?? {}) as Record<string, unknown>;
  return isIn(latitude, -90, 90) && isIn(longitude, -180, 180);
};

/** The place that `43.4728, -3.8002` names, as maps give it: latitude and longitude in degrees. Undefined where it is none. */
export function placeFrom(text: string): Place | undefined {
  const [latitude, longitude, ...more] = text.split(",").map((part) => (part.trim() === "" ? NaN : Number(part)));
  const place = { latitude, longitude };
  return more.length === 0 && isPlace(place) ? place : undefined;
}

/** The place to about a kilometre, without its name and height: for what is personal. */
export function roundedPlace({ latitude, longitude }: Place): Place {
  const round = (degrees: number) => Number((Math.round(degrees / ROUNDING_DEGREES) * ROUNDING_DEGREES).toFixed(2));
  return { latitude: round(latitude), longitude: round(longitude), accuracy: ROUNDED_METRES };
}
