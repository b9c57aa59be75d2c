// The page: a workflow is opened, its form filled in, run, and its pictures shown.

import { API, BASE, events, get, key, post, request, upload } from "./api.js";
import { LANGUAGES } from "./code.js";
import { Form, node } from "./form.js";
import { Jobs } from "./jobs.js";
import { figure } from "./outputs.js";
import { readWorkflow } from "./workflow.js";

const $ = (id) => document.getElementById(id);
const state = { workflow: null, form: null, job: null, sent: null, following: null, again: null };
const jobs = new Jobs($("job-list"), $("jobs-more"), $("jobs-status"));

function notice(text, bad = false) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
  $("notice").classList.toggle("bad", bad);
}

// Does something that may fail: a missing key is asked for and it is tried again, the rest is told.
async function attempt(action) {
  try {
    notice("");
    return await action();
  } catch (error) {
    if (error.name === "AbortError") return undefined;
    if (error.status === 401) return askKey(action);
    notice(error.message, true);
    return undefined;
  }
}

function askKey(action) {
  $("key").value = key.get();
  $("key-text").textContent = key.get()
    ? "The service did not take this key. It stays in this tab until you close it."
    : "This service asks for a key. It stays in this tab until you close it.";
  state.again = action ?? null;
  if (!$("key-dialog").open) $("key-dialog").showModal();
}

$("key-button").addEventListener("click", () => askKey());
$("key-dialog").addEventListener("close", () => {
  const used = $("key-dialog").returnValue;
  if (used === "use") key.set($("key").value.trim());
  if (used === "forget") key.set("");
  $("key").value = "";
  const action = state.again;
  state.again = null;
  if (action && used === "use") attempt(action);
});

async function open(workflow, name) {
  state.workflow = workflow;
  const schema = await post(`${API}/schema`, { workflow });
  state.form = new Form(schema, $("fields"), $("more-fields"));
  $("workflow-name").textContent = name;
  $("more").hidden = !state.form.hasMore;
  $("form").hidden = false;
  $("examples").open = false;
  await quote();
}

// What is shown stays until the answer is there: a button must not move under a click.
async function quote() {
  try {
    const body = { workflow: state.workflow, inputs: state.form.values(), dry_run: true };
    const told = await post(`${API}/execute`, body);
    const nodes = (told.stages ?? []).reduce((sum, stage) => sum + stage.nodes.length, 0);
    const price = told.estimated_price ? `, ${told.estimated_price} ${told.currency}` : "";
    $("quote").textContent = `${nodes} steps to run, about ${told.estimated_s} s${price}.`;
    showProblems([...(told.skipped ?? [])].map((one) => ({ message: skipped(one) })));
  } catch (error) {
    if (error.status !== 422) throw error;
    $("quote").textContent = "It cannot run like this.";
    showProblems(error.errors);
  }
}

const skipped = (one) =>
  `Output ${one.node_id} (${one.class_type}) is left out${one.pack ? `: it needs ${one.pack}` : ""}.`;

function showProblems(errors) {
  const others = state.form.showProblems(errors);
  $("problems").replaceChildren(...others.map((error) => node("li", { textContent: error.message })));
  $("problems").hidden = others.length === 0;
}

async function run() {
  state.following?.abort();
  state.sent = { workflow: state.workflow, inputs: state.form.values() };
  let accepted;
  try {
    accepted = await post(`${API}/execute`, { ...state.sent, wait: 0 });
  } catch (error) {
    if (error.status === 422) showProblems(error.errors);
    throw error;
  }
  showProblems([]);
  await follow(accepted.id);
}

async function follow(jobId) {
  state.job = jobId;
  state.following = new AbortController();
  $("outputs").replaceChildren();
  $("after").hidden = true;
  $("progress").hidden = false;
  $("cancel-button").hidden = false;
  $("preview").hidden = true;
  step(`Job ${jobId} is accepted.`);
  try {
    for await (const event of events(jobId, state.following.signal)) show(event);
  } finally {
    $("progress").hidden = true;
    $("cancel-button").hidden = true;
  }
}

