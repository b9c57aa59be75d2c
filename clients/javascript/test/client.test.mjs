// Against the running service at COMFYRAY_URL, and against a fetch of its own.
import assert from "node:assert/strict";
import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { Client, JobFailedError, RequestError, TimeoutError, verifyWebhook } from "../dist/index.js";
import { save } from "../dist/node.js";

const url = process.env.COMFYRAY_URL;
const hello = JSON.parse(await readFile(new URL("../../../examples/hello.json", import.meta.url), "utf8"));
const PNG = [0x89, 0x50, 0x4e, 0x47];
const served = { skip: url ? false : "COMFYRAY_URL is not set" };

const answering = (answers, asked = []) =>
  new Client("http://service.test", {
    key: "secret",
    fetch: async (target, init) => {
      asked.push({ url: String(target), key: init.headers.get("Authorization"), ...init });
      const [status, body, headers = {}] = answers.shift();
      return new Response(typeof body === "string" ? body : JSON.stringify(body), { status, headers });
    },
  });

test("a workflow gives its pictures", served, async () => {
  const result = await new Client(url).run(hello);
  assert.ok(result.pictures.length > 0);
  assert.deepEqual([...result.pictures[0].content.slice(0, 4)], PNG);
});

test("every step is told, up to one end", served, async () => {
  const types = [];
  await new Client(url).run(hello, {}, { onEvent: (event) => types.push(event.type) });
  assert.equal(types[0], "queued");
  assert.equal(types.at(-1), "success");
});

test("a workflow that cannot run says why", served, async () => {
  const wrong = { 1: { class_type: "NoSuchNode", inputs: {} } };
  await assert.rejects(new Client(url).run(wrong), (error) => {
    assert.ok(error instanceof RequestError);
    assert.equal(error.status, 422);
    assert.ok(error.errors.length > 0);
    return true;
  });
});

test("a picture that is sent can be used", served, async () => {
  const client = new Client(url);
  const { pictures } = await client.run(hello);
  const workflow = {
    1: { class_type: "LoadImage", inputs: { image: "" } },
    2: { class_type: "SaveImage", inputs: { images: ["1", 0], filename_prefix: "again" } },
  };
  const again = await client.run(workflow, { "1.image": new Blob([pictures[0].content], { type: "image/png" }) });
  assert.equal(again.pictures[0].width, pictures[0].width);
});

test("a busy service is asked again, for the same job", async () => {
  const asked = [];
  const done = { status: "success", id: 7, output: [], outputs: [] };
  const client = answering([[503, { message: "full" }, { "Retry-After": "0" }], [200, done]], asked);
  assert.equal((await client.run(hello)).id, 7);
  const keys = asked.map((call) => call.headers.get("Idempotency-Key"));
  assert.equal(keys.length, 2);
  assert.equal(keys[0], keys[1]);
});

test("a job that failed throws what the service said", async () => {
  const failed = { status: "failed", id: 7, message: "Node 3 failed", errors: [{ code: "node_failed" }], output: [] };
  await assert.rejects(answering([[200, failed]]).run(hello), (error) => {
    assert.ok(error instanceof JobFailedError);
    assert.match(error.message, /Node 3 failed/);
    return true;
  });
});

test("the key stays with the service", async () => {
  const asked = [];
  const outputs = [{ node_id: "9", type: "image", url: "https://bucket.test/x.png?signature", filename: "x.png" }];
  await answering([[200, { status: "success", id: 7, output: [], outputs }], [200, "bytes"]], asked).run(hello);
  assert.deepEqual(asked.map((call) => call.key), ["Bearer secret", null]);
});

test("events go on after the last one when the stream was cut", async () => {
  const asked = [];
  const client = answering(
    [
      [200, 'id: 1\nevent: queued\ndata: {"queue_position": 0}\n\n'],
      [200, { status: "processing", id: 7, output: [] }],
      [200, 'id: 2\nevent: success\ndata: {"id": 7}\n\n'],
    ],
    asked,
  );
  const types = [];
  for await (const event of client.events(7)) types.push(event.type);
  assert.deepEqual(types, ["queued", "success"]);
  assert.equal(asked.at(-1).headers.get("Last-Event-ID"), "1");
});

