/** Run ComfyUI workflows on a comfyray service. */
export { Client, type ClientOptions, type EventOptions, type RunOptions, type SubmitOptions } from "./client.js";
export { ComfyrayError, JobFailedError, RequestError, TimeoutError, UnreachableError } from "./errors.js";
export type { Answer, Inputs, Job, JobEvent, JobPage, Output, Problem, Quote, Result, Workflow } from "./types.js";
export { verifyWebhook } from "./webhooks.js";
