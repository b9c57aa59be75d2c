import { RequestError } from "./errors.js";
import { type Http, pause } from "./http.js";
import type { Model, ModelProgress, ModelUpload } from "./types.js";

const UPLOADS = "api/v7/models/uploads";
const PIECE_BYTES = 16 * 2 ** 20;
const TRIES = 5;
const OUT_OF_STEP = 409; // the service has another part of the file, or is still taking the last piece
const STUCK_PAUSE_MS = 1000;

export interface ModelOptions {
  /** "loras", "vae" ...; left out, the file's tensors decide. */
  folder?: string;
  /** The `uploadId` of an upload that broke off. */
  resume?: string;
  onProgress?: (progress: ModelProgress) => void;
  pieceBytes?: number;
}

/** Send a model file in pieces; what breaks off goes on where it was. */
export async function uploadModel(http: Http, file: Blob, name: string, options: ModelOptions): Promise<Model> {
  const { folder, resume, onProgress, pieceBytes = PIECE_BYTES } = options;
  const asked = { filename: name, size: file.size, ...(folder ? { folder } : {}) };
  let { upload } = await http.json<{ upload: ModelUpload }>(resume ? `${UPLOADS}/${resume}` : UPLOADS, resume ? undefined : asked);
  if (upload.size !== file.size) throw new Error(`${name} has ${file.size} bytes; upload ${upload.id} is of ${upload.size}`);
  if (upload.model) return upload.model; // it had come whole already
  const place = `${UPLOADS}/${upload.id}`;
  const told = (): void => onProgress?.({ uploadId: upload.id, sent: upload.offset, size: file.size });
  told();
  for (let stuck = 0; upload.offset < file.size; told()) {
    const at = upload.offset;
    const piece = file.slice(at, at + pieceBytes);
    const headers = { "Content-Range": `bytes ${at}-${at + piece.size - 1}/${file.size}` };
    try {
      const response = await http.request(place, { method: "PUT", body: piece, headers });
      ({ upload } = (await response.json()) as { upload: ModelUpload });
    } catch (error) {
      if (!(error instanceof RequestError) || error.status !== OUT_OF_STEP || stuck === TRIES) throw error;
      await pause(STUCK_PAUSE_MS);
      ({ upload } = await http.json<{ upload: ModelUpload }>(place));
    }
    stuck = upload.offset > at ? 0 : stuck + 1;
  }
  const made = await http.request(`${place}/complete`, { method: "POST" });
  return ((await made.json()) as { model: Model }).model;
}
