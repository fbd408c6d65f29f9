"use client";
import { type Hex } from "@msec/core";
import { useTranslations } from "next-intl";
import { useState } from "react";
import { useConnect, useConnection, useConnectors, useDisconnect, useReadContract } from "wagmi";
import { erc20Abi } from "viem";
import { useCity } from "@/features/city/context.tsx";
import { isRejection } from "@/features/tx/use-tx.ts";
import { Amount } from "@/ui/amount.tsx";
import { Dialog } from "@/ui/dialog.tsx";
import { Hash } from "@/ui/hex.tsx";
import { BROWSER_KEY, storedVault } from "./browser-key.ts";
import { KeyMaker } from "./key-maker.tsx";
import { KeyCare } from "./key-care.tsx";

/** Choosing who one is; or, connected, what one holds. */
export function WalletDialog({ onClose }: { onClose: () => void }) {
  const t = useTranslations("wallet");
  const connection = useConnection();
  return (
    <Dialog open onClose={onClose} title={connection.isConnected ? t("yourAccount") : t("connect")}>
      {connection.isConnected && connection.address ? (
        <Account address={connection.address.toLowerCase() as Hex} onClose={onClose} />
      ) : (
        <Choice onDone={onClose} />
      )}
    </Dialog>
  );
}

function Choice({ onDone }: { onDone: () => void }) {
  const t = useTranslations("wallet");
  const connectors = useConnectors();
  const connect = useConnect();
  const [making, setMaking] = useState(false);
  // A bare "injected" stands beside wallets that announce themselves, and would be one of them once more.
  const wallets = connectors.filter(({ id }) => id !== BROWSER_KEY && id !== "injected");
  const own = connectors.find(({ id }) => id === BROWSER_KEY);
  const vault = storedVault();
  const use = (connector: (typeof connectors)[number]) =>
    void connect.mutateAsync({ connector }).then(onDone, () => undefined);
  if (making && own) return <KeyMaker onMade={() => use(own)} onBack={() => setMaking(false)} />;
  return (
    <div className="stack">
      <p className="soft">{t("choose")}</p>
      {wallets.map((connector) => (
        <button
          key={connector.uid}
          type="button"
          className="button"
          disabled={connect.isPending}
          onClick={() => use(connector)}
        >
          {connector.name}
        </button>
      ))}
      {wallets.length === 0 ? <p className="note">{t("noWallet")}</p> : null}
      {own && vault ? (
        <button type="button" className="button primary" onClick={() => use(own)}>
          {t("useBrowserKey")} <code>{`${vault.address.slice(0, 6)}…${vault.address.slice(-4)}`}</code>
        </button>
      ) : (
        <button type="button" className="button" onClick={() => setMaking(true)}>
          {t("makeBrowserKey")}
        </button>
      )}
      {connect.isPending ? <p role="status">{t("answerInWallet")}</p> : null}
      {connect.error ? (
        <p role="alert" className={`note ${isRejection(connect.error) ? "" : "bad"}`}>
          {isRejection(connect.error) ? t("declined") : connect.error.message}
        </p>
      ) : null}
    </div>
  );
}

function Account({ address, onClose }: { address: Hex; onClose: () => void }) {
  const t = useTranslations("wallet");
  const { connector, chainId } = useConnection();
  const disconnect = useDisconnect();
  const city = useCity();
  const balance = useReadContract({
    address: city.addresses.MSecToken,
    abi: erc20Abi,
    functionName: "balanceOf",
    args: [address],
  });
  return (
    <div className="stack">
      <dl className="facts">
        <dt>{t("address")}</dt>
        <dd>
          <Hash value={address} label={t("address")} />
        </dd>
        <dt>{t("balance")}</dt>
        <dd>{balance.data === undefined ? "…" : <Amount units={balance.data} />}</dd>
        <dt>{t("with")}</dt>
        <dd>{connector?.id === BROWSER_KEY ? t("browserKey") : connector?.name}</dd>
      </dl>
      {chainId !== city.chainId ? <p className="note warn">{t("otherChain", { city: city.name })}</p> : null}
      {connector?.id === BROWSER_KEY ? <KeyCare /> : null}
      <button
        type="button"
        className="button"
        onClick={() => void disconnect.mutateAsync({}).then(onClose, () => undefined)}
      >
        {t("disconnect")}
      </button>
    </div>
  );
}
