// Rows, as record.py packs them.
const [NAME, RULE, CALL, LINE, INPUTS, VALUES, COTANGENTS, BACKWARD] = [0, 1, 2, 3, 4, 5, 6, 7];
const R = D.rows, isCall = i => R[i][RULE] >= 0;
const usedBy = R.map(() => []);
R.forEach((r, i) => r[INPUTS].forEach(k => usedBy[k].includes(i) || usedBy[k].push(i)));

// The size of a cotangent: its largest absolute value. Infinity: not all of it is finite.
const sizeOf = i => R[i][COTANGENTS].reduce((m, g) => g ? Math.max(m, g[4] ? Infinity : Math.max(Math.abs(g[1] ?? 0), Math.abs(g[2] ?? 0))) : m, -1);
let sizes, low, high;
function measure() {
    sizes = R.map((_, i) => sizeOf(i));
    const logs = sizes.filter(s => s > 0 && s < Infinity).map(Math.log10);
    low = logs.reduce((a, b) => Math.min(a, b), Infinity);
    high = logs.reduce((a, b) => Math.max(a, b), -Infinity);
}
measure();
const scaled = s => high > low ? (Math.log10(s) - low) / (high - low) : .6;

// ---- folds: [kind, label, items] ----
const folds = [];
function fold(item, parent, k, n) {
    if (typeof item === "number") return item;
    const f = {kind: item[0], label: item[1], parent, k, n, id: folds.length, open: false};
    folds.push(f);
    f.items = item[2].map((x, j) => fold(x, f, j, item[2].length));
    const [a, b] = [f.items[0], f.items.at(-1)];
    f.first = a.first ?? a;
    f.last = b.last ?? b;
    for (f.calls = 0, f.leaves = 0, k = f.first; k <= f.last; k++) isCall(k) ? f.calls++ : f.leaves++;
    return f;
}
const tree = D.tree.map((x, j) => fold(x, null, j, D.tree.length));
const calls = n => `${n.toLocaleString("en")} call${n === 1 ? "" : "s"}`;
const words = f => [...new Set(R.slice(f.first, f.last + 1).filter(r => r[RULE] >= 0).map(r => D.rules[r[RULE]][0]))];
function title(f) {
    if (f.kind === "m") return f.label;
    if (f.kind === "t") return `turn ${f.k + 1} of ${f.n}${f.label ? ": " + f.label : ""}`;
    const inside = f.items[0].label || words(f.items[0]).slice(0, 4).join(", ");
    return `${f.items.length} × ${inside}`;
}
// Opened so far that there is something to see: loops to their turns, small tapes to the last call.
const small = R.length <= 40;
for (const f of folds) f.open = small ? f.kind !== "t" : f.kind === "l" && f.items.length <= 200;

