/** Run ComfyUI workflows on a comfyray service. */
export { Client, type ClientOptions, type EventOptions, type RunOptions, type SubmitOptions } from "./client.js";
export { ComfyrayError, JobFailedError, RequestError, TimeoutError, UnreachableError } from "./errors.js";
export type { ModelOptions } from "./models.js";
export type { Answer, Inputs, Job, JobEvent, JobPage, Model, ModelProgress, Output, OutputEntry, Problem, Quote, Result, Skipped, Workflow } from "./types.js";
export { verifyWebhook } from "./webhooks.js";
