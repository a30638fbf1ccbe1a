"use strict";
// Linked slices. One state (view, slab, zoom, centre, pointer) is drawn into every panel.
(() => {
  const data = JSON.parse(document.getElementById("slice-data").textContent);
  const viewer = document.getElementById("viewer");
  const grid = document.getElementById("panels");
  const slider = document.getElementById("slab");
  const slabText = document.getElementById("slab-text");
  const extent = document.getElementById("extent");
  const colors = Uint8Array.from(atob(data.colors), (c) => c.charCodeAt(0));
  const panels = [...grid.querySelectorAll(".panel")].map((box) => ({
    box,
    name: box.dataset.field,
    canvas: box.querySelector("canvas"),
    output: box.querySelector("output"),
    slice: null,
  }));
  const MOST = 16; // times
  const state = { view: data.views[0], zoom: 1, x: 0.5, y: 0.5, pointer: null };
  const middle = (view) => view.slabs.length >> 1;
  const places = new Map(data.views.map((view) => [view.name, middle(view)]));
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const number = (value) => String(Number(value.toPrecision(4)));

  // --- images: grey steps become colours once, the last few are kept ---
  const kept = new Map();
  function slice(view, name, index) {
    const key = `${view.name} ${name} ${index}`;
    if (!kept.has(key)) {
      kept.set(key, load(view.images[name][index]));
      if (kept.size > 80) kept.delete(kept.keys().next().value);
    }
    return kept.get(key);
  }
  async function load(text) {
    const image = new Image();
    image.src = "data:image/webp;base64," + text;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
    const steps = new Uint8Array(canvas.width * canvas.height);
    for (let i = 0; i < steps.length; i++) {
      const grey = (steps[i] = pixels.data[4 * i]);
      for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = colors[3 * grey + c];
    }
    context.putImageData(pixels, 0, 0);
    return { canvas, steps };
  }

  // --- drawing ---
  let pending = false;
  function redraw() {
    if (pending) return;
    pending = true;
    requestAnimationFrame(() => {
      pending = false;
      const half = 0.5 / state.zoom;
      grid.classList.toggle("zoomed", state.zoom > 1);
      let first = true;
      for (const panel of panels) {
        if (panel.box.hidden) continue;
        draw(panel, half, first);
        first = false;
      }
      viewer.dataset.zoom = state.zoom.toFixed(3);
      viewer.dataset.center = `${state.x.toFixed(4)} ${state.y.toFixed(4)}`;
    });
  }
  function draw(panel, half, first) {
    const { canvas } = panel;
    const { view } = state;
    const scale = window.devicePixelRatio || 1;
    const shape = (view.x[1] - view.x[0]) / (view.y[1] - view.y[0]);
    canvas.style.aspectRatio = shape;
    // one finger scrolls the page until there is something to move
    canvas.style.touchAction = state.zoom > 1 ? "none" : "pan-y";
    const width = canvas.clientWidth;
    const height = width / shape;
    if (!width || !panel.slice) return;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const context = canvas.getContext("2d");
    const source = panel.slice.canvas;
    context.imageSmoothingEnabled = false;
    context.drawImage(
      source,
      (state.x - half) * source.width, (state.y - half) * source.height,
      2 * half * source.width, 2 * half * source.height,
      0, 0, canvas.width, canvas.height,
    );
    context.setTransform(scale, 0, 0, scale, 0, 0);
    marks(context, width, height, half, first);
    readout(panel);
  }
  function stroke(context, path) {
    for (const [color, thick] of [["#000", 4], ["#fff", 1.75]]) {
      context.strokeStyle = color;
      context.lineWidth = thick;
      context.beginPath();
      path();
      context.stroke();
    }
  }
  function write(context, text, x, y, align) {
    context.font = "600 12px system-ui, 'DejaVu Sans', sans-serif";
    context.textAlign = align;
    context.lineJoin = "round";
    context.strokeStyle = "#000";
    context.lineWidth = 3.5;
    context.strokeText(text, x, y);
    context.fillStyle = "#fff";
    context.fillText(text, x, y);
  }
  function marks(context, width, height, half, first) {
    const { view, pointer } = state;
    // the scale bar: 1, 2 or 5 times a power of ten, about a third of the panel
    const span = 2 * half * (view.x[1] - view.x[0]);
    const most = span * Math.min(0.34, 150 / width);
    const power = 10 ** Math.floor(Math.log10(most));
    const length = power * [5, 2, 1].find((digit) => digit * power <= most);
    const right = width - 10;
    const left = right - (length / span) * width;
    const foot = height - 10;
    stroke(context, () => { context.moveTo(left, foot); context.lineTo(right, foot); });
    write(context, `${number(length)} Mpc/h`, right, foot - 6, "right");
    viewer.dataset.scaleBar = number(length);
    if (first && view.name === "along") {
      const flat = view.across === "z";
      const [x, y, dx, dy] = flat ? [12, 16, 44, 0] : [14, height - 12, 0, -Math.min(44, 0.6 * height)];
      const [hx, hy] = [x + dx, y + dy];
      stroke(context, () => {
        context.moveTo(x, y);
        context.lineTo(hx, hy);
        context.moveTo(hx - 5, flat ? hy - 5 : hy + 6);
        context.lineTo(hx, hy);
        context.lineTo(flat ? hx - 5 : hx + 5, flat ? hy + 5 : hy + 6);
      });
      // above the arrow, or beside it where there is no room
      const beside = flat || height < 80;
      write(context, "line of sight", beside ? hx + 9 : hx - 6, flat ? hy + 4 : hy + (beside ? 12 : -7), "left");
    }
    if (pointer) {
      const x = ((pointer.x - state.x) * state.zoom + 0.5) * width;
      const y = ((pointer.y - state.y) * state.zoom + 0.5) * height;
      context.lineWidth = 1;
      for (const [color, dash] of [["#000", []], ["#fff", [3, 3]]]) {
        context.strokeStyle = color;
        context.setLineDash(dash);
        context.beginPath();
        context.moveTo(x, 0); context.lineTo(x, height);
        context.moveTo(0, y); context.lineTo(width, y);
        context.stroke();
      }
      context.setLineDash([]);
    }
  }
  function readout(panel) {
    const { pointer } = state;
    if (!pointer || !panel.slice) {
      panel.output.textContent = "";
      return;
    }
    const { canvas, steps } = panel.slice;
    const column = clamp(Math.floor(pointer.x * canvas.width), 0, canvas.width - 1);
    const row = clamp(Math.floor(pointer.y * canvas.height), 0, canvas.height - 1);
    const part = steps[row * canvas.width + column] / 255;
    const [low, high] = data.limits;
    const value = low * (high / low) ** part;
    const sign = part <= 0 ? "≤ " : part >= 1 ? "≥ " : "";
    panel.output.textContent = sign + Number(value.toPrecision(2));
  }
  function describe() {
    const { view, pointer } = state;
    const half = 0.5 / state.zoom;
    const at = (range, part) => range[0] + part * (range[1] - range[0]);
    const span = (name, range, a, b) =>
      `${name} from ${at(range, a).toFixed(0)} to ${at(range, b).toFixed(0)} Mpc/h` +
      (name === "z" ? " (line of sight)" : "");
    const words = [
      "Right: " + span(view.across, view.x, state.x - half, state.x + half),
      "up: " + span(view.up, view.y, 1 - state.y - half, 1 - state.y + half),
    ];
    let text = words.join("; ") + ".";
    if (pointer) {
      text += ` Pointer: ${view.across} = ${at(view.x, pointer.x).toFixed(0)}, ` +
        `${view.up} = ${at(view.y, 1 - pointer.y).toFixed(0)} Mpc/h.`;
    }
    extent.textContent = text;
  }
  function moved() {
    const half = 0.5 / state.zoom;
    state.x = clamp(state.x, half, 1 - half);
    state.y = clamp(state.y, half, 1 - half);
    redraw();
    describe();
  }

  // --- which slab, view and fields ---
  let wanted = 0;
  async function show() {
    const mine = ++wanted;
    const { view } = state;
    const index = places.get(view.name);
    slider.max = view.slabs.length - 1;
    slider.value = index;
    const [low, high] = view.slabs[index].map((edge) => number(Math.round(edge * 10) / 10));
    const words = `${view.depth} from ${low} to ${high} Mpc/h`;
    slabText.textContent = `${words} (${index + 1} of ${view.slabs.length})`;
    slider.setAttribute("aria-valuetext", words);
    const shown = panels.filter((panel) => !panel.box.hidden);
    const shape = (view.x[1] - view.x[0]) / (view.y[1] - view.y[0]);
    grid.dataset.shape = shape > 3 ? "long" : shape > 1.4 ? "wide" : "tall";
    grid.dataset.count = shown.length;
    const slices = await Promise.all(shown.map((panel) => slice(view, panel.name, index)));
    if (mine !== wanted) return; // the slider has moved on
    shown.forEach((panel, i) => {
      panel.slice = slices[i];
      panel.canvas.setAttribute("aria-label", `${panel.box.querySelector("span").textContent}: ${words}`);
      panel.canvas.hidden = false;
      panel.box.querySelector("img.still")?.remove();
    });
    viewer.dataset.slab = index;
    viewer.dataset.view = view.name;
    moved();
    for (const next of [index + 1, index - 1]) {
      if (view.slabs[next]) shown.forEach((panel) => slice(view, panel.name, next));
    }
  }
  function go(index) {
    places.set(state.view.name, clamp(index, 0, state.view.slabs.length - 1));
    show();
  }
  slider.addEventListener("input", () => go(Number(slider.value)));
  for (const choice of viewer.querySelectorAll("input[name=view]")) {
    choice.addEventListener("change", () => {
      state.view = data.views.find((view) => view.name === choice.value);
      Object.assign(state, { zoom: 1, x: 0.5, y: 0.5, pointer: null });
      show();
    });
  }
  const boxes = [...viewer.querySelectorAll("input[name=field]")];
  for (const choice of boxes) {
    choice.addEventListener("change", () => {
      if (!boxes.some((other) => other.checked)) choice.checked = true;
      for (const panel of panels) {
        const box = boxes.find((other) => other.value === panel.name);
        if (box) panel.box.hidden = !box.checked;
      }
      show();
    });
  }

  // --- zoom and pan: about a point of the picture, 0 to 1 from its upper left corner ---
  function zoomTo(zoom, x, y) {
    const next = clamp(zoom, 1, MOST);
    // what lies under the point stays there
    state.x = x + ((state.x - x) * state.zoom) / next;
    state.y = y + ((state.y - y) * state.zoom) / next;
    state.zoom = next;
    moved();
  }
  function reset() {
    Object.assign(state, { zoom: 1, x: 0.5, y: 0.5 });
    moved();
  }
  function place(canvas, event) {
    const rect = canvas.getBoundingClientRect();
    return {
      x: state.x + ((event.clientX - rect.left) / rect.width - 0.5) / state.zoom,
      y: state.y + ((event.clientY - rect.top) / rect.height - 0.5) / state.zoom,
    };
  }
  let scrolled = -Infinity;
  window.addEventListener("scroll", () => { scrolled = performance.now(); }, { passive: true });
  const pointers = new Map();
  let pinch = 0;
  function spread() {
    const [a, b] = [...pointers.values()];
    return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
  }
  for (const { canvas } of panels) {
    canvas.addEventListener("wheel", (event) => {
      // a wheel that is scrolling the page goes on scrolling it, and so does one with no effect
      if (performance.now() - scrolled < 250) return;
      const zoom = clamp(state.zoom * Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), 1, MOST);
      if (zoom === state.zoom) return;
      event.preventDefault();
      const point = place(canvas, event);
      zoomTo(zoom, point.x, point.y);
    }, { passive: false });
    canvas.addEventListener("dblclick", reset);
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, event);
      if (pointers.size === 2) pinch = spread();
      grid.classList.toggle("dragging", state.zoom > 1);
      state.pointer = place(canvas, event);
      moved();
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = pointers.get(event.pointerId);
      const rect = canvas.getBoundingClientRect();
      if (before && pointers.size === 1) {
        state.x -= (event.clientX - before.clientX) / rect.width / state.zoom;
        state.y -= (event.clientY - before.clientY) / rect.height / state.zoom;
        moved();
      }
      if (before) pointers.set(event.pointerId, event);
      if (before && pointers.size === 2) {
        const now = spread();
        const [a, b] = [...pointers.values()];
        const point = place(canvas, {
          clientX: (a.clientX + b.clientX) / 2,
          clientY: (a.clientY + b.clientY) / 2,
        });
        zoomTo((state.zoom * now) / Math.max(pinch, 1), point.x, point.y);
        pinch = now;
      }
      state.pointer = place(canvas, event);
      moved();
    });
    const released = (event) => {
      pointers.delete(event.pointerId);
      grid.classList.remove("dragging");
    };
    canvas.addEventListener("pointerup", released);
    canvas.addEventListener("pointercancel", released);
    canvas.addEventListener("pointerleave", (event) => {
      if (event.pointerType !== "mouse" || pointers.size) return;
      state.pointer = null;
      moved();
    });
  }
  document.getElementById("zoom-in").addEventListener("click", () => zoomTo(state.zoom * 1.5, state.x, state.y));
  document.getElementById("zoom-out").addEventListener("click", () => zoomTo(state.zoom / 1.5, state.x, state.y));
  document.getElementById("zoom-reset").addEventListener("click", reset);
  grid.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const index = places.get(state.view.name);
    const step = 0.1 / state.zoom;
    const pan = (x, y) => { state.x += x; state.y += y; moved(); };
    const actions = event.shiftKey
      ? {
          ArrowLeft: () => pan(-step, 0), ArrowRight: () => pan(step, 0),
          ArrowUp: () => pan(0, -step), ArrowDown: () => pan(0, step),
        }
      : {
          ArrowLeft: () => go(index - 1), ArrowRight: () => go(index + 1),
          ArrowDown: () => go(index - 1), ArrowUp: () => go(index + 1),
          Home: () => go(0), End: () => go(state.view.slabs.length - 1),
        };
    Object.assign(actions, {
      "+": () => zoomTo(state.zoom * 1.5, state.x, state.y),
      "=": () => zoomTo(state.zoom * 1.5, state.x, state.y),
      "-": () => zoomTo(state.zoom / 1.5, state.x, state.y),
      0: reset,
    });
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  });

  new ResizeObserver(redraw).observe(grid);
  const printed = new Set();
  window.addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("details:not([open])")) {
      part.open = true;
      printed.add(part);
    }
  });
  window.addEventListener("afterprint", () => {
    for (const part of printed) part.open = false;
    printed.clear();
  });
  document.getElementById("controls").hidden = false;
  document.getElementById("gestures").hidden = false;
  show();
})();
