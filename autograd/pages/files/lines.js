// A line of code that leads somewhere. Of those of a list one is in the order of Tab; ↑ and ↓ go on to the others.
const MARKS = {fwd: "▸", bwd: "◂"}, SAID = {fwd: ", forward of the chosen one", bwd: ", backward of the chosen one"};
const heard = (line, text, on) => `line ${line}${SAID[on] ?? ""}: ${text.trim()}`;
const codeOf = (line, text, leads, on) => `<div${leads ? ` data-o="${line}" role="button" tabindex="-1" aria-label="${esc(heard(line, text, on))}"` : ""}${on ? ` class="${on}"` : ""}><span>${line}</span><i aria-hidden="true">${MARKS[on] ?? ""}</i><span>${esc(text)}</span></div>`;
// Show a line in the middle of its box. What is out of sight counts as one line, and may be wrapped: the lines around are
// laid out in the next frame, and it has another place then.
function center(box, line, frames = 4) {
    if (!line?.isConnected) return;
    box.scrollTop += line.getBoundingClientRect().top - box.getBoundingClientRect().top - box.clientHeight / 2;
    if (frames) requestAnimationFrame(() => center(box, line, frames - 1));
}
function reach(line) {
    if (!line) return;
    for (const other of line.parentNode.querySelectorAll('[data-o][tabindex="0"]')) other.tabIndex = -1;
    line.tabIndex = 0;
}
function reachLists() {
    for (const code of $("panel").querySelectorAll(".code")) reach(code.querySelector("[data-o].fwd,[data-o].bwd") ?? code.querySelector("[data-o]"));
}
$("panel").addEventListener("keydown", event => {
    const line = event.target.closest("[data-o]"), key = event.key;
    if (!line || event.ctrlKey || event.metaKey || event.altKey) return;
    const all = [...line.parentNode.querySelectorAll("[data-o]")], k = all.indexOf(line);
    const next = {ArrowDown: all[k + 1], ArrowUp: all[k - 1], Home: all[0], End: all.at(-1)}[key];
    if (key === "Enter" || key === " ") {
        line.click();
        const again = $("panel").querySelector(`[data-o="${line.dataset.o}"]`);
        reach(again);
        again?.focus();
    } else if (next) {
        reach(next);
        next.focus();
    } else return;
    event.preventDefault();
});
