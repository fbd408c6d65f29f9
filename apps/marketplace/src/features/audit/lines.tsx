import { type ReactNode } from "react";

/** Lines as a machine gives them, which scroll by themselves. */
export function Lines({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div className="sheet mono" role="region" aria-label={label} tabIndex={0}>
      <ul className="list stack tight">{children}</ul>
    </div>
  );
}
