// Sends what is meant for the hosted API to SERVER instead; the package has the host in its code.
const send = globalThis.fetch;

globalThis.fetch = (url, options) =>
  send(String(url).replace("https://modelslab.com", process.env.SERVER), options);
