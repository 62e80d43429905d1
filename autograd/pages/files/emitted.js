// ---- the emitted program: D.program = {text, name, lines: [[line, [row, 0 forward or 1 backward], …], …]} or {why} ----
const P = D.program, source = P.text ? P.text.split("\n") : [], linesOf = new Map(), rowsOf = new Map();
let tab = "call";
for (const [line, ...rows] of P.lines ?? []) {
    rowsOf.set(line, rows);
    for (const [i, back] of rows) linesOf.set(i, [...(linesOf.get(i) ?? []), [line, back]]);
}
function emitted(first, last) {
    if (P.why) return `<h3>The emitted program</h3><p class="soft">${esc(P.why)}</p>`;
    const found = new Map();
    for (let i = first; i <= last; i++) for (const [line, back] of linesOf.get(i) ?? []) found.set(line, back);
    const lines = [...found].sort((a, b) => a[0] - b[0]);
    if (!lines.length) return `<h3>Emitted by ${esc(P.name)}</h3><p class="soft">No line of its own: a pass removed it or made it part of another call.</p>`;
    return `<h3>Emitted by ${esc(P.name)}: the lines that do it</h3><div class="code mono">${lines.slice(0, 60).map(([line, back]) => codeLine(line, back ? "bwd" : "fwd")).join("")}</div>`;
}
const codeLine = (line, on) => codeOf(line, source[line - 1].replace(/^ {8}/, "").replace(/ +#/, "  #"), rowsOf.has(line), on);
function program(e) {
    const on = new Map();
    const [a, b] = e.f ? [e.f.first, e.f.last] : [e.i, e.i];
    for (let i = a; i <= b; i++) for (const [line, back] of linesOf.get(i) ?? []) on.set(line, back ? "bwd" : "fwd");
    return `<h2>The program of ${esc(P.name)}</h2><p class="soft">Lines of the chosen row are marked. Choose a line to see its call.</p><div class="code mono">${source.map((_, k) => codeLine(k + 1, on.get(k + 1) ?? "")).join("")}</div>`;
}
// Fill the panel where it has tabs.
function filled(call, e) {
    if (!source.length) return false;
    const button = t => `<button type="button" role="tab" data-tab="${t}" tabindex="${tab === t ? 0 : -1}" aria-selected="${tab === t}">${t}</button>`;
    $("panel").innerHTML = `<div class="tabs" role="tablist" aria-label="What is shown">${button("call")}${button("program")}</div>` + (tab === "program" ? program(e) : call);
    $("panel").scrollTop = 0;
    if (tab === "program") center($("panel"), $("panel").querySelector(".code .fwd,.code .bwd"));
    return true;
}
function chosenInProgram(data) {
    if (data.tab) {
        tab = data.tab;
        return fill();
    }
    const [i, back] = rowsOf.get(+data.o)[0];
    reveal(i);
    dir = back ? "b" : "";
    list.draw();
}
// Of the tabs one is in the order of Tab; ← and → go to the other one.
$("panel").addEventListener("keydown", event => {
    if (!event.target.dataset.tab || !["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    event.target.parentNode.querySelector("[tabindex='-1']").click();
});
