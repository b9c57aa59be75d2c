import type { Answer, Problem } from "./types.js";

/** Anything that this package throws. */
export class ComfyrayError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** The service did not answer, however often it was asked. */
export class UnreachableError extends ComfyrayError {}

/** The service refused a request; nothing was accepted. `errors` has every problem. */
export class RequestError extends ComfyrayError {
  readonly errors: Problem[];

  constructor(
    readonly status: number,
    body: { message?: string; errors?: Problem[] },
  ) {
    super(body.message ?? `the service answered ${status}`);
    this.errors = body.errors ?? [];
  }
}

/** A job ended without its result: it failed, or was cancelled. */
export class JobFailedError extends ComfyrayError {
  readonly jobId: number;
  readonly errors: Problem[];

  constructor(answer: Answer) {
    super(`job ${answer.id}: ${"message" in answer ? answer.message : "it failed"}`);
    this.jobId = answer.id;
    this.errors = "errors" in answer ? answer.errors : [];
  }
}

/** A job that has not ended in the time that was given; it goes on all the same. */
export class TimeoutError extends Error {
  constructor(
    readonly jobId: number,
    timeoutS: number,
  ) {
    super(`job ${jobId} has not ended in ${timeoutS} s; it goes on`);
    this.name = "TimeoutError";
  }
}
