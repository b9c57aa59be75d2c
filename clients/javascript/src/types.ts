/** What goes over the wire, as the service documents it (openapi.ts is made from that), and what comes of it. */

import type { components } from "./openapi.js";

/** The JSON that ComfyUI saves, in either format, as an object or as text. */
export type Workflow = Record<string, unknown> | string;

/** Changes to a workflow: {"6.text": "a boat"}. A Blob is uploaded, and its name takes its place. */
export type Inputs = Record<string, unknown>;

type Schemas = components["schemas"];

export type Problem = Schemas["Problem"];
export type OutputEntry = Schemas["Output"];
/** An output node that cannot run, while others can; `pack` has its type, if known. */
export type Skipped = Schemas["Skipped"];
/** What the service says of a job. */
export type Answer = Schemas["Success"] | Schemas["Processing"] | Schemas["Failed"];
export type JobPage = Schemas["JobPage"];
/** A model file; `id` is what workflows name it by. */
export type Model = Schemas["Model"];
export type ModelUpload = Schemas["Upload"];

/** How far a model file is; `uploadId` goes on with it later. */
export interface ModelProgress {
  uploadId: string;
  sent: number;
  size: number;
}

/** How a job stands. */
export interface Job {
  id: number;
  status: Answer["status"];
  answer: Answer;
}

/** A file that an output node saved. */
export type Output = OutputEntry & { content: Uint8Array };

/** A job that succeeded; `pictures` are its images without previews. */
export interface Result {
  id: number;
  outputs: Output[];
  pictures: Output[];
  answer: Answer;
}

export interface JobEvent {
  id: string;
  type: "queued" | "node" | "progress" | "output" | "success" | "failed" | "cancelled";
  data: Record<string, unknown>;
}

/** What a run would be. */
export type Quote = Record<string, unknown>;
