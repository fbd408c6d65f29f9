"use client";
import { fromBase64, fromHex, type Hex, utf8 } from "@msec/core";
import { useTranslations } from "next-intl";
import { useState } from "react";
import { decodeFunctionData } from "viem";
import { useCity } from "@/features/city/context.tsx";
import { abis, type ContractName } from "@/lib/contracts.ts";
import { Dialog } from "@/ui/dialog.tsx";
import { Field } from "@/ui/field.tsx";
import { storedVault } from "./browser-key.ts";
import { passkeySecret } from "./passkey.ts";
import { type SignatureRequest } from "./signatures.ts";
import { open } from "./vault.ts";

/** What is asked, in words and field by field; the passphrase is asked each time, the key stays nowhere. */
export function SignatureQuestion({ request }: { request: SignatureRequest }) {
  const t = useTranslations("wallet");
  const [passphrase, setPassphrase] = useState("");
  const [wrong, setWrong] = useState("");
  const [busy, setBusy] = useState(false);
  const vault = storedVault();
  const passkey = vault?.kdf.name === "passkey" ? vault.kdf : undefined;
  const approve = async () => {
    if (!vault) return request.reject();
    setBusy(true);
    setWrong("");
    try {
      const secret = passkey ? await passkeySecret(passkey.id, fromBase64(passkey.salt)) : utf8(passphrase);
      const key = await open(vault, secret);
      if (!key) return setWrong(t(passkey ? "wrongPasskey" : "wrongPassphrase"));
      request.approve(key);
    } catch (error) {
      setWrong((error as Error).message);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog open onClose={request.reject} title={t(`sign.${request.kind}`)} description={t("sign.look")}>
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          void approve();
        }}
      >
        <Content request={request} />
        {passkey ? (
          wrong ? (
            <p role="alert" className="note bad">
              {wrong}
            </p>
          ) : null
        ) : (
          <Field
            label={t("passphrase")}
            type="password"
            autoComplete="current-password"
            value={passphrase}
            wrong={wrong || undefined}
            onChange={(event) => setPassphrase(event.target.value)}
          />
        )}
        <div className="row">
          <button type="submit" className="button primary" disabled={busy}>
            {t("sign.approve")}
          </button>
          <button type="button" className="button" onClick={request.reject}>
            {t("sign.reject")}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function Content({ request: { kind, content } }: { request: SignatureRequest }) {
  const t = useTranslations("wallet");
  const city = useCity();
  if (kind === "message") return <pre className="sheet">{new TextDecoder().decode(fromHex(content as Hex))}</pre>;
  if (kind === "typed") {
    const { domain, primaryType, message } = content as {
      domain: { name?: string };
      primaryType: string;
      message: Record<string, unknown>;
    };
    return (
      <>
        <p>{t("sign.typedAs", { type: primaryType, contract: domain.name ?? "" })}</p>
        <Fields of={message} />
      </>
    );
  }
  const { to, data } = content as { to: Hex; data: Hex };
  const contract = (Object.keys(city.addresses) as ContractName[]).find(
    (name) => city.addresses[name].toLowerCase() === to.toLowerCase(),
  );
  if (!contract) return <p className="note bad">{t("sign.unknownContract", { to })}</p>;
  const { functionName } = decodeFunctionData({ abi: abis[contract] as never, data }) as { functionName: string };
  return <p>{t("sign.calls", { contract, function: functionName })}</p>;
}

function Fields({ of }: { of: Record<string, unknown> }) {
  return (
    <dl className="facts sheet">
      {Object.entries(of).map(([name, value]) => (
        <div key={name} className="pair">
          <dt>{name}</dt>
          <dd>
            {typeof value === "object" && value !== null ? (
              <Fields of={value as Record<string, unknown>} />
            ) : (
              <code>{String(value)}</code>
            )}
          </dd>
        </div>
      ))}
    </dl>
  );
}
