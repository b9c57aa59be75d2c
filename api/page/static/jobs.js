// The owner's jobs, newest first, with their pictures and timelines.

import { API, get, post, request } from "./api.js";
import { node } from "./form.js";
import { here, medium } from "./outputs.js";

const UNFINISHED = ["queued", "running"];
const PAGE = 20;

export class Jobs {
  constructor(list, more, status, show) {
    Object.assign(this, { list, more, status, show, cursor: "" });
    more.addEventListener("click", () => this.load());
    status.addEventListener("change", () => this.refresh());
  }

  async refresh() {
    this.cursor = "";
    this.list.replaceChildren();
    await this.load();
  }

  async load() {
    const query = new URLSearchParams({ limit: PAGE });
    if (this.status.value) query.set("status", this.status.value);
    if (this.cursor) query.set("cursor", this.cursor);
    const page = await get(`${API}/jobs?${query}`);
    this.list.append(...page.jobs.map((job) => this.row(job)));
    if (!this.list.children.length) this.list.append(node("li", { textContent: "No jobs yet." }));
    this.cursor = page.next_cursor ?? "";
    this.more.hidden = !this.cursor;
  }

  row(job) {
    const row = node("li", {});
    const line = node("div", { className: "line" },
      node("span", { className: `state ${job.status}`, textContent: job.status }),
      node("span", { textContent: `Job ${job.id}` }),
      node("time", { dateTime: job.created_at, textContent: when(job.created_at) }));
    if (job.ended_at && job.started_at) line.append(seconds(job));
    row.append(line);
    if (job.message && job.status === "failed") row.append(node("p", { textContent: job.message }));
    const pictures = job.outputs.filter((output) => output.url && output.type !== "file");
    if (pictures.length) {
      row.append(node("div", { className: "thumbs" }, ...pictures.slice(0, 12).map((output) =>
        node("a", { href: here(output.url), target: "_blank", rel: "noopener",
          ariaLabel: `${output.filename} of job ${job.id}` },
        medium(output, here(output.url), output.filename)))));
    }
    row.append(this.actions(job, row));
    return row;
  }

  actions(job, row) {
    const bar = node("div", { className: "actions" });
    if (UNFINISHED.includes(job.status)) {
      bar.append(button("Cancel", `Cancel job ${job.id}`, async () => {
        await post(`${API}/cancel/${job.id}`, {});
        await this.refresh();
      }));
    } else {
      bar.append(button("Timeline", `Timeline of job ${job.id}`, () => this.timeline(job, row)));
    }
    bar.append(button("Delete", `Delete job ${job.id}`, async () => {
      await request(`${API}/jobs/${job.id}`, { method: "DELETE" });
      row.remove();
    }));
    return bar;
  }

  async timeline(job, row) {
    const old = row.querySelector(".timeline");
    if (old) return old.remove();
    const picture = await (await request(`${API}/jobs/${job.id}/timeline.svg`)).blob();
    const src = URL.createObjectURL(picture);
    row.append(node("img", { className: "timeline", src, alt: `When each node of job ${job.id} ran` }));
    return undefined;
  }
}

const when = (time) => new Date(time).toLocaleString();
const seconds = (job) => `${((new Date(job.ended_at) - new Date(job.started_at)) / 1000).toFixed(3)} s`;

function button(text, label, act) {
  const made = node("button", { type: "button", className: "quiet", textContent: text, ariaLabel: label });
  made.addEventListener("click", async () => {
    made.disabled = true;
    try {
      await act();
    } catch (error) {
      made.after(node("span", { role: "alert", textContent: ` ${error.message}` }));
    }
    made.disabled = false;
  });
  return made;
}