// ---- the rows to be seen: {i} a row, {f} a fold, {line} a heading ----
let V = [], at = [], steps = [], buses = [], lanes = 0, sel = 0, dir = "", now = -1;
function layOut() {
    V = []; at = new Array(R.length); steps = [];
    let line = "";
    const add = (item, depth) => {
        const own = D.lines[R[item.first ?? item][LINE]];
        if (typeof item === "number" || item.kind === "l") {
            if (own && own !== line) V.push({line: own, depth, i: item.first ?? item});
            line = own || line;
        }
        if (typeof item === "number") {
            at[item] = V.length;
            if (isCall(item)) steps.push(V.length);
            V.push({i: item, depth});
            return;
        }
        V.push({f: item, i: item.first, depth});
        if (item.open) return item.items.forEach(x => add(x, depth + 1));
        for (let k = item.first; k <= item.last; k++) at[k] = V.length - 1;
        steps.push(V.length - 1);
        if (item.kind === "m") line = "";
    };
    tree.forEach(x => add(x, 0));
    bundle();
}
// One line for each source, with a branch to each row that takes it; the short ones inside.
function bundle() {
    const to = new Map();
    R.forEach((r, j) => r[INPUTS].forEach(i => {
        if (at[i] === at[j]) return;
        to.has(at[i]) || to.set(at[i], new Set());
        to.get(at[i]).add(at[j]);
    }));
    buses = [...to].map(([a, set]) => ({a, to: [...set].sort((x, y) => x - y)}));
    for (const bus of buses) bus.z = bus.to.at(-1);
    const most = narrow() ? 3 : 11, taken = [];
    lanes = 0;
    for (const bus of [...buses].sort((p, q) => (p.z - p.a) - (q.z - q.a))) {
        let k = 0;
        for (; k < most; k++) {
            taken[k] ||= new Uint8Array(V.length + 1);
            let free = true;
            for (let v = bus.a; v < bus.z && free; v++) free = !taken[k][v];
            if (free) break;
        }
        if (k < most) taken[k].fill(1, bus.a, bus.z);
        bus.lane = k;
        lanes = Math.max(lanes, k + 1);
    }
    document.documentElement.style.setProperty("--gutter", lanes * 8 + 20 + "px");
}
// Rows of two lines, where the list has room for that.
const roomy = () => !narrow() && V.length * 42 <= $("tape").clientHeight;
const height = () => narrow() ? 34 : roomy() ? 42 : 26;
function path(bus, targets, h) {
    const x = lanes * 8 + 10, l = x - 8 - bus.lane * 8, y = v => v * h + h / 2;
    let d = `M${x},${y(bus.a)}H${l + 6}Q${l},${y(bus.a)} ${l},${y(bus.a) + 6}V${y(targets.at(-1)) - 6}`;
    for (const v of targets) d += `M${l},${y(v) - 6}Q${l},${y(v)} ${l + 6},${y(v)}H${x - 4}m-3,-3l3,3l-3,3`;
    return d;
}
function arcs(first, last) {
    const h = height(), w = lanes * 8 + 20, x = lanes * 8 + 10;
    let html = "";
    for (const bus of buses) if (bus.z >= first && bus.a < last) html += `<path d="${path(bus, bus.to.filter(v => v === bus.z || v >= first && v <= last), h)}"/>`;
    const chosen = V[sel];
    if (chosen && !chosen.line) for (const bus of buses) if (bus.to.includes(sel)) html += `<path class="${dir === "b" ? "bwd" : "fwd"}" d="${path(bus, [sel], h)}"/>`;
    for (let v = first; v < last; v++) if (!V[v].line && !(V[v].f?.open)) html += `<circle class="${V[v].f || isCall(V[v].i) ? "" : "leaf"}" cx="${x}" cy="${v * h + h / 2}" r="3"/>`;
    return `<svg class="arcs" aria-hidden="true" width="${w}" height="${V.length * h}">${html}</svg>`;
}
function bar(s) {
    if (s < 0) return "<span></span>";
    if (s === Infinity) return '<span class="bar"><b class="bad">not finite</b></span>';
    return `<span class="bar">${s ? `<i style="width:${(5 + (narrow() ? 28 : 49) * scaled(s)) | 0}px"></i>` : ""}${number(+s.toPrecision(2))}</span>`;
}
const shape = v => v ? D.types[v[0]] : "";
// Of a fold, what comes back into its last call.
const lastCall = f => { let k = f.last; while (k > f.first && !isCall(k)) k--; return k; };
const sizeAt = e => sizes[e.f ? lastCall(e.f) : e.i];
function row(v, top) {
    const e = V[v], pad = "  ".repeat(e.depth);
    if (e.line) return `<div class="row line" aria-hidden="true" data-v="${v}" style="top:${top}px"><i></i><span title="${esc(e.line)}">${pad}${flat(e.line)}</span></div>`;
    const on = v === sel ? (dir === "b" ? " bwd" : " fwd") : "", s = sizeAt(e);
    const wait = dir === "f" && v > sel || dir === "b" && v < sel && !e.f?.open ? " wait" : "";
    const what = e.f ? `fold${on}${wait}` : (isCall(e.i) ? "call" : "leaf") + on + wait;
    const k = e.f ? lastCall(e.f) : e.i, r = R[k];
    const name = e.f ? title(e.f) : isCall(e.i) ? `${r[NAME]} = ${r[CALL]}` : r[NAME] + (s < 0 ? "  (no gradient)" : "");
    const mark = e.f ? (e.f.open ? "▾ " : "▸ ") : "";
    const lines = r[BACKWARD] && !e.f ? r[BACKWARD].split("\n") : [];
    const back = e.f ? `<span class="s">${e.f.open ? "" : calls(e.f.calls)}</span>` : `${flat(lines.at(-1))}${lines.length > 1 ? ` <span class="s">+${lines.length - 1}</span>` : ""}`;
    const heard = `${name}, ${shape(r[VALUES][0])}${s < 0 ? "" : s === Infinity ? ", cotangent not finite" : ", cotangent up to " + number(+s.toPrecision(2))}${D.lines[r[LINE]] ? ", " + D.lines[r[LINE]] : ""}`;
    return `<div class="row ${what}" role="treeitem" id="v${v}" data-v="${v}" aria-level="${e.depth + 1}" aria-posinset="${v + 1}" aria-setsize="${V.length}" aria-selected="${v === sel}"${e.f ? ` aria-expanded="${e.f.open}"` : ""} aria-label="${esc(heard)}" style="top:${top}px"><i></i><span class="n" title="${esc(name)}">${pad}${mark}${flat(name)}</span><span class="s wide" title="${e.f?.open ? "" : shape(r[VALUES][0])}">${e.f?.open ? "" : shape(r[VALUES][0])}</span>${e.f?.open ? "<span></span>" : bar(s)}<span class="b wide" title="${esc(e.f ? "" : lines.join("\n"))}">${back}</span></div>`;
}
const list = listOf($("tape"), height, () => V.length, (v, top) => row(v, top), (a, b) => {
    $("list").className = roomy() ? "two" : "";
    return arcs(a, b);
});

