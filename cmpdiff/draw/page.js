"use strict";
(() => {
const byId = id => document.getElementById(id);
const map = byId("map"), filter = byId("filter"), said = byId("said"), lines = byId("lines");
const boxes = [...map.querySelectorAll(".box")];
const kinds = [...document.querySelectorAll(".kind")];
const regions = [...map.querySelectorAll(".region")].reverse();
const grouped = [...map.querySelectorAll(".chip[data-group]")];
const linked = byId("links").dataset.groups.split(" ").filter(Boolean);
const chipsOf = box => [...box.querySelectorAll(".chip[data-group]")];
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
  for (const region of regions) region.hidden = !region.querySelector(".box:not([hidden])");
  byId("count").textContent = shown === boxes.length ? "" : shown + " of " + boxes.length;
  draw();
}

// The lines between boxes that no region can hold together.
function draw() {
  lines.replaceChildren();
  const origin = lines.getBoundingClientRect();
  for (const group of linked) {
    let last = null;
    for (const chip of grouped.filter(c => c.dataset.group === group && c.offsetParent)) {
      const at = chip.getBoundingClientRect();
      const x = at.left - origin.left + at.width / 2, y = at.bottom - origin.top;
      const kind = "k-" + chip.dataset.kind + " g-" + group;
      if (last) {
        const sag = 34 + Math.abs(x - last.x) / 12;
        add("path", kind, {d: `M${last.x} ${last.y}C${last.x} ${last.y + sag} ${x} ${y + sag} ${x} ${y}`});
      }
      add("circle", kind, {cx: x, cy: y, r: 3.5});
      last = {x, y};
    }
  }
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
  const tab = node && node.closest ? node.closest(".tab") : null;
  if (tab) return light([tab.dataset.group], null);
  const at = box || boxOf(document.activeElement);
  light(at ? chipsOf(at).map(c => c.dataset.group) : null, at);
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
    apply();
    light(null, null);
  } else if (e.key === "ArrowDown" && document.activeElement === filter) {
    const first = boxes.find(b => !b.hidden);
    if (first) { e.preventDefault(); first.focus(); }
  } else if (e.key.startsWith("Arrow") && box) {
    e.preventDefault();
    const next = neighbour(box, e.key);
    if (next) next.focus();
  }
});
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
