import { mkdir, open } from "node:fs/promises";
import { basename, extname, join } from "node:path";

import type { Output } from "./types.js";

/** Write an output into a folder and give its path. Sub-folders are kept, nothing is written over. */
export async function save(output: Pick<Output, "filename" | "subfolder" | "content">, folder: string): Promise<string> {
  const parts = (output.subfolder ?? "").split("/").filter((part) => part !== "" && part !== "." && part !== "..");
  const target = join(folder, ...parts);
  await mkdir(target, { recursive: true });
  for (const name of names(basename(output.filename.replaceAll("\\", "/")) || "output")) {
    try {
      const file = await open(join(target, name), "wx");
      try {
        await file.writeFile(output.content);
      } finally {
        await file.close();
      }
      return join(target, name);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  }
  throw new Error("unreachable");
}

/** The name, then counted on as ComfyUI's are: x_00001_.png, x_00002_.png. */
function* names(name: string): Generator<string> {
  yield name;
  const ending = extname(name);
  const stem = name.slice(0, name.length - ending.length);
  const numbered = /^(.*_)(\d{5,})(_?)$/.exec(stem);
  for (let number = 2; ; number++) {
    if (!numbered) yield `${stem} (${number})${ending}`;
    else {
      const [, start = "", digits = "", end = ""] = numbered;
      yield `${start}${String(Number(digits) + number - 1).padStart(digits.length, "0")}${end}${ending}`;
    }
  }
}
