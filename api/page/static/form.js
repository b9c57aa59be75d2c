// A form from a workflow's JSON Schema (POST /schema). Only changed inputs are sent.

import { upload } from "./api.js";

const FIRST = ["x-multiline", "x-upload", "x-seed"];
let count = 0;

export class Form {
  constructor(schema, first, more) {
    this.fields = Object.entries(schema.properties ?? {}).map(([name, said]) => new Field(name, said));
    const chosen = this.fields.some((field) => field.isFirst)
      ? this.fields.filter((field) => field.isFirst) : this.fields.slice(0, 6);
    first.replaceChildren(...chosen.map((field) => field.element));
    const rest = this.fields.filter((field) => !chosen.includes(field));
    const groups = Map.groupBy ? Map.groupBy(rest, (field) => field.group) : grouped(rest);
    more.replaceChildren(...[...groups].map(([title, fields]) => fieldset(title, fields)));
    this.hasMore = rest.length > 0;
  }

  values() {
    return Object.fromEntries(
      this.fields.filter((field) => field.changed).map((field) => [field.name, field.value]),
    );
  }

  // Shows each problem at its field; returns those that belong to none.
  showProblems(errors) {
    this.fields.forEach((field) => field.showProblem(""));
    return errors.filter((error) => {
      const field = this.fields.find(
        (one) => one.nodeId === error.node_id && one.input === error.input);
      if (field) field.showProblem(error.message ?? error.expected, error.suggestion);
      return !field;
    });
  }

  randomizeSeeds() {
    this.fields.filter((field) => field.isSeed).forEach((field) => field.set(randomSeed()));
  }
}

class Field {
  constructor(name, said) {
    Object.assign(this, { name, said, nodeId: said["x-node-id"], input: said["x-input"] });
    this.isSeed = Boolean(said["x-seed"]);
    this.isFirst = FIRST.some((mark) => said[mark]);
    this.group = said["x-group"] ?? String(said.title).split(": ")[0];
    this.value = said.default;
    this.changed = false;
    this.id = `field-${++count}`;
    this.element = node("div", { className: "field" });
    this.element.append(node("label", { htmlFor: this.id, textContent: said.title ?? name }));
    this.control = this.make();
    this.wrong = node("p", { className: "wrong", id: `${this.id}-wrong` });
    this.wrong.hidden = true;
    this.element.append(this.wrong);
  }

  make() {
    const { said } = this;
    if (said["x-upload"]) return this.file();
    if (said.enum) return this.choice();
    if (said.type === "boolean") return this.input("checkbox");
    if (this.isSeed || said.type === "integer" || said.type === "number") return this.number();
    return this.text();
  }

  change(value) {
    this.value = value;
    this.changed = true;
    this.showProblem("");
  }

  set(value) {
    this.control.value = value;
    this.change(value);
  }

  input(type, more = {}) {
    const control = node("input", { type, id: this.id, ...more });
    if (type === "checkbox") {
      control.checked = Boolean(this.value);
      control.addEventListener("change", () => this.change(control.checked));
    }
    this.element.append(control);
    return control;
  }

  text() {
    const long = this.said["x-multiline"] || String(this.value ?? "").length > 60;
    const control = node(long ? "textarea" : "input", { id: this.id });
    control.value = this.value ?? "";
    control.addEventListener("input", () => this.change(control.value));
    this.element.append(control);
    return control;
  }

  choice() {
    const control = node("select", { id: this.id });
    const values = this.said.enum.includes(this.value) || this.value === undefined
      ? this.said.enum : [this.value, ...this.said.enum];
    control.append(...values.map((value) => node("option", { value, textContent: value })));
    control.value = this.value ?? "";
    control.addEventListener("change", () =>
      this.change(values.find((value) => String(value) === control.value)));
    this.element.append(control);
    return control;
  }

  number() {
    const limits = this.isSeed ? this.said.anyOf?.find((one) => one.type) ?? {} : this.said;
    const whole = (this.said.type ?? limits.type) === "integer";
    const pair = node("div", { className: "pair" });
    const control = node("input", { type: this.isSeed ? "text" : "number", id: this.id });
    if (this.isSeed) control.inputMode = "numeric";
    else control.step = whole ? "1" : "any";
    control.value = this.value ?? "";
    control.addEventListener("input", () => this.change(this.numeric(control.value, whole)));
    pair.append(control);
    const { minimum, maximum } = limits;
    if (!this.isSeed && minimum !== undefined && maximum - minimum <= 200) {
      const slider = node("input", {
        type: "range", min: minimum, max: maximum, step: whole ? 1 : (maximum - minimum) / 100,
        ariaLabel: `${this.said.title} as a slider`, tabIndex: -1,
      });
      slider.value = this.value ?? minimum;
      slider.addEventListener("input", () => this.set(this.numeric(slider.value, whole)));
      control.addEventListener("input", () => { slider.value = control.value; });
      pair.append(slider);
    }
    if (this.isSeed) {
      const dice = node("button", { type: "button", className: "quiet", textContent: "Random" });
      dice.addEventListener("click", () => this.set(randomSeed()));
      pair.append(dice);
    }
    this.element.append(pair);
    return control;
  }

  numeric(text, whole) {
    const value = Number(text);
    if (text.trim() === "" || Number.isNaN(value)) return text;
    return whole ? Math.trunc(value) : value;
  }

  file() {
    const name = node("input", { id: this.id, type: "text" });
    name.value = this.value ?? "";
    name.addEventListener("input", () => this.change(name.value));
    const chooser = node("input", {
      type: "file", accept: `${this.said["x-upload"]}/*`, ariaLabel: `File for ${this.said.title}`,
    });
    const shown = node("img", { alt: "" });
    shown.hidden = true;
    chooser.addEventListener("change", async () => {
      const [file] = chooser.files;
      if (!file) return;
      try {
        this.set(await upload(file));
        shown.src = URL.createObjectURL(file);
        shown.hidden = !file.type.startsWith("image/");
      } catch (error) {
        this.showProblem(error.message);
      }
    });
    this.element.append(name, chooser, shown);
    return name;
  }

  showProblem(text, suggestion) {
    this.wrong.hidden = !text;
    this.wrong.replaceChildren(text ?? "");
    this.control.setAttribute("aria-invalid", text ? "true" : "false");
    if (text) this.control.setAttribute("aria-describedby", this.wrong.id);
    if (text && suggestion !== undefined && suggestion !== null) {
      const use = node("button", { type: "button", className: "quiet", textContent: `Use ${suggestion}` });
      use.addEventListener("click", () => this.set(suggestion));
      this.wrong.append(" ", use);
    }
  }
}

function fieldset(title, fields) {
  const set = node("fieldset", {});
  set.append(node("legend", { textContent: title }), ...fields.map((field) => field.element));
  return set;
}

function grouped(fields) {
  const groups = new Map();
  for (const field of fields) groups.set(field.group, [...(groups.get(field.group) ?? []), field]);
  return groups;
}

const randomSeed = () => Math.floor(Math.random() * 2 ** 48);

export function node(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}
