"use strict";

const $ = (id) => document.getElementById(id);
const fields = ["temperature", "top-p", "top-k", "max-tokens", "seed", "stop-text"];
let model = null; // the entry of /v1/models
let running = null; // the AbortController of the answer in progress

/** Yields the `data` of each server-sent event, however the bytes were cut on their way. */
async function* serverSentEvents(body) {
  const reader = body.getReader();
  const decoder = new TextDecoder("utf-8"); // one for the whole stream: a character may be cut in two
  let buffer = "";
  for (;;) {
    const { done, value } = await reader.read();
    buffer += done ? decoder.decode() : decoder.decode(value, { stream: true });
    buffer = buffer.replace(/\r\n/g, "\n");
    for (let end = buffer.indexOf("\n\n"); end >= 0; end = buffer.indexOf("\n\n")) {
      const lines = buffer.slice(0, end).split("\n");
      buffer = buffer.slice(end + 2);
      const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).replace(/^ /, ""));
      if (data.length) yield data.join("\n"); // lines that begin with a colon are comments
    }
    if (done) return;
  }
}

function authorization() {
  const key = $("key").value.trim();
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/** Turns a refusal into words. */
async function refusal(response) {
  let message = `the server answered ${response.status}`;
  try {
    message = (await response.json()).error.message;
  } catch {
    // Not one of our answers, so the status is all there is.
  }
  if (response.status === 401) {
    $("key-knob").hidden = false;
    $("key").focus();
  }
  return message;
}

function request() {
  const number = (id) => ($(id).value === "" ? undefined : Number($(id).value));
  const stop = $("stop-text").value.replaceAll("\\n", "\n").replaceAll("\\t", "\t");
  return {
    model: model ? model.id : undefined,
    prompt: $("prompt").value,
    temperature: number("temperature"),
    top_p: number("top-p"),
    top_k: number("top-k"),
    max_tokens: number("max-tokens"),
    seed: number("seed"),
    stop: stop || undefined,
  };
}

function showError(message) {
  $("error").textContent = message;
  $("error").hidden = !message;
}

function setRunning(isRunning) {
  $("generate").disabled = isRunning;
  $("stop").disabled = !isRunning;
  $("continue").disabled = isRunning || !$("answer").textContent;
  $("copy").disabled = !$("answer").textContent;
  $("caret").hidden = !isRunning;
  $("output").setAttribute("aria-busy", String(isRunning));
}

/** Adds text as text, never as markup, and follows it if the reader is at the end. */
function append(text) {
  const output = $("output");
  const isAtEnd = output.scrollHeight - output.scrollTop - output.clientHeight < 40;
  $("answer").append(text);
  if (isAtEnd) output.scrollTop = output.scrollHeight;
}

function figures(numTokens, started, firstAt, reason) {
  const seconds = (performance.now() - started) / 1000;
  const decoding = firstAt === null ? 0 : (performance.now() - firstAt) / 1000;
  const parts = [`${numTokens} token${numTokens === 1 ? "" : "s"}`];
  if (numTokens > 1 && decoding > 0) parts.push(`${((numTokens - 1) / decoding).toFixed(0)} tokens/s`);
  if (firstAt !== null) parts.push(`first after ${(firstAt - started).toFixed(0)} ms`);
  parts.push(`${seconds.toFixed(1)} s`);
  if (reason) parts.push(reason);
  return parts.join(" · ");
}

const REASONS = { stop: "ended by itself", length: "reached max tokens", abort: "cut off by the server" };

async function generate() {
  if (running) return;
  showError("");
  $("echo").textContent = $("prompt").value;
  $("answer").textContent = "";
  $("stats").textContent = "waiting for the first token…";
  running = new AbortController();
  setRunning(true);
  const started = performance.now();
  let firstAt = null;
  let numTokens = 0;
  let reason = "";
  let isComplete = false;
  let lastShown = started;
  try {
    const response = await fetch("/v1/completions", {
      method: "POST",
      headers: { "Content-Type": "application/json", ...authorization() },
      body: JSON.stringify({ ...request(), stream: true, stream_options: { include_usage: true } }),
      signal: running.signal,
    });
    if (!response.ok) throw new Error(await refusal(response));
    for await (const data of serverSentEvents(response.body)) {
      if (data === "[DONE]") {
        isComplete = true;
        break;
      }
      const chunk = JSON.parse(data);
      if (chunk.error) throw new Error(chunk.error.message);
      if (chunk.usage) numTokens = chunk.usage.completion_tokens;
      for (const choice of chunk.choices) {
        firstAt ??= performance.now();
        if (choice.text) {
          numTokens += 1; // about one a chunk; the exact count comes at the end
          append(choice.text);
        }
        reason = REASONS[choice.finish_reason] ?? reason;
      }
      if (performance.now() - lastShown > 250) {
        lastShown = performance.now();
        $("stats").textContent = figures(numTokens, started, firstAt, "");
      }
    }
    if (!isComplete) throw new Error("the connection ended before the answer did");
  } catch (error) {
    reason = running.signal.aborted ? "stopped" : "failed";
    if (!running.signal.aborted) {
      showError(error instanceof TypeError ? "the server cannot be reached" : error.message);
    }
  } finally {
    running = null;
    setRunning(false);
    $("stats").textContent = figures(numTokens, started, firstAt, reason);
  }
}

function goOn() {
  $("prompt").value += $("answer").textContent;
  $("prompt").scrollTop = $("prompt").scrollHeight;
  $("form").requestSubmit();
}

async function copy(button, text) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Cannot copy";
  }
  setTimeout(() => (button.textContent = label), 1200);
}

