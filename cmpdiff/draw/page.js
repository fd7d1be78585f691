"use strict";
(() => {
const byId = id => document.getElementById(id);
const map = byId("map"), filter = byId("filter"), said = byId("said"), lines = byId("lines");
const boxes = [...map.querySelectorAll(".box")];
const kinds = [...document.querySelectorAll(".kind")];
const regions = [...map.querySelectorAll(".region")].reverse();
const lists = [...map.querySelectorAll(".list")];
const grouped = [...map.querySelectorAll(".box [data-group]")];
const linked = byId("links").dataset.groups.split(" ").filter(Boolean);
const chipsOf = box => [...box.querySelectorAll("[data-group]")];
const boxOf = node => node && node.closest ? node.closest(".box") : null;

// A box is shown if it has all the words, and shares one of the kinds.
function apply() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = kinds.filter(k => k.getAttribute("aria-pressed") === "true").map(k => k.dataset.kind);
  let shown = 0;
  for (const box of boxes) {
    const text = words.every(w => box.dataset.words.includes(w));
    const kind = !wanted.length || chipsOf(box).some(c => wanted.includes(c.dataset.kind));
    box.hidden = !(text && kind);
    if (!box.hidden) shown++;
  }
  for (const frame of [...regions, ...lists]) frame.hidden = !frame.querySelector(".box:not([hidden])");
  // What was looked for is seen, also where it is folded.
  for (const list of lists) {
    if (words.length && !list.open) list.open = list.dataset.opened = true;
    if (!words.length && list.dataset.opened) { list.open = false; delete list.dataset.opened; }
  }
  byId("count").textContent = shown === boxes.length ? "" : shown + " of " + boxes.length;
  draw();
}

// The lines between boxes that no region can hold together: as in the image, they run in
// the channels between boxes, and touch nothing that holds text.
const lane = 7, clearance = 3, bend = 24, shifts = [0, 3, -3, 2, -2];

function draw() {
  lines.replaceChildren();
  const origin = lines.getBoundingClientRect();
  const rectOf = node => {
    const r = node.getBoundingClientRect();
    return {x: r.left - origin.left, y: r.top - origin.top, w: r.width, h: r.height};
  };
  const shown = node => node.offsetParent && !node.closest(".list .flow");
  const solid = [...boxes.filter(shown), ...lists.filter(shown)].map(rectOf);
  const walls = [...solid, ...[...map.querySelectorAll(".tab,h1,.host>p")].filter(shown).map(rectOf)];
  const near = [...solid, ...regions.filter(shown).map(rectOf)];
  const slots = new Map();
  linked.forEach((group, n) => {
    const ends = [...new Set(grouped.filter(c => c.dataset.group === group).map(boxOf))].filter(shown);
    if (ends.length < 2) return;
    const doors = ends.map(box => {
      const slot = slots.get(box) || 0;
      slots.set(box, slot + 1);
      return doorsOf(rectOf(box), slot);
    });
    const kind = "k-" + group.split("-")[0] + " g-" + group;
    for (const way of join(near, walls, doors, shifts[n % shifts.length])) {
      add("path", kind, {d: way.map((p, i) => (i ? "L" : "M") + p[0].toFixed(1) + " " + p[1].toFixed(1)).join("")});
      for (const p of way.ends) add("circle", kind, {cx: p[0], cy: p[1], r: 3.5});
    }
  });
}

// Where a line may leave a box, and in which direction.
function doorsOf(r, slot) {
  const spread = n => { const s = slot % Math.max(Math.floor(n), 1); return s % 2 ? (s + 1) / 2 : -s / 2; };
  const x = r.x + r.w / 2 + 12 * spread((r.w - 40) / 12), y = r.y + r.h / 2 + 10 * spread((r.h - 30) / 10);
  return [[x, r.y + r.h, 0, 1], [x, r.y, 0, -1], [r.x, y, -1, 0], [r.x + r.w, y, 1, 0]];
}

// join finds the lines that connect the boxes with these doors.
function join(near, walls, doors, shift) {
  const sorted = list => [...new Set(list.map(v => Math.round(v * 10) / 10))].sort((a, b) => a - b);
  const all = doors.flat();
  const xs = sorted([...near.flatMap(r => [r.x - lane + shift, r.x + r.w + lane + shift]), ...all.filter(d => !d[2]).map(d => d[0])]);
  const ys = sorted([...near.flatMap(r => [r.y - lane + shift, r.y + r.h + lane + shift]), ...all.filter(d => d[2]).map(d => d[1])]);
  const rows = ys.length, right = new Uint8Array(xs.length * rows), down = new Uint8Array(xs.length * rows);
  for (const w of walls) {
    const l = w.x - clearance, r = w.x + w.w + clearance, t = w.y - clearance, b = w.y + w.h + clearance;
    for (let i = 0; i < xs.length; i++) for (let j = 0; j < rows; j++) {
      if (ys[j] > t && ys[j] < b && xs[i] < r && xs[i + 1] > l) right[i * rows + j] = 1;
      if (xs[i] > l && xs[i] < r && ys[j] < b && ys[j + 1] > t) down[i * rows + j] = 1;
    }
  }
  // A node is a crossing, twice, and one more if a line comes to it vertically.
  const at = d => {
    const first = (list, v, dir) => dir < 0 ? list.findLastIndex(c => c <= v - clearance - 1) : list.findIndex(c => c >= v + dir * (clearance + 1) - .06);
    const i = first(xs, d[0], d[2]), j = first(ys, d[1], d[3]);
    return i < 0 || j < 0 ? -1 : 2 * (i * rows + j) + (d[2] ? 0 : 1);
  };
  const from = new Map(), left = new Set(doors.keys()), ways = [];
  const open = n => { left.delete(n); for (const d of doors[n]) if (at(d) >= 0) from.set(at(d), {p: d, end: true}); };
  open(0);
  while (left.size) {
    const goals = new Map();
    for (const n of left) for (const d of doors[n]) goals.set(at(d), {n, d});
    const found = nearest(xs, ys, right, down, from, goals);
    if (!found) break;
    const {n, d} = goals.get(found.path[0]);
    const way = [[d[0], d[1]]];
    way.ends = [[d[0], d[1]]];
    for (const node of found.path) way.push([xs[Math.floor(node / 2 / rows)], ys[Math.floor(node / 2) % rows]]);
    const begin = from.get(found.path[found.path.length - 1]);
    way.push([begin.p[0], begin.p[1]]);
    if (begin.end) way.ends.push([begin.p[0], begin.p[1]]);
    for (const node of found.path.slice(0, -1)) {
      const p = [xs[Math.floor(node / 2 / rows)], ys[Math.floor(node / 2) % rows]];
      for (const beside of [node & ~1, node | 1]) if (!from.has(beside)) from.set(beside, {p});
    }
    ways.push(way);
    open(n);
  }
  return ways;
}

// nearest is Dijkstra's algorithm: the cheapest way from what is connected to a goal.
function nearest(xs, ys, right, down, from, goals) {
  const rows = ys.length, size = 2 * xs.length * rows;
  const cost = new Float64Array(size).fill(Infinity), before = new Int32Array(size).fill(-1);
  const heap = [];
  const less = (a, b) => a[1] < b[1] || a[1] === b[1] && a[0] < b[0];
  const push = (n, c) => {
    let k = heap.push([n, c]) - 1;
    for (let up; k && less(heap[k], heap[up = (k - 1) >> 1]); k = up) [heap[k], heap[up]] = [heap[up], heap[k]];
  };
  const pop = () => {
    const top = heap[0], last = heap.pop();
    if (heap.length) heap[0] = last;
    for (let k = 0, next; (next = 2 * k + 1) < heap.length; k = next) {
      if (next + 1 < heap.length && less(heap[next + 1], heap[next])) next++;
      if (!less(heap[next], heap[k])) break;
      [heap[k], heap[next]] = [heap[next], heap[k]];
    }
    return top;
  };
  for (const n of from.keys()) { cost[n] = 0; push(n, 0); }
  while (heap.length) {
    const [n, c] = pop();
    if (c > cost[n]) continue;
    if (goals.has(n)) {
      const path = [n];
      for (let up = n; (up = before[up]) >= 0;) path.push(up);
      return {path};
    }
    const crossing = n >> 1, i = Math.floor(crossing / rows), j = crossing % rows;
    const go = (next, step) => {
      if (c + step < cost[next]) { cost[next] = c + step; before[next] = n; push(next, c + step); }
    };
    go(n ^ 1, bend);
    if (n & 1) {
      if (j > 0 && !down[crossing - 1]) go(n - 2, ys[j] - ys[j - 1]);
      if (j + 1 < rows && !down[crossing]) go(n + 2, ys[j + 1] - ys[j]);
    } else {
      if (i > 0 && !right[crossing - rows]) go(n - 2 * rows, xs[i] - xs[i - 1]);
      if (i + 1 < xs.length && !right[crossing]) go(n + 2 * rows, xs[i + 1] - xs[i]);
    }
  }
  return null;
}

function add(name, kind, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  node.setAttribute("class", kind);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  lines.append(node);
}

// light shows who is in the namespaces given, seen from a box if there is one.
function light(groups, self) {
  for (const node of map.querySelectorAll(".self,.with,.on,.off")) node.classList.remove("self", "with", "on", "off");
  for (const node of groups ? lines.children : []) node.classList.toggle("off", !groups.some(g => node.classList.contains("g-" + g)));
  map.classList.toggle("lit", groups !== null);
  map.classList.remove("basis");
  said.textContent = "";
  if (!groups) return;
  const sharers = new Map();
  for (const chip of grouped) {
    if (!groups.includes(chip.dataset.group)) continue;
    const box = boxOf(chip);
    chip.classList.add("on");
    if (chip.classList.contains("base")) map.classList.add("basis");
    if (box === self) continue;
    box.classList.add("with");
    if (!sharers.has(box)) sharers.set(box, []);
    sharers.get(box).push(chip.dataset.kind);
  }
  if (self) {
    self.classList.add("self");
    said.textContent = sentence(self, sharers);
  }
}

function sentence(self, sharers) {
  const parts = [];
  const host = chipsOf(self).filter(c => c.classList.contains("base")).map(c => c.dataset.kind);
  if (host.length) parts.push("has the host's " + host.join(", "));
  const byKinds = new Map();
  for (const [box, k] of sharers) byKinds.set(k.join(", "), [...(byKinds.get(k.join(", ")) || []), "\u2068" + box.dataset.name + "\u2069"]);
  for (const [k, names] of byKinds) {
    const more = names.length > 6 ? " and " + (names.length - 6) + " more" : "";
    parts.push("shares " + k + " with " + names.slice(0, 6).join(", ") + more);
  }
  return "\u2068" + self.dataset.name + "\u2069 " + (parts.join("; ") || "shares nothing with other containers");
}

// The pointer goes before the focus.
function look(node) {
  const box = boxOf(node);
  const tab = node && node.closest ? node.closest(".tab[data-group],.value[data-group]") : null;
  if (tab) return light([tab.dataset.group], null);
  const at = box || boxOf(document.activeElement);
  light(at ? chipsOf(at).map(c => c.dataset.group) : null, at);
}

// A click copies the command that gets into a container: by the clipboard, or as a browser
// does that has none for a page that is a file. It is shown in any case, to be copied by hand.
async function copy(box) {
  const text = box.dataset.copy;
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    done = document.execCommand("copy");
    field.remove();
    box.focus({preventScroll: true});
  }
  byId("copied").textContent = (done ? "copied: " : "to be copied: ") + "\u2068" + text + "\u2069";
}

