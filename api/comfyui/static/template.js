// Opens /templates/NAME.json for /?template=NAME in editors that do not do it themselves.
import { app } from "/scripts/app.js";

const address = new URL(location.href);
const name = address.searchParams.get("template") ?? "";
const wanted = /^[\w.-]+$/.test(name);
let ready = false; // the editor calls back for the graph it begins with, too

async function open() {
  const answer = await fetch(`/templates/${name}.json`);
  address.searchParams.delete("template"); // the next reload shows what was made of it
  history.replaceState(history.state, "", address);
  if (answer.ok) await app.loadGraphData(await answer.json(), true, true, name);
}

app.registerExtension({
  name: "comfyray.template",
  setup() {
    ready = wanted;
  },
  afterConfigureGraph() {
    if (!ready) return;
    ready = false;
    setTimeout(open);
  },
});
