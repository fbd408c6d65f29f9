import { fileURLToPath } from "node:url";
import { type Place } from "@msec/core";
import { type DevicePlan } from "./devices.ts";

const data = (file: string) => fileURLToPath(new URL(`../../data/${file}`, import.meta.url));

/** Columns of the air-quality excerpt, with the field's units (SenML, RFC 8428, section 12.1, where it has one). */
const AIR = [
  { name: "CO", unit: "mg/m3", text: "CO_GT" },
  { name: "PT08_S1_CO", unit: "", text: "PT08_S1_CO" },
  { name: "C6H6", unit: "ug/m3", text: "C6H6_GT" },
  { name: "NOx", unit: "ppb", text: "NOx_GT" },
  { name: "NO2", unit: "ug/m3", text: "NO2_GT" },
  { name: "T", unit: "Cel", text: "T" },
  { name: "RH", unit: "%RH", text: "RH" },
];

const HOME = [
  { name: "temperature", unit: "Cel", text: "Temperature" },
  { name: "humidity", unit: "%RH", text: "Humidity" },
  { name: "light", unit: "lx", text: "Light" },
  { name: "co2", unit: "ppm", text: "CO2" },
  { name: "occupancy", unit: "", text: "Occupancy" },
];

const columns = (quantities: { name: string; text: string }[]) =>
  Object.fromEntries(quantities.map((q) => [q.text, q.name]));

function park(name: string, file: string, speed: number | "max", place: Place): DevicePlan {
  return {
    name,
    owner: "city",
    unitPrice: 1_000n,
    thing: { place, model: "Air quality station (replayed)", calibration: { date: "2004-03-01" } },
    sampleSlots: 24,
    streams: [
      {
        name: `${name}/air`,
        mode: "open",
        slotSeconds: 3600,
        quantities: AIR,
        driver: {
          kind: "replay",
          file: data(file),
          time: { columns: ["Date", "Time"], format: "dd/mm/yyyy" },
          columns: columns(AIR),
          missing: ["-200"],
          speed,
        },
      },
    ],
  };
}

/** Two stations in the park, sold openly, and a sensor in a home, whose presence is nobody's business. */
export function cityPlans(
  speed: { park: number | "max"; home: number | "max" } = { park: 7200, home: 120 },
): DevicePlan[] {
  return [
    park("park-north", "air-quality-1.csv", speed.park, {
      ...{ latitude: 43.4728, longitude: -3.8002, altitude: 8, accuracy: 5 },
      name: "Parque de Las Llamas",
    }),
    park("park-south", "air-quality-2.csv", speed.park, {
      ...{ latitude: 43.4612, longitude: -3.8051, altitude: 5, accuracy: 5 },
      name: "Jardines de Pereda",
    }),
    {
      name: "home",
      owner: "citizen",
      unitPrice: 5_000n,
      thing: { place: { latitude: 43.4572, longitude: -3.8364 }, model: "Room climate sensor (replayed)" },
      streams: [
        {
          name: "home/room",
          mode: "sealed",
          slotSeconds: 60,
          padCount: 10,
          padBytes: 640,
          holders: [],
          quantities: HOME,
          driver: {
            kind: "replay",
            file: data("room-occupancy.csv"),
            time: { columns: ["date"], format: "yyyy-mm-dd" },
            columns: columns(HOME),
            speed: speed.home,
          },
        },
      ],
    },
  ];
}