// The box that is nearest in a direction.
function neighbour(from, key) {
  const middle = b => { const r = b.getBoundingClientRect(); return [r.left + r.width / 2, r.top + r.height / 2]; };
  const [x, y] = middle(from);
  const ahead = {ArrowRight: d => d[0], ArrowLeft: d => -d[0], ArrowDown: d => d[1], ArrowUp: d => -d[1]}[key];
  let best = null, least = Infinity;
  for (const box of boxes) {
    if (box.hidden || box === from) continue;
    const [bx, by] = middle(box), d = [bx - x, by - y], forward = ahead(d);
    const cost = forward + 3 * Math.abs(key === "ArrowRight" || key === "ArrowLeft" ? d[1] : d[0]);
    if (forward > 8 && cost < least) { best = box; least = cost; }
  }
  return best;
}

document.addEventListener("keydown", e => {
  if (e.ctrlKey || e.altKey || e.metaKey) return;
  const box = boxOf(document.activeElement);
  if (e.key === "/" && document.activeElement !== filter) {
    e.preventDefault();
    filter.focus();
    filter.select();
  } else if (e.key === "Escape") {
    filter.value = "";
    for (const k of kinds) k.setAttribute("aria-pressed", "false");
    if (document.activeElement) document.activeElement.blur();
    byId("copied").textContent = "";
    apply();
    light(null, null);
  } else if (e.key === "ArrowDown" && document.activeElement === filter) {
    const first = boxes.find(b => !b.hidden);
    if (first) { e.preventDefault(); first.focus(); }
  } else if (e.key === "Enter" && box && box.dataset.copy) {
    e.preventDefault();
    copy(box);
  } else if (e.key.startsWith("Arrow") && box) {
    e.preventDefault();
    const next = neighbour(box, e.key);
    if (next) next.focus();
  }
});
map.addEventListener("click", e => {
  const box = boxOf(e.target);
  if (box && box.dataset.copy && !String(getSelection())) copy(box);
});
for (const list of lists) list.addEventListener("toggle", draw);
map.addEventListener("mouseover", e => look(e.target));
map.addEventListener("mouseleave", () => look(null));
map.addEventListener("focusin", e => look(e.target));
map.addEventListener("focusout", () => light(null, null));
filter.addEventListener("input", apply);
for (const k of kinds) k.addEventListener("click", () => {
  k.setAttribute("aria-pressed", String(k.getAttribute("aria-pressed") !== "true"));
  apply();
});
addEventListener("resize", draw);
apply();
})();