/** A service whose jobs never end: their events are one `queued`, then silence. */
const endless = (asked) =>
  new Client("http://service.test", {
    fetch: async (target, init) => {
      asked.push(`${init.method ?? "GET"} ${new URL(target).pathname}`);
      if (!String(target).includes("/events/")) return Response.json({ status: "processing", id: 7, output: [] });
      const stream = new ReadableStream({
        start(controller) {
          controller.enqueue(new TextEncoder().encode('id: 1\nevent: queued\ndata: {"queue_position": 1}\n\n'));
          init.signal?.addEventListener("abort", () => controller.error(init.signal.reason));
        },
      });
      return new Response(stream);
    },
  });

test("aborting cancels the job", async () => {
  const asked = [];
  const stop = new AbortController();
  const run = endless(asked).run(hello, {}, { signal: stop.signal, onEvent: () => stop.abort() });
  await assert.rejects(run, { name: "AbortError" });
  assert.equal(asked.at(-1), "POST /api/v7/comfyui/cancel/7");
});

test("a deadline holds with events too, and the job goes on", async () => {
  const asked = [];
  const alive = setInterval(() => {}, 1000); // a socket would keep the process up
  const run = endless(asked).run(hello, {}, { timeoutS: 0.05, onEvent: () => {} });
  await assert.rejects(run, TimeoutError).finally(() => clearInterval(alive));
  assert.ok(!asked.some((call) => call.includes("/cancel/")));
});

test("nothing is written over, and sub-folders are kept", async () => {
  const folder = await mkdtemp(join(tmpdir(), "comfyray-"));
  const output = { filename: "x_00001_.png", subfolder: "../a", content: new Uint8Array([1]) };
  const paths = [await save(output, folder), await save(output, folder)];
  assert.deepEqual(paths, ["x_00001_.png", "x_00002_.png"].map((name) => join(folder, "a", name)));
});

test("a webhook of somebody else is refused", () => {
  const headers = { "webhook-id": "x", "webhook-timestamp": String(Math.floor(Date.now() / 1000)), "webhook-signature": "v1,AAAA" };
  assert.throws(() => verifyWebhook("{}", headers, "whsec_" + Buffer.from("a secret of tests, long enough").toString("base64")));
});

test("a model goes in pieces, and goes on where one broke off", async () => {
  const upload = (offset) => ({ upload: { id: "upl_1", offset, size: 25 } });
  const asked = [];
  const answers = [[201, upload(0)], [200, upload(10)], [409, {}], [200, upload(14)], [200, upload(24)], [200, upload(25)], [201, { model: { id: "mdl_1" } }]];
  const told = [];
  const file = new Blob([new Uint8Array(25)]);
  const options = { folder: "loras", pieceBytes: 10, onProgress: (progress) => told.push(progress.sent) };
  const model = await answering(answers, asked).uploadModel(file, "style.safetensors", options);
  assert.equal(model.id, "mdl_1");
  assert.deepEqual(JSON.parse(asked[0].body), { filename: "style.safetensors", size: 25, folder: "loras" });
  const ranges = asked.filter((call) => call.method === "PUT").map((call) => call.headers["Content-Range"] ?? call.headers.get("Content-Range"));
  assert.deepEqual(ranges, ["bytes 0-9/25", "bytes 10-19/25", "bytes 14-23/25", "bytes 24-24/25"]);
  assert.deepEqual(told, [0, 10, 14, 24, 25]);
});

test("another file is not sent into an upload", async () => {
  const client = answering([[200, { upload: { id: "upl_1", offset: 0, size: 24 } }]]);
  await assert.rejects(client.uploadModel(new Blob(["x"]), "style.safetensors", { resume: "upl_1" }), /has 1 bytes; upload upl_1 is of 24/);
});
