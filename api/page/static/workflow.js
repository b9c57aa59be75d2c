// Workflows out of files: JSON as ComfyUI saves it, or a PNG that has one in its text chunks.

const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const MOST_BYTES = 64 * 2 ** 20;

export async function readWorkflow(file) {
  if (file.size > MOST_BYTES) throw new Error(`${file.name} is larger than 64 MiB.`);
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (PNG.every((byte, k) => bytes[k] === byte)) return fromPng(bytes, file.name);
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw new Error(`${file.name} is neither JSON nor a PNG.`);
  }
}

async function fromPng(bytes, name) {
  const texts = await pngTexts(bytes);
  const found = texts.get("workflow") ?? texts.get("prompt");
  if (!found) throw new Error(`${name} has no workflow in it.`);
  return JSON.parse(found);
}

async function pngTexts(bytes) {
  const view = new DataView(bytes.buffer);
  const texts = new Map();
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = view.getUint32(at);
    const kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const data = bytes.subarray(at + 8, at + 8 + length);
    const end = data.indexOf(0);
    const keyword = end < 0 ? "" : latin(data.subarray(0, end));
    if (kind === "tEXt") texts.set(keyword, latin(data.subarray(end + 1)));
    if (kind === "zTXt") texts.set(keyword, latin(await inflated(data.subarray(end + 2))));
    if (kind === "iTXt") texts.set(keyword, await international(data.subarray(end + 1)));
    if (kind === "IEND") break;
    at += 12 + length;
  }
  return texts;
}

async function international(data) {
  const compressed = data[0] === 1;
  const language = data.indexOf(0, 2);
  const translated = data.indexOf(0, language + 1);
  const text = data.subarray(translated + 1);
  return new TextDecoder().decode(compressed ? await inflated(text) : text);
}

const latin = (data) => new TextDecoder("latin1").decode(data);

async function inflated(data) {
  const stream = new Blob([data]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
