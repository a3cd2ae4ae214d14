// Turns what is typed into requests to the server that this page came from, and its stream into text on the page.
"use strict";

const NUMBERS = ["temperature", "top_p", "top_k", "repetition_penalty", "seed", "max_tokens"];
const ATTEMPTS = 5;
const at = (id) => document.getElementById(id);
let about = null;
let messages = [];
let shown = [];
let running = null;

function headers() {
  const token = at("token").value;
  return { "Content-Type": "application/json", ...(token ? { Authorization: `Bearer ${token}` } : {}) };
}

async function meet() {
  const answer = await fetch("v1/models", { headers: headers() });
  if (!answer.ok) return tell((await problem(answer)).message);
  about = (await answer.json()).data[0];
  at("model").textContent = about.id;
  const kind = about.chat ? "" : "has no chat template: it continues your text; ";
  at("about").textContent = `${kind}reads ${about.context} tokens at most`;
  at("told-first").hidden = !about.chat;
  for (const name of NUMBERS) at(name).placeholder = about.sampling[name] ?? "";
  tell("");
}

function tell(text) {
  at("told").textContent = text;
}

function show(role, text) {
  const element = document.createElement("div");
  element.className = `said ${role}`;
  element.textContent = text;
  at("talk").append(element);
  at("talk").scrollTop = at("talk").scrollHeight;
  return element;
}

async function problem(answer) {
  try {
    return (await answer.json()).error;
  } catch {
    return { message: `the server answered ${answer.status}` };
  }
}

function wishes() {
  const found = { stream: true, stream_options: { include_usage: true } };
  for (const name of NUMBERS) if (at(name).value !== "") found[name] = Number(at(name).value);
  if (!about.chat) return ["v1/completions", { ...found, prompt: messages.at(-1).content }];
  const system = at("system").value.trim();
  const told = system ? [{ role: "system", content: system }] : [];
  return ["v1/chat/completions", { ...found, messages: [...told, ...messages] }];
}

// The oldest question with its answer no longer goes along; it stays on the page, paler.
function leaveOutOldest() {
  if (messages.length < 2) return false;
  messages = messages.slice(2);
  for (const element of shown.splice(0, 2)) element.classList.add("out");
  return true;
}

async function asked() {
  for (let attempt = 1; ; attempt++) {
    const [address, body] = wishes();
    const options = { method: "POST", headers: headers(), body: JSON.stringify(body), signal: running.signal };
    const answer = await fetch(address, options);
    if (answer.ok) return answer;
    const why = await problem(answer);
    if (why.code === "context_length_exceeded" && about.chat && leaveOutOldest()) continue;
    if (![429, 503].includes(answer.status) || attempt === ATTEMPTS) throw new Error(why.message);
    tell(`${why.message} (asking again)`);
    await new Promise((go) => setTimeout(go, 1000 * Number(answer.headers.get("Retry-After") || 2)));
  }
}

async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (held + value).split("\n\n");
    held = parts.pop();
    for (const part of parts) if (part !== "data: [DONE]") yield JSON.parse(part.slice("data: ".length));
  }
}

async function send() {
  const text = at("text").value;
  if (!text.trim() || running) return;
  if (!about) await meet();
  if (!about) return;
  at("text").value = "";
  messages.push({ role: "user", content: text });
  shown.push(show("user", text));
  const element = show("assistant writing", "");
  running = new AbortController();
  working(true);
  tell("");
  let said = "", ended = "", counted = null;
  try {
    for await (const one of events(await asked())) {
      if (one.error) throw new Error(one.error.message);
      if (one.usage) counted = one.usage;
      const choice = one.choices[0];
      if (!choice) continue;
      said += (about.chat ? choice.delta.content : choice.text) || "";
      ended = choice.finish_reason || ended;
      element.textContent = said;
      at("talk").scrollTop = at("talk").scrollHeight;
    }
  } catch (error) {
    if (error.name !== "AbortError") tell(error.message);
    ended = "stopped";
  }
  element.classList.remove("writing");
  if (!said && ended === "stopped") {
    // nothing was answered: the question goes back to where it can be changed
    element.remove();
    shown.pop().remove();
    messages.pop();
    at("text").value = text;
  } else {
    messages.push({ role: "assistant", content: said });
    shown.push(element);
    const note = document.createElement("small");
    const why = { length: "the longest answer is reached", stopped: "stopped" }[ended];
    note.textContent = [counted ? `${counted.completion_tokens} tokens` : "", why].filter(Boolean).join(", ");
    element.append(note);
    at("talk").scrollTop = at("talk").scrollHeight;
    if (about.chat && counted && counted.total_tokens > 0.75 * about.context) leaveOutOldest();
  }
  running = null;
  working(false);
  at("text").focus();
}

function working(now) {
  at("send").disabled = at("reset").disabled = now;
  at("stop").disabled = !now;
}

function reset() {
  messages = [];
  shown = [];
  at("talk").replaceChildren();
  tell("");
  at("text").focus();
}

function save() {
  const system = at("system").value.trim();
  const told = system && about?.chat ? [{ role: "system", content: system }] : [];
  const line = JSON.stringify({ messages: [...told, ...messages] }) + "\n";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([line], { type: "application/jsonl" }));
  link.download = "chat.jsonl";
  link.click();
  URL.revokeObjectURL(link.href);
}

at("ask").addEventListener("submit", (happened) => { happened.preventDefault(); send(); });
at("text").addEventListener("keydown", (happened) => {
  if (happened.key === "Enter" && !happened.shiftKey && !happened.isComposing) { happened.preventDefault(); send(); }
});
at("stop").addEventListener("click", () => running?.abort());
at("reset").addEventListener("click", reset);
at("save").addEventListener("click", save);
at("token").addEventListener("change", meet);
meet().catch(() => tell("the server does not answer"));
