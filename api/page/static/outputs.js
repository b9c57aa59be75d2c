// Pictures, videos and sounds of a job.

import { BASE } from "./api.js";
import { node } from "./form.js";

// An output's URL as this page reaches it: the service may be told of by another host's name.
export function here(url) {
  const given = new URL(url, BASE);
  if (!given.pathname.includes("/outputs/")) return given.href; // a bucket's
  return new URL(given.pathname.slice(1) + given.search, BASE).href;
}

export function figure(output, alt) {
  const url = here(output.url);
  const box = node("figure", {}, medium(output, url, alt));
  const size = output.width ? `${output.width} × ${output.height}` : output.type;
  const save = node("a", { href: url, download: output.filename, textContent: "Download" });
  box.append(node("figcaption", {}, node("span", { textContent: `${output.filename}, ${size}` }), save));
  return box;
}

export function medium(output, url, alt) {
  if (output.type === "video") {
    const poster = output.poster ? { poster: here(output.poster) } : {};
    return node("video", { src: url, controls: true, loop: true, ...poster });
  }
  if (output.type === "audio") return node("audio", { src: url, controls: true });
  if (output.type === "image") return node("img", { src: url, alt });
  return node("span", { textContent: output.filename });
}
