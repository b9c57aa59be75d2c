import { EventSourceParserStream } from "eventsource-parser/stream";

import { JobFailedError, TimeoutError } from "./errors.js";
import { Http, pause } from "./http.js";
import { type ModelOptions, uploadModel } from "./models.js";
import type { Answer, Inputs, Job, JobEvent, JobPage, Model, Output, OutputEntry, Quote, Result, Workflow } from "./types.js";

const API = "api/v7/comfyui";
const FINAL = new Set(["success", "failed", "cancelled"]);

export interface ClientOptions {
  key?: string;
  fetch?: typeof globalThis.fetch;
}

/** What else a request may say, and who hears of the job. */
export interface RunOptions {
  onEvent?: (event: JobEvent) => void;
  /** With pictures on their way among the events. */
  preview?: boolean;
  /** How long to wait; the job goes on all the same. */
  timeoutS?: number;
  /** Aborting it cancels the job. */
  signal?: AbortSignal;
  format?: "png" | "webp" | "jpeg";
  quality?: number;
  priority?: number;
  webhook?: string;
  track_id?: string;
  metadata?: boolean;
}

export interface EventOptions {
  preview?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

export type SubmitOptions = Omit<RunOptions, "onEvent" | "preview" | "timeoutS" | "signal">;

/** A comfyray service. */
export class Client {
  private readonly http: Http;

