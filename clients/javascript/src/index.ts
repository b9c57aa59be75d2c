/** Run ComfyUI workflows on a comfyray service. */
export { Client, type ClientOptions, type RunOptions } from "./client.js";
export { ComfyrayError, JobFailedError, RequestError, UnreachableError } from "./errors.js";
export type { Answer, Inputs, Job, JobEvent, JobPage, Output, Problem, Quote, Result, Workflow } from "./types.js";
export { verifyWebhook } from "./webhooks.js";
