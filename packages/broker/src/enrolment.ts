import { request } from "node:https";
import { certificatesIn, certificationRequest } from "./csr.ts";

/** The client's side of enrolment over HTTPS (RFC 7030) and of attestation. The server is known by the given authority only. */

const TIMEOUT_MS = 20_000;
const LARGEST = 1 << 20;

export interface EnrolmentServer {
  /** https://host:port of the enrolment service. */
  url: string;
  /** PEM of the authority, and of nobody else, that the service is believed by. */
  ca: string;
}

/** A client certificate with its key, as files hold them. */
export interface ClientCertificate {
  cert: string;
  key: string;
}

/** The service refuses. `message` is its own sentence. */
export class EnrolmentError extends Error {
  readonly code = "enrolment";
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.name = "EnrolmentError";
    this.status = status;
  }
}

interface Question {
  path: string;
  type?: string;
  body?: Uint8Array | string;
  authorization?: string;
  client?: ClientCertificate | undefined;
}

/** Asks the service; whatever is not 200 is an {@link EnrolmentError}. */
export function ask({ url, ca }: EnrolmentServer, question: Question): Promise<Uint8Array> {
  const { path, type, body, authorization, client } = question;
  return new Promise((resolve, reject) => {
    const sent = request(
      new URL(path, url),
      {
        method: body === undefined ? "GET" : "POST",
        ca,
        minVersion: "TLSv1.3",
        agent: false,
        signal: AbortSignal.timeout(TIMEOUT_MS),
        headers: {
          ...(type === undefined ? {} : { "content-type": type }),
          ...(authorization === undefined ? {} : { authorization }),
          ...(body === undefined ? {} : { "content-length": Buffer.byteLength(body) }),
        },
        ...(client ?? {}),
      },
      (answer) => {
        const parts: Buffer[] = [];
        let length = 0;
        answer.on("data", (part: Buffer) => {
          length += part.length;
          if (length > LARGEST) return void answer.destroy(new Error(`${url}${path} answers more than a megabyte`));
          parts.push(part);
        });
        answer.on("error", reject);
        answer.on("end", () => {
          const bytes = Buffer.concat(parts);
          if (answer.statusCode === 200) return resolve(new Uint8Array(bytes));
          reject(new EnrolmentError(answer.statusCode ?? 0, `${url}${path} refuses: ${bytes.toString("utf8")}`));
        });
      },
    );
    sent.on("error", reject);
    sent.end(body);
  });
}

/** Asks for a certificate of a key; with the certificate that is there it is a renewal (RFC 7030, 4.2.2). */
export async function enrol(
  server: EnrolmentServer,
  name: string,
  key: string,
  authorization: string,
  present?: ClientCertificate,
): Promise<ClientCertificate> {
  const answer = await ask(server, {
    path: `/.well-known/est/${present ? "simplereenroll" : "simpleenroll"}`,
    type: "application/pkcs10",
    body: Buffer.from(certificationRequest(name, key)).toString("base64"),
    authorization,
    client: present,
  });
  const [cert] = certificatesIn(new Uint8Array(Buffer.from(Buffer.from(answer).toString("latin1"), "base64")));
  if (cert === undefined) throw new EnrolmentError(200, "the enrolment service issued no certificate");
  return { cert, key };
}