  constructor(url = "http://127.0.0.1:8000", options: ClientOptions = {}) {
    this.http = new Http(url.replace(/\/*$/, "/"), options.key, options.fetch ?? globalThis.fetch);
  }

  /** Run a workflow and download what it saved. Throws RequestError, JobFailedError, TimeoutError. */
  async run(workflow: Workflow, inputs: Inputs = {}, options: RunOptions = {}): Promise<Result> {
    const { onEvent, preview, timeoutS, signal, ...asked } = options;
    signal?.throwIfAborted();
    const job = await this.submit(workflow, inputs, asked);
    const deadline = timeoutS === undefined ? undefined : AbortSignal.timeout(1000 * timeoutS);
    const given = [signal, deadline].filter((one) => one !== undefined);
    const stop = given.length ? AbortSignal.any(given) : undefined;
    try {
      if (job.status !== "processing") return await this.result(job);
      for await (const event of this.events(job.id, { preview, signal: stop })) onEvent?.(event);
      return await this.result(await this.fetch(job.id));
    } catch (error) {
      if (signal?.aborted) await this.cancel(job.id);
      if (deadline?.aborted && !signal?.aborted) throw new TimeoutError(job.id, timeoutS ?? 0);
      throw error;
    }
  }

  /** Start a job and do not wait for it. */
  async submit(workflow: Workflow, inputs: Inputs = {}, options: SubmitOptions = {}): Promise<Job> {
    const body = { ...options, workflow, inputs: await this.sent(inputs), wait: 0 };
    return jobOf(await this.http.json<Answer>(`${API}/execute`, body, { "Idempotency-Key": crypto.randomUUID() }));
  }

  /** How a job stands. */
  async fetch(jobId: number): Promise<Job> {
    return jobOf(await this.http.json<Answer>(`${API}/fetch/${jobId}`));
  }

  /** The job, ended. Throws when it has not ended in `timeoutS`; it goes on all the same. */
  async wait(job: Job, timeoutS = Infinity): Promise<Job> {
    const lastMs = Date.now() + 1000 * timeoutS;
    while (job.answer.status === "processing") {
      if (Date.now() >= lastMs) throw new TimeoutError(job.id, timeoutS);
      await pause(1000 * Math.min(Math.max((job.answer.eta ?? 0) / 4, 0.1), 2));
      job = await this.fetch(job.id);
    }
    return job;
  }

  /** What an ended job saved. Throws JobFailedError. */
  async result(job: Job): Promise<Result> {
    if (job.answer.status !== "success") throw new JobFailedError(job.answer);
    const outputs = await Promise.all(job.answer.outputs.map((entry) => this.downloaded(entry)));
    const pictures = outputs.filter((output) => output.type === "image" && !output.temporary);
    return { id: job.id, outputs, pictures, answer: job.answer };
  }

  /** What happens in a job, to its end; with `preview`, pictures on their way come too. */
  async *events(jobId: number, options: EventOptions = {}): AsyncGenerator<JobEvent, void, undefined> {
    const { preview = false, signal } = options;
    let last = "";
    for (;;) {
      try {
        const headers: Record<string, string> = last ? { "Last-Event-ID": last } : {};
        const init = signal ? { headers, signal } : { headers };
        const response = await this.http.send(`${API}/events/${jobId}?preview=${preview}`, init);
        if (response.status === 204) return;
        if (response.ok && response.body) {
          for await (const event of parsed(response.body)) {
            last = event.id || last;
            yield event;
            if (FINAL.has(event.type)) return;
          }
        }
      } catch (error) {
        if (signal?.aborted || !(error instanceof TypeError)) throw error; // cut off: it goes on after the last event
      }
      await this.fetch(jobId); // throws where the service is gone, or knows no such job
      await pause(500);
    }
  }

  /** Stop a job at its next step. */
  async cancel(jobId: number): Promise<Job> {
    return jobOf(await this.http.json<Answer>(`${API}/cancel/${jobId}`, {}));
  }

  /** Stop a job and remove all that is kept of it. */
  async delete(jobId: number): Promise<void> {
    await this.http.request(`${API}/jobs/${jobId}`, { method: "DELETE" });
  }

  /** Your jobs, newest first. */
  jobs({ status, limit = 50, cursor = "" }: { status?: string; limit?: number; cursor?: string } = {}): Promise<JobPage> {
    const asked = new URLSearchParams({ limit: String(limit), cursor, ...(status ? { status } : {}) });
    return this.http.json(`${API}/jobs?${asked}`);
  }

  /** Send a picture; the name to give to a LoadImage node. */
  async upload(file: Blob, name = "picture.png"): Promise<string> {
    const body = new FormData();
    body.append("image", file, file instanceof File ? file.name : name);
    const response = await this.http.request("upload/image", { method: "POST", body });
    const stored = (await response.json()) as { name: string; subfolder?: string };
    return stored.subfolder ? `${stored.subfolder}/${stored.name}` : stored.name;
  }

  /** Send a model file in pieces; after a break, `resume` sends what has not come. Throws RequestError. */
  uploadModel(file: Blob, name: string, options: ModelOptions = {}): Promise<Model> {
    return uploadModel(this.http, file, name, options);
  }

  /** The parameters of a workflow, as JSON Schema. */
  schema(workflow: Workflow): Promise<Record<string, unknown>> {
    return this.http.json(`${API}/schema`, { workflow });
  }

  /** A workflow of the editor's format in API format. */
  async convert(workflow: Workflow): Promise<Record<string, unknown>> {
    const answer = await this.http.json<{ workflow: Record<string, unknown> }>(`${API}/convert`, { workflow });
    return answer.workflow;
  }

  /** What a run would take, and what is missing for it, without running it. */
  quote(workflow: Workflow, inputs: Inputs = {}): Promise<Quote> {
    return this.http.json(`${API}/execute`, { workflow, inputs, dry_run: true });
  }

  private async sent(inputs: Inputs): Promise<Inputs> {
    const pairs = Object.entries(inputs).map(async ([name, value]) => [name, value instanceof Blob ? await this.upload(value) : value]);
    return Object.fromEntries(await Promise.all(pairs)) as Inputs;
  }

  private async downloaded(entry: OutputEntry): Promise<Output> {
    if (entry.url === null) return { ...entry, content: Uint8Array.from(atob(entry.base64 ?? ""), (byte) => byte.charCodeAt(0)) };
    const response = await this.http.request(entry.url);
    return { ...entry, content: new Uint8Array(await response.arrayBuffer()) };
  }
}

function jobOf(answer: Answer): Job {
  return { id: answer.id, status: answer.status, answer };
}

async function* parsed(body: ReadableStream<Uint8Array>): AsyncGenerator<JobEvent, void, undefined> {
  const text = new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>; // so it is, by another name
  const events = body.pipeThrough(text).pipeThrough(new EventSourceParserStream());
  const reader = events.getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      const { id = "", event, data } = next.value;
      yield { id, type: event as JobEvent["type"], data: JSON.parse(data) as Record<string, unknown> };
    }
  } finally {
    await reader.cancel();
  }
}