// ---- the panel ----
function cells(v) {
    const most = Math.max(Math.abs(v[1] ?? 0), Math.abs(v[2] ?? 0)) || 1, columns = Math.abs(v[5]) || 1, all = v[6] ? v[6].split(" ") : [];
    let html = "";
    all.forEach((c, k) => {
        const x = +({True: 1, False: 0}[c] ?? c), share = Number.isFinite(x) ? Math.round(Math.min(1, Math.abs(x) / most) * 45) : 0;
        html += `${k % columns ? "" : "<tr>"}<td${Number.isFinite(x) ? ` style="background:color-mix(in srgb,var(${x < 0 ? "--bwd" : "--fwd"}) ${share}%,transparent)"` : ' class="bad"'}>${c}</td>`;
    });
    return `<div class="scroll" role="group" aria-label="Numbers"><table class="cells">${html}</table></div>`;
}
function numbers(v, what) {
    if (!v) return `<p class="soft">${what === "cotangent" ? "None: nothing comes back to it." : ""}</p>`;
    return `${cells(v)}<p class="soft mono" data-what="${what}">${esc(shape(v))}${v[5] > 0 ? ", a corner of it" : ""}: min ${number(v[1])}, max ${number(v[2])}, mean ${number(v[3])}${v[4] ? `, <b class="bad">${v[4]} not finite</b>` : ""}</p>`;
}
const links = (heading, rows) => rows.length ? `<h3>${heading}</h3><div class="links">${rows.slice(0, 24).map(i => `<button type="button" data-i="${i}">${esc(R[i][NAME])}${isCall(i) ? " = " + esc(D.rules[R[i][RULE]][0]) : ""}</button>`).join("")}${rows.length > 24 ? `<span class="soft">and ${rows.length - 24} more</span>` : ""}</div>` : "";
function panelOf(i) {
    const r = R[i], call = isCall(i), [, doc, formula, formulas, where, source, forward] = call ? D.rules[r[RULE]] : [];
    const line = D.lines[r[LINE]];
    let html = `<h2>${esc(call ? r[NAME] + " = " + r[CALL] : r[NAME])}</h2>`;
    if (line && call) html += `<p class="soft mono">${esc(line)}</p>`;
    if (!call) html += `<p class="soft">A leaf: ${sizes[i] < 0 ? "no gradient is asked for." : "the backward pass ends here."}</p>`;
    if (doc || formula) html += `<div class="formula">${formula ? `<p><math><mi>y</mi><mo>=</mo>${formula.slice(6)}</p>` : ""}${doc ? `<p class="soft">${esc(doc)}</p>` : ""}</div>`;
    r[VALUES].forEach((v, k) => {
        const one = r[VALUES].length > 1 ? `[${k}]` : "";
        html += `<h3 class="fwd">Value${one && ", " + esc(r[NAME] + one)}</h3>${numbers(v, "value")}<h3 class="bwd">Cotangent, ${esc(D.prefix + r[NAME] + one)}: how the result changes with each of these numbers</h3>${numbers(r[COTANGENTS][k], "cotangent")}`;
    });
    if (call) {
        if (formulas.length) html += `<h3 class="bwd">Its gradient rule</h3><div class="formula">${formulas.map(f => `<p>${f[1]}</p>`).join("")}<p class="soft">ȳ is the cotangent of the result y.</p></div>`;
        html += `<h3 class="bwd">What runs on the way back</h3><pre>${esc(r[BACKWARD])}</pre>`;
        if (source) html += `<h3 class="bwd">The rule as it is written, ${esc(where)}</h3><pre>${esc(source)}</pre>`;
        if (forward) html += `<details><summary>The forward as it is written</summary><pre>${esc(forward)}</pre></details>`;
    }
    return html + (D.program && call ? emitted(i, i) : "") + links("Made from", [...new Set(r[INPUTS])]) + links("Taken by", usedBy[i]);
}
function panelOfFold(f) {
    let least = Infinity, most = 0, bad = 0;
    for (let k = f.first; k <= f.last; k++) if (sizes[k] === Infinity) bad++; else if (sizes[k] > 0) { least = Math.min(least, sizes[k]); most = Math.max(most, sizes[k]); }
    const own = [];
    for (let k = f.first; k <= f.last; k++) if (!isCall(k)) own.push(k);
    return `<h2>${esc(title(f))}</h2><p>${calls(f.calls)}: ${esc(words(f).slice(0, 12).join(", "))}</p><p>Cotangents from ${number(+least.toPrecision(3))} to ${number(+most.toPrecision(3))}${bad ? `, <b class="bad">${bad} not finite</b>` : ""}</p><div class="links"><button type="button" data-f="${f.id}">${f.open ? "Fold" : "Unfold"}</button></div>${links("Its leaves", own)}<h3 class="fwd">Value of its last call, ${esc(R[lastCall(f)][NAME])}</h3>${numbers(R[lastCall(f)][VALUES][0], "value")}<h3 class="bwd">Its cotangent</h3>${numbers(R[lastCall(f)][COTANGENTS][0], "cotangent")}${D.program ? emitted(f.first, f.last) : ""}`;
}

