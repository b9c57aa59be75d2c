// Requests to the service. A key, where one is needed, is kept in this tab and sent as Bearer.

const KEY = "comfyray-key";
export const BASE = new URL("..", import.meta.url);
export const API = "api/v7/comfyui";

export class ApiError extends Error {
  // `errors` are the answer's: each may have node_id, input, suggestion.
  constructor(status, body) {
    super(body?.message ?? `The service answered ${status}.`);
    this.status = status;
    this.errors = body?.errors ?? [];
  }
}

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

export async function request(path, { method = "GET", json, body, headers = {}, signal } = {}) {
  const sent = { ...headers };
  if (key.get()) sent.Authorization = `Bearer ${key.get()}`;
  if (json !== undefined) sent["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(new URL(path, BASE), {
      method, headers: sent, signal, body: json === undefined ? body : JSON.stringify(json),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { message: "The service does not answer. Is it running?" });
  }
  if (response.ok) return response;
  throw new ApiError(response.status, await response.json().catch(() => null));
}

export const get = async (path, options) => (await request(path, options)).json();
export const post = async (path, json, options) =>
  (await request(path, { method: "POST", json, ...options })).json();

export async function upload(file) {
  const form = new FormData();
  form.append("image", file, file.name);
  const placed = await (await request("upload/image", { method: "POST", body: form })).json();
  return placed.subfolder ? `${placed.subfolder}/${placed.name}` : placed.name;
}

// A job's events as they happen, until its last one. A lost connection is taken up again.
export async function* events(jobId, signal) {
  let last = "0";
  for (let lost = 0; ; ) {
    try {
      const headers = { "Last-Event-ID": last };
      const response = await request(`${API}/events/${jobId}?preview=true`, { headers, signal });
      if (response.status === 204) return;
      for await (const event of parsed(response.body)) {
        lost = 0;
        last = event.id ?? last;
        yield event;
        if (["success", "failed", "cancelled"].includes(event.type)) return;
      }
    } catch (error) {
      if (error.name === "AbortError" || (error.status >= 400 && error.status < 500)) throw error;
      if (++lost > 60) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, Math.min(500 * (lost + 1), 3000)));
  }
}

async function* parsed(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(
        block.split("\n").filter((line) => !line.startsWith(":")).map((line) => {
          const colon = line.indexOf(": ");
          return [line.slice(0, colon), line.slice(colon + 2)];
        }),
      );
      if (fields.event) yield { id: fields.id, type: fields.event, data: JSON.parse(fields.data) };
    }
  }
}
