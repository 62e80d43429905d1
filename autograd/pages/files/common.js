"use strict";
// What both pages need: text to HTML, numbers, and a list of many rows of which only those in sight are made.
const T0 = performance.now(), D = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
const esc = s => String(s ?? "").replace(/[&<>"]/g, c => ({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})[c]);
// Text of a row, which is one line whatever is in a name.
const flat = s => esc(String(s ?? "").replace(/\s/g, " "));
const number = x => {
    if (x === null) return "none";
    const a = Math.abs(x);
    return typeof x === "number" && a && (a < 1e-4 || a >= 1e6) ? x.toExponential(3).replace(/\.?0+e/, "e") : String(x);
};
const narrow = () => innerWidth <= 760;

// A scrolled box of `count()` rows. `row(i)` is the HTML of one; `more(first, last)` that of what lies behind them.
function listOf(box, height, count, row, more) {
    const space = document.createElement("div");
    space.setAttribute("role", "presentation");
    space.style.position = "relative";
    box.append(space);
    let due = 0;
    function draw() {
        due = 0;
        const h = height(), n = count();
        const first = Math.max(0, Math.floor(box.scrollTop / h) - 6);
        const last = Math.min(n, Math.ceil((box.scrollTop + box.clientHeight) / h) + 6);
        let html = more ? more(first, last) : "";
        for (let i = first; i < last; i++) html += row(i, i * h);
        space.style.height = n * h + "px";
        space.innerHTML = html;
        // The chosen row, while there is an element of it.
        const chosen = space.querySelector("[aria-selected=true]");
        if (chosen) box.setAttribute("aria-activedescendant", chosen.id);
        else box.removeAttribute("aria-activedescendant");
    }
    const later = () => due ||= requestAnimationFrame(draw);
    box.addEventListener("scroll", later, {passive: true});
    new ResizeObserver(later).observe(box);
    return {draw, show(i) {
        const h = height(), top = i * h;
        if (top < box.scrollTop + h) box.scrollTop = top - h;
        else if (top + 2 * h > box.scrollTop + box.clientHeight) box.scrollTop = top + 2 * h - box.clientHeight;
    }};
}