function fill() {
    const e = V[sel], call = e.f ? panelOfFold(e.f) : panelOf(e.i), held = document.activeElement.closest("#panel *");
    if (!(D.program && filled(call, e))) {
        $("panel").innerHTML = call;
        $("panel").scrollTop = 0;
    }
    if (D.program) reachLists();
    // What can be scrolled can be reached by keyboard.
    for (const box of $("panel").querySelectorAll(".scroll")) if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    // What had the focus is made anew. A tab and "Fold" have it again; in place of the rest, the panel.
    const stays = held?.dataset.tab ? "[data-tab][tabindex='0']" : held?.dataset.f ? "[data-f]" : "";
    if (held) (stays && $("panel").querySelector(stays) || $("panel")).focus({preventScroll: true});
}

// ---- moving ----
function choose(v, direction, step) {
    while (V[v]?.line) v++;
    sel = Math.max(0, Math.min(V.length - 1, v)); dir = direction; now = step ?? -1;
    list.show(sel); list.draw(); fill();
    const e = V[sel], name = e.f ? title(e.f) : R[e.i][NAME];
    $("time").max = 2 * steps.length - 1;
    $("time").value = Math.max(now, 0);
    const text = now < 0 ? `${name}` : `${dir === "f" ? "forward" : "backward"} ${name}, step ${now + 1} of ${2 * steps.length}`;
    $("where").textContent = text; $("time").setAttribute("aria-valuetext", text); $("say").textContent = text;
}
function go(step) {
    const n = steps.length, s = Math.max(0, Math.min(2 * n - 1, step));
    choose(s < n ? steps[s] : steps[2 * n - 1 - s], s < n ? "f" : "b", s);
}
const move = by => go(now >= 0 ? now + by : dir === "" && by > 0 ? 0 : stepAt(sel) + by);
const stepAt = v => { const k = steps.findIndex(s => s >= v); return k < 0 ? steps.length : k; };
function upDown(by) {
    let v = sel + by;
    while (V[v]?.line) v += by;
    if (v >= 0 && v < V.length) choose(v, "");
}
function again(e) {
    layOut();
    const v = V.findIndex(x => !x.line && (e.f ? x.f === e.f : x.i === e.i && !x.f));
    return v < 0 ? at[e.i] : v;
}
function toggle(f) { f.open = !f.open; choose(again({f}), ""); }
function reveal(i) {
    for (const f of folds) if (f.first <= i && i <= f.last) f.open = true;
    choose(again({i}), "");
}
function foldAll() {
    const open = folds.some(f => !f.open), e = V[sel];
    for (const f of folds) f.open = open;
    let f = null;
    if (!open) f = folds.find(x => x.first <= e.i && e.i <= x.last) ?? null;
    choose(again(f ? {f} : e), "");
    label();
}
const label = () => { $("folds").hidden = !folds.length; $("folds").textContent = folds.some(f => !f.open) ? "unfold all" : "fold all"; };
let playing = 0;
function play() {
    clearInterval(playing);
    const on = !playing;
    if (on && now >= 2 * steps.length - 1) now = -1;
    playing = on ? setInterval(() => now >= 2 * steps.length - 1 ? play() : move(1), 450) : 0;
    $("play").setAttribute("aria-pressed", on); $("play").textContent = on ? "stop" : "play";
    if (on) move(1);
}
$("tape").addEventListener("click", event => {
    const hit = event.target.closest("[data-v]");
    if (!hit) return;
    const v = +hit.dataset.v, e = V[v];
    if (e.f && (v === sel || event.target.textContent.trimStart().startsWith("▸"))) return toggle(e.f);
    const k = steps.indexOf(v);
    k >= 0 && now >= 0 ? go(dir === "b" ? 2 * steps.length - 1 - k : k) : choose(v, "");
});
$("tape").addEventListener("dblclick", event => { const e = V[event.target.closest("[data-v]")?.dataset.v]; if (e?.f && !e.f.open) toggle(e.f); });
$("panel").addEventListener("click", event => {
    const hit = event.target.closest("[data-i],[data-f],[data-o],[data-tab]");
    if (!hit) return;
    if (hit.dataset.i) reveal(+hit.dataset.i);
    else if (hit.dataset.f) toggle(folds[hit.dataset.f]);
    else chosenInProgram(hit.dataset);
});
$("on").onclick = () => move(1);
$("back").onclick = () => move(-1);
$("play").onclick = play;
$("folds").onclick = foldAll;
$("time").oninput = () => go(+$("time").value);
addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "INPUT" || event.target.className === "scroll") return;
    const inTape = event.target === $("tape"), key = event.key;
    if (key === "ArrowRight") move(1);
    else if (key === "ArrowLeft") move(-1);
    else if (key === "Escape") choose(sel, "");
    else if (inTape && key === "ArrowDown") upDown(1);
    else if (inTape && key === "ArrowUp") upDown(-1);
    else if (inTape && key === "Home") choose(0, "");
    else if (inTape && key === "End") choose(V.length - 1, "");
    else if (inTape && (key === "Enter" || key === " ") && V[sel].f) toggle(V[sel].f);
    else return;
    event.preventDefault();
});
let was = height();
addEventListener("resize", () => { if (height() !== was) { was = height(); bundle(); list.draw(); } });

$("title").textContent = D.title;
const count = R.filter((_, i) => isCall(i)).length;
$("about").textContent = `${calls(count)}, ${R.length - count} ${R.length - count === 1 ? "leaf" : "leaves"}${D.start && ". " + D.start}${D.unseen && `. Not on this tape: ${D.unseen}`}. Bars: the largest |cotangent|, log scale${D.kept ? "" : ". Lines and modules: make it under tg.keep_lines()"}`;
layOut(); label();
choose(V.length - 1, "");
document.body.dataset.ms = (performance.now() - T0).toFixed(1);