function step(text, part) {
  $("progress-text").textContent = text;
  if (part === undefined) $("bar").removeAttribute("value");
  else $("bar").value = part;
}

function show({ type, data }) {
  if (type === "queued") step(`In the queue, ${data.queue_position ?? 0} before it.`);
  if (type === "node" && data.state === "started") step(`${data.class_type} is running.`);
  if (type === "progress") {
    step(`Step ${data.step} of ${data.of}`, data.step / data.of);
    if (data.preview) {
      $("preview").src = data.preview;
      $("preview").hidden = false;
    }
  }
  if (type === "output") $("outputs").append(figure(data, altText()));
  if (type === "success") finish(data);
  if (type === "failed" || type === "cancelled") {
    showProblems(data.errors ?? []);
    notice(data.message ?? "The job was cancelled.", type === "failed");
  }
}

function finish(answer) {
  const outputs = answer.outputs ?? [];
  $("outputs").replaceChildren(...outputs.map((output) => figure(output, altText())));
  const seeds = Object.values(answer.meta?.seed ?? {});
  const seed = seeds.length ? `, seed ${seeds.join(", ")}` : "";
  notice(`Done in ${answer.generationTime} s${seed}.`);
  $("after").hidden = false;
  showCode(Object.keys(LANGUAGES)[0]);
}

function altText() {
  const prompt = state.form?.fields.find((field) => field.said["x-multiline"] && field.value);
  return prompt ? `Picture of: ${prompt.value}` : "Picture that the workflow made";
}

function showCode(language) {
  const buttons = Object.keys(LANGUAGES).map((name) => {
    const made = node("button", { type: "button", textContent: name });
    made.setAttribute("aria-pressed", String(name === language));
    made.addEventListener("click", () => showCode(name));
    return made;
  });
  $("code-tabs").replaceChildren(...buttons);
  $("code-text").textContent = LANGUAGES[language](BASE.href, state.sent, Boolean(key.get()));
}

async function openExample(example) {
  for (const name of example.files) {
    const content = await (await request(`app/examples/input/${name}`)).blob();
    await upload(new File([content], name, { type: content.type }));
  }
  await open(await get(`app/examples/${example.name}.json`), example.title);
}

async function listExamples() {
  const list = await get("app/examples.json");
  $("example-list").replaceChildren(...list.map((example) => {
    const picture = node("img", { src: `gallery/${example.name}.png`, alt: "", loading: "lazy" });
    const button = node("button", { type: "button" }, picture, example.title);
    button.addEventListener("click", () => attempt(() => openExample(example)));
    return node("li", {}, button);
  }));
}

async function openFile(file) {
  if (file) await open(await readWorkflow(file), file.name);
}

$("file").addEventListener("change", () => attempt(() => openFile($("file").files[0])));
for (const type of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(type, (event) => {
    if (event.target.closest?.(".field")) return;
    event.preventDefault();
    $("drop").classList.toggle("over", type === "dragover");
    if (type === "drop") attempt(() => openFile(event.dataTransfer.files[0]));
  });
}
$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(run);
});
$("form").addEventListener("change", () => attempt(quote));
$("cancel-button").addEventListener("click", () =>
  attempt(() => post(`${API}/cancel/${state.job}`, {})));
$("again").addEventListener("click", () => {
  state.form.randomizeSeeds();
  attempt(run);
});
$("copy").addEventListener("click", () =>
  attempt(() => navigator.clipboard.writeText($("code-text").textContent)));
$("jobs-refresh").addEventListener("click", () => attempt(() => jobs.refresh()));

function turnTo() {
  const shown = location.hash === "#jobs" ? "jobs" : "run";
  for (const name of ["run", "jobs"]) {
    $(name).hidden = name !== shown;
    if (name === shown) $(`nav-${name}`).setAttribute("aria-current", "page");
    else $(`nav-${name}`).removeAttribute("aria-current");
  }
  if (shown === "jobs") attempt(() => jobs.refresh());
}

window.addEventListener("hashchange", turnTo);
turnTo();
attempt(listExamples);