function curl() {
  const quoted = JSON.stringify(request()).replaceAll("'", "'\\''");
  const key = $("key").value ? " -H \"Authorization: Bearer $SLM_API_KEY\"" : "";
  return `curl ${location.origin}/v1/completions -H 'Content-Type: application/json'${key} -d '${quoted}'`;
}

async function describe() {
  try {
    const response = await fetch("/v1/models", { headers: authorization() });
    if (!response.ok) throw new Error(await refusal(response));
    model = (await response.json()).data[0];
    $("model-name").textContent = `${model.id} · context of ${model.max_model_len} tokens`;
    $("max-tokens").max = model.max_tokens_limit;
    $("max-tokens-hint").textContent = `The longest answer; prompt and answer have ${model.max_model_len} together.`;
    if (Number($("max-tokens").value) > model.max_model_len / 2) $("max-tokens").value = model.max_model_len >> 1;
    $("dot").className = "dot ok";
    showError("");
  } catch (error) {
    $("model-name").textContent = "not connected";
    $("dot").className = "dot bad";
    showError(error instanceof TypeError ? "the server cannot be reached" : error.message);
  }
}

function restore() {
  for (const id of [...fields, "prompt", "key"]) {
    const saved = sessionStorage.getItem(`slm-${id}`);
    if (saved !== null) $(id).value = saved;
    $(id).addEventListener("input", () => sessionStorage.setItem(`slm-${id}`, $(id).value));
  }
  $("key-knob").hidden = !$("key").value;
  for (const id of ["temperature", "top-p"]) {
    $(`${id}-range`).value = $(id).value;
    $(id).addEventListener("input", () => ($(`${id}-range`).value = $(id).value));
    $(`${id}-range`).addEventListener("input", () => {
      $(id).value = $(`${id}-range`).value;
      $(id).dispatchEvent(new Event("input"));
    });
  }
}

restore();
describe();
$("key").addEventListener("change", describe);
$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  generate();
});
$("stop").addEventListener("click", () => running?.abort());
$("continue").addEventListener("click", goOn);
$("copy").addEventListener("click", () => copy($("copy"), $("echo").textContent + $("answer").textContent));
$("curl").addEventListener("click", () => copy($("curl"), curl()));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") running?.abort();
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("form").requestSubmit();
});
