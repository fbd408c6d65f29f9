import { select } from "d3-selection";
import { zoom, type ZoomBehavior, zoomIdentity } from "d3-zoom";
import { type RefObject, useCallback, useEffect, useRef, useState } from "react";
import { type Clusters, type Spot } from "./clusters.ts";
import { draw, type Inks, type Land, radiusOf } from "./draw.ts";
import { type Box } from "./types.ts";
import { boxOf, EXTENT, fit, pixelOf, type Size, type Transform, zoomOf } from "./view.ts";

const STEP_PIXELS = 90;
const STEP_ZOOM = 2;
/** A finger is wider than a pointer. */
const REACH = 10;

interface Drawn {
  inks: Inks | undefined;
  land: Land | undefined;
  clusters: Clusters;
  chosen: Box | undefined;
}

/**
 * A canvas that is moved and zoomed by pointer, touch, wheel and keys, drawn at most once a frame.
 * @param home What is shown first.
 */
export function useMap(canvas: RefObject<HTMLCanvasElement | null>, home: Box | undefined, drawn: Drawn) {
  const now = useRef({
    ...drawn,
    transform: undefined as Transform | undefined,
    size: { width: 0, height: 0 } as Size,
  });
  const spots = useRef<Spot[]>([]);
  const hovered = useRef<Spot>(undefined);
  const behaviour = useRef<ZoomBehavior<HTMLCanvasElement, unknown>>(undefined);
  const frame = useRef(0);
  const [rested, setRested] = useState<{ transform: Transform; size: Size }>();

  const redraw = useCallback(() => {
    cancelAnimationFrame(frame.current);
    frame.current = requestAnimationFrame(() => {
      const { inks, land, clusters, chosen, transform, size } = now.current;
      const context = canvas.current?.getContext("2d");
      if (!context || !transform || !inks || size.width === 0) return;
      spots.current = clusters.spots(boxOf(transform, size), zoomOf(transform));
      const ratio = devicePixelRatio;
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      draw(context, { transform, size, inks, land, chosen, spots: spots.current, hovered: hovered.current });
    });
  }, [canvas]);

  useEffect(() => {
    Object.assign(now.current, drawn);
    redraw();
  });

  const show = useCallback(
    (transform: Transform) => {
      if (canvas.current && behaviour.current)
        behaviour.current.transform(
          select(canvas.current),
          zoomIdentity.translate(transform.x, transform.y).scale(transform.k),
        );
    },
    [canvas],
  );

  useEffect(() => {
    const element = canvas.current;
    if (!element) return;
    const made = zoom<HTMLCanvasElement, unknown>()
      .scaleExtent(EXTENT)
      // A page that is scrolled must not stick in the map: the wheel is the map's once somebody has clicked into it.
      .filter((event: Event & { ctrlKey: boolean; button?: number }) =>
        event.type === "wheel" ? event.ctrlKey || document.activeElement === element : !event.button && !event.ctrlKey,
      )
      .on("zoom", ({ transform }: { transform: Transform }) => {
        const { k, x, y } = transform;
        now.current.transform = { k, x, y };
        redraw();
      })
      .on("end", () => {
        const { transform, size } = now.current;
        if (transform) setRested({ transform, size });
      });
    behaviour.current = made;
    // Moves are at once: no animation to be asked not to run.
    select(element).call(made).on("dblclick.zoom", null);
    const observer = new ResizeObserver(([entry]) => {
      const { width = 0, height = 0 } = entry?.contentRect ?? {};
      element.width = Math.round(width * devicePixelRatio);
      element.height = Math.round(height * devicePixelRatio);
      const { transform, size: before } = now.current;
      now.current.size = { width, height };
      if (!transform) return setRested(undefined);
      // What was in the middle stays there.
      const { k, x, y } = transform;
      show({ k, x: x + (width - before.width) / 2, y: y + (height - before.height) / 2 });
      redraw();
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      cancelAnimationFrame(frame.current);
    };
  }, [canvas, redraw, show]);

  const goTo = useCallback(
    (box: Box) => {
      const element = canvas.current;
      if (!element) return;
      now.current.size = { width: element.clientWidth, height: element.clientHeight };
      show(fit(box, now.current.size));
    },
    [canvas, show],
  );
  useEffect(() => {
    if (home && !now.current.transform) goTo(home);
  }, [home, goTo]);

  const spotAt = useCallback((px: number, py: number): Spot | undefined => {
    const { transform } = now.current;
    if (!transform) return undefined;
    const near = spots.current
      .map((spot) => {
        const [x, y] = pixelOf(transform, spot.longitude, spot.latitude);
        return { spot, distance: Math.hypot(x - px, y - py) - radiusOf(spot) };
      })
      .filter(({ distance }) => distance <= REACH);
    return near.sort((a, b) => a.distance - b.distance)[0]?.spot;
  }, []);

  const hover = useCallback(
    (spot: Spot | undefined) => {
      if (hovered.current === spot) return;
      hovered.current = spot;
      redraw();
    },
    [redraw],
  );

  const move = useCallback(
    (right: number, down: number) => {
      const { transform } = now.current;
      if (transform) show({ ...transform, x: transform.x - right * STEP_PIXELS, y: transform.y - down * STEP_PIXELS });
    },
    [show],
  );
  const zoomBy = useCallback(
    (steps: number) => {
      if (canvas.current) behaviour.current?.scaleBy(select(canvas.current), STEP_ZOOM ** steps);
    },
    [canvas],
  );

  return { rested, goTo, spotAt, hover, move, zoomBy };
}
