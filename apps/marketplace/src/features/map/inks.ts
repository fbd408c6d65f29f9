import { useEffect, useState } from "react";
import { INKS, type Inks } from "./draw.ts";

/** The theme's colours as a canvas takes them; again whenever the theme changes. */
export function useInks(): Inks | undefined {
  const [inks, setInks] = useState<Inks>();
  useEffect(() => {
    const read = () => {
      const probe = document.body.appendChild(document.createElement("span"));
      const entries = Object.entries(INKS).map(([name, token]) => {
        // A token may be light-dark(…): only a colour that is worn is resolved.
        probe.style.color = `var(${token})`;
        return [name, getComputedStyle(probe).color];
      });
      probe.remove();
      setInks(Object.fromEntries(entries) as Inks);
    };
    read();
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const theme = new MutationObserver(read);
    theme.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    scheme.addEventListener("change", read);
    return () => {
      theme.disconnect();
      scheme.removeEventListener("change", read);
    };
  }, []);
  return inks;
}
