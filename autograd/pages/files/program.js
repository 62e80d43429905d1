// Operations, as pages.py packs them: the name of the result, the text, dtype and shape, bytes, origin.
const [RESULT, TEXT, TYPE, BYTES, ORIGIN] = [0, 1, 2, 3, 4];
const S = D.stages, byName = S.map(s => new Map(s[3].map(k => [D.ops[k][RESULT], k])));
const source = D.text.split("\n"), linesOf = new Map(), opsOf = new Map();
for (const [line, ...names] of D.lines) {
    opsOf.set(line, names);
    for (const n of names) linesOf.set(n, [...(linesOf.get(n) ?? []), line]);
}
let stage = 0, sel = 0, V = [];

// The list after a pass, with what it removed where that stood: {k, how: "", "new", "changed" or "gone"}
function layOut() {
    const own = S[stage][3], before = stage ? S[stage - 1][3] : own;
    const was = stage ? byName[stage - 1] : byName[0], is = byName[stage];
    V = [];
    let at = 0;
    const gone = until => {
        for (; at < until; at++) if (!is.has(D.ops[before[at]][RESULT])) V.push({k: before[at], how: "gone"});
    };
    const place = new Map(before.map((k, j) => [D.ops[k][RESULT], j]));
    for (const k of own) {
        const name = D.ops[k][RESULT], j = place.get(name);
        if (j !== undefined && j >= at) { gone(j); at = j + 1; }
        V.push({k, how: !was.has(name) ? "new" : D.ops[was.get(name)][TEXT] !== D.ops[k][TEXT] ? "changed" : ""});
    }
    gone(before.length);
}
const changes = j => {
    if (!j) return "";
    const was = byName[j - 1], is = byName[j];
    let gone = 0, changed = 0, added = 0;
    for (const n of was.keys()) is.has(n) || gone++;
    for (const [n, k] of is) !was.has(n) ? added++ : D.ops[was.get(n)][TEXT] !== D.ops[k][TEXT] && changed++;
    return [gone && "−" + gone, added && "+" + added, changed && "~" + changed].filter(Boolean).join(" ") || "=";
};
const marks = {"": " ", new: "+", changed: "~", gone: "−"}, spoken = {"": "", new: "new, ", changed: "changed, ", gone: "removed, "};
const height = () => narrow() ? 30 : 24;
function row(v, top) {
    const {k, how} = V[v], op = D.ops[k], [line, part, module] = D.origins[op[ORIGIN]];
    const own = how === "gone" ? "gone" : how ? "new" : "", at = (module ? module + ": " : "") + part;
    return `<div class="row op ${own}${v === sel ? " fwd" : ""}" role="option" id="v${v}" data-v="${v}" aria-selected="${v === sel}" aria-posinset="${v + 1}" aria-setsize="${V.length}" aria-label="${esc(spoken[how] + op[TEXT] + ", " + op[TYPE])}" style="top:${top}px"><span>${marks[how]}</span><span class="n" title="${esc(op[TEXT])}">${flat(op[TEXT])}</span><span class="s wide" title="${op[TYPE]}">${op[TYPE]}</span><span class="s wide" title="${esc(at)}">${flat(at)}</span></div>`;
}
const list = listOf($("tape"), height, () => V.length, row);
SAID.fwd = ", part of the chosen operation";
const codeLine = n => codeOf(n, source[n - 1].replace(/(\S) +#/, "$1  #"), opsOf.has(n), "");
// Mark a line, or take the mark away.
function mark(line, on) {
    line.className = on;
    line.children[1].textContent = MARKS[on] ?? "";
    line.setAttribute("aria-label", heard(line.dataset.o, line.children[2].textContent, on));
}
const nothing = "no operation: the program computes nothing, and hands out what it was given and constants";
function fill() {
    $("source").querySelectorAll(".fwd").forEach(e => mark(e, ""));
    if (!V.length) { $("story").innerHTML = `<p class="soft">${nothing}</p>`; return; }
    const op = D.ops[V[sel].k], name = op[RESULT], [line, part, module] = D.origins[op[ORIGIN]];
    const on = new Set(linesOf.get(name));
    let story = "", last = null;
    S.forEach((s, j) => {
        const k = byName[j].get(name), text = k === undefined ? null : D.ops[k][TEXT];
        if (text === last) return;
        story += text === null ? `<li>${esc(s[0])}: <span class="gone">removed</span></li>` : `<li>${esc(s[0])}: <span class="mono">${esc(text)}</span></li>`;
        last = text;
    });
    $("story").innerHTML = `<h2>${esc(op[TEXT])}</h2><p class="soft mono">${esc([line, module && module + ": " + part || part].filter(Boolean).join("   "))}</p><p class="soft">${esc(op[TYPE])}, ${op[BYTES].toLocaleString("en")} bytes</p><h3>What the passes made of it</h3><ul>${story}</ul><h3>The emitted source${on.size ? "" : ": no line of its own"}</h3>`;
    for (const n of on) mark($("source").children[n - 1], "fwd");
    const code = $("source").querySelector(".fwd"), box = $("source");
    reach(code ?? box.querySelector("[data-o]"));
    center(box, code);
}
function choose(v) {
    sel = Math.max(0, Math.min(V.length - 1, v));
    list.show(sel); list.draw(); fill();
    $("say").textContent = V.length ? spoken[V[sel].how] + D.ops[V[sel].k][TEXT] : nothing;
}
function stages(focus) {
    $("stages").innerHTML = S.map((s, j) => `<button type="button" role="tab" data-s="${j}" tabindex="${j === stage ? 0 : -1}" aria-selected="${j === stage}" title="${s[1]} operations that compute, ${s[2].toLocaleString("en")} bytes">${esc(s[0])} <span class="soft">${changes(j) || s[1]}</span></button>`).join("");
    if (focus) $("stages").querySelector("[aria-selected=true]").focus();
    const s = S[stage];
    $("about").textContent = `after ${s[0]}: ${s[1]} operations that compute, ${s[2].toLocaleString("en")} bytes made. Emitted by ${D.emitter}, in ${D.buffers[0]} buffers of ${D.buffers[1].toLocaleString("en")} bytes`;
}
function goTo(j, focus) {
    const name = V.length ? D.ops[V[sel].k][RESULT] : "";
    stage = Math.max(0, Math.min(S.length - 1, j));
    layOut(); stages(focus);
    const first = V.findIndex(e => e.how), same = V.findIndex(e => D.ops[e.k][RESULT] === name);
    choose(first >= 0 ? first : Math.max(same, 0));
}
$("stages").addEventListener("click", event => { const b = event.target.closest("[data-s]"); b && goTo(+b.dataset.s, true); });
$("tape").addEventListener("click", event => { const r = event.target.closest("[data-v]"); r && choose(+r.dataset.v); });
$("panel").addEventListener("click", event => {
    const line = event.target.closest("[data-o]");
    if (!line) return;
    const names = opsOf.get(+line.dataset.o), find = () => V.findIndex(e => e.how !== "gone" && names.includes(D.ops[e.k][RESULT]));
    if (find() < 0) { stage = S.length - 1; layOut(); stages(); }
    if (find() >= 0) choose(find());
});
addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const inList = event.target === $("tape"), inStages = event.target.closest?.("#stages"), key = event.key;
    if (key === "ArrowRight" && (inList || inStages || event.target === document.body)) goTo(stage + 1, inStages);
    else if (key === "ArrowLeft" && (inList || inStages || event.target === document.body)) goTo(stage - 1, inStages);
    else if (inList && key === "ArrowDown") choose(sel + 1);
    else if (inList && key === "ArrowUp") choose(sel - 1);
    else if (inList && key === "Home") choose(0);
    else if (inList && key === "End") choose(V.length - 1);
    else return;
    event.preventDefault();
});
$("title").textContent = D.title;
$("source").innerHTML = source.map((_, j) => codeLine(j + 1)).join("");
goTo(0);
document.body.dataset.ms = (performance.now() - T0).toFixed(1);
