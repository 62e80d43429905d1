// ---- numbers of leaves that can be changed: the page around this one runs Python, which sends the new figures ----
const FIRST = R.map(r => [r[VALUES], r[COTANGENTS]]), plainRow = row, plainFill = fill;
let marks = R.map(() => 0), wrong = null, waiting = 0;
function ask(asked) {
    waiting++;
    parent.postMessage({tape: asked}, "*");
}

row = (v, top) => {
    const html = plainRow(v, top), e = V[v];
    if (e.line) return html;
    let moved = 0;
    for (let k = e.i; k <= (e.f && !e.f.open ? e.f.last : e.f ? -1 : e.i); k++) moved |= marks[k];
    return moved ? html.replace('class="row ', 'class="row moved ').replace('aria-label="', 'aria-label="changed: ') : html;
};
fill = () => {
    plainFill();
    const e = V[sel];
    if (!e.f) edit(e.i);
};
const range = v => `min ${number(v[1])}, max ${number(v[2])}, mean ${number(v[3])}`;
// Marks what differs from the first figures, and makes the cells of a leaf's value boxes.
function edit(i) {
    const tables = [...$("panel").querySelectorAll(".cells")], texts = [...$("panel").querySelectorAll("[data-what]")];
    let t = 0;
    R[i][VALUES].forEach((value, k) => [value, R[i][COTANGENTS][k]].forEach((v, back) => {
        if (!v) return;
        const old = FIRST[i][back][k], table = tables[t], text = texts[t++];
        const was = old ? old[6].split(" ") : [];
        table.querySelectorAll("td").forEach((td, c) => {
            if (td.textContent !== was[c]) { td.classList.add("moved"); td.title = "was " + was[c]; }
            if (!back && !isCall(i) && D.kept) box(td, i, c, Math.abs(v[5]));
        });
        if (old && range(old) !== range(v)) text.insertAdjacentHTML("afterend", `<p class="mono was">was: ${range(old)}</p>`);
    }));
    if (isCall(i) || !D.kept) return;
    tables[0]?.insertAdjacentHTML("afterend", `<p id="wrong" class="bad" role="alert"></p><p class="soft">Change a number: Enter takes it, ↑ and ↓ raise and lower it.</p>`);
    if (wrong?.row === i) {
        const input = $("panel").querySelector(`[data-cell="${wrong.cell}"]`);
        input.value = wrong.text;
        input.setAttribute("aria-invalid", true);
        $("wrong").textContent = wrong.wrong;
    }
}
function box(td, i, c, columns) {
    const place = /\[\]$/.test(shape(R[i][VALUES][0])) ? "" : columns < R[i][VALUES][0][6].split(" ").length ? `, row ${(c / columns | 0) + 1}, column ${c % columns + 1}` : `, number ${c + 1}`;
    const input = document.createElement("input");
    input.setAttribute("value", td.textContent);
    input.dataset.cell = c;
    input.autocomplete = "off";
    input.setAttribute("aria-label", R[i][NAME] + place);
    input.setAttribute("aria-describedby", "wrong");
    td.replaceChildren(input);
}
function send(input) {
    if (input.value === input.defaultValue && !input.hasAttribute("aria-invalid")) return;
    input.sent = input.value;
    ask({row: V[sel].i, cell: +input.dataset.cell, text: input.value});
}
$("panel").addEventListener("change", event => event.target.dataset.cell && send(event.target));
$("panel").addEventListener("keydown", event => {
    const input = event.target;
    if (!input.dataset.cell) return;
    if (event.key === "Escape") {
        wrong = null;
        input.value = input.defaultValue;
        input.removeAttribute("aria-invalid");
        $("wrong").textContent = "";
    } else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
        event.preventDefault();
        const up = event.key === "ArrowUp", kind = shape(R[V[sel].i][VALUES][0]), text = input.value.trim(), x = +text;
        if (/^bool/.test(kind)) input.value = up ? "True" : "False";
        else if (!/^float/.test(kind)) {
            // All digits of an integer: some have more than a number of JavaScript.
            if (!/^-?\d+$/.test(text)) return;
            input.value = BigInt(text) + (up ? 1n : -1n);
        } else {
            if (!Number.isFinite(x)) return;
            const step = 10 ** (Math.floor(Math.log10(Math.abs(x) || 1)) - 1);
            input.value = +(x + (up ? step : -step)).toPrecision(4);
        }
        send(input);
    }
});
// What the page around this one says: {rows, types, marks}, or {wrong}, with what was asked.
addEventListener("message", event => {
    if (event.source !== parent || event.data.tape) return;
    const said = event.data;
    if (said.wrong) wrong = said;
    else if (said.reset || wrong?.row === said.row && wrong?.cell === said.cell) wrong = null;
    if (said.rows) {
        said.rows.forEach(([values, cotangents], i) => { R[i][VALUES] = values; R[i][COTANGENTS] = cotangents; });
        D.types = said.types;
        marks = said.marks;
        measure();
    }
    if (--waiting) return;
    refill();
    list.draw();
    const n = marks.filter(Boolean).length, text = n ? effect(n) : "";
    $("reset").disabled = !n;
    $("effect").textContent = text;
    $("say").textContent = wrong ? "" : text || "These are the first numbers";
});
function effect(n) {
    const r = R.at(-1), now = r[VALUES][0], old = FIRST.at(-1)[0][0], one = v => number(v[3] ?? v[6]);
    return `${n} of ${R.length} rows changed` + (/\[\]$/.test(shape(now)) ? `, ${r[NAME]}: ${one(old)} → ${one(now)}` : "");
}
// The panel anew; where one was, and what was being typed there, stays.
function refill() {
    const on = document.activeElement, cell = on.dataset.cell, top = $("panel").scrollTop;
    const typing = cell && on.value !== on.defaultValue && on.value !== on.sent;
    fill();
    $("panel").scrollTop = top;
    if (!cell) return;
    const input = $("panel").querySelector(`[data-cell="${cell}"]`);
    if (typing) input.value = on.value;
    input.focus({preventScroll: true});
    if (!typing) input.select();
}
document.querySelector(".tools").insertAdjacentHTML("afterbegin", '<button id="reset" type="button" disabled>reset numbers</button>');
$("reset").onclick = () => { ask({reset: true}); $("tape").focus(); };
$("about").insertAdjacentHTML("beforeend", `. ${D.kept ? "Choose a leaf to change its numbers" : "Its numbers can be changed if it is made there, too"}. <span id="effect"></span>`);
fill();
