// Makes one call of each kind with the hosted API's npm package; prints the results as JSON.
// Usage: SERVER=http://... node --import ./redirect.mjs calls.mjs PICTURE MASK
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

const { Client, Community, ImageEditing, Realtime } = createRequire(import.meta.url)("modelslab");
const [picture, mask] = await Promise.all(
  process.argv.slice(2).map(async (path) => (await readFile(path)).toString("base64")),
);
const client = new Client("a key");
const community = new Community(client.key);
const editing = new ImageEditing(client.key);
const realtime = new Realtime(client.key);
const small = { model_id: "parity_sd15", width: 64, height: 64, num_inference_steps: 2, seed: 7 };
const asked = { key: client.key, prompt: "a fox", ...small };
const drawn = { init_image: picture, mask_image: mask };
const control = { controlnet_model: "parity_control", controlnet_type: "canny" };

// The package gives up after ten fetches, in twenty seconds; a busy machine may need more.
async function finished(api, answer) {
  let last = answer;
  for (let tries = 0; tries < 5 && last.status !== "success"; tries++) {
    last = await api.fetch(String(answer.id));
  }
  return last;
}

// What the package throws.
async function refusal(call) {
  try {
    return JSON.stringify(await call);
  } catch (error) {
    return error.message;
  }
}

const results = {
  textToImage: await finished(community, await community.textToImage(asked)),
  imageToImage: await finished(
    community,
    await community.imageToImage({ ...asked, init_image: picture }),
  ),
  inpainting: await finished(community, await community.inpainting({ ...asked, ...drawn })),
  controlnet: await finished(
    community,
    await community.controlnet({ ...asked, init_image: picture, ...control }),
  ),
  superResolution: await finished(
    editing,
    await editing.superResolution({ key: client.key, init_image: picture, scale: 4 }),
  ),
  outpainting: await finished(
    editing,
    await editing.outpainting({ ...asked, image: picture, width: 128, height: 128 }),
  ),
  editedInpainting: await finished(editing, await editing.inpainting({ ...asked, ...drawn })),
  realtimeTextToImage: await finished(realtime, await realtime.textToImage(asked)),
  realtimeImageToImage: await finished(
    realtime,
    await realtime.imageToImage({ ...asked, init_image: picture }),
  ),
  realtimeInpainting: await finished(realtime, await realtime.inpainting({ ...asked, ...drawn })),
};
results.fetch = await community.fetch(String(results.textToImage.id));
results.refused = {
  wrong: await refusal(community.textToImage({ ...asked, width: 63 })),
  notServed: await refusal(editing.headshot({ key: client.key, prompt: "a fox" })),
};
console.log(JSON.stringify(results));
