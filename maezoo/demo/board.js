// The board: a stroke of the mouse, a tap, or the arrow keys and Enter choose patches. `element` and `trigger` are
// Gradio's. The markup inside is replaced at every answer, so the listeners stand on the element that stays.
const board = () => element.querySelector(".mz-board");
let stroke = null;
let cursor = null;

const patchAt = (event) => {
  const box = board().getBoundingClientRect();
  const rows = Number(board().dataset.rows);
  const columns = Number(board().dataset.columns);
  const row = Math.floor(((event.clientY - box.top) / box.height) * rows);
  const column = Math.floor(((event.clientX - box.left) / box.width) * columns);
  return row >= 0 && row < rows && column >= 0 && column < columns ? [row, column] : null;
};

const place = (mark, patch) => {
  mark.hidden = patch === null;
  if (patch === null) return;
  mark.style.setProperty("--row", patch[0]);
  mark.style.setProperty("--column", patch[1]);
};

const add = (patch) => {
  if (patch === null || stroke.some(([row, column]) => row === patch[0] && column === patch[1])) return;
  stroke.push(patch);
  const mark = document.createElement("div");
  mark.className = "mz-touched";
  place(mark, patch);
  board().append(mark);
};

const send = (patches) => {
  if (patches.length) trigger("click", { patches });
};

element.addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || !board() || !board().contains(event.target)) return;
  stroke = [];
  add(patchAt(event));
});
element.addEventListener("pointermove", (event) => {
  if (!board()) return;
  const patch = board().contains(event.target) ? patchAt(event) : null;
  place(board().querySelector(".mz-hover"), patch);
  if (stroke && event.pointerType === "mouse") add(patch);
});
element.addEventListener("pointerleave", () => board() && place(board().querySelector(".mz-hover"), null));
window.addEventListener("pointerup", () => {
  if (stroke) send(stroke);
  stroke = null;
});
window.addEventListener("pointercancel", () => {
  stroke = null;
  element.querySelectorAll(".mz-touched").forEach((mark) => mark.remove());
});
element.addEventListener("keydown", (event) => {
  const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
  const at = board();
  if (!at || (!step && event.key !== "Enter" && event.key !== " ")) return;
  event.preventDefault();
  cursor = cursor || [Number(at.dataset.row), Number(at.dataset.column)];
  if (!step) return send([cursor]);
  const clip = (value, most) => Math.min(Math.max(value, 0), most - 1);
  cursor = [clip(cursor[0] + step[0], Number(at.dataset.rows)), clip(cursor[1] + step[1], Number(at.dataset.columns))];
  place(at.querySelector(".mz-hover"), cursor);
});
