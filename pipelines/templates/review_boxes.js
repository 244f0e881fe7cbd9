// The boxes over the picture: glip.overlay(svg, {choose, change, drawn}).
//
// Boxes are xyxy pixels of the upright picture, whose size the svg has as its viewBox. Corners of the chosen box are
// dragged to correct it, its edge to move it; while drawing, a drag makes a new box. Nothing is saved here:
// `change(index, box)` and `drawn(box)` say what a person did, `choose(index)` what was clicked.
(() => {
  "use strict";
  const glip = (globalThis.glip ??= {});
  const NEAR = 2; // pixels of the screen: a shorter drag is a click

  function element(name, attributes) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  const ordered = ([a, b, c, d]) => [Math.min(a, c), Math.min(b, d), Math.max(a, c), Math.max(b, d)];
  const clamp = (value, least, most) => Math.min(Math.max(value, least), most);
  const rounded = (box) => box.map((value) => Math.round(value * 100) / 100);

  // A box moved by so many pixels, as far as the picture goes.
  function shifted([left, top, right, bottom], [x, y], [width, height]) {
    const dx = clamp(left + x, 0, width - (right - left)) - left;
    const dy = clamp(top + y, 0, height - (bottom - top)) - top;
    return [left + dx, top + dy, right + dx, bottom + dy];
  }

  // A box moved by steps of a hundredth of the picture (`by`), or, with `corner`, its lower right corner alone.
  glip.nudged = (box, [x, y], corner, { width, height }) => {
    const [left, top, right, bottom] = box;
    const step = [(x * width) / 100, (y * height) / 100];
    if (corner) return [left, top, clamp(right + step[0], left + 1, width), clamp(bottom + step[1], top + 1, height)];
    return shifted(box, step, [width, height]);
  };

  glip.overlay = (svg, told) => {
    let key = null, boxes = [], chosen = -1, size = [1, 1], drawing = false, drag = null;
    const about = (box) => `${box?.phrase} ${box?.target}`;

    function at(event) {
      const place = svg.getBoundingClientRect();
      return [
        clamp(((event.clientX - place.left) / place.width) * size[0], 0, size[0]),
        clamp(((event.clientY - place.top) / place.height) * size[1], 0, size[1]),
      ];
    }

    function rectangle(box, index) {
      const [x, y, right, bottom] = box.box;
      const corner = { x, y, width: Math.max(right - x, 0), height: Math.max(bottom - y, 0) };
      const group = element("g", { class: `c${box.phrase % 8} ${box.verdict ?? ""}`, "data-box": index });
      group.append(element("rect", { class: "edge", ...corner }), element("rect", { class: "line", ...corner }));
      group.classList.toggle("chosen", index === chosen);
      return group;
    }

    // A dot of fixed size on the screen: a path of no length, whose round ends are not scaled.
    function handles(box) {
      const [left, top, right, bottom] = box;
      const corners = [[left, top], [right, top], [right, bottom], [left, bottom]];
      return corners.map(([x, y], corner) => {
        const group = element("g", { class: "handle", "data-corner": corner });
        const d = `M ${x} ${y} h 0.001`;
        group.append(element("path", { class: "reach", d }), element("path", { class: "ring", d }), element("path", { class: "dot", d }));
        return group;
      });
    }

    function paint() {
      const order = boxes.map((_, index) => index).sort((one, other) => (one === chosen) - (other === chosen));
      svg.replaceChildren(...order.map((index) => rectangle(boxes[index], index)));
      if (boxes[chosen] && !drawing) svg.append(...handles(boxes[chosen].box));
      if (drag?.mode === "draw" && drag.box) svg.append(rectangle({ box: ordered(drag.box), phrase: 0, verdict: "new" }, -1));
      svg.classList.toggle("drawing", drawing);
    }

    function smallestAt([x, y]) {
      const area = ([a, b, c, d]) => (c - a) * (d - b);
      const inside = boxes.map((box, index) => [box.box, index])
        .filter(([[a, b, c, d]]) => a <= x && x <= c && b <= y && y <= d)
        .sort(([one], [other]) => area(one) - area(other));
      return inside.length ? inside[0][1] : -1;
    }

    function begin(event) {
      if (event.button !== 0) return;
      const corner = event.target.closest(".handle")?.dataset.corner;
      const onChosen = event.target.closest(`g[data-box="${chosen}"]`);
      const start = at(event);
      if (drawing) drag = { mode: "draw", start };
      else if (corner !== undefined) drag = { mode: "corner", corner: Number(corner), before: boxes[chosen].box };
      else if (onChosen) drag = { mode: "move", start, before: boxes[chosen].box };
      else return;
      Object.assign(drag, { x: event.clientX, y: event.clientY, far: false });
      svg.setPointerCapture(event.pointerId);
    }

    function moved([x, y]) {
      if (drag.mode === "draw") return [...drag.start, x, y];
      const [left, top, right, bottom] = drag.before;
      if (drag.mode === "corner") {
        return [[x, y, right, bottom], [left, y, x, bottom], [left, top, x, y], [x, top, right, y]][drag.corner];
      }
      return shifted(drag.before, [x - drag.start[0], y - drag.start[1]], size);
    }

    function move(event) {
      if (!drag) return;
      drag.far ||= Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > NEAR;
      if (!drag.far) return;
      drag.box = moved(at(event));
      if (drag.mode !== "draw") boxes[chosen] = { ...boxes[chosen], box: ordered(drag.box) };
      paint();
    }

    function end(event) {
      const done = drag;
      drag = null;
      if (done?.far) {
        const box = rounded(ordered(done.box));
        const whole = box[2] - box[0] >= 1 && box[3] - box[1] >= 1;
        if (done.mode === "draw") { if (whole) told.drawn(box); } else told.change(chosen, whole ? box : done.before);
      } else if (event.type === "pointerup" && !drawing) {
        const index = smallestAt(at(event));
        if (index >= 0) told.choose(index);
      }
      paint();
    }

    svg.addEventListener("pointerdown", begin);
    // A finger that drags a box does not scroll the page too. (A corner's `touch-action` would not be heeded: it is svg.)
    svg.addEventListener("touchstart", (event) => { if (drag) event.preventDefault(); }, { passive: false });
    svg.addEventListener("pointermove", move);
    svg.addEventListener("pointerup", end);
    svg.addEventListener("pointercancel", () => { if (drag?.before) boxes[chosen] = { ...boxes[chosen], box: drag.before }; drag = null; paint(); });

    return {
      show(sample, shown, index, draws) {
        // A drag goes on while its box is at hand: what else was saved may be shown in the middle of it.
        const stays = sample.key === key && draws === drawing && index === chosen && about(shown[index]) === about(boxes[chosen]);
        [key, boxes, chosen, drawing, drag] = [sample.key, [...shown], index, draws, stays ? drag : null];
        if (drag?.box && drag.mode !== "draw") boxes[chosen] = { ...boxes[chosen], box: ordered(drag.box) };
        size = [sample.width, sample.height];
        svg.setAttribute("viewBox", `0 0 ${sample.width} ${sample.height}`);
        paint();
      },
    };
  };
})();
