import { RequestError, UnreachableError } from "./errors.js";

const TRIES = 5;
const BUSY = new Set([429, 502, 503, 504]);
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 20_000;
const LONGEST_ANSWER_MS = 90_000;

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Requests to one service, sent again while it is busy or away. */
export class Http {
  constructor(
    private readonly base: string,
    private readonly key: string | undefined,
    private readonly fetch: typeof globalThis.fetch,
  ) {}

  /** One answer, whatever it says. The key goes to the service alone: an output's URL is signed. */
  send(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    if (this.key !== undefined && !path.includes("://")) headers.set("Authorization", `Bearer ${this.key}`);
    return this.fetch(new URL(path, this.base), { ...init, headers });
  }

  /** One good answer. Throws RequestError, UnreachableError. */
  async request(path: string, init: RequestInit = {}): Promise<Response> {
    for (let left = TRIES - 1, wait = FIRST_PAUSE_MS; ; left--, wait *= 2) {
      let asked = 0;
      try {
        const response = await this.send(path, { ...init, signal: AbortSignal.timeout(LONGEST_ANSWER_MS) });
        if (response.ok) return response;
        if (!BUSY.has(response.status) || left === 0) throw await refused(response);
        asked = 1000 * Number(response.headers.get("Retry-After") ?? 0) || 0;
      } catch (error) {
        if (error instanceof RequestError) throw error;
        if (left === 0) throw new UnreachableError(`${this.base} does not answer (${String(error)}). Is it running?`, { cause: error });
      }
      await pause(Math.min(Math.max(asked, wait * (0.5 + Math.random() / 2)), LONGEST_PAUSE_MS));
    }
  }

  async json<T>(path: string, body?: unknown, headers: Record<string, string> = {}): Promise<T> {
    const posted = { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json", ...headers } };
    const response = await this.request(path, body === undefined ? {} : posted);
    return (await response.json()) as T;
  }
}

async function refused(response: Response): Promise<RequestError> {
  const body: unknown = await response.json().catch(() => ({}));
  return new RequestError(response.status, typeof body === "object" && body !== null ? body : {});
}
