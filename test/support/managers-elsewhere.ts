/** Servers of a privacy manager that runs elsewhere, such as a Tessera. */
export interface ManagerElsewhere {
  q2t: string;
  thirdParty: string;
}

/** Those that MSEC_PRIVACY_MANAGER_URL names: "Q2T-URL THIRDPARTY-URL", comma, and so on. */
export const managersElsewhere = (): ManagerElsewhere[] =>
  (process.env.MSEC_PRIVACY_MANAGER_URL ?? "")
    .split(",")
    .filter((pair) => pair.trim() !== "")
    .map((pair) => {
      const [q2t, thirdParty, ...rest] = pair.trim().split(/\s+/);
      if (!q2t || !thirdParty || rest.length > 0)
        throw new Error(`MSEC_PRIVACY_MANAGER_URL: expected "Q2T-URL THIRDPARTY-URL", comma, and so on, not ${pair}`);
      return { q2t, thirdParty };
    });
