"use client";
import { useTranslations } from "next-intl";
import { useCity } from "@/features/city/context.tsx";
import { Hash } from "@/ui/hex.tsx";
import { Lines } from "./lines.tsx";
import { type Audit } from "./use-audit.ts";
import { VerdictBadge } from "./verdict.tsx";

/** Who may do what now, with which delay, and what the Directory names. */
export function Access({ audit, stale }: { audit: Audit; stale: boolean }) {
  const t = useTranslations("audit");
  const { operators, markets } = useCity();
  const { access, accessDifferences } = audit;
  const heading = (
    <div className="row apart">
      <h2 id="access">{t("roles")}</h2>
      <VerdictBadge
        verdict={!access || !accessDifferences ? "unknown" : accessDifferences.length > 0 ? "broken" : "holds"}
        stale={stale}
      />
    </div>
  );
  if (!access)
    return (
      <section className="card" aria-labelledby="access">
        {heading}
        <p className="note warn">{t("rolesUnread")}</p>
      </section>
    );
  const names = new Map([...operators, ...markets].map(({ address, name }) => [address.toLowerCase(), name]));
  const nameOf = (id: string) =>
    BigInt(id) === 2n ** 64n - 1n ? t("anyone") : (access.roles.find((role) => role.id === id)?.name ?? id);
  const held = new Map<string, number>();
  for (const { members } of access.roles)
    for (const { account } of members) held.set(account, (held.get(account) ?? 0) + 1);
  const [most] = [...held.entries()].sort((a, b) => b[1] - a[1]);
  const delay = (seconds: number) => (seconds === 0 ? t("none") : t("delaySeconds", { seconds }));
  return (
    <section className="card" aria-labelledby="access">
      {heading}
      <p className="soft">{accessDifferences ? t("rolesHint") : t("rolesNoManifest")}</p>
      {accessDifferences && accessDifferences.length > 0 ? (
        <Lines label={t("differences", { count: accessDifferences.length })}>
          {accessDifferences.map(({ where, what, expected, found }) => (
            <li key={where}>
              {where}: {what}: {JSON.stringify(found)} ≠ {JSON.stringify(expected)}
            </li>
          ))}
        </Lines>
      ) : null}
      {most && most[1] > 1 ? <p className="note warn">{t("oneHolds", { roles: most[1] })}</p> : null}
      <div className="scroll broad" role="region" aria-labelledby="access" tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th scope="col">{t("role")}</th>
              <th scope="col">{t("holders")}</th>
              <th scope="col">{t("grantDelay")}</th>
              <th scope="col">{t("guardian")}</th>
              <th scope="col">{t("may")}</th>
            </tr>
          </thead>
          <tbody>
            {access.roles.map(({ id, name, admin, guardian, grantDelay, members }) => (
              <tr key={id} data-role={name}>
                <th scope="row">
                  {name}
                  <div className="soft small">{t("admin", { role: nameOf(admin) })}</div>
                </th>
                <td>
                  {members.length === 0 ? t("nobody") : null}
                  {members.map((member) => (
                    <div key={member.account}>
                      <Hash value={member.account} label={names.get(member.account) ?? name} />{" "}
                      {names.get(member.account) ?? ""}
                      <span className="soft small"> {t("executionDelay", { delay: delay(member.delay) })}</span>
                    </div>
                  ))}
                </td>
                <td>{delay(grantDelay)}</td>
                <td>{nameOf(guardian)}</td>
                <td className="small">
                  {access.functions
                    .filter((row) => row.role === id)
                    .map(({ contract, selector, signature }) => (
                      <div key={`${contract}${selector}`}>
                        <code title={signature ?? selector}>
                          {contract}.{signature?.replace(/\(.*/, "") ?? selector}
                        </code>
                      </div>
                    ))}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {access.targets.length > 0 ? (
        <p>
          {access.targets
            .map(({ contract, closed, adminDelay }) =>
              t(closed ? "closedTarget" : "slowTarget", { contract, delay: delay(adminDelay) }),
            )
            .join(" ")}
        </p>
      ) : null}
      <h3 id="modules">{t("named")}</h3>
      <div className="scroll broad" role="region" aria-labelledby="modules" tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th scope="col">{t("module")}</th>
              <th scope="col">{t("address")}</th>
              <th scope="col">{t("version")}</th>
              <th scope="col">{t("codehash")}</th>
            </tr>
          </thead>
          <tbody>
            {access.modules.map(({ name, address, version, codehash }) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td>
                  <Hash value={address} label={name} />
                </td>
                <td>{version}</td>
                <td>
                  <Hash value={codehash} label={t("codehash")} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
