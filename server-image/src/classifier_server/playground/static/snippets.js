// The call that the page makes, as code for each dialect. Pure.

export const LANGUAGES = { curl: "curl", python: "Python", javascript: "JavaScript" };

/** By dialect: its name, path, the request for a text, and the header that its clients send a key in. */
export const DIALECTS = {
  native: {
    title: "Native",
    path: () => "v1/classification",
    body: (text) => ({ input: text }),
  },
  tei: {
    title: "Text Embeddings Inference",
    path: () => "predict",
    body: (text) => ({ inputs: text }),
    bearer: true,
  },
  huggingface: {
    title: "Hugging Face",
    path: (model) => `models/${model}`,
    body: (text) => ({ inputs: text, parameters: { top_k: 3 } }),
    bearer: true,
  },
  vllm: {
    title: "vLLM",
    path: () => "vllm/classify",
    body: (text, model) => ({ model, input: [text] }),
    bearer: true,
  },
  infinity: {
    title: "Infinity",
    path: () => "infinity/classify",
    body: (text, model) => ({ model, input: [text] }),
    bearer: true,
  },
  kserve: {
    title: "KServe V2",
    path: (model) => `v2/models/${model}/infer`,
    body: (text) => ({ inputs: [{ name: "text", shape: [1], datatype: "BYTES", data: [text] }] }),
    bearer: true,
  },
  openai: {
    title: "OpenAI moderations",
    path: () => "v1/moderations",
    body: (text, model) => ({ model, input: text }),
    bearer: true,
  },
};

/**
 * `base` is the server's address with a slash at its end, `model` its name; with `keyed` the code reads a key from the
 * environment variable API_KEY.
 */
export function snippet(dialect, language, { base, text, model, keyed }) {
  const wire = DIALECTS[dialect];
  const call = {
    base,
    text,
    model,
    keyed,
    url: base + wire.path(model),
    body: wire.body(text, model),
    header: wire.bearer ? ["Authorization", "Bearer "] : ["X-API-Key", ""],
  };
  const special = CLIENTS[dialect]?.[language];
  return (special ?? PLAIN[language])(call);
}

const PLAIN = {
  curl({ url, body, header: [name, prefix], keyed }) {
    return [
      `curl -sS ${inQuotes(url)}`,
      `  -H 'Content-Type: application/json'`,
      ...(keyed ? [`  -H "${name}: ${prefix}$API_KEY"`] : []),
      `  -d ${inQuotes(json(body))}`,
    ].join(" \\\n");
  },

  python({ url, body, header: [name, prefix], keyed }) {
    const key = prefix ? `f"${prefix}{os.environ['API_KEY']}"` : 'os.environ["API_KEY"]';
    return [
      ...(keyed ? ["import os", ""] : []),
      "import requests",
      "",
      "response = requests.post(",
      `    ${json(url)},`,
      ...(keyed ? [`    headers={${json(name)}: ${key}},`] : []),
      `    json=${json(body)},`,
      ")",
      "response.raise_for_status()",
      "print(response.json())",
    ].join("\n");
  },

  javascript({ url, body, header: [name, prefix], keyed }) {
    const key = prefix ? `\`${prefix}\${process.env.API_KEY}\`` : "process.env.API_KEY";
    return [
      `const response = await fetch(${json(url)}, {`,
      `  method: "POST",`,
      `  headers: {`,
      `    "Content-Type": "application/json",`,
      ...(keyed ? [`    ${name === "Authorization" ? name : json(name)}: ${key},`] : []),
      `  },`,
      `  body: JSON.stringify(${json(body)}),`,
      `});`,
      `if (!response.ok) throw new Error(await response.text());`,
      `console.log(await response.json());`,
    ].join("\n");
  },
};

// Where a dialect has a client library of its own, that is why people use the dialect.
const CLIENTS = {
  huggingface: {
    python({ url, text, keyed }) {
      return [
        ...(keyed ? ["import os", ""] : []),
        "from huggingface_hub import InferenceClient",
        "",
        `client = InferenceClient(model=${json(url)}${keyed ? ', token=os.environ["API_KEY"]' : ""})`,
        `for found in client.text_classification(${json(text)}, top_k=3):`,
        "    print(found.label, found.score)",
      ].join("\n");
    },
  },
  openai: {
    python({ base, text, model, keyed }) {
      return [
        ...(keyed ? ["import os", ""] : []),
        "from openai import OpenAI",
        "",
        `client = OpenAI(base_url=${json(`${base}v1`)}, api_key=${keyed ? 'os.environ["API_KEY"]' : '"none"'})`,
        `answer = client.moderations.create(model=${json(model)}, input=${json(text)})`,
        "print(answer.results[0])",
      ].join("\n");
    },
    javascript({ base, text, model, keyed }) {
      return [
        `import OpenAI from "openai";`,
        "",
        `const client = new OpenAI({`,
        `  baseURL: ${json(`${base}v1`)},`,
        `  apiKey: ${keyed ? "process.env.API_KEY" : '"none"'},`,
        `});`,
        `const answer = await client.moderations.create({`,
        `  model: ${json(model)},`,
        `  input: ${json(text)},`,
        `});`,
        `console.log(answer.results[0]);`,
      ].join("\n");
    },
  },
};

// Characters that are not seen, or that turn the order of others around.
const UNSEEN = /[\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/** JSON that is a literal in Python and JavaScript too; a space after colons and commas, as people write it. */
export function json(value) {
  if (Array.isArray(value)) return `[${value.map(json).join(", ")}]`;
  if (value !== null && typeof value === "object") {
    return `{${Object.entries(value)
      .map(([key, item]) => `${json(key)}: ${json(item)}`)
      .join(", ")}}`;
  }
  return JSON.stringify(value).replace(UNSEEN, (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** One word of a shell. */
function inQuotes(word) {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
