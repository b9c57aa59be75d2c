// The request that was made, as code to copy.

const PATH = "api/v7/comfyui/execute";

export const LANGUAGES = { curl, Python: python, JavaScript: javascript };

function curl(base, body, keyed) {
  const text = JSON.stringify(body).replaceAll("'", String.raw`'\''`);
  const header = keyed ? ` \\\n  -H "Authorization: Bearer $COMFYRAY_KEY"` : "";
  return `curl -s ${base}${PATH} -H 'Content-Type: application/json'${header} \\\n  -d '${text}'`;
}

function python(base, body, keyed) {
  const key = keyed ? `\n    headers["Authorization"] = "Bearer " + os.environ["COMFYRAY_KEY"]` : "";
  return `import json${keyed ? ", os" : ""}, urllib.request

body = json.loads(r"""${JSON.stringify(body, null, 1).replaceAll('"""', String.raw`\u0022\u0022\u0022`)}""")
headers = {"Content-Type": "application/json"}${key.replaceAll("\n    ", "\n")}
request = urllib.request.Request("${base}${PATH}", json.dumps(body).encode(), headers)
print(json.load(urllib.request.urlopen(request))["output"])`;
}

function javascript(base, body, keyed) {
  const key = keyed ? `, Authorization: \`Bearer \${process.env.COMFYRAY_KEY}\`` : "";
  return `const body = ${JSON.stringify(body, null, 1)};
const response = await fetch("${base}${PATH}", {
  method: "POST",
  headers: { "Content-Type": "application/json"${key} },
  body: JSON.stringify(body),
});
console.log((await response.json()).output);`;
}
