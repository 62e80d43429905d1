"use strict";
// The page: the editor, the buttons, and what the worker says. Python itself runs in worker.js.

const at = (id) => document.getElementById(id);
const [code, output, state, run, stop, address] = ["code", "output", "status", "run", "stop", "pyodide"].map(at);
const KEPT = "tapegrad.pyodide";
let worker = null;
let ready = false;
let settings = { pyodide: "pyodide/", wheel: "" };

function put(element) {
  const down = output.scrollHeight - output.scrollTop - output.clientHeight < 40;
  output.append(element);
  if (down) output.scrollTop = output.scrollHeight;
}

function text(kind, words) {
  const last = output.lastElementChild;
  if (last && last.className === kind && last.tagName === "PRE") last.textContent += words;
  else put(Object.assign(document.createElement("pre"), { className: kind, textContent: words }));
}

const SAYS = {
  status: (said) => { state.textContent = said.text; },
  ready: () => { ready = true; idle("ready"); },
  text: (said) => text(said.stream, said.text),
  html: (said) => {
    const box = document.createElement("div");
    box.innerHTML = said.text;  // scripts in it do not run; a tape brings its own closed frame
    put(box);
  },
  figures: (said) => tellTape(JSON.parse(said.text)),
  image: (said) => put(Object.assign(document.createElement("img"), { src: said.text, alt: "a picture that the program made" })),
  error: (said) => { text("error", said.text); },
  done: (said) => idle(`done in ${(said.ms / 1000).toFixed(2)} s`),
  failed: (said) => {
    state.textContent = said.text;
    at("settings").open = true;
    stop.disabled = true;
  },
};

// A tape in its frame asks for its figures on other numbers; the worker has the tape.
const tellTape = (figures) => output.querySelectorAll("iframe").forEach((frame) => frame.contentWindow.postMessage(figures, "*"));
addEventListener("message", (event) => {
  if (![...output.querySelectorAll("iframe")].some((frame) => frame.contentWindow === event.source)) return;
  const asked = event.data.tape;
  if (ready) worker.postMessage({ type: "change", asked: JSON.stringify(asked) });
  else tellTape({ ...asked, wrong: "Python does not have this tape any more: run the program again" });
});

function idle(words) {
  state.textContent = words;
  run.disabled = false;
  stop.disabled = true;
}

function start() {
  if (worker) worker.terminate();
  ready = false;
  run.disabled = true;
  worker = new Worker("worker.js");
  worker.onmessage = (event) => SAYS[event.data.type](event.data);
  worker.onerror = (event) => SAYS.failed({ text: `the worker stopped: ${event.message}` });
  const base = new URL(address.value.replace(/\/?$/, "/"), location.href).href;
  worker.postMessage({ type: "start", pyodide: base, wheel: settings.wheel });
}

function go() {
  if (!ready || run.disabled) return;
  output.replaceChildren();
  run.disabled = true;
  stop.disabled = false;
  state.textContent = "running";
  worker.postMessage({ type: "run", code: code.value });
}

run.onclick = go;
stop.onclick = () => {
  text("error", "stopped");
  stop.disabled = true;
  start();
};
code.onkeydown = (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    go();
  } else if (event.key === "Enter" && !event.isComposing) {
    // the next line starts where this one does, and four columns further after a colon
    event.preventDefault();
    const line = code.value.slice(0, code.selectionStart).split("\n").pop();
    const deeper = line.trimEnd().endsWith(":") ? "    " : "";
    document.execCommand("insertText", false, "\n" + line.match(/^ */)[0] + deeper);
  }
};
for (const name of Object.keys(EXAMPLES)) at("examples").append(new Option(name));
at("examples").onchange = (event) => { code.value = EXAMPLES[event.target.value]; };
code.value = Object.values(EXAMPLES)[0];
at("address").onsubmit = (event) => {
  event.preventDefault();
  try { localStorage.setItem(KEPT, address.value); } catch { /* a browser that keeps nothing */ }
  start();
};

// An address comes from this site's settings or from the field, never from a link to this page.
fetch("settings.json").then((answer) => answer.json()).then((given) => {
  settings = given;
  let kept = null;
  try { kept = localStorage.getItem(KEPT); } catch { /* as above */ }
  address.value = kept || settings.pyodide;
  const here = new URL(address.value, location.href).origin === location.origin;
  if (here || kept) start();
  else SAYS.failed({ text: "Python is loaded from another site when you press Load" });
}).catch(() => SAYS.failed({ text: "this page needs a web server: python -m http.server in the folder of the site" }));
