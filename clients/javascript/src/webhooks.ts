import { Webhook } from "standardwebhooks";

import type { Answer } from "./types.js";

/**
 * The answer that a webhook carries, if it is signed with `secret` ("whsec_...") and fresh; throws
 * otherwise. `body` is the request's, byte for byte.
 */
export function verifyWebhook(body: string, headers: Record<string, string>, secret: string): Answer {
  const lower = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
  return new Webhook(secret).verify(body, lower) as Answer;
}
