"use strict";
// Python in a worker: loads Pyodide and the wheel, runs programs with runner.py, and reports what they print and show.

let python = null;
let pyodide = null;
const say = (type, more) => postMessage({ type, ...more });

async function start(base, wheel) {
  say("status", { text: "loading Python" });
  try {
    importScripts(base + "pyodide.js");
  } catch {
    return say("failed", { text: `there is no Pyodide at ${base}` });
  }
  try {
    pyodide = await loadPyodide({ indexURL: base });
    say("status", { text: "loading NumPy" });
    await pyodide.loadPackage("numpy", { messageCallback: () => {} });
    const archive = await fetch(wheel);
    if (!archive.ok) throw new Error(`${wheel}: ${archive.status}`);
    pyodide.unpackArchive(await archive.arrayBuffer(), "wheel");
    const runner = await (await fetch("runner.py")).text();
    pyodide.FS.writeFile("/home/pyodide/runner.py", runner);
    python = pyodide.pyimport("runner");
    for (const stream of ["stdout", "stderr"])
      pyodide[stream === "stdout" ? "setStdout" : "setStderr"]({ batched: (line) => say("text", { stream, text: line + "\n" }) });
    say("ready");
  } catch (error) {
    say("failed", { text: `Python does not start: ${error.message}` });
  }
}

async function run(code) {
  const started = performance.now();
  try {
    await pyodide.loadPackagesFromImports(code, { messageCallback: (text) => say("status", { text }) });
    const shown = await python.run(code);
    for (const [type, value] of shown.toJs()) say(type, { stream: "result", text: value });
    shown.destroy();
  } catch (error) {
    say("error", { text: String(error.message || error) });
  }
  say("done", { ms: performance.now() - started });
}

const DOES = {
  start: (data) => start(data.pyodide, data.wheel),
  run: (data) => run(data.code),
  change: (data) => say("figures", { text: python.change(data.asked) }),
};
onmessage = ({ data }) => DOES[data.type](data);
