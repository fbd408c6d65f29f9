import { useId } from "react";

/** A labelled list of which one is chosen, by its place. */
export function Choice({
  label,
  hint,
  options,
  chosen,
  disabled,
  onChoose,
}: {
  label: string;
  hint?: string;
  options: readonly string[];
  chosen: number;
  disabled?: boolean;
  onChoose: (place: number) => void;
}) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {hint ? (
        <span className="hint" id={`${id}-hint`}>
          {hint}
        </span>
      ) : null}
      <select
        id={id}
        className="input"
        value={chosen}
        disabled={disabled}
        aria-describedby={hint ? `${id}-hint` : undefined}
        onChange={(event) => onChoose(Number(event.target.value))}
      >
        {options.map((text, i) => (
          <option key={text} value={i}>
            {text}
          </option>
        ))}
      </select>
    </div>
  );
}
