"use client";
import { fromBase64, utf8 } from "@msec/core";
import { useTranslations } from "next-intl";
import { useState } from "react";
import { generatePrivateKey, privateKeyToAddress } from "viem/accounts";
import { Field } from "@/ui/field.tsx";
import { storeVault } from "./browser-key.ts";
import { hasPasskeys, makePasskey, passkeySecret } from "./passkey.ts";
import { open, parseVault, seal, SHORTEST_PASSPHRASE } from "./vault.ts";

/** Makes a key that stays in this browser, or takes one from its file. */
export function KeyMaker({ onMade, onBack }: { onMade: () => void; onBack: () => void }) {
  const t = useTranslations("wallet");
  const [passphrase, setPassphrase] = useState("");
  const [again, setAgain] = useState("");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const doing = async (work: () => Promise<void>) => {
    setBusy(true);
    setProblem("");
    try {
      await work();
    } catch (error) {
      setProblem((error as Error).message);
    } finally {
      setBusy(false);
    }
  };
  const byPassphrase = () =>
    doing(async () => {
      if (passphrase.length < SHORTEST_PASSPHRASE) return setProblem(t("tooShort", { least: SHORTEST_PASSPHRASE }));
      if (passphrase !== again) return setProblem(t("notTheSame"));
      const key = generatePrivateKey();
      const address = privateKeyToAddress(key).toLowerCase() as `0x${string}`;
      storeVault(await seal(key, address, utf8(passphrase)));
      onMade();
    });
  const byPasskey = () =>
    doing(async () => {
      const key = generatePrivateKey();
      const address = privateKeyToAddress(key).toLowerCase() as `0x${string}`;
      const id = await makePasskey(address);
      if (!id) return setProblem(t("passkeyWithoutSecrets"));
      const salt = crypto.getRandomValues(new Uint8Array(32));
      storeVault(await seal(key, address, await passkeySecret(id, salt), { id, salt }));
      onMade();
    });
  const byFile = (file: File | undefined) =>
    doing(async () => {
      if (!file) return;
      const vault = parseVault(await file.text());
      const secret =
        vault.kdf.name === "passkey" ? await passkeySecret(vault.kdf.id, fromBase64(vault.kdf.salt)) : utf8(passphrase);
      if (!(await open(vault, secret))) return setProblem(t("wrongPassphrase"));
      storeVault(vault);
      onMade();
    });
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        void byPassphrase();
      }}
    >
      <p className="soft">{t("aboutBrowserKey")}</p>
      <Field
        label={t("passphrase")}
        hint={t("passphraseHint", { least: SHORTEST_PASSPHRASE })}
        type="password"
        autoComplete="new-password"
        value={passphrase}
        onChange={(event) => setPassphrase(event.target.value)}
      />
      <Field
        label={t("again")}
        type="password"
        autoComplete="new-password"
        value={again}
        onChange={(event) => setAgain(event.target.value)}
      />
      {problem ? (
        <p role="alert" className="note bad">
          {problem}
        </p>
      ) : null}
      <div className="row">
        <button type="submit" className="button primary" disabled={busy}>
          {t("make")}
        </button>
        {hasPasskeys() ? (
          <button type="button" className="button" disabled={busy} onClick={() => void byPasskey()}>
            {t("makeWithPasskey")}
          </button>
        ) : null}
        <button type="button" className="button quiet" onClick={onBack}>
          {t("back")}
        </button>
      </div>
      <div className="field">
        <label htmlFor="key-file">{t("fromFile")}</label>
        <span className="hint">{t("fromFileHint")}</span>
        <input
          id="key-file"
          type="file"
          accept="application/json,.json"
          onChange={(event) => void byFile(event.target.files?.[0])}
        />
      </div>
    </form>
  );
}
