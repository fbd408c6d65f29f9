"use client";
import { Dialog as Radix } from "radix-ui";
import { type ReactNode } from "react";
import { useTranslations } from "next-intl";

/** A question over the page; closed by Escape, by the button, or by whoever opened it. */
export function Dialog({
  open,
  onClose,
  title,
  description,
  children,
}: {
  open: boolean;
  onClose: () => void;
  title: string;
  description?: string;
  children: ReactNode;
}) {
  const t = useTranslations("site");
  return (
    <Radix.Root open={open} onOpenChange={(next) => !next && onClose()}>
      <Radix.Portal>
        <Radix.Overlay className="veil" />
        <Radix.Content className="dialog" {...(description ? {} : { "aria-describedby": undefined })}>
          <div className="row apart">
            <Radix.Title asChild>
              <h2>{title}</h2>
            </Radix.Title>
            <Radix.Close className="button quiet small">{t("close")}</Radix.Close>
          </div>
          {description ? <Radix.Description className="soft">{description}</Radix.Description> : null}
          {children}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}
