/** What goes over the wire, and what comes of it. */

/** The JSON that ComfyUI saves, in either format, as an object or as text. */
export type Workflow = Record<string, unknown> | string;

/** Changes to a workflow: {"6.text": "a boat"}. A Blob is uploaded, and its name takes its place. */
export type Inputs = Record<string, unknown>;

export interface Problem {
  code: string;
  message?: string;
  node_id?: string;
  class_type?: string;
  input?: string;
  expected?: unknown;
  received?: unknown;
  suggestion?: unknown;
}

export interface OutputEntry {
  node_id: string;
  type: "image" | "video" | "audio" | "file";
  url: string;
  filename: string;
  subfolder?: string;
  mime_type: string;
  width: number | null;
  height: number | null;
  size: number;
  sha256: string;
  temporary?: boolean;
}

/** An output node that cannot run, while others can; `pack` has its type, if known. */
export interface Skipped {
  node_id: string;
  class_type: string;
  pack: string | null;
  message: string;
  errors: Problem[];
}

/** What the service says of a job. */
export interface Answer {
  status: "processing" | "success" | "failed";
  id: number;
  eta?: number;
  queue_position?: number;
  message?: string;
  errors?: Problem[];
  output: string[];
  outputs?: OutputEntry[];
  skipped?: Skipped[];
  meta?: { seed?: Record<string, number>; overrides?: Record<string, string>; warnings?: string[] };
  generationTime?: number;
}

/** How a job stands. */
export interface Job {
  id: number;
  status: Answer["status"];
  answer: Answer;
}

/** A file that an output node saved. */
export interface Output extends OutputEntry {
  content: Uint8Array;
}

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

export interface JobPage {
  jobs: { id: number; status: string; created_at: string; track_id: string | null; outputs: OutputEntry[] }[];
  next_cursor: string | null;
}

/** What a run would be. */
export type Quote = Record<string, unknown>;
